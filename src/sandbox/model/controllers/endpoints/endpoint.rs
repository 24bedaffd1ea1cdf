//! What one pod looks like from a Service: its address, ports and conditions.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::sandbox::model::controllers::view::pod::Pod;
use crate::sandbox::model::object::{self, Object};

/// The pods of a Service that listen on the same ports.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) ports: Value,
    /// By the uid of the pod.
    pub(super) endpoints: Vec<(String, Value)>,
}

/// What the slices of a Service should hold, given the pods it selects.
pub(super) fn desired(service: &Object, pods: &[&Pod]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for pod in pods.iter().filter(|p| !p.is_terminal()) {
        let Some(endpoint) = endpoint(service, pod) else { continue };
        let ports = ports(service, pod);
        let entry = (pod.meta.uid.clone(), endpoint);
        match groups.iter_mut().find(|g| g.ports == ports) {
            Some(group) => group.endpoints.push(entry),
            None => groups.push(Group { ports, endpoints: vec![entry] }),
        }
    }
    groups
}

/// `None` for a pod that has no address yet.
fn endpoint(service: &Object, pod: &Pod) -> Option<Value> {
    let (spec, status) = (&pod.object["spec"], &pod.object["status"]);
    let listed = status["podIPs"].as_array().into_iter().flatten().map(|ip| &ip["ip"]);
    let mut addresses = listed.chain([&status["podIP"]]).filter_map(Value::as_str);
    let address = addresses.find_map(|a| a.parse::<Ipv4Addr>().ok())?;
    // Whoever is being ended is not ready, even while it still serves what it has; unless the Service asked for everybody.
    let ready = service["spec"]["publishNotReadyAddresses"] == true || (pod.ready && !pod.meta.deleting);
    let mut endpoint = json!({
        "addresses": [address.to_string()],
        "conditions": {"ready": ready, "serving": pod.ready, "terminating": pod.meta.deleting},
        "targetRef": {"kind": "Pod", "namespace": pod.namespace(), "name": pod.name(), "uid": pod.meta.uid},
    });
    if !pod.node().is_empty() {
        endpoint["nodeName"] = pod.node().into();
    }
    if spec["hostname"].is_string() && spec["subdomain"] == object::name(service) {
        endpoint["hostname"] = spec["hostname"].clone();
    }
    Some(endpoint)
}

/// The ports of the Service as numbers, for this pod: a port named in the pod may differ between pods.
fn ports(service: &Object, pod: &Pod) -> Value {
    let ports = service["spec"]["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let resolved = ports.iter().filter_map(|port| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let number = match &port["targetPort"] {
            Value::String(name) => named(pod, name, protocol)?,
            Value::Number(number) => number.as_i64()?,
            _ => port["port"].as_i64()?,
        };
        let mut resolved = json!({"name": port["name"].as_str().unwrap_or_default(), "protocol": protocol, "port": number});
        if let Some(app) = port["appProtocol"].as_str() {
            resolved["appProtocol"] = app.into();
        }
        Some(resolved)
    });
    resolved.collect()
}

/// The container port of this name; sidecars have some, too.
fn named(pod: &Pod, name: &str, protocol: &str) -> Option<i64> {
    let spec = &pod.object["spec"];
    let containers = spec["containers"].as_array().into_iter().flatten();
    let sidecars = spec["initContainers"].as_array().into_iter().flatten().filter(|c| c["restartPolicy"] == "Always");
    let mut ports = containers.chain(sidecars).filter_map(|c| c["ports"].as_array()).flatten();
    ports.find(|p| p["name"] == name && p["protocol"].as_str().unwrap_or("TCP") == protocol)?["containerPort"].as_i64()
}

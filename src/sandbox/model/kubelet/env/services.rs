//! The environment variables that tell a container where the Services are.

use serde_json::Value;

use crate::sandbox::model::object::{self, resource};
use crate::sandbox::model::write::Read;

/// The variables for a pod in `namespace`: those of `default/kubernetes` always, those of its own namespace when it wants `links`.
pub(super) fn service_env(store: &dyn Read, namespace: &str, links: bool) -> Vec<(String, String)> {
    let mut env = Vec::new();
    for service in store.list(&resource::SERVICES, None) {
        let api = object::namespace(&service) == "default" && object::name(&service) == "kubernetes";
        if api || links && object::namespace(&service) == namespace {
            one(&service, &mut env);
        }
    }
    env
}

fn one(service: &Value, env: &mut Vec<(String, String)>) {
    let Some(ip) = service["spec"]["clusterIP"].as_str().filter(|ip| !ip.is_empty() && *ip != "None") else { return };
    let name = variable(object::name(service));
    let ports = service["spec"]["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(first) = ports.first() else { return };
    env.push((format!("{name}_SERVICE_HOST"), ip.to_owned()));
    env.push((format!("{name}_SERVICE_PORT"), number(first)));
    for port in ports {
        if let Some(port_name) = port["name"].as_str().filter(|n| !n.is_empty()) {
            env.push((format!("{name}_SERVICE_PORT_{}", variable(port_name)), number(port)));
        }
    }
    for (index, port) in ports.iter().enumerate() {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let number = number(port);
        let url = format!("{lower}://{ip}:{number}");
        if index == 0 {
            env.push((format!("{name}_PORT"), url.clone()));
        }
        let prefix = format!("{name}_PORT_{number}_{}", protocol.to_uppercase());
        env.push((format!("{prefix}_PROTO"), lower));
        env.push((format!("{prefix}_PORT"), number));
        env.push((format!("{prefix}_ADDR"), ip.to_owned()));
        env.push((prefix, url));
    }
}

fn number(port: &Value) -> String {
    port["port"].as_u64().unwrap_or_default().to_string()
}

fn variable(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

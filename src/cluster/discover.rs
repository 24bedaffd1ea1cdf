//! Finding what stands in front of a Deployment: its Services, the Ingress rule that leads to them, and where that Ingress listens.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress, IngressRule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::{Api, Client};

use super::ClusterError;
use super::watch::Subject;
use crate::domain::admission::GATE;

/// Pods that are looked at for a gate.
const SOME_PODS: u32 = 100;

/// Where requests enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `http://todo.example`, without a path.
    pub base: String,
    /// The path prefix that leads to the target.
    pub path: String,
    /// `address:port` that the Ingress says it listens on.
    pub connect_to: Option<String>,
}

impl Entry {
    /// The URL of this path; without one, of what leads to the target.
    pub fn url(&self, path: Option<&str>) -> String {
        format!("{}{}", self.base, path.unwrap_or(&self.path))
    }
}

/// The Deployment's selector, and the Services that select its pods.
pub async fn subject(client: &Client, namespace: &str, deployment: &str) -> Result<Subject, ClusterError> {
    let named = format!("{namespace}/{deployment}");
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = api.get(deployment).await.map_err(ClusterError::new(format!("read deployment {named}")))?;
    let spec = found.spec.unwrap_or_default();
    let gates = spec.template.spec.and_then(|pod| pod.readiness_gates).unwrap_or_default();
    let gated = gates.iter().any(|gate| gate.condition_type == GATE);
    let labels = spec.template.metadata.and_then(|m| m.labels).unwrap_or_default();
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let list = services.list(&ListParams::default()).await.map_err(ClusterError::new(format!("list services in {namespace}")))?;
    let services = list.items.iter().filter(|s| selects(s, &labels)).filter_map(|s| s.metadata.name.clone()).collect();
    Ok(Subject { namespace: namespace.into(), deployment: deployment.into(), selector: selector(&spec.selector), services, gated })
}

/// Whether a Service selects pods with these labels.
pub(super) fn selects(service: &Service, labels: &BTreeMap<String, String>) -> bool {
    let selector = service.spec.as_ref().and_then(|s| s.selector.as_ref());
    selector.is_some_and(|selector| !selector.is_empty() && selector.iter().all(|(k, v)| labels.get(k) == Some(v)))
}

/// Whether one of the pods has the readiness gate of admission: a policy may have put it there, and not in their template.
pub async fn are_pods_gated(client: &Client, subject: &Subject) -> Result<bool, ClusterError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &subject.namespace);
    let some = ListParams::default().labels(&subject.selector).limit(SOME_PODS);
    let list = api.list(&some).await.map_err(ClusterError::new(format!("list pods in {}", subject.namespace)))?;
    let gates = |pod: Pod| pod.spec.and_then(|s| s.readiness_gates).unwrap_or_default();
    Ok(list.items.into_iter().any(|pod| gates(pod).iter().any(|gate| gate.condition_type == GATE)))
}

/// A label selector as a string.
pub(super) fn selector(selector: &LabelSelector) -> String {
    let mut terms: Vec<String> = selector.match_labels.iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
    terms.extend(selector.match_expressions.iter().flatten().map(|e| {
        let values = e.values.clone().unwrap_or_default().join(",");
        match e.operator.as_str() {
            "In" => format!("{} in ({values})", e.key),
            "NotIn" => format!("{} notin ({values})", e.key),
            "DoesNotExist" => format!("!{}", e.key),
            _ => e.key.clone(),
        }
    }));
    terms.join(",")
}

/// Whether everything can be read that a rollout is followed by, said now and not by a watch that never begins.
pub async fn readable(client: &Client, namespace: &str) -> Result<(), ClusterError> {
    let one = ListParams::default().limit(1);
    let doing = |what: &str| ClusterError::new(format!("list {what} in {namespace}"));
    Api::<ReplicaSet>::namespaced(client.clone(), namespace).list_metadata(&one).await.map_err(doing("replicasets"))?;
    Api::<Pod>::namespaced(client.clone(), namespace).list_metadata(&one).await.map_err(doing("pods"))?;
    Api::<EndpointSlice>::namespaced(client.clone(), namespace).list_metadata(&one).await.map_err(doing("endpointslices"))?;
    Ok(())
}

/// Where the first of the services with a cluster address listens: `address:port`.
pub async fn service(client: &Client, subject: &Subject) -> Result<Option<String>, ClusterError> {
    let api: Api<Service> = Api::namespaced(client.clone(), &subject.namespace);
    let operation = format!("list services in {}", subject.namespace);
    let list = api.list(&ListParams::default()).await.map_err(ClusterError::new(operation))?;
    let ours = |s: &&Service| s.metadata.name.as_ref().is_some_and(|name| subject.services.contains(name));
    Ok(list.items.iter().filter(ours).find_map(address_of))
}

pub(super) fn address_of(service: &Service) -> Option<String> {
    let spec = service.spec.as_ref()?;
    let address: IpAddr = spec.cluster_ip.as_ref()?.parse().ok()?;
    let port = u16::try_from(spec.ports.as_ref()?.first()?.port).ok()?;
    Some(SocketAddr::new(address, port).to_string())
}

/// The first Ingress rule in the namespace that leads to one of the services.
pub async fn entry(client: &Client, subject: &Subject) -> Result<Option<Entry>, ClusterError> {
    let api: Api<Ingress> = Api::namespaced(client.clone(), &subject.namespace);
    let operation = format!("list ingresses in {}", subject.namespace);
    let list = api.list(&ListParams::default()).await.map_err(ClusterError::new(operation))?;
    Ok(list.items.iter().find_map(|ingress| entry_of(ingress, &subject.services)))
}

pub(super) fn entry_of(ingress: &Ingress, services: &[String]) -> Option<Entry> {
    let spec = ingress.spec.as_ref()?;
    let (rule, path) = spec.rules.iter().flatten().find_map(|rule| {
        let path =
            rule.http.as_ref()?.paths.iter().find(|p| p.backend.service.as_ref().is_some_and(|s| services.contains(&s.name)))?;
        Some((rule, path.path.clone().unwrap_or_else(|| "/".into())))
    })?;
    let address = ingress.status.as_ref().and_then(|s| s.load_balancer.as_ref()).and_then(|l| l.ingress.as_ref()?.first());
    let tls = spec.tls.iter().flatten().any(|t| t.hosts.iter().flatten().any(|h| Some(h) == rule.host.as_ref()));
    let (scheme, default_port) = if tls { ("https", 443) } else { ("http", 80) };
    let listens = address.and_then(|a| listens(a, default_port));
    let host = host_of(rule).or_else(|| listens.clone())?;
    Some(Entry { base: format!("{scheme}://{host}"), path, connect_to: listens })
}

fn host_of(rule: &IngressRule) -> Option<String> {
    rule.host.as_ref().filter(|h| !h.is_empty()).map(|h| h.replacen('*', "verifier", 1))
}

fn listens(address: &IngressLoadBalancerIngress, default_port: i32) -> Option<String> {
    let host = address.ip.as_ref().or(address.hostname.as_ref())?;
    let ports: Vec<i32> = address.ports.iter().flatten().map(|p| p.port).collect();
    let port = if ports.contains(&default_port) { default_port } else { ports.first().copied().unwrap_or(default_port) };
    Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ingress(tls: bool) -> Ingress {
        serde_json::from_value(json!({
            "metadata": {"name": "i"},
            "spec": {
                "tls": if tls { json!([{"hosts": ["todo.example"]}]) } else { json!([]) },
                "rules": [
                    {"host": "other.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "other", "port": {"number": 80}}}}]}},
                    {"host": "todo.example", "http": {"paths": [{"path": "/api", "pathType": "Prefix", "backend": {"service": {"name": "backend", "port": {"number": 80}}}}]}},
                ]
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "127.20.0.1", "ports": [{"port": 8080, "protocol": "TCP"}]}]}}
        }))
        .unwrap()
    }

    #[test]
    fn a_service_is_reached_at_its_cluster_address_and_a_headless_one_is_not() {
        let service = |address: &str| {
            let spec = json!({"clusterIP": address, "ports": [{"name": "http", "port": 8000}]});
            address_of(&serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": spec})).unwrap())
        };
        assert_eq!(
            [service("10.0.0.7"), service("fd00::7"), service("None")],
            [Some("10.0.0.7:8000".into()), Some("[fd00::7]:8000".into()), None]
        );
    }

    #[test]
    fn the_url_is_found_from_objects_alone() {
        let services = ["backend".to_owned()];
        let plain = entry_of(&ingress(false), &services).unwrap();
        assert_eq!(
            plain,
            Entry { base: "http://todo.example".into(), path: "/api".into(), connect_to: Some("127.20.0.1:8080".into()) }
        );
        assert_eq!(entry_of(&ingress(true), &services).unwrap().base, "https://todo.example");
        assert_eq!(entry_of(&ingress(false), &["nobody".to_owned()]), None);
    }
}

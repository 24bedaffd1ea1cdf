//! Which addresses stand behind a Service port: a fold over the EndpointSlices.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::object::{self, Object, resource};
use super::write::Read;

/// The label by which an EndpointSlice names its Service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// One pod behind a Service port. A new pod at an old address is another endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// The pod's name, empty when the slice names none.
    pub pod: String,
}

/// The endpoints of one Service port, each sorted and without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Ready for new connections.
    pub ready: Vec<Endpoint>,
    /// Terminating, but still serving: used only when nothing is ready.
    pub terminating: Vec<Endpoint>,
}

impl Endpoints {
    /// The ones kube-proxy sends new connections to: the ready ones, else those that terminate but still serve.
    pub fn usable(&self) -> &[Endpoint] {
        if self.ready.is_empty() { &self.terminating } else { &self.ready }
    }
}

/// All EndpointSlices by namespace and Service.
#[derive(Debug, Default)]
pub struct Slices(BTreeMap<(String, String), Vec<Object>>);

impl Slices {
    /// Reads them all once.
    pub fn read(read: &dyn Read) -> Self {
        let mut by_service: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for slice in read.list(&resource::ENDPOINT_SLICES, None) {
            if let Some(service) = object::label(&slice, SERVICE_NAME) {
                let key = (object::namespace(&slice).to_owned(), service.to_owned());
                by_service.entry(key).or_default().push(slice);
            }
        }
        Self(by_service)
    }

    /// The endpoints of one Service port, by the port's name (empty when it has none).
    pub fn of(&self, namespace: &str, service: &str, port: &str) -> Endpoints {
        let mut found = Endpoints::default();
        for slice in self.0.get(&(namespace.to_owned(), service.to_owned())).into_iter().flatten() {
            let Some(number) = port_number(slice, port) else { continue };
            for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                sort_in(&mut found, endpoint, number);
            }
        }
        for list in [&mut found.ready, &mut found.terminating] {
            list.sort();
            list.dedup();
        }
        found
    }
}

fn port_number(slice: &Value, name: &str) -> Option<u16> {
    let ports = slice["ports"].as_array()?;
    let port = ports.iter().find(|p| p["name"].as_str().unwrap_or_default() == name && is_tcp(p))?;
    u16::try_from(port["port"].as_u64()?).ok()
}

/// The protocol is TCP unless the port says otherwise.
pub(super) fn is_tcp(port: &Value) -> bool {
    port["protocol"].as_str().is_none_or(|p| p == "TCP")
}

fn sort_in(found: &mut Endpoints, endpoint: &Value, port: u16) {
    // All addresses of one endpoint are the same pod; consumers use the first.
    let Some(ip) = endpoint["addresses"][0].as_str().and_then(|a| a.parse::<IpAddr>().ok()) else { return };
    let pod = endpoint["targetRef"]["name"].as_str().unwrap_or_default().to_owned();
    let endpoint_at = Endpoint { address: SocketAddr::new(ip, port), pod };
    let condition = |name: &str| endpoint["conditions"][name].as_bool();
    // The API's defaults: unknown readiness is ready, unknown serving is readiness, unknown terminating is false.
    let ready = condition("ready").unwrap_or(true);
    if ready {
        found.ready.push(endpoint_at);
    } else if condition("serving").unwrap_or(ready) && condition("terminating").unwrap_or(false) {
        found.terminating.push(endpoint_at);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::model::store::Store;
    use crate::sandbox::model::write::Write;

    fn slices(objects: Vec<Value>) -> Slices {
        let mut store = Store::default();
        for object in objects {
            store.apply(Write::Create { resource: resource::ENDPOINT_SLICES, object }, chrono::DateTime::UNIX_EPOCH).unwrap();
        }
        Slices::read(&store)
    }

    fn slice(name: &str, port: &Value, endpoints: &Value) -> Value {
        json!({"metadata": {"namespace": "todo", "name": name, "labels": {SERVICE_NAME: "backend"}},
               "addressType": "IPv4", "ports": [port], "endpoints": endpoints})
    }

    fn at(address: &str, pod: &str) -> Endpoint {
        Endpoint { address: address.parse().unwrap(), pod: pod.to_owned() }
    }

    #[test]
    fn conditions_sort_endpoints_into_ready_terminating_and_neither() {
        let endpoints = json!([
            {"addresses": ["127.1.0.4"], "targetRef": {"name": "d"}},
            {"addresses": ["127.1.0.1"], "conditions": {"ready": true, "serving": true, "terminating": false}, "targetRef": {"name": "a"}},
            {"addresses": ["127.1.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}, "targetRef": {"name": "b"}},
            {"addresses": ["127.1.0.3"], "conditions": {"ready": false, "serving": false, "terminating": true}, "targetRef": {"name": "c"}},
            {"addresses": ["127.1.0.5"], "conditions": {"ready": false, "serving": true, "terminating": false}, "targetRef": {"name": "e"}},
            {"addresses": ["not an address"]},
        ]);
        let slices = slices(vec![slice("s", &json!({"name": "http", "port": 8000}), &endpoints)]);
        assert_eq!(
            slices.of("todo", "backend", "http"),
            Endpoints {
                ready: vec![at("127.1.0.1:8000", "a"), at("127.1.0.4:8000", "d")],
                terminating: vec![at("127.1.0.2:8000", "b")]
            }
        );
    }

    #[test]
    fn slices_of_one_service_are_merged_by_port_name_and_listed_once() {
        let endpoints = json!([{"addresses": ["127.1.0.1"]}]);
        let slices = slices(vec![
            slice("s1", &json!({"name": "http", "port": 8000}), &endpoints),
            slice("s2", &json!({"name": "http", "port": 8000}), &endpoints),
            slice("s3", &json!({"name": "", "port": 9000}), &endpoints),
            slice("s4", &json!({"name": "http", "port": 53, "protocol": "UDP"}), &endpoints),
        ]);
        assert_eq!(slices.of("todo", "backend", "http").ready, [at("127.1.0.1:8000", "")]);
        assert_eq!(slices.of("todo", "backend", "").ready, [at("127.1.0.1:9000", "")]);
        assert_eq!(slices.of("other", "backend", "http"), Endpoints::default());
    }

    #[test]
    fn terminating_endpoints_are_used_only_when_none_is_ready() {
        let (a, b) = (at("127.1.0.1:1", "a"), at("127.1.0.2:1", "b"));
        let mut endpoints = Endpoints { ready: vec![a.clone()], terminating: vec![b.clone()] };
        assert_eq!(endpoints.usable(), [a]);
        endpoints.ready.clear();
        assert_eq!(endpoints.usable(), [b]);
    }
}

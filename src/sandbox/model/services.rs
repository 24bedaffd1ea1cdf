//! What the Service proxy should listen on: one frontend per cluster address and TCP port.

use std::net::{IpAddr, SocketAddr};

use super::endpoints::{Endpoints, Slices, is_tcp};
use super::object::{self, Key, resource};
use super::write::Read;

/// One port of one Service at its cluster address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// The Service.
    pub service: Key,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Whom they reach.
    pub endpoints: Endpoints,
    /// `sessionAffinity: ClientIP`: one client address stays with one endpoint while that is there.
    pub sticky: bool,
}

/// All frontends, ordered by namespace, Service name and port as listed. Headless and ExternalName Services have none.
pub fn build(read: &dyn Read) -> Vec<Frontend> {
    let slices = Slices::read(read);
    let mut frontends = Vec::new();
    for service in read.list(&resource::SERVICES, None) {
        let spec = &service["spec"];
        let Some(ip) = spec["clusterIP"].as_str().and_then(|ip| ip.parse::<IpAddr>().ok()) else { continue };
        if spec["type"] == "ExternalName" {
            continue;
        }
        for port in spec["ports"].as_array().into_iter().flatten().filter(|p| is_tcp(p)) {
            let Some(number) = port["port"].as_u64().and_then(|p| u16::try_from(p).ok()) else { continue };
            let name = port["name"].as_str().unwrap_or_default();
            frontends.push(Frontend {
                service: Key::of(resource::SERVICES, &service),
                address: SocketAddr::new(ip, number),
                endpoints: slices.of(object::namespace(&service), object::name(&service), name),
                sticky: spec["sessionAffinity"] == "ClientIP",
            });
        }
    }
    frontends
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::model::endpoints::{Endpoint, SERVICE_NAME};
    use crate::sandbox::model::store::Store;
    use crate::sandbox::model::write::Write;

    #[test]
    fn only_tcp_ports_of_services_with_a_cluster_address_get_a_frontend() {
        let mut store = Store::default();
        for object in [
            json!({"metadata": {"namespace": "todo", "name": "backend"}, "spec": {"clusterIP": "127.16.96.8", "sessionAffinity": "ClientIP",
                   "ports": [{"name": "http", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}]}}),
            json!({"metadata": {"namespace": "todo", "name": "headless"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}),
            json!({"metadata": {"namespace": "todo", "name": "outside"}, "spec": {"type": "ExternalName", "ports": [{"port": 80}]}}),
        ] {
            store.apply(Write::Create { resource: resource::SERVICES, object }, chrono::DateTime::UNIX_EPOCH).unwrap();
        }
        let slice = json!({"metadata": {"namespace": "todo", "name": "backend-1", "labels": {SERVICE_NAME: "backend"}},
            "ports": [{"name": "http", "port": 8000}], "endpoints": [{"addresses": ["127.1.0.1"], "targetRef": {"name": "a"}}]});
        store.apply(Write::Create { resource: resource::ENDPOINT_SLICES, object: slice }, chrono::DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(
            build(&store),
            [Frontend {
                service: Key::new(resource::SERVICES, "todo", "backend"),
                address: "127.16.96.8:8080".parse().unwrap(),
                endpoints: Endpoints {
                    ready: vec![Endpoint { address: "127.1.0.1:8000".parse().unwrap(), pod: "a".to_owned() }],
                    terminating: vec![]
                },
                sticky: true,
            }]
        );
    }
}

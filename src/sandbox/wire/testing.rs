//! For tests of the proxies: objects as users and controllers write them, and waiting with a deadline.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::world::World;
use crate::sandbox::model::endpoints::SERVICE_NAME;
use crate::sandbox::model::object::{Key, resource};
use crate::sandbox::model::store::{Store, StoreConfig};
use crate::sandbox::model::write::Write;

/// Longer than anything in these tests takes, on a busy machine too.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A world with the namespace `todo`, whose Services may have addresses of 127.8.0.0/16.
pub(crate) fn world() -> Arc<World> {
    let world = World::new(Store::bare(StoreConfig { cluster_ips: (Ipv4Addr::new(127, 8, 0, 0), 16), ..StoreConfig::default() }));
    world.write(vec![Write::Create { resource: resource::NAMESPACES, object: json!({"metadata": {"name": "todo"}}) }]);
    world
}

/// A Service with one port named `http` at this cluster address, or `None`.
pub(crate) fn add_service(world: &World, name: &str, cluster_ip: &str, port: u16) {
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "todo", "name": name},
        "spec": {"clusterIP": cluster_ip, "ports": [{"name": "http", "port": port, "protocol": "TCP"}]}});
    world.write(vec![Write::Create { resource: resource::SERVICES, object }]);
}

/// What a slice says of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Is {
    Ready,
    Terminating,
    Gone,
}

/// Makes `pod`, an endpoint of `service`, be what `is` says, in a slice of its own.
pub(crate) fn set_endpoint(world: &World, service: &str, pod: &str, address: SocketAddr, is: Is) {
    let key = Key::new(resource::ENDPOINT_SLICES, "todo", format!("{service}-{pod}"));
    let (ready, terminating) = match is {
        Is::Ready => (true, false),
        Is::Terminating => (false, true),
        Is::Gone => return world.write(vec![Write::Delete { key, uid: None, grace: None }]),
    };
    let endpoints = json!([{"addresses": [address.ip().to_string()], "targetRef": {"kind": "Pod", "name": pod, "namespace": "todo"},
        "conditions": {"ready": ready, "serving": true, "terminating": terminating}}]);
    let object = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"namespace": "todo", "name": key.name, "labels": {SERVICE_NAME: service}},
        "ports": [{"name": "http", "port": address.port(), "protocol": "TCP"}], "endpoints": endpoints});
    world.write(vec![
        Write::Create { resource: resource::ENDPOINT_SLICES, object },
        Write::Patch { key, if_version: None, patch: json!({"endpoints": endpoints}) },
    ]);
}

/// Asks until the answer is `wanted`; tells the last one when it never is.
pub(crate) async fn until<T: PartialEq + std::fmt::Debug>(wanted: T, mut ask: impl AsyncFnMut() -> T) {
    let mut last = None;
    let asking = async {
        while last.as_ref() != Some(&wanted) {
            last = Some(ask().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, asking).await.is_ok();
    assert!(in_time, "last was {last:?}, never {wanted:?}");
}

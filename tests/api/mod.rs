//! The sandbox's API server from outside: against recordings of a real one, with a Kubernetes client, and with `kubectl`.

mod admission;
mod client;
mod conformance;
mod guard;
mod kubectl;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use kube::Client;
use tower::ServiceExt;
use verifier::sandbox::model::store::{Store, StoreConfig};
use verifier::sandbox::wire::api::{ApiOptions, router};
use verifier::sandbox::wire::keeper::Program;
use verifier::sandbox::wire::node::Images;
use verifier::sandbox::wire::world::World;
use verifier::sandbox::{Options, Sandbox};

/// A sandbox in this process, whose pods are of the program that is tested.
pub(crate) async fn sandbox(ingress_lag: Duration) -> Sandbox {
    let program = Program { path: env!("CARGO_BIN_EXE_verifier").into(), args: Vec::new() };
    Sandbox::start(Options { seed: 7, images: Images::default(), ingress_lag, program }).await.unwrap()
}

/// A world with the usual namespaces, and a client that calls its API without a socket.
pub(crate) fn in_process() -> (Arc<World>, Client) {
    in_process_with(&StoreConfig::default())
}

fn in_process_with(config: &StoreConfig) -> (Arc<World>, Client) {
    let world = World::started(&StoreConfig { namespaces: true, ..config.clone() });
    let service = router(world.clone(), ApiOptions::default())
        .map_request(|request: http::Request<kube::client::Body>| request.map(Body::new));
    (world, Client::new(service, "default"))
}

#[tokio::test]
async fn a_world_starts_with_the_usual_namespaces() {
    use verifier::sandbox::model::object::{name, resource};
    use verifier::sandbox::model::write::Read;
    let (world, _) = in_process();
    let names: Vec<String> =
        world.read(|store: &Store| store.list(&resource::NAMESPACES, None).iter().map(|n| name(n).to_owned()).collect());
    assert_eq!(names, ["default", "kube-node-lease", "kube-public", "kube-system"]);
}

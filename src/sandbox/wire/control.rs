//! The controllers over the world: run when something changes or when their time has come.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::sandbox::model::controllers::{Cluster, Controllers, Outcome, PodMetrics, apply};
use crate::sandbox::model::store::Store;
use crate::sandbox::model::write::{Read, Write};

/// Tells what the pods use at the moment; asked for only when an autoscaler wants to know.
pub type Metrics = Arc<dyn Fn() -> PodMetrics + Send + Sync>;

/// After a fight between controllers, so long a break: it costs no more than a little of one core.
const BREAK: TimeDelta = TimeDelta::seconds(1);

/// Runs the controllers until they are told to stop. The seed makes the names of what they create.
pub async fn run(world: Arc<World>, seed: u64, metrics: Metrics, stop: CancellationToken) {
    let mut controllers = Controllers::new(seed);
    let mut changes = world.watch();
    let mut fights: u64 = 0;
    while !stop.is_cancelled() {
        changes.mark_unchanged();
        let now = world.now();
        let settled = controllers.settle(&mut Shared(&world), &*metrics, now);
        let mut wake = settled.wake;
        if !settled.calm {
            fights += 1;
            tracing::warn!(rounds = settled.rounds, writes = settled.writes, fights, "the sandbox's controllers do not settle");
            wake = Some(now + BREAK);
        }
        // A wait of a century stands for none.
        let wait = wake.map_or(TimeDelta::days(36_500), |w| w - world.now()).to_std().unwrap_or_default();
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
            changed = changes.changed(), if settled.calm => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

struct Shared<'a>(&'a World);

impl Cluster for Shared<'_> {
    fn version(&self) -> u64 {
        self.0.read(Store::version)
    }

    fn read(&self, look: &mut dyn FnMut(&dyn Read)) {
        self.0.read(|store| look(store));
    }

    fn write(&mut self, writes: Vec<Write>) -> Vec<Outcome> {
        self.0.change(|store, now| apply(store, writes, now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use tokio::time::timeout;

    use super::*;
    use crate::sandbox::model::object::{Key, Resource, resource};

    fn create(world: &World, resource: Resource, object: Value) {
        world.write(vec![Write::Create { resource, object }]);
    }

    /// Waits until something is true of the world; reports the last count otherwise.
    async fn until(world: &World, what: &str, count: impl Fn(&Store) -> usize, want: usize) {
        let mut changes = world.watch();
        let reached = async {
            while world.read(&count) != want {
                changes.changed().await.unwrap();
            }
        };
        let late = timeout(Duration::from_secs(10), reached).await.is_err();
        assert!(!late, "{what}: {} instead of {want}", world.read(&count));
    }

    fn scheduled(store: &Store) -> usize {
        store.list(&resource::PODS, None).iter().filter(|p| p["spec"]["nodeName"] == "n1").count()
    }

    #[tokio::test]
    async fn a_deployment_becomes_pods_and_a_stop_ends_it() {
        let world = World::new(Store::default());
        let stop = CancellationToken::new();
        let controllers = run(world.clone(), 1, Arc::new(PodMetrics::default), stop.clone());
        let user = async {
            let conditions = json!([{"type": "Ready", "status": "True"}]);
            let status = json!({"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "110"}, "conditions": conditions});
            create(&world, resource::NODES, json!({"metadata": {"name": "n1"}, "status": status}));
            let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "a"}]}});
            let spec = json!({"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template});
            create(&world, resource::DEPLOYMENTS, json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}));
            until(&world, "pods with a node", scheduled, 3).await;
            let key = Key::new(resource::DEPLOYMENTS, "shop", "web");
            world.write(vec![Write::Delete { key, uid: None, grace: None }]);
            let left = |store: &Store| {
                let pods =
                    store.list(&resource::PODS, None).iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null()).count();
                pods + store.list(&resource::REPLICA_SETS, None).len()
            };
            until(&world, "ReplicaSets, and pods nobody ends", left, 0).await;
            stop.cancel();
        };
        timeout(Duration::from_secs(30), async { tokio::join!(controllers, user) }).await.unwrap();
    }

    #[tokio::test]
    async fn a_stopped_loop_does_not_even_begin() {
        let stop = CancellationToken::new();
        stop.cancel();
        let world = World::new(Store::default());
        create(&world, resource::NAMESPACES, json!({"metadata": {"name": "shop"}}));
        run(world.clone(), 1, Arc::new(PodMetrics::default), stop).await;
        assert_eq!(world.read(|store| store.list(&resource::SERVICE_ACCOUNTS, None)), Vec::<Arc<Value>>::new());
    }
}

//! Follows some resources of the world, and passes on what was built from them a fixed lag later: how a proxy learns of changes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::clock::now;
use super::world::World;
use crate::sandbox::model::object::{Key, Object, Resource, name, namespace, uid};
use crate::sandbox::model::store::Store;
use crate::sandbox::model::write::Read;

/// The objects of some resources at one moment; reading it holds no lock.
#[derive(Debug)]
pub(crate) struct Snapshot(Vec<(Resource, Vec<Object>)>);

impl Snapshot {
    fn take(store: &Store, resources: &[Resource]) -> Self {
        Self(resources.iter().map(|resource| (resource.clone(), store.list(resource, None))).collect())
    }

    fn objects(&self, resource: &Resource) -> &[Object] {
        self.0.iter().find(|(r, _)| r == resource).map_or(&[], |(_, objects)| objects)
    }

    /// Do both hold the same versions of the same objects?
    fn same(&self, other: &Self) -> bool {
        let version = |object: &Object| (uid(object).to_owned(), object["metadata"]["resourceVersion"].clone());
        let mut pairs = self.0.iter().zip(&other.0);
        pairs.all(|((_, a), (_, b))| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b) || version(a) == version(b))
        })
    }
}

impl Read for Snapshot {
    fn get(&self, key: &Key) -> Option<Object> {
        let objects = self.objects(&key.resource);
        let wanted = (key.namespace.as_str(), key.name.as_str());
        let at = objects.binary_search_by(|object| (namespace(object), name(object)).cmp(&wanted)).ok()?;
        objects.get(at).cloned()
    }

    fn list(&self, resource: &Resource, wanted: Option<&str>) -> Vec<Object> {
        let objects = self.objects(resource).iter();
        objects.filter(|object| wanted.is_none_or(|n| namespace(object) == n)).cloned().collect()
    }
}

/// Most states that wait for their moment; changes that come faster than `lag` divided by this are applied together.
const STEPS: u32 = 32;

/// What is built from `resources` now, and a future that keeps it up to date for as long as anybody looks at it. Each change is
/// applied `lag` after it happened: never earlier, and at most a thirty-second of `lag` (at least a millisecond) later.
pub(crate) fn follow<T: Send + Sync + 'static>(
    world: Arc<World>,
    lag: Duration,
    resources: Vec<Resource>,
    build: impl Fn(&dyn Read) -> T + Send + 'static,
) -> (watch::Receiver<Arc<T>>, impl Future<Output = ()> + Send + 'static) {
    let mut changes = world.watch();
    let mut seen = world.read(|store| Snapshot::take(store, &resources));
    let (publish, published) = watch::channel(Arc::new(build(&seen)));
    let step = (lag / STEPS).max(Duration::from_millis(1));
    let following = async move {
        let mut waiting: VecDeque<(Instant, T)> = VecDeque::new();
        let mut next_look = now();
        loop {
            let due = waiting.front().map(|(due, _)| *due);
            tokio::select! {
                () = sleep_until(due.unwrap_or(next_look)), if due.is_some() => {
                    if let Some((_, state)) = waiting.pop_front() {
                        publish.send_replace(Arc::new(state));
                    }
                }
                changed = after(next_look, changes.changed()) => {
                    if changed.is_err() {
                        return;
                    }
                    next_look = now() + step;
                    let snapshot = world.read(|store| Snapshot::take(store, &resources));
                    if !snapshot.same(&seen) {
                        waiting.push_back((now() + lag, build(&snapshot)));
                        seen = snapshot;
                    }
                }
                () = publish.closed() => return,
            }
        }
    };
    (published, following)
}

async fn after<T>(moment: Instant, work: impl Future<Output = T>) -> T {
    sleep_until(moment).await;
    work.await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::model::object::resource;
    use crate::sandbox::model::write::Write;

    fn add(world: &World, resource: Resource, name: &str) {
        world.write(vec![Write::Create { resource, object: json!({"metadata": {"namespace": "todo", "name": name}}) }]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_change_is_applied_one_lag_after_it_happened() {
        let world = World::new(Store::default());
        add(&world, resource::SERVICES, "first");
        let lag = Duration::from_millis(320);
        let count = |read: &dyn Read| read.list(&resource::SERVICES, None).len();
        let (mut seen, following) = follow(world.clone(), lag, vec![resource::SERVICES], count);
        let task = tokio::spawn(following);
        assert_eq!(**seen.borrow_and_update(), 1, "what is there at the start is known at once");

        let start = now();
        let mut applied = Vec::new();
        add(&world, resource::SERVICES, "second");
        add(&world, resource::PODS, "does not count");
        tokio::time::sleep(Duration::from_millis(100)).await;
        add(&world, resource::SERVICES, "third");
        while applied.len() < 2 {
            seen.changed().await.unwrap();
            applied.push((**seen.borrow_and_update(), (now() - start).as_millis()));
        }
        assert!(matches!(applied[..], [(2, 320..=330), (3, 420..=430)]), "{applied:?}");
        drop(seen);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_changes_queues_no_more_than_a_few_states() {
        let world = World::new(Store::default());
        let lag = Duration::from_millis(320);
        let built = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let builds = Arc::clone(&built);
        let (mut seen, following) = follow(world.clone(), lag, vec![resource::SERVICES], move |read| {
            builds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            read.list(&resource::SERVICES, None).len()
        });
        let task = tokio::spawn(following);
        for n in 0..1000 {
            add(&world, resource::SERVICES, &n.to_string());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        seen.wait_for(|n| **n == 1000).await.unwrap();
        let built = built.load(std::sync::atomic::Ordering::Relaxed);
        assert!((90..=130).contains(&built), "{built} builds in a second with steps of 10 ms");
        drop(seen);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_snapshot_reads_like_the_store() {
        let world = World::new(Store::default());
        for name in ["b", "a", "c"] {
            add(&world, resource::SERVICES, name);
        }
        let snapshot = world.read(|store| Snapshot::take(store, &[resource::SERVICES]));
        let key = Key::new(resource::SERVICES, "todo", "b");
        assert_eq!(snapshot.get(&key), world.read(|store| store.get(&key)));
        assert_eq!(snapshot.get(&Key::new(resource::SERVICES, "todo", "d")), None);
        assert_eq!(snapshot.list(&resource::SERVICES, Some("todo")).len(), 3);
        assert_eq!(snapshot.list(&resource::SERVICES, Some("other")).len(), 0);
    }
}

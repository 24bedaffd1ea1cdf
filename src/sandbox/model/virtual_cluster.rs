//! A whole cluster in virtual time: a store, the controllers and a virtual node. Time passes only when it is told to.

use chrono::TimeDelta;

use super::controllers::{Cluster, Controllers, Outcome, PodMetrics, Settled, apply};
use super::object::{Key, Now, Object, Resource, resource};
use super::store::Store;
use super::virtual_node::VirtualNode;
use super::write::{Read, Write};

/// More turns between controllers and node than any moment needs.
const MOST_TURNS: usize = 100;

/// The cluster.
pub struct VirtualCluster {
    store: Store,
    controllers: Controllers,
    node: VirtualNode,
    now: Now,
    wake: Option<Now>,
    /// What the autoscaler is told about the use of the pods.
    pub metrics: PodMetrics,
}

/// Called with the store after every batch of writes.
pub type Observe<'a> = &'a mut dyn FnMut(&Store, Now);

/// A wait that ended without what was waited for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not done at {now}, {why}")]
pub struct Stuck {
    /// When the wait ended.
    pub now: Now,
    /// Time ran out, or nothing would ever have happened again.
    pub why: &'static str,
}

impl VirtualCluster {
    /// A cluster at a given time; the seed makes the names in it.
    pub fn new(store: Store, node: VirtualNode, seed: u64, now: Now) -> Self {
        let mut cluster =
            Self { store, controllers: Controllers::new(seed), node, now, wake: None, metrics: PodMetrics::default() };
        let object = cluster.node.object(now);
        cluster.write(Write::Create { resource: resource::NODES, object });
        cluster
    }

    /// The present moment.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Looks at the objects.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// One object.
    pub fn get(&self, resource: Resource, namespace: &str, name: &str) -> Option<Object> {
        self.store.get(&Key::new(resource, namespace, name))
    }

    /// Changes something, as a user would. Nobody reacts before the next `settle`.
    pub fn write(&mut self, write: Write) -> Outcome {
        apply(&mut self.store, vec![write], self.now).pop().unwrap_or(Outcome::Dropped)
    }

    /// Lets everybody react until nothing is left to do at this moment.
    pub fn settle(&mut self) -> Settled {
        self.settle_watched(&mut |_, _| {})
    }

    /// The same, with somebody watching every change.
    pub fn settle_watched(&mut self, observe: Observe<'_>) -> Settled {
        let mut total = Settled { rounds: 0, writes: 0, calm: false, wake: None };
        for _ in 0..MOST_TURNS {
            let mut watched = Watched { store: &mut self.store, now: self.now, observe: &mut *observe };
            let settled = self.controllers.settle(&mut watched, &|| self.metrics.clone(), self.now);
            let step = self.node.step(watched.store, watched.store.version(), self.now);
            total.rounds += settled.rounds;
            total.writes += settled.writes + step.writes.len();
            total.wake = settled.wake.into_iter().chain(step.wake).min();
            if step.writes.is_empty() {
                total.calm = settled.calm;
                break;
            }
            watched.write(step.writes);
        }
        self.wake = total.wake;
        total
    }

    /// Goes to the next moment at which something happens by itself. `false` when there is none.
    pub fn tick(&mut self, observe: Observe<'_>) -> bool {
        let Some(wake) = self.wake else { return false };
        // Time never stands still, even if somebody asks again and again to be woken at once.
        self.now = wake.max(self.now + TimeDelta::milliseconds(1));
        self.settle_watched(observe);
        true
    }

    /// Lets time pass.
    pub fn advance(&mut self, by: TimeDelta) {
        let end = self.now + by;
        self.settle();
        while self.wake.is_some_and(|w| w <= end) && self.tick(&mut |_, _| {}) {}
        self.now = end;
        self.settle();
    }

    /// Lets time pass until something is true, and returns when it became so.
    pub fn run_until(&mut self, within: TimeDelta, mut done: impl FnMut(&Store) -> bool) -> Result<Now, Stuck> {
        let end = self.now + within;
        self.settle();
        while !done(&self.store) {
            match self.wake {
                None => return Err(Stuck { now: self.now, why: "and nothing will happen any more" }),
                Some(wake) if wake > end => return Err(Stuck { now: self.now, why: "and time is up" }),
                Some(_) => drop(self.tick(&mut |_, _| {})),
            }
        }
        Ok(self.now)
    }
}

struct Watched<'a, 'o> {
    store: &'a mut Store,
    now: Now,
    observe: &'o mut dyn FnMut(&Store, Now),
}

impl Cluster for Watched<'_, '_> {
    fn version(&self) -> u64 {
        self.store.version()
    }

    fn read(&self, look: &mut dyn FnMut(&dyn Read)) {
        look(&*self.store);
    }

    fn write(&mut self, writes: Vec<Write>) -> Vec<Outcome> {
        let outcomes = apply(self.store, writes, self.now);
        (self.observe)(self.store, self.now);
        outcomes
    }
}

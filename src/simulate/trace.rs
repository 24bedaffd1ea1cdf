//! Rollouts as an ingress sees them: which version's pods serve, tenth by tenth, and when old ones leave. Recorded from the sandbox's
//! controllers (Deployment, ReplicaSet, EndpointSlice) and a node of pods that start, get ready and end at their times.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use chrono::TimeDelta;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::sandbox::model::controllers::Outcome;
use crate::sandbox::model::endpoints::Slices;
use crate::sandbox::model::object::{Key, Now, name, resource};
use crate::sandbox::model::store::{Store, StoreConfig};
use crate::sandbox::model::virtual_cluster::{Stuck, VirtualCluster};
use crate::sandbox::model::virtual_node::{Behavior, VirtualNode};
use crate::sandbox::model::write::{Read, Write};

const NAMESPACE: &str = "shop";
const NAME: &str = "web";
/// No rollout of those that are drawn here takes longer.
const LONGEST: TimeDelta = TimeDelta::minutes(30);
/// Milliseconds of a slice.
const TENTH: i64 = 100;

/// What is rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Pods.
    pub replicas: u32,
    /// Pods more than these while it lasts.
    pub surge: u32,
    /// Pods fewer than these while it lasts.
    pub unavailable: u32,
    /// Seconds that a pod must be ready to count.
    pub min_ready: u32,
    /// Milliseconds from a pod's creation to its running.
    pub starts: RangeInclusive<i64>,
    /// From its running to its being ready.
    pub ready: RangeInclusive<i64>,
    /// From its being told to end to its being gone.
    pub stops: RangeInclusive<i64>,
}

/// Which Deployments are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fleet {
    /// This many pods, replaced one by one, some six seconds each.
    OneByOne(u32),
    /// Two to twenty pods, replaced in any of the usual ways.
    Any,
}

impl Shape {
    fn draw(fleet: Fleet, rng: &mut StdRng) -> Self {
        match fleet {
            Fleet::OneByOne(replicas) => Self {
                replicas,
                surge: 1,
                unavailable: 0,
                min_ready: 0,
                starts: 1_000..=2_000,
                ready: 3_000..=6_000,
                stops: 1_000..=8_000,
            },
            Fleet::Any => {
                let replicas: u32 = rng.random_range(2..=20);
                let quarter = replicas.div_ceil(4);
                let ways = [(1, 0), (quarter, replicas / 4), (quarter, 0), (0, 1)];
                let (surge, unavailable) = ways[rng.random_range(0..ways.len())];
                let min_ready = rng.random_range(0..=5);
                Self { replicas, surge, unavailable, min_ready, starts: 300..=3_000, ready: 500..=5_000, stops: 1_000..=10_000 }
            }
        }
    }
}

/// Ready pods behind the Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// Of the old version.
    pub old: u32,
    /// Of the new one.
    pub new: u32,
}

impl Serving {
    /// All of them.
    pub const fn all(self) -> u32 {
        self.old + self.new
    }

    /// The new version's share of the traffic, if it is spread evenly.
    pub fn share(self) -> f64 {
        if self.all() == 0 { 0.0 } else { f64::from(self.new) / f64::from(self.all()) }
    }
}

/// A recorded rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Pods that were asked for.
    pub replicas: u32,
    /// Who serves in each tenth of a second, from the change to the completion.
    pub serving: Vec<Serving>,
    /// The tenths in which old pods left, one entry for each pod.
    pub ends: Vec<u64>,
}

impl Trace {
    /// Who serves in a tenth. After the completion nothing changes any more.
    pub fn at(&self, tenth: u64) -> Serving {
        let index = usize::try_from(tenth).unwrap_or(usize::MAX);
        self.serving.get(index).or(self.serving.last()).copied().unwrap_or_default()
    }

    /// Tenths from the change to the completion.
    pub fn length(&self) -> u64 {
        self.serving.len() as u64
    }

    /// Records the rollout of a Deployment of this kind.
    pub fn record(fleet: Fleet, seed: u64) -> Result<Self, Stuck> {
        let mut rng = StdRng::seed_from_u64(seed);
        let shape = Shape::draw(fleet, &mut rng);
        let mut cluster = cluster(&shape, rng, seed);
        create(&mut cluster, &shape)?;
        cluster.run_until(LONGEST, |store| is_complete(store, &shape))?;
        let old: BTreeSet<String> = pods(cluster.store()).collect();
        let begun = cluster.now();
        change(&mut cluster)?;
        cluster.settle();
        let mut trace = Self { replicas: shape.replicas, serving: Vec::new(), ends: Vec::new() };
        let mut last = Serving { old: shape.replicas, new: 0 };
        loop {
            let tenth = (cluster.now() - begun).num_milliseconds() / TENTH;
            trace.fill(tenth, last);
            let now = serving(cluster.store(), &old);
            trace.ends.extend((now.old..last.old).map(|_| u64::try_from(tenth).unwrap_or(0)));
            last = now;
            if is_complete(cluster.store(), &shape) {
                trace.serving.push(last);
                return Ok(trace);
            }
            if cluster.now() - begun > LONGEST || !cluster.tick(&mut |_, _| {}) {
                return Err(Stuck { now: cluster.now(), why: "and the rollout should be complete" });
            }
        }
    }

    /// Up to this tenth it was like this.
    fn fill(&mut self, tenth: i64, serving: Serving) {
        let length = usize::try_from(tenth).unwrap_or(0);
        if length > self.serving.len() {
            self.serving.resize(length, serving);
        }
    }
}

fn cluster(shape: &Shape, mut rng: StdRng, seed: u64) -> VirtualCluster {
    let (starts, ready, stops) = (shape.starts.clone(), shape.ready.clone(), shape.stops.clone());
    let mut draw = move |range: &RangeInclusive<i64>| TimeDelta::milliseconds(rng.random_range(range.clone()));
    let behave = move |_: &Value| Behavior { starts: draw(&starts), ready: Some(draw(&ready)), stops: draw(&stops) };
    // Who owns which field is nothing to the controllers.
    let store = Store::bare(StoreConfig { managers: false, seed, ..StoreConfig::default() });
    VirtualCluster::new(store, VirtualNode::new("node", behave), seed, Now::UNIX_EPOCH)
}

fn create(cluster: &mut VirtualCluster, shape: &Shape) -> Result<(), Stuck> {
    let labels = json!({"app": NAME});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "generation": 1},
        "spec": {
            "replicas": shape.replicas, "minReadySeconds": shape.min_ready, "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": shape.surge, "maxUnavailable": shape.unavailable}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": NAME, "image": "v1"}]}},
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": 80}]},
    });
    write(cluster, Write::Create { resource: resource::DEPLOYMENTS, object: deployment })?;
    write(cluster, Write::Create { resource: resource::SERVICES, object: service })
}

fn change(cluster: &mut VirtualCluster) -> Result<(), Stuck> {
    let template = json!({"spec": {"containers": [{"name": NAME, "image": "v2"}]}});
    let patch = json!({"metadata": {"generation": 2}, "spec": {"template": template}});
    write(cluster, Write::Patch { key: key(), if_version: None, patch })
}

fn write(cluster: &mut VirtualCluster, write: Write) -> Result<(), Stuck> {
    match cluster.write(write) {
        Outcome::Done => Ok(()),
        _ => Err(Stuck { now: cluster.now(), why: "because the store refused what a rollout needs" }),
    }
}

fn key() -> Key {
    Key::new(resource::DEPLOYMENTS, NAMESPACE, NAME)
}

fn pods(store: &Store) -> impl Iterator<Item = String> {
    store.list(&resource::PODS, Some(NAMESPACE)).into_iter().map(|pod| name(&pod).to_owned())
}

/// As `kubectl rollout status` has it, and nothing of the old version is left.
fn is_complete(store: &Store, shape: &Shape) -> bool {
    let Some(deployment) = store.get(&key()) else { return false };
    let status = &deployment["status"];
    ["replicas", "updatedReplicas", "availableReplicas"].iter().all(|count| status[count] == shape.replicas)
        && status["observedGeneration"] == deployment["metadata"]["generation"]
        && pods(store).count() == shape.replicas as usize
}

fn serving(store: &Store, old: &BTreeSet<String>) -> Serving {
    let ready = Slices::read(store).of(NAMESPACE, NAME, "").ready;
    ready.iter().fold(Serving::default(), |mut serving, endpoint| {
        *if old.contains(&endpoint.pod) { &mut serving.old } else { &mut serving.new } += 1;
        serving
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_rollout_goes_from_all_old_to_all_new_and_every_old_pod_leaves_once() {
        for (fleet, seed) in [(Fleet::OneByOne(4), 1), (Fleet::Any, 2), (Fleet::Any, 3)] {
            let trace = Trace::record(fleet, seed).unwrap();
            let n = trace.replicas;
            assert_eq!(trace.at(0).new, 0, "{fleet:?} {seed}");
            assert_eq!(trace.at(u64::MAX), Serving { old: 0, new: n }, "{fleet:?} {seed}");
            assert_eq!(trace.ends.len(), n as usize, "{fleet:?} {seed}");
            assert!(trace.ends.is_sorted() && trace.serving.iter().all(|s| s.all() > 0), "{fleet:?} {seed}");
            assert!(trace.serving.is_sorted_by_key(|s| s.new) && trace.serving.is_sorted_by(|a, b| a.old >= b.old));
            assert_eq!(trace, Trace::record(fleet, seed).unwrap(), "a seed makes it again");
        }
    }

    #[test]
    fn one_by_one_means_that_never_fewer_serve_and_that_it_takes_its_time() {
        let trace = Trace::record(Fleet::OneByOne(4), 7).unwrap();
        assert!(trace.serving.iter().all(|s| (4..=5).contains(&s.all())), "{:?}", trace.serving);
        assert!((160..=420).contains(&trace.length()), "four pods of four to eight seconds, and an end: {}", trace.length());
    }
}

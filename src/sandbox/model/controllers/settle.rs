//! Running all controllers until none of them wants anything.

use super::autoscaler::{self, metrics::PodMetrics};
use super::garbage::{self, pods::Missing};
use super::queue::Queue;
use super::refusals::Refusals;
use super::view::{Part, View};
use super::{deployment, disruption, endpoints, events, replica_set, scheduler};
use crate::sandbox::model::object::{Key, Now, Resource, controller, namespace, resource};
use crate::sandbox::model::suffix::Suffixes;
use crate::sandbox::model::write::{EventType, Read, Step, Write};

/// More rounds than any change needs; beyond it two controllers fight.
const MOST_ROUNDS: usize = 50;

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied.
    Done,
    /// Its moment has passed: a precondition failed, or the object is gone.
    Dropped,
    /// The API does not allow it: its message.
    Refused(String),
}

/// The store, as the controllers use it.
pub trait Cluster {
    /// The version of the latest change.
    fn version(&self) -> u64;
    /// Looks at one state of the store.
    fn read(&self, look: &mut dyn FnMut(&dyn Read));
    /// Applies writes in order and tells what became of each. An event tells of the write before it, and is left out when that one
    /// was not applied.
    fn write(&mut self, writes: Vec<Write>) -> Vec<Outcome>;
}

/// How a run of the controllers ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// How many rounds it took.
    pub rounds: usize,
    /// How many writes were asked for.
    pub writes: usize,
    /// Nothing is left to do. Otherwise the controllers were stopped in the middle of a fight.
    pub calm: bool,
    /// When to run again even if nothing changes.
    pub wake: Option<Now>,
}

/// One of the controllers, in the order they run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Namespaces,
    Autoscaler,
    Deployments,
    ReplicaSets,
    Garbage,
    PodGarbage,
    Scheduler,
    Endpoints,
    Disruption,
    Events,
}

const KINDS: [Kind; 10] = [
    Kind::Namespaces,
    Kind::Autoscaler,
    Kind::Deployments,
    Kind::ReplicaSets,
    Kind::Garbage,
    Kind::PodGarbage,
    Kind::Scheduler,
    Kind::Endpoints,
    Kind::Disruption,
    Kind::Events,
];

impl Kind {
    /// What it reads, given what made it run.
    fn parts(self, view: &View) -> &'static [Part] {
        match self {
            // Events are many: they are only looked at when some may have to go.
            Self::Namespaces if view.any_closing() => &[Part::Namespaces, Part::Everything, Part::Events],
            Self::Namespaces => &[Part::Namespaces, Part::Everything],
            Self::Autoscaler => &[Part::Autoscalers, Part::Deployments, Part::ReplicaSets, Part::Pods],
            Self::Deployments => &[Part::Deployments, Part::ReplicaSets, Part::Pods, Part::Namespaces],
            Self::ReplicaSets => &[Part::ReplicaSets, Part::Pods, Part::Namespaces],
            Self::Garbage => &[Part::Everything],
            Self::PodGarbage | Self::Scheduler => &[Part::Pods, Part::Nodes],
            Self::Endpoints => &[Part::Services, Part::Slices, Part::Pods, Part::Namespaces],
            Self::Disruption => &[Part::Budgets, Part::Pods, Part::ReplicaSets, Part::Deployments],
            Self::Events => &[Part::Events],
        }
    }

    /// What makes it run when it changes. Some read more than that, at times of their own.
    fn triggers(self, view: &View) -> &'static [Part] {
        match self {
            Self::Namespaces => &[Part::Namespaces, Part::Everything],
            Self::Autoscaler => &[Part::Autoscalers],
            Self::Events => &[],
            _ => self.parts(view),
        }
    }
}

/// When a controller has to run.
#[derive(Debug, Default)]
struct Schedule {
    /// The serial of its triggers when it last ran; it has not yet when there is none.
    seen: Option<u64>,
    wake: Option<Now>,
}

/// All controllers and what they remember.
#[derive(Debug)]
pub struct Controllers {
    view: View,
    names: Suffixes,
    refusals: Refusals,
    autoscaler: autoscaler::Memory,
    missing_nodes: Missing,
    deployments: Queue,
    replica_sets: Queue,
    endpoints: Queue,
    disruption: Queue,
    schedules: [Schedule; KINDS.len()],
}

impl Controllers {
    /// Controllers that have seen nothing yet. The seed makes the names of what they create.
    pub fn new(seed: u64) -> Self {
        Self {
            view: View::default(),
            names: Suffixes::new(seed),
            refusals: Refusals::default(),
            autoscaler: autoscaler::Memory::default(),
            missing_nodes: Missing::new(),
            deployments: Queue::default(),
            replica_sets: Queue::default(),
            endpoints: Queue::default(),
            disruption: Queue::default(),
            schedules: Default::default(),
        }
    }

    /// Runs every controller that has something to do, again and again until none has. Each sees what the one before it wrote.
    pub fn settle(&mut self, cluster: &mut dyn Cluster, metrics: &dyn Fn() -> PodMetrics, now: Now) -> Settled {
        let mut settled = Settled { rounds: 0, writes: 0, calm: false, wake: None };
        while !settled.calm && settled.rounds < MOST_ROUNDS {
            settled.rounds += 1;
            let before = cluster.version();
            for (kind, at) in KINDS.into_iter().zip(0..) {
                settled.writes += self.run(kind, at, cluster, metrics, now);
            }
            let is_due = |s: &Schedule| s.wake.is_some_and(|w| w <= now);
            settled.calm = cluster.version() == before && !self.schedules.iter().any(is_due);
        }
        settled.wake = self.schedules.iter().filter_map(|s| s.wake).min();
        settled
    }

    /// Runs one controller if it is due, and returns how many writes it asked for.
    fn run(&mut self, kind: Kind, at: usize, cluster: &mut dyn Cluster, metrics: &dyn Fn() -> PodMetrics, now: Now) -> usize {
        let version = cluster.version();
        let triggers = kind.triggers(&self.view);
        cluster.read(&mut |store| self.view.update(triggers, store, version));
        let serial = self.view.serial(triggers);
        let Some(schedule) = self.schedules.get_mut(at) else { return 0 };
        if schedule.seen == Some(serial) && schedule.wake.is_none_or(|w| w > now) {
            return 0;
        }
        schedule.seen = Some(serial);
        let parts = kind.parts(&self.view);
        cluster.read(&mut |store| self.view.update(parts, store, version));
        let step = self.step(kind, metrics, now);
        let count = step.writes.len();
        let mut wake = step.wake;
        if count > 0 && self.apply(cluster, step.writes, now) {
            // Whoever was refused has to say so.
            wake = Some(now);
        }
        if let Some(schedule) = self.schedules.get_mut(at) {
            schedule.wake = wake;
        }
        count
    }

    fn step(&mut self, kind: Kind, metrics: &dyn Fn() -> PodMetrics, now: Now) -> Step {
        let view = &self.view;
        match kind {
            Kind::Namespaces => garbage::namespaces::step(view, now),
            Kind::Autoscaler => autoscaler::step(view, &mut self.autoscaler, metrics, now),
            Kind::Deployments => deployment::step(view, &mut self.deployments, &self.refusals, now),
            Kind::ReplicaSets => replica_set::step(view, &mut self.replica_sets, &self.refusals, &mut self.names, now),
            Kind::Garbage => garbage::step(view),
            Kind::PodGarbage => garbage::pods::step(view, &mut self.missing_nodes, now),
            Kind::Scheduler => scheduler::step(view, now),
            Kind::Endpoints => endpoints::step(view, &mut self.endpoints, &mut self.names, now),
            Kind::Disruption => disruption::step(view, &mut self.disruption, now),
            Kind::Events => events::step(view, now),
        }
    }

    /// Applies writes and learns what was refused. `true` when something was.
    fn apply(&mut self, cluster: &mut dyn Cluster, writes: Vec<Write>, now: Now) -> bool {
        let creations: Vec<Option<Creation>> = writes.iter().map(Creation::of).collect();
        let outcomes = cluster.write(writes);
        let mut failures = Vec::new();
        // First the successes: an owner of both has been refused something.
        for (creation, outcome) in creations.iter().zip(&outcomes) {
            if let (Some(creation), Outcome::Done) = (creation, outcome) {
                self.refusals.accepted(&creation.uid);
            }
        }
        let mut counted: Vec<&str> = Vec::new();
        for (creation, outcome) in creations.iter().zip(outcomes) {
            let (Some(creation), Outcome::Refused(message)) = (creation, outcome) else { continue };
            failures.push(creation.failure(&message));
            if !counted.contains(&creation.uid.as_str()) {
                counted.push(&creation.uid);
                self.refusals.refused(&creation.uid, message, now);
            }
        }
        let any = !failures.is_empty();
        if any {
            cluster.write(failures);
        }
        any
    }
}

/// A creation for the sake of an owner.
struct Creation {
    resource: Resource,
    name: String,
    owner: Key,
    uid: String,
}

impl Creation {
    fn of(write: &Write) -> Option<Self> {
        let Write::Create { resource, object } = write else { return None };
        let (kind, name, uid) = controller(object)?;
        let owner = match kind {
            "Deployment" => resource::DEPLOYMENTS,
            "ReplicaSet" => resource::REPLICA_SETS,
            _ => return None,
        };
        Some(Self {
            resource: resource.clone(),
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            owner: Key::new(owner, namespace(object), name),
            uid: uid.to_owned(),
        })
    }

    /// The event that tells of its refusal.
    fn failure(&self, error: &str) -> Write {
        let (reason, message, by) = if self.resource == resource::PODS {
            ("FailedCreate", format!("Error creating: {error}"), "replicaset-controller")
        } else {
            let message = format!("Failed to create new replica set \"{}\": {error}", self.name);
            ("ReplicaSetCreateError", message, "deployment-controller")
        };
        Write::Event { about: self.owner.clone(), kind: EventType::Warning, reason, message, by }
    }
}

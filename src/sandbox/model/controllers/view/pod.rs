//! Pods as the controllers see them.

use std::cmp::Reverse;

use chrono::TimeDelta;
use serde_json::Value;

use super::meta::Meta;
use super::table::Typed;
use crate::sandbox::model::object::{self, Now, Object, parse_time};
use crate::sandbox::model::quantity;

/// `status.phase`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Accepted, not all containers started. Also a pod without any status.
    Pending,
    /// Its state could not be obtained.
    Unknown,
    /// At least one container runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, at least one badly.
    Failed,
}

/// A pod.
#[derive(Debug)]
pub struct Pod {
    /// Where it was read from.
    pub object: Object,
    /// Its metadata.
    pub meta: Meta,
    /// `status.phase`
    pub phase: Phase,
    /// The condition Ready is True.
    pub ready: bool,
    /// Since when Ready has its value.
    pub ready_changed: Option<Now>,
    /// What it asks of its node.
    pub requests: Requests,
    restarts: i64,
    deletion_cost: i64,
}

/// Resources that are set aside for a pod.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// Thousandths of a core.
    pub cpu_millis: i64,
    /// Bytes.
    pub memory: i64,
}

impl Requests {
    /// What a container asks for. A limit is a request when there is no other.
    pub fn of_container(container: &Value) -> Self {
        let resources = &container["resources"];
        let asked = |name: &str| resources["requests"][name].as_str().or(resources["limits"][name].as_str());
        Self {
            cpu_millis: asked("cpu").and_then(quantity::millis).unwrap_or(0),
            memory: asked("memory").and_then(quantity::units).unwrap_or(0),
        }
    }

    /// What a pod asks for: its containers together, or the greediest step of its initialisation if that is more.
    fn of_pod(spec: &Value) -> Self {
        let containers = spec["containers"].as_array().into_iter().flatten();
        let mut running = containers.map(Self::of_container).fold(Self::default(), Self::plus);
        let (mut sidecars, mut start) = (Self::default(), Self::default());
        for container in spec["initContainers"].as_array().into_iter().flatten() {
            let asked = Self::of_container(container);
            start = start.max(sidecars.plus(asked));
            if container["restartPolicy"] == "Always" {
                sidecars = sidecars.plus(asked);
            }
        }
        running = running.plus(sidecars);
        running.max(start)
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self { cpu_millis: self.cpu_millis + other.cpu_millis, memory: self.memory + other.memory }
    }

    fn max(self, other: Self) -> Self {
        Self { cpu_millis: self.cpu_millis.max(other.cpu_millis), memory: self.memory.max(other.memory) }
    }
}

impl Typed for Pod {
    fn read(object: Object) -> Self {
        let status = &object["status"];
        let phase = match status["phase"].as_str() {
            Some("Running") => Phase::Running,
            Some("Succeeded") => Phase::Succeeded,
            Some("Failed") => Phase::Failed,
            Some("Unknown") => Phase::Unknown,
            Some(_) | None => Phase::Pending,
        };
        let ready = condition(status, "Ready");
        let containers = status["containerStatuses"].as_array().map_or(&[][..], Vec::as_slice);
        let cost = object::annotation(&object, "controller.kubernetes.io/pod-deletion-cost").and_then(|c| c.parse().ok());
        Self {
            meta: Meta::read(&object),
            phase,
            ready: ready.is_some_and(|c| c["status"] == "True"),
            ready_changed: ready.and_then(|c| parse_time(&c["lastTransitionTime"])),
            restarts: containers.iter().filter_map(|c| c["restartCount"].as_i64()).max().unwrap_or(0),
            deletion_cost: cost.unwrap_or(0),
            requests: Requests::of_pod(&object["spec"]),
            object,
        }
    }
    fn object(&self) -> &Object {
        &self.object
    }
}

/// One of a pod's conditions.
pub fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

/// The order in which pods are given up: the smallest first.
pub type Rank = (bool, Phase, bool, i64, Reverse<usize>, i64, Reverse<i64>, i64, String);

impl Pod {
    /// `metadata.name`
    pub fn name(&self) -> &str {
        object::name(&self.object)
    }

    /// `metadata.namespace`
    pub fn namespace(&self) -> &str {
        object::namespace(&self.object)
    }

    /// `metadata.labels`
    pub fn labels(&self) -> &Value {
        &self.object["metadata"]["labels"]
    }

    /// `spec.nodeName`, empty until it is scheduled.
    pub fn node(&self) -> &str {
        self.object["spec"]["nodeName"].as_str().unwrap_or_default()
    }

    /// Ended, and never to run again.
    pub fn is_terminal(&self) -> bool {
        matches!(self.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Neither ended nor about to: what a ReplicaSet counts as a replica.
    pub fn is_active(&self) -> bool {
        !self.is_terminal() && !self.meta.deleting
    }

    /// From when on the pod counts as available, if it stays ready.
    pub fn available_at(&self, min_ready: TimeDelta) -> Option<Now> {
        if !self.ready {
            return None;
        }
        if min_ready.is_zero() {
            return Some(Now::UNIX_EPOCH);
        }
        self.ready_changed.map(|since| since + min_ready)
    }

    /// Where the pod stands when some must go. `together` is how many active pods of the same owner share its node. Times count by
    /// their logarithm only, so that of pods of about the same age a random one goes.
    pub fn rank(&self, together: usize, now: Now) -> Rank {
        let ready_for = if self.ready { self.ready_changed.map_or(-1, |t| log_age(t, now)) } else { -1 };
        let age = self.meta.created.map_or(-1, |t| log_age(t, now));
        let uid = self.meta.uid.clone();
        let scheduled = !self.node().is_empty();
        (scheduled, self.phase, self.ready, self.deletion_cost, Reverse(together), ready_for, Reverse(self.restarts), age, uid)
    }
}

/// The binary logarithm of an age in nanoseconds; -1 for none.
fn log_age(since: Now, now: Now) -> i64 {
    let age = (now - since).num_nanoseconds().unwrap_or(i64::MAX);
    u64::try_from(age).ok().and_then(u64::checked_ilog2).map_or(-1, i64::from)
}

//! What others may ask about the node's pods while it works: their processes, what these wrote and what they use.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sandbox::model::kubelet::plan::{PodPlan, Role};
use crate::sandbox::model::object::{Key, Now};
use crate::sandbox::wire::keeper::{Output, ProcessId, Processes};
use crate::sandbox::wire::proc;
use crate::sandbox::wire::world::World;

/// CPU use is averaged over no less than this, in milliseconds.
const SHORTEST_SAMPLE: i64 = 500;

/// Asks about a running node; may be cloned, and kept longer than it.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    pub(super) world: Arc<World>,
    pub(super) directory: Arc<Directory>,
}

/// What a pod uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The pod.
    pub pod: Key,
    /// Thousandths of a CPU, on average since the last time this was asked, or since the pod's start.
    pub millicores: u64,
    /// Memory that is its own, in bytes.
    pub bytes: u64,
}

/// The processes of all pods.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pods: Mutex<Pods>,
}

#[derive(Debug, Default)]
struct Pods {
    /// How the keeper of now is talked to.
    processes: Option<Processes>,
    /// By uid.
    pods: BTreeMap<String, Pod>,
}

#[derive(Debug)]
struct Pod {
    key: Key,
    /// In the order of the plan: init containers first.
    containers: Vec<Container>,
    first_ordinary: usize,
}

#[derive(Debug)]
struct Container {
    name: String,
    /// The latest run and the one before it.
    current: Option<ProcessId>,
    previous: Option<ProcessId>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    pid: i32,
    /// The start of the period that CPU use is averaged over.
    since: Now,
    ticks: u64,
    millicores: u64,
}

impl NodeHandle {
    /// What a container wrote, from position `from` on (0 for all that is kept: the last 64 KiB). `previous` asks for the run before
    /// the latest. Without a name, the pod's first ordinary container is meant. Nothing when there is no such run.
    pub async fn logs(&self, namespace: &str, pod: &str, container: Option<&str>, previous: bool, from: u64) -> Option<Output> {
        let (processes, id) = {
            let pods = self.directory.lock();
            let pod = pods.pods.values().find(|p| p.key.namespace == namespace && p.key.name == pod)?;
            let container = match container {
                Some(name) => pod.containers.iter().find(|c| c.name == name)?,
                None => pod.containers.get(pod.first_ordinary)?,
            };
            let id = if previous { container.previous } else { container.current };
            (pods.processes.clone()?, id?)
        };
        processes.output(id, from).await
    }

    /// What each pod with running processes uses now, ordered by uid.
    pub fn usage(&self) -> Vec<Usage> {
        let now = self.world.now();
        let mut pods = self.directory.lock();
        pods.pods.values_mut().filter_map(|pod| pod.usage(now)).collect()
    }
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A (new) keeper: of what ran under an older one, nothing is left.
    pub(super) fn set_processes(&self, processes: Processes) {
        let mut pods = self.lock();
        pods.processes = Some(processes);
        for container in pods.pods.values_mut().flat_map(|p| &mut p.containers) {
            (container.current, container.previous, container.running) = (None, None, None);
        }
    }

    pub(super) fn add(&self, uid: &str, key: Key, plan: &PodPlan) {
        let names = plan.containers.iter().map(|c| c.spec.name.clone());
        let containers = names.map(|name| Container { name, current: None, previous: None, running: None }).collect();
        let first_ordinary = plan.containers.iter().position(|c| c.role == Role::App).unwrap_or(0);
        self.lock().pods.insert(uid.to_owned(), Pod { key, containers, first_ordinary });
    }

    /// A run has begun, as far as its output goes; returns the one that nobody can ask about any more.
    pub(super) fn begin(&self, uid: &str, container: usize, id: ProcessId) -> Option<ProcessId> {
        self.with(uid, container, |c| {
            let forgotten = c.previous.take();
            c.previous = c.current.replace(id);
            forgotten
        })?
    }

    pub(super) fn started(&self, uid: &str, container: usize, pid: i32, now: Now) {
        self.with(uid, container, |c| c.running = Some(Running { pid, since: now, ticks: 0, millicores: 0 }));
    }

    pub(super) fn ended(&self, uid: &str, container: usize) {
        self.with(uid, container, |c| c.running = None);
    }

    /// The pod is gone; returns all of its runs that had not been forgotten.
    pub(super) fn remove(&self, uid: &str) -> Vec<ProcessId> {
        let pod = self.lock().pods.remove(uid);
        pod.into_iter().flat_map(|p| p.containers).flat_map(|c| [c.current, c.previous]).flatten().collect()
    }

    fn with<T>(&self, uid: &str, container: usize, change: impl FnOnce(&mut Container) -> T) -> Option<T> {
        self.lock().pods.get_mut(uid)?.containers.get_mut(container).map(change)
    }
}

impl Pod {
    fn usage(&mut self, now: Now) -> Option<Usage> {
        let mut usage = Usage { pod: self.key.clone(), millicores: 0, bytes: 0 };
        let mut any = false;
        for running in self.containers.iter_mut().filter_map(|c| c.running.as_mut()) {
            any = true;
            let tree = proc::usage_of_tree(running.pid);
            usage.bytes += tree.bytes;
            usage.millicores += running.sample(tree.ticks, now);
        }
        any.then_some(usage)
    }
}

impl Running {
    fn sample(&mut self, ticks: u64, now: Now) -> u64 {
        let elapsed = (now - self.since).num_milliseconds();
        if elapsed >= SHORTEST_SAMPLE {
            let per_second = rustix::param::clock_ticks_per_second().max(1);
            let used = ticks.saturating_sub(self.ticks) * 1_000_000 / per_second;
            self.millicores = used / elapsed.unsigned_abs();
            (self.since, self.ticks) = (now, ticks);
        }
        self.millicores
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn cpu_use_is_an_average_over_the_time_between_two_questions() {
        let at = |ms| DateTime::from_timestamp_millis(ms).unwrap();
        let second = rustix::param::clock_ticks_per_second();
        let mut running = Running { pid: 1, since: at(0), ticks: 0, millicores: 0 };
        // Half a CPU for two seconds, too soon to ask again, then idle for ten.
        let seen = [(second, 2_000), (second * 2, 2_100), (second, 12_000)].map(|(ticks, ms)| running.sample(ticks, at(ms)));
        assert_eq!(seen, [500, 500, 0]);
    }
}

//! A node whose pods do nothing but start, become ready and end after given times. For simulation in virtual time.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::controllers::view::meta::if_version;
use super::controllers::view::pod::{Phase, Pod, condition};
use super::controllers::view::table::Table;
use super::object::{Key, Now, resource, time};
use super::write::{Read, Step, Write};

/// What a pod does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behavior {
    /// From being scheduled to running.
    pub starts: TimeDelta,
    /// From running to ready; `None` is never.
    pub ready: Option<TimeDelta>,
    /// From being asked to end to being gone; its grace period at most.
    pub stops: TimeDelta,
}

/// Decides what a pod, given as its object, will do.
pub type Behave = Box<dyn FnMut(&Value) -> Behavior + Send>;

/// The node.
pub struct VirtualNode {
    name: String,
    behave: Behave,
    pods: Table<Pod>,
    lives: BTreeMap<String, Life>,
    addresses: u32,
}

struct Life {
    behavior: Behavior,
    scheduled: Now,
    address: String,
    stopping: Option<Now>,
    /// The version of the pod for which nothing was to do, and until when.
    settled: Option<(u64, Option<Now>)>,
}

impl VirtualNode {
    /// A node of this name, whose pods do what `behave` says.
    pub fn new(name: impl Into<String>, behave: impl FnMut(&Value) -> Behavior + Send + 'static) -> Self {
        let pods = Table::new(resource::PODS);
        Self { name: name.into(), behave: Box::new(behave), pods, lives: BTreeMap::new(), addresses: 0 }
    }

    /// The Node object, with room for a great many pods.
    pub fn object(&self, now: Now) -> Value {
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
            "lastHeartbeatTime": time(now), "lastTransitionTime": time(now),
        });
        let resources = json!({"cpu": "1000", "memory": "4Ti", "pods": "10000"});
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}},
            "status": {"capacity": resources, "allocatable": resources, "conditions": [ready]},
        })
    }

    /// Moves every pod of the node to where it should be by now.
    pub fn step(&mut self, store: &dyn Read, version: u64, now: Now) -> Step {
        let mut step = Step::default();
        self.pods.update(store, version);
        let mut lives = BTreeMap::new();
        for pod in self.pods.all().iter().filter(|p| p.node() == self.name) {
            let (uid, mut life) = self.lives.remove_entry(&pod.meta.uid).unwrap_or_else(|| {
                self.addresses += 1;
                let address =
                    format!("10.{}.{}.{}", 244 + self.addresses / 62_500, self.addresses / 250 % 250, self.addresses % 250 + 2);
                (
                    pod.meta.uid.clone(),
                    Life { behavior: (self.behave)(&pod.object), scheduled: now, address, stopping: None, settled: None },
                )
            });
            life.keep(pod, now, &mut step);
            lives.insert(uid, life);
        }
        self.lives = lives;
        step
    }
}

impl Life {
    /// Steps the pod unless nothing can have changed.
    fn keep(&mut self, pod: &Pod, now: Now, out: &mut Step) {
        let mut step = Step::default();
        match self.settled {
            Some((version, wake)) if version == pod.meta.version && wake.is_none_or(|w| w > now) => step.wake = wake,
            Some(_) | None => {
                self.step(pod, now, &mut step);
                self.settled = step.writes.is_empty().then_some((pod.meta.version, step.wake));
            }
        }
        out.writes.append(&mut step.writes);
        if let Some(wake) = step.wake {
            out.wake_at(wake);
        }
    }

    fn step(&mut self, pod: &Pod, now: Now, step: &mut Step) {
        let key = Key::of(resource::PODS, &pod.object);
        if pod.meta.deleting {
            let grace = pod.object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(30);
            let stops = self.behavior.stops.min(TimeDelta::seconds(grace));
            let gone = *self.stopping.get_or_insert(now) + stops;
            if gone <= now || pod.is_terminal() {
                step.writes.push(Write::Delete { key, uid: Some(pod.meta.uid.clone()), grace: Some(0) });
                return;
            }
            step.wake_at(gone);
        }
        if pod.is_terminal() {
            return;
        }
        let running = self.scheduled + self.behavior.starts;
        let ready = self.behavior.ready.map(|delay| running + delay);
        let reached = |at: Now| at <= now;
        let next = [Some(running), ready].into_iter().flatten().find(|at| !reached(*at));
        if let Some(next) = next {
            step.wake_at(next);
        }
        let phase = if reached(running) { Phase::Running } else { Phase::Pending };
        let containers_ready = ready.is_some_and(reached);
        let is_ready = containers_ready && gates(pod).all(|gate| is_true(pod, gate));
        let addressed = pod.object["status"]["podIP"].is_string();
        if phase != pod.phase || is_ready != pod.ready || containers_ready != is_true(pod, "ContainersReady") || !addressed {
            let status = self.status(pod, phase, containers_ready, is_ready, now);
            let patch = json!({"status": status});
            step.writes.push(Write::PatchStatus { key, if_version: if_version(&pod.object), patch });
        }
    }

    fn status(&self, pod: &Pod, phase: Phase, containers_ready: bool, ready: bool, now: Now) -> Value {
        let old = &pod.object["status"];
        let mut conditions = old["conditions"].as_array().cloned().unwrap_or_default();
        for (kind, value) in [("Initialized", true), ("ContainersReady", containers_ready), ("Ready", ready)] {
            let value = if value { "True" } else { "False" };
            let before = condition(old, kind).filter(|c| c["status"] == value);
            let since = before.map_or_else(|| time(now), |c| c["lastTransitionTime"].clone());
            conditions.retain(|c| c["type"] != kind);
            conditions.push(json!({"type": kind, "status": value, "lastProbeTime": null, "lastTransitionTime": since}));
        }
        let is_running = phase == Phase::Running;
        let started = time(self.scheduled + self.behavior.starts);
        let containers = pod.object["spec"]["containers"].as_array().into_iter().flatten();
        let containers: Vec<Value> = containers
            .map(|c| {
                let state = if is_running {
                    json!({"running": {"startedAt": started}})
                } else {
                    json!({"waiting": {"reason": "ContainerCreating"}})
                };
                json!({"name": c["name"], "image": c["image"], "ready": containers_ready, "restartCount": 0,
                    "started": is_running, "state": state})
            })
            .collect();
        json!({
            "phase": if is_running { "Running" } else { "Pending" },
            "startTime": time(self.scheduled),
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "conditions": conditions,
            "containerStatuses": containers,
        })
    }
}

fn gates(pod: &Pod) -> impl Iterator<Item = &str> {
    pod.object["spec"]["readinessGates"].as_array().into_iter().flatten().filter_map(|g| g["conditionType"].as_str())
}

fn is_true(pod: &Pod, kind: &str) -> bool {
    condition(&pod.object["status"], kind).is_some_and(|c| c["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::model::controllers::apply;
    use crate::sandbox::model::controllers::view::table::Typed;
    use crate::sandbox::model::store::Store;

    const BEHAVIOR: Behavior =
        Behavior { starts: TimeDelta::seconds(2), ready: Some(TimeDelta::seconds(3)), stops: TimeDelta::seconds(60) };

    /// A node, a store with a pod on it, and the moment they begin.
    fn pod_on_node(spec: &Value) -> (VirtualNode, Store, Now) {
        let (mut store, now) = (Store::default(), Now::UNIX_EPOCH);
        let mut object = json!({
            "metadata": {"name": "p", "namespace": "shop"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "a"}]},
        });
        json_patch::merge(&mut object["spec"], spec);
        apply(&mut store, vec![Write::Create { resource: resource::PODS, object }], now);
        (VirtualNode::new("n", |_| BEHAVIOR), store, now)
    }

    /// Steps once at a second, and returns phase and readiness (nothing when the pod is gone) and the next second.
    fn at(node: &mut VirtualNode, store: &mut Store, second: i64) -> (Option<(Phase, bool)>, Option<i64>) {
        let now = Now::UNIX_EPOCH + TimeDelta::seconds(second);
        let mut wake = None;
        // Once to act, and once to see that nothing is left to do.
        for _ in 0..2 {
            let step = node.step(store, store.version(), now);
            wake = step.wake.map(|w| (w - Now::UNIX_EPOCH).num_seconds());
            apply(store, step.writes, now);
        }
        let pod = store.get(&key()).map(Pod::read);
        (pod.map(|p| (p.phase, p.ready)), wake)
    }

    fn key() -> Key {
        Key::new(resource::PODS, "shop", "p")
    }

    #[test]
    fn a_pod_starts_gets_ready_and_ends_at_its_times() {
        let (mut node, mut store, now) = pod_on_node(&json!({"terminationGracePeriodSeconds": 10}));
        assert_eq!(at(&mut node, &mut store, 0), (Some((Phase::Pending, false)), Some(2)));
        assert_eq!(at(&mut node, &mut store, 2), (Some((Phase::Running, false)), Some(5)));
        assert_eq!(at(&mut node, &mut store, 5), (Some((Phase::Running, true)), None));
        apply(&mut store, vec![Write::Delete { key: key(), uid: None, grace: None }], now);
        assert_eq!(at(&mut node, &mut store, 6), (Some((Phase::Running, true)), Some(16)), "at the end of its grace");
        assert_eq!(at(&mut node, &mut store, 16), (None, None));
    }

    #[test]
    fn a_pod_with_a_gate_is_ready_when_the_gate_opens() {
        let (mut node, mut store, now) = pod_on_node(&json!({"readinessGates": [{"conditionType": "verifier.dev/verified"}]}));
        at(&mut node, &mut store, 0);
        at(&mut node, &mut store, 2);
        assert_eq!(at(&mut node, &mut store, 5), (Some((Phase::Running, false)), None));
        let mut conditions = store.get(&key()).unwrap()["status"]["conditions"].clone();
        conditions.as_array_mut().unwrap().push(json!({"type": "verifier.dev/verified", "status": "True"}));
        apply(
            &mut store,
            vec![Write::PatchStatus { key: key(), if_version: None, patch: json!({"status": {"conditions": conditions}}) }],
            now,
        );
        assert_eq!(at(&mut node, &mut store, 6), (Some((Phase::Running, true)), None));
    }
}

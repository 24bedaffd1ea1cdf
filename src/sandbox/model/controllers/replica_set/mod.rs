//! The ReplicaSet controller: keeps as many pods as are wanted. Follows kube-controller-manager 1.34.

#[cfg(test)]
mod tests;

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::conditions;
use super::owner::{self, Claim};
use super::queue::Queue;
use super::refusals::{Refusal, Refusals};
use super::view::meta::count;
use super::view::pod::Pod;
use super::view::workload::ReplicaSet;
use super::view::{View, digest, status_patch};
use crate::sandbox::model::object::{Key, Now, resource, time};
use crate::sandbox::model::selector::LabelSelector;
use crate::sandbox::model::suffix::Suffixes;
use crate::sandbox::model::write::{EventType, Step, Write};

/// How many pods one pass creates or deletes at most.
const BURST: usize = 500;
/// The longest name a pod may have.
const NAME_CHARS: usize = 253;
const FIELDS: [&str; 7] = [
    "observedGeneration",
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "terminatingReplicas",
    "conditions",
];

/// Brings every ReplicaSet one step nearer to its specification.
pub fn step(view: &View, queue: &mut Queue, refusals: &Refusals, names: &mut Suffixes, now: Now) -> Step {
    let mut out = Step::default();
    for set in view.replica_sets.all() {
        let Some(selector) = &set.selector else { continue };
        let mut sync = Sync::begin(view, set, selector, refusals.of(&set.meta.uid), now);
        let inputs = sync.inputs();
        queue.sync(&set.meta.uid, inputs, now, &mut out, || {
            sync.run(names);
            sync.step
        });
    }
    queue.bound(view.replica_sets.all().len());
    out
}

/// One pass over one ReplicaSet.
struct Sync<'a> {
    view: &'a View,
    set: &'a ReplicaSet,
    refusal: Option<&'a Refusal>,
    now: Now,
    active: Vec<&'a Pod>,
    terminating: Vec<&'a Pod>,
    step: Step,
}

impl<'a> Sync<'a> {
    fn begin(view: &'a View, set: &'a ReplicaSet, selector: &LabelSelector, refusal: Option<&'a Refusal>, now: Now) -> Self {
        let meta = &set.meta;
        let (mut active, mut terminating, mut step) = (Vec::new(), Vec::new(), Step::default());
        let orphans = view.pods_of("").filter(|p| p.namespace() == set.namespace());
        for pod in view.pods_of(&meta.uid).chain(orphans) {
            if pod.meta.deleting {
                if pod.meta.owner.is_some() && !pod.is_terminal() && selector.matches(pod.labels()) {
                    terminating.push(pod);
                }
                continue;
            }
            if pod.is_terminal() {
                continue;
            }
            let reference = || owner::reference("apps/v1", "ReplicaSet", set.name(), &meta.uid);
            match owner::claim(meta, &reference, selector, resource::PODS, &pod.object, &pod.meta) {
                Claim::Mine => active.push(pod),
                Claim::NotMine => {}
                Claim::Adopted(write) => {
                    step.writes.push(write);
                    active.push(pod);
                }
                Claim::Released(write) => step.writes.push(write),
            }
        }
        Self { view, set, refusal, now, active, terminating, step }
    }

    /// A digest of everything the pass reads. (The order of deletion reads more, but then there is something to do anyway.)
    fn inputs(&self) -> u64 {
        let active: Vec<_> = self.active.iter().map(|p| p.meta.version).collect();
        let closing = self.view.is_closing(self.set.namespace());
        let refused = self.refusal.map(|r| r.attempts);
        digest((self.set.meta.version, active, self.terminating.len(), refused, closing, self.step.writes.len()))
    }

    fn run(&mut self, names: &mut Suffixes) {
        let wanted = usize::try_from(self.set.replicas).unwrap_or(0);
        let missing = wanted.saturating_sub(self.active.len());
        if !self.set.meta.deleting {
            match self.active.len().saturating_sub(wanted) {
                0 => self.create(missing.min(BURST), names),
                surplus => self.delete(surplus.min(BURST)),
            }
        }
        self.write_status(missing > 0);
    }

    fn create(&mut self, missing: usize, names: &mut Suffixes) {
        if missing == 0 || self.view.is_closing(self.set.namespace()) {
            return;
        }
        if let Some(refusal) = self.refusal.filter(|r| r.stands(self.now)) {
            return self.step.wake_at(refusal.retry_at);
        }
        for _ in 0..missing {
            let object = new_pod(self.set, names);
            let message = format!("Created pod: {}", object["metadata"]["name"].as_str().unwrap_or_default());
            self.step.writes.push(Write::Create { resource: resource::PODS, object });
            self.event("SuccessfulCreate", message);
        }
    }

    fn delete(&mut self, surplus: usize) {
        let related = self.related_nodes();
        let together = |pod: &Pod| related.iter().filter(|node| **node == pod.node()).count();
        let mut pods = self.active.clone();
        if surplus < pods.len() {
            pods.sort_by_cached_key(|p| p.rank(together(p), self.now));
        }
        for pod in pods.into_iter().take(surplus) {
            let key = Key::of(resource::PODS, &pod.object);
            self.step.writes.push(Write::Delete { key, uid: Some(pod.meta.uid.clone()), grace: None });
            self.event("SuccessfulDelete", format!("Deleted pod: {}", pod.name()));
        }
    }

    /// The nodes of all active pods of the ReplicaSets that have the same owner: pods that share a node go first.
    fn related_nodes(&self) -> Vec<&'a str> {
        let Some(owner) = &self.set.meta.owner else { return Vec::new() };
        let sets = self.view.replica_sets_of(&owner.uid);
        sets.flat_map(|s| self.view.pods_of(&s.meta.uid)).filter(|p| p.is_active()).map(Pod::node).collect()
    }

    fn write_status(&mut self, missing: bool) {
        let min_ready = TimeDelta::seconds(self.set.min_ready);
        let labels = self.set.object["spec"]["template"]["metadata"]["labels"].as_object();
        let is_labeled = |p: &&&Pod| labels.is_none_or(|l| l.iter().all(|(k, v)| p.labels().get(k) == Some(v)));
        let mut available = 0;
        for at in self.active.iter().filter_map(|p| p.available_at(min_ready)) {
            if at <= self.now {
                available += 1;
            } else {
                self.step.wake_at(at);
            }
        }
        let counts = [
            self.set.meta.generation,
            count(self.active.len()),
            count(self.active.iter().filter(is_labeled).count()),
            count(self.active.iter().filter(|p| p.ready).count()),
            available,
            count(self.terminating.len()),
        ];
        // The API always shows `replicas`, and the terminating ones as soon as they are counted at all.
        let shown = |f: &str, n: i64| n != 0 || f == "replicas" || f == "terminatingReplicas";
        let mut status: Map<String, Value> =
            FIELDS.iter().zip(counts).filter(|(f, n)| shown(f, *n)).map(|(f, n)| ((*f).to_owned(), n.into())).collect();
        let conditions = self.conditions(missing);
        if !conditions.is_empty() {
            status.insert("conditions".into(), conditions.into());
        }
        if let Some(patch) = status_patch(&self.set.object, &FIELDS, status) {
            self.step.writes.push(Write::PatchStatus { key: self.key(), if_version: None, patch });
        }
    }

    fn conditions(&self, missing: bool) -> Vec<Value> {
        let mut all = self.set.conditions().to_vec();
        match self.refusal.filter(|_| missing) {
            None => conditions::remove(&mut all, "ReplicaFailure"),
            Some(refusal) if conditions::find(&all, "ReplicaFailure").is_none() => all.push(json!({
                "type": "ReplicaFailure",
                "status": "True",
                "lastTransitionTime": time(self.now),
                "reason": "FailedCreate",
                "message": refusal.message,
            })),
            Some(_) => {}
        }
        all
    }

    fn key(&self) -> Key {
        Key::of(resource::REPLICA_SETS, &self.set.object)
    }

    fn event(&mut self, reason: &'static str, message: String) {
        let about = self.key();
        self.step.writes.push(Write::Event { about, kind: EventType::Normal, reason, message, by: "replicaset-controller" });
    }
}

fn new_pod(set: &ReplicaSet, names: &mut Suffixes) -> Value {
    let template = &set.object["spec"]["template"];
    let prefix = format!("{}-", set.name());
    let room = NAME_CHARS - 5;
    let name = prefix.chars().take(room).chain(names.next_one().chars()).collect::<String>();
    let mut metadata = Map::new();
    metadata.insert("name".into(), name.into());
    metadata.insert("generateName".into(), prefix.into());
    metadata.insert("namespace".into(), set.namespace().into());
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(field).filter(|v| !v.is_null()) {
            metadata.insert(field.into(), value.clone());
        }
    }
    metadata.insert("ownerReferences".into(), json!([owner::reference("apps/v1", "ReplicaSet", set.name(), &set.meta.uid)]));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

//! The Deployment controller: keeps the ReplicaSets of a Deployment so that its pods come to run the wanted template, at the pace
//! its strategy allows. Follows kube-controller-manager 1.34.

mod recreate;
mod revision;
mod rolling;
mod scale;
mod status;
pub mod template;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::owner::{self, Claim};
use super::queue::Queue;
use super::refusals::{Refusal, Refusals};
use super::view::meta::if_version;
use super::view::workload::{Amount, Deployment, ReplicaSet, Strategy};
use super::view::{View, digest};
use crate::sandbox::model::object::{Key, Now, resource};
use crate::sandbox::model::write::{EventType, Step, Write};

const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Brings every Deployment one step nearer to its specification.
pub fn step(view: &View, queue: &mut Queue, refusals: &Refusals, now: Now) -> Step {
    let mut out = Step::default();
    for deployment in view.deployments.all() {
        let Some(mut sync) = Sync::begin(view, deployment, refusals, now) else { continue };
        let inputs = sync.inputs();
        queue.sync(&deployment.meta.uid, inputs, now, &mut out, || {
            sync.run();
            sync.finish()
        });
    }
    queue.bound(view.deployments.all().len());
    out
}

/// One pass over one Deployment. Changes are drafted here and written at the end.
struct Sync<'a> {
    view: &'a View,
    deployment: &'a Deployment,
    refusal: Option<&'a Refusal>,
    now: Now,
    /// The ReplicaSet that has the wanted template.
    new: Option<Draft<'a>>,
    /// All others, oldest first.
    old: Vec<Draft<'a>>,
    annotations: Map<String, Value>,
    conditions: Vec<Value>,
    collisions: Option<i64>,
    /// The name of the ReplicaSet this pass creates.
    created: Option<String>,
    step: Step,
}

/// A ReplicaSet and what is to become of it.
struct Draft<'a> {
    set: &'a ReplicaSet,
    replicas: i64,
    min_ready: i64,
    annotations: BTreeMap<String, Value>,
    events: Vec<String>,
}

impl<'a> Sync<'a> {
    fn begin(view: &'a View, deployment: &'a Deployment, refusals: &'a Refusals, now: Now) -> Option<Self> {
        let selector = deployment.selector.as_ref()?;
        let meta = &deployment.meta;
        let reference = || owner::reference("apps/v1", "Deployment", deployment.name(), &meta.uid);
        let mut step = Step::default();
        let mut sets = Vec::new();
        let orphans = view.replica_sets_of("").filter(|s| s.namespace() == deployment.namespace());
        for set in view.replica_sets_of(&meta.uid).chain(orphans) {
            match owner::claim(meta, &reference, selector, resource::REPLICA_SETS, &set.object, &set.meta) {
                Claim::Mine => sets.push(set),
                Claim::NotMine => {}
                Claim::Adopted(write) => {
                    step.writes.push(write);
                    sets.push(set);
                }
                Claim::Released(write) => step.writes.push(write),
            }
        }
        sets.sort_by_key(|s| (s.meta.created, s.name()));
        let template = &deployment.object["spec"]["template"];
        let is_new =
            |s: &&'a ReplicaSet| s.template == deployment.template && template::same(&s.object["spec"]["template"], template);
        // More than one may have the template, after collisions for example: the oldest is taken.
        let new = sets.iter().position(is_new).map(|at| Draft::of(sets.remove(at)));
        Some(Self {
            view,
            deployment,
            refusal: refusals.of(&meta.uid),
            now,
            new,
            old: sets.into_iter().map(Draft::of).collect(),
            annotations: Map::new(),
            conditions: deployment.conditions().to_vec(),
            collisions: deployment.object["status"]["collisionCount"].as_i64(),
            created: None,
            step,
        })
    }

    /// A digest of everything the pass reads.
    fn inputs(&self) -> u64 {
        let sets: Vec<_> = self.drafts().map(|d| (d.set.meta.version, self.pods_left(d))).collect();
        let closing = self.view.is_closing(self.deployment.namespace());
        digest((self.deployment.meta.version, sets, self.refusal.map(|r| r.attempts), closing, self.step.writes.len()))
    }

    fn run(&mut self) {
        if self.deployment.meta.deleting {
            self.sync_revision();
            return self.sync_status();
        }
        self.note_pause();
        self.sync_revision();
        if self.deployment.paused {
            self.scale();
            self.clean_up();
            return self.sync_status();
        }
        if self.is_scaling_event() {
            self.scale();
            return self.sync_status();
        }
        match self.deployment.strategy {
            Strategy::RollingUpdate { .. } => self.roll(),
            Strategy::Recreate => self.recreate(),
        }
    }

    fn finish(mut self) -> Step {
        for draft in self.old.drain(..).chain(self.new.take()) {
            draft.finish(self.deployment, &mut self.step);
        }
        self.step
    }

    fn key(&self) -> Key {
        Key::of(resource::DEPLOYMENTS, &self.deployment.object)
    }

    fn drafts(&self) -> impl Iterator<Item = &Draft<'a>> {
        self.old.iter().chain(&self.new)
    }

    /// The ReplicaSets that have, or ought to have, pods.
    fn active(&self) -> impl Iterator<Item = &Draft<'a>> {
        self.drafts().filter(|d| d.replicas > 0)
    }

    /// The sizes of all ReplicaSets together.
    fn total(&self) -> i64 {
        self.drafts().map(|d| d.replicas).sum()
    }

    fn fences(&self) -> Fences {
        Fences::of(self.deployment)
    }

    /// Resizes a ReplicaSet, and notes for what size of the Deployment that was done.
    fn resize(deployment: &Deployment, draft: &mut Draft<'a>, replicas: i64) {
        let max = deployment.replicas + Fences::of(deployment).surge;
        draft.annotate(DESIRED_REPLICAS, &deployment.replicas.to_string());
        draft.annotate(MAX_REPLICAS, &max.to_string());
        if replicas != draft.replicas {
            let direction = if draft.replicas < replicas { "up" } else { "down" };
            let name = draft.set.name();
            draft.events.push(format!("Scaled {direction} replica set {name} from {} to {replicas}", draft.replicas));
            draft.replicas = replicas;
        }
    }

    fn event(&mut self, kind: EventType, reason: &'static str, message: String) {
        let about = self.key();
        self.step.writes.push(Write::Event { about, kind, reason, message, by: "deployment-controller" });
    }
}

impl<'a> Draft<'a> {
    fn of(set: &'a ReplicaSet) -> Self {
        Self { set, replicas: set.replicas, min_ready: set.min_ready, annotations: BTreeMap::new(), events: Vec::new() }
    }

    /// An annotation as it will be.
    fn annotation(&self, key: &str) -> Option<&str> {
        let drafted = self.annotations.get(key);
        drafted.or_else(|| self.set.object["metadata"]["annotations"].get(key)).and_then(Value::as_str)
    }

    /// An annotation that holds a count.
    fn count(&self, key: &str) -> Option<i64> {
        self.annotation(key)?.parse::<i32>().ok().filter(|n| *n >= 0).map(i64::from)
    }

    fn annotate(&mut self, key: &str, value: &str) {
        if self.annotation(key) != Some(value) {
            self.annotations.insert(key.to_owned(), value.into());
        }
    }

    fn finish(self, deployment: &Deployment, step: &mut Step) {
        let mut patch = Map::new();
        if !self.annotations.is_empty() {
            patch.insert("metadata".into(), json!({"annotations": self.annotations}));
        }
        if self.replicas != self.set.replicas {
            patch.insert("spec".into(), json!({"replicas": self.replicas}));
        }
        if self.min_ready != self.set.min_ready {
            patch.entry("spec").or_insert_with(|| json!({}))["minReadySeconds"] = self.min_ready.into();
        }
        if patch.is_empty() {
            return;
        }
        let key = Key::of(resource::REPLICA_SETS, &self.set.object);
        step.writes.push(Write::Patch { key, if_version: if_version(&self.set.object), patch: patch.into() });
        for message in self.events {
            let about = Key::of(resource::DEPLOYMENTS, &deployment.object);
            let (kind, reason, by) = (EventType::Normal, "ScalingReplicaSet", "deployment-controller");
            step.writes.push(Write::Event { about, kind, reason, message, by });
        }
    }
}

/// How far a rolling update may leave the wanted number of pods, up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fences {
    surge: i64,
    unavailable: i64,
}

impl Fences {
    fn of(deployment: &Deployment) -> Self {
        match deployment.strategy {
            Strategy::Recreate => Self { surge: 0, unavailable: 0 },
            Strategy::RollingUpdate { surge, unavailable } => Self::resolve(surge, unavailable, deployment.replicas),
        }
    }

    fn resolve(surge: Amount, unavailable: Amount, replicas: i64) -> Self {
        let surge = surge.round_up(replicas);
        let unavailable = match unavailable.round_down(replicas) {
            // Rounding must not leave a rollout without any room to move in.
            0 if surge == 0 => 1,
            n => n,
        };
        Self { surge, unavailable: unavailable.min(replicas) }
    }
}

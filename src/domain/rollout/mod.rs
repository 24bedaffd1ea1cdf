//! The rollout under watch: what the cluster says, which phase that is, whether it is complete, and whether it can still get better.

mod address;
pub mod guard;
mod pod;
mod progress;
pub mod state;
mod stuck;

use std::collections::{BTreeMap, VecDeque};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::pod::{Membership, PodLife};
pub use self::progress::Progress;
use self::state::{DeploymentState, EndpointsState, PodState, ReplicaSetState, TemplateState};
pub use self::stuck::Stuck;
use super::time::At;
use super::traffic::Name;

/// Pods that are gone are remembered up to this many, the oldest forgotten first.
const MAX_GONE: usize = 2_000;

/// Changes of the number of replicas that are remembered, the first ones.
const MAX_SCALINGS: usize = 1_000;

/// Which part of a rollout the cluster is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was changed yet.
    Baseline,
    /// New pods are wanted or starting; none is ready.
    Surging,
    /// New pods are ready while old ones still serve.
    Replacing,
    /// All new pods are available; old ones are on their way out.
    Terminating,
    /// Complete, and nothing of the old is left.
    Settled,
}

impl Phase {
    /// The word in files and on screens.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Surging => "surging",
            Self::Replacing => "replacing",
            Self::Terminating => "terminating",
            Self::Settled => "settled",
        }
    }
}

/// Everything known of the target, folded from events.
#[derive(Clone, Debug, Default)]
pub struct Rollout {
    deployment: Option<DeploymentState>,
    lost: bool,
    sets: BTreeMap<Name, ReplicaSetState>,
    set_trouble: BTreeMap<Name, At>,
    pods: BTreeMap<Name, PodLife>,
    gone: VecDeque<PodLife>,
    endpoints: BTreeMap<Name, EndpointsState>,
    before: Option<Name>,
    /// The revision before the change was complete when the change began.
    before_complete: bool,
    wanted: Option<i64>,
    /// What the change brought, by the generation that it was accepted as.
    ours: Option<(i64, Name)>,
    /// The new revision of the run, once it must not follow the Deployment any more.
    fixed: Option<Name>,
    replicas: Vec<(At, u32)>,
    /// The progress deadline passed while a pod was at its gate, and the controller has seen no progress since.
    late_at_the_gate: bool,
}

impl Rollout {
    /// The Deployment said something new.
    pub fn deployment(&mut self, state: &DeploymentState, at: At) {
        if self.replicas.last().is_none_or(|(_, n)| *n != state.replicas) && self.replicas.len() < MAX_SCALINGS {
            self.replicas.push((at, state.replicas));
        }
        self.lost |= self.deployment.as_ref().is_some_and(|d| d.uid != state.uid);
        self.deployment = Some(state.clone());
        self.note_ours();
        self.note_gate();
    }

    /// The Deployment is gone.
    pub const fn deployment_gone(&mut self) {
        self.lost = true;
    }

    /// A ReplicaSet said something new.
    pub fn replica_set(&mut self, state: &ReplicaSetState, at: At) {
        if state.failure.is_some() {
            self.set_trouble.entry(state.uid.clone()).or_insert(at);
        } else {
            self.set_trouble.remove(&state.uid);
        }
        self.sets.insert(state.uid.clone(), state.clone());
        self.note_ours();
        self.note_gate();
    }

    /// Remembers the first revision that the controller made of what was asked for.
    fn note_ours(&mut self) {
        let (Some(wanted), Some(d)) = (self.wanted, &self.deployment) else { return };
        if d.observed >= wanted
            && self.ours.as_ref().is_none_or(|(generation, _)| *generation < wanted)
            && let Some(current) = self.current()
        {
            self.ours = Some((wanted, current.hash.clone()));
        }
    }

    /// A ReplicaSet is gone.
    pub fn replica_set_gone(&mut self, uid: &Name) {
        self.sets.remove(uid);
        self.set_trouble.remove(uid);
    }

    /// A pod said something new.
    pub fn pod(&mut self, state: &PodState, at: At) {
        self.pods.entry(state.uid.clone()).or_insert_with(|| PodLife::new(state, at)).see(state, at);
        self.note_gate();
    }

    /// Remembers that a rollout is late because nobody let its pods in: that says nothing about its version, also in the moments between
    /// their being let in and the controller's seeing it.
    fn note_gate(&mut self) {
        let late = self.deployment.as_ref().and_then(stuck::deadline_exceeded).is_some();
        let current = self.current().map(|set| &set.hash);
        let waits = |life: &PodLife| Some(&life.state.revision) == current && life.is_at_the_gate();
        self.late_at_the_gate = late && (self.late_at_the_gate || self.pods.values().any(waits));
    }

    /// A pod is gone.
    pub fn pod_gone(&mut self, uid: &Name, at: At) {
        if let Some(mut life) = self.pods.remove(uid) {
            life.gone = Some(at);
            life.terminating = life.terminating.or(Some(at));
            if self.gone.len() == MAX_GONE {
                self.gone.pop_front();
            }
            self.gone.push_back(life);
        }
    }

    /// An EndpointSlice said something new.
    pub fn endpoint_slice(&mut self, state: &EndpointsState, at: At) {
        self.endpoints.insert(state.name.clone(), state.clone());
        self.note_membership(at);
    }

    /// An EndpointSlice is gone.
    pub fn endpoint_slice_gone(&mut self, name: &Name, at: At) {
        self.endpoints.remove(name);
        self.note_membership(at);
    }

    fn note_membership(&mut self, at: At) {
        let mut listed: BTreeMap<&Name, Membership> = BTreeMap::new();
        for endpoint in self.endpoints.values().flat_map(|s| &s.endpoints) {
            let Some(pod) = &endpoint.pod else { continue };
            let membership = match (endpoint.ready, endpoint.terminating) {
                (true, _) => Membership::Ready,
                (false, true) => Membership::Draining,
                (false, false) => Membership::Out,
            };
            let best = listed.entry(pod).or_insert(Membership::Out);
            *best = if *best == Membership::Ready { *best } else { membership };
        }
        for life in self.pods.values_mut().chain(&mut self.gone) {
            life.join(listed.get(&life.state.name).copied().unwrap_or(Membership::Out), at);
        }
    }

    /// The change is about to be made: what runs now is the old revision.
    pub fn begin(&mut self) {
        if self.before.is_none() {
            self.before = self.current().map(|s| s.hash.clone()).or_else(|| Some(Name::from("")));
            self.before_complete = self.is_available();
        }
    }

    /// The change was accepted as this generation; status older than it says nothing.
    pub fn wanted(&mut self, generation: i64) {
        self.wanted = Some(self.wanted.map_or(generation, |w| w.max(generation)));
        self.note_ours();
    }

    /// From now on the new revision is the one that it is now, whatever the Deployment is made to want: an undo changes no side.
    pub(super) fn fix_sides(&mut self) {
        self.fixed = self.new_revision().cloned();
    }

    /// Another template than the change's own is wanted, by status as new as the specification.
    pub(super) fn superseded(&self) -> Option<&Name> {
        let (generation, ours) = self.ours.as_ref()?;
        let d = self.deployment.as_ref().filter(|d| d.observed >= d.generation && Some(*generation) == self.wanted)?;
        let current = &self.current()?.hash;
        (d.generation > *generation && current != ours).then_some(current)
    }

    /// How many replicas were asked for at a moment.
    pub fn replicas_at(&self, at: At) -> Option<u32> {
        self.replicas.iter().rev().find(|(from, _)| *from <= at).map(|(_, n)| *n)
    }

    /// When it was first asked for so many replicas, from a moment on.
    pub fn scaled_to(&self, replicas: u32, since: At) -> Option<At> {
        self.replicas.iter().find(|(at, n)| *at >= since && *n == replicas).map(|(at, _)| *at)
    }

    /// The Deployment as last seen.
    pub const fn target(&self) -> Option<&DeploymentState> {
        self.deployment.as_ref()
    }

    /// The Deployment was deleted, or another one of the same name took its place.
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// The ReplicaSet that the Deployment's revision names: what is wanted now.
    pub fn current(&self) -> Option<&ReplicaSetState> {
        let revision: u64 = self.deployment.as_ref()?.revision.as_ref()?.parse().ok()?;
        self.sets.values().find(|s| s.revision == revision)
    }

    /// The revision before the change.
    pub fn old_revision(&self) -> Option<&Name> {
        self.before.as_ref().filter(|b| !b.is_empty())
    }

    /// The revision that the change brought, if it brought one.
    pub fn new_revision(&self) -> Option<&Name> {
        if self.fixed.is_some() {
            return self.fixed.as_ref();
        }
        let current = &self.current()?.hash;
        (self.before.as_ref()? != current).then_some(current)
    }

    /// All ReplicaSets, ordered by revision.
    pub fn sets(&self) -> Vec<&ReplicaSetState> {
        let mut sets: Vec<_> = self.sets.values().collect();
        sets.sort_by_key(|s| s.revision);
        sets
    }

    /// What pods of a revision are like.
    pub fn template(&self, revision: &str) -> Option<&TemplateState> {
        self.set(revision).map(|s| &s.template)
    }

    /// Pods that exist, in order of appearance.
    pub fn pods(&self) -> Vec<&PodLife> {
        let mut pods: Vec<_> = self.pods.values().collect();
        pods.sort_by(|a, b| (a.seen, &a.state.name).cmp(&(b.seen, &b.state.name)));
        pods
    }

    /// Pods that are gone, in order of their going.
    pub fn gone(&self) -> impl Iterator<Item = &PodLife> {
        self.gone.iter()
    }

    /// A pod by name, gone or not.
    pub fn pod_named(&self, name: &str) -> Option<&PodLife> {
        self.pods.values().chain(self.gone.iter().rev()).find(|p| &*p.state.name == name)
    }

    /// A pod that exists, by uid.
    pub(super) fn life(&self, uid: &Name) -> Option<&PodLife> {
        self.pods.get(uid)
    }

    /// All pods that exist, by uid.
    pub(super) fn lives(&self) -> impl Iterator<Item = &PodLife> {
        self.pods.values()
    }

    /// Everything that was asked for is there and available, by status at least as new as the change. Of which template it all is must be
    /// known: ReplicaSets have a watch of their own, whose news may come later than the Deployment's.
    pub fn is_available(&self) -> bool {
        let Some(d) = &self.deployment else { return false };
        let fresh = d.observed >= d.generation.max(self.wanted.unwrap_or(0)) && self.current().is_some();
        let s = d.status;
        fresh && s.updated == d.replicas && s.replicas == d.replicas && s.available == d.replicas
    }

    /// Available, and no pod is on its way in or out. The pods are counted too: the Deployment's status may be here before the news of the pods
    /// that it speaks of. A pod too many that is not ready is one that the Deployment is about to tell of: more are wanted from then on only.
    pub fn is_settled(&self) -> bool {
        let (Some(target), Some(current)) = (&self.deployment, self.current()) else { return false };
        let wanted = target.replicas as usize;
        let mut pods = self.pods.values().filter(|pod| !pod.is_over());
        self.is_available()
            && pods.clone().count() >= wanted
            && pods.all(|pod| pod.is_active() && pod.state.revision == current.hash)
            && self.ready_pods(&current.hash) <= wanted
    }

    /// Which part of the rollout this is.
    pub fn phase(&self) -> Phase {
        let settled = self.is_settled();
        if self.before.is_none() || (settled && self.wanted.is_none()) {
            return Phase::Baseline;
        }
        if settled {
            return Phase::Settled;
        }
        if self.is_available() {
            return Phase::Terminating;
        }
        let new = self.current().map(|s| &s.hash);
        let ready = self.pods.values().any(|p| p.is_active() && p.state.ready && Some(&p.state.revision) == new);
        if ready && self.new_revision().is_some() { Phase::Replacing } else { Phase::Surging }
    }

    /// How many pods of the wanted and of other revisions exist and are not terminating, and how many are terminating.
    pub fn head_count(&self) -> HeadCount {
        let mut count = HeadCount::default();
        let new = self.fixed.as_ref().or_else(|| self.current().map(|s| &s.hash));
        for pod in self.pods.values() {
            if !pod.is_active() {
                count.terminating += 1;
            } else if Some(&pod.state.revision) == new {
                count.new += 1;
                count.new_ready += u32::from(pod.state.ready);
            } else {
                count.old += 1;
                count.old_ready += u32::from(pod.state.ready);
            }
        }
        count
    }

    /// The ReplicaSet of a revision.
    pub fn set(&self, revision: &str) -> Option<&ReplicaSetState> {
        self.sets.values().find(|s| &*s.hash == revision)
    }

    /// Pods of a revision that are ready and not on their way out.
    pub fn ready_pods(&self, revision: &str) -> usize {
        self.pods.values().filter(|p| &*p.state.revision == revision && p.is_active() && p.state.ready).count()
    }

    /// Pods of a revision that the Services send requests to; all that are ready when no EndpointSlice is known.
    pub fn serving_pods(&self, revision: &str) -> usize {
        if self.endpoints.is_empty() {
            return self.ready_pods(revision);
        }
        let of = |pod: &Name| self.pod_named(pod).is_some_and(|p| &*p.state.revision == revision);
        let ready = self.endpoints.values().flat_map(|s| &s.endpoints).filter(|e| e.ready);
        ready.filter_map(|e| e.pod.as_ref()).filter(|pod| of(pod)).count()
    }

    /// Why the rollout will not complete by itself, if that can be said by `now`; or else when to ask again.
    pub fn stuck(&self, now: At) -> Result<Stuck, Option<At>> {
        stuck::find(self, now)
    }
}

/// Pods by revision and state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadCount {
    /// Of other revisions, not terminating.
    pub old: u32,
    /// Of these, ready.
    pub old_ready: u32,
    /// Of the wanted revision, not terminating.
    pub new: u32,
    /// Of these, ready.
    pub new_ready: u32,
    /// On their way out.
    pub terminating: u32,
}

#[cfg(test)]
pub(crate) mod tests;

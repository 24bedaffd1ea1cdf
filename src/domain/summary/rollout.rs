//! What the cluster did: revisions, phases and pods.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Seconds;
use crate::domain::course::Course;
use crate::domain::display::clean;
use crate::domain::rollout::state::{ContainerNow, ContainerState};
use crate::domain::rollout::{Membership, Phase, PodLife};
use crate::domain::time::At;
use crate::domain::traffic::Name;

/// Pods listed one by one: all that exist, then those gone last.
const MAX_PODS: usize = 500;

/// The rollout as it was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rollout {
    /// What ran before the change.
    pub old: Option<Revision>,
    /// What the change brought; nothing when it brought no new revision (a scaling, a deleted pod).
    pub new: Option<Revision>,
    /// Phases in order.
    pub phases: Vec<PhaseSpan>,
    /// When the change began.
    pub changed_s: Option<Seconds>,
    /// From the change to the rollout's completion.
    pub deployed_after_s: Option<Seconds>,
    /// Pods in order of appearance, at most 500.
    pub pods: Vec<Pod>,
    /// Pods that are not listed.
    pub pods_unlisted: usize,
}

/// A revision of the Deployment: a ReplicaSet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    /// The pod-template-hash.
    pub revision: String,
    /// The ReplicaSet's name, while it is known.
    pub replica_set: Option<String>,
    /// Kubernetes' own number of the revision.
    pub number: Option<u64>,
    /// Image by container.
    pub images: BTreeMap<String, String>,
}

/// A phase with its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseSpan {
    /// Which one.
    pub phase: Phase,
    /// When it began.
    pub from_s: Seconds,
    /// How long it lasted, up to the end of the run.
    pub length_s: Seconds,
}

/// A pod with the moments that the verifier saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pod {
    /// Its name.
    pub pod: String,
    /// Its revision.
    pub revision: String,
    /// Which side of the change it is on.
    pub side: Side,
    /// Its node, once it has one.
    pub node: Option<String>,
    /// First seen.
    pub seen_s: Seconds,
    /// First seen with a node.
    pub scheduled_s: Option<Seconds>,
    /// First seen with a container that had started, those of its preparation left out.
    pub started_s: Option<Seconds>,
    /// First seen ready.
    pub ready_s: Option<Seconds>,
    /// First seen with a deletion timestamp.
    pub terminating_s: Option<Seconds>,
    /// Gone from the API.
    pub gone_s: Option<Seconds>,
    /// Of all its containers.
    pub restarts: u32,
    /// Why a container waits or ended, or why the pod has no node, as last seen.
    pub reason: Option<String>,
    /// When readiness turned, from the first time it was true; the first 32 times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readiness: Vec<ReadyTurn>,
    /// When it turned what the pod is to the EndpointSlices, from the first time it was ready or draining there; the first 32 times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointTurn>,
    /// Ends of containers that were seen, the first 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exits: Vec<ExitSeen>,
}

/// Readiness turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadyTurn {
    /// When it was seen.
    pub at_s: Seconds,
    /// What it is from then on.
    pub ready: bool,
}

/// A pod became something else to the EndpointSlices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointTurn {
    /// When it was seen.
    pub at_s: Seconds,
    /// What it is from then on: `ready` gets traffic, `draining` is told to end and still listed, `out` is neither.
    pub state: Membership,
}

/// A container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExitSeen {
    /// When it was seen.
    pub at_s: Seconds,
    /// Its exit code; 128 + signal when it was killed.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`, …
    pub reason: String,
}

/// Which side of the change something is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The revision before the change.
    Old,
    /// The revision that the change brought.
    New,
    /// Neither.
    Other,
    /// It cannot be told.
    Unknown,
}

impl Side {
    /// The word in files and on screens.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }
}

/// Which side of the change a revision is on. Before the change begins, what runs is old.
pub(super) fn side_of(course: &Course, revision: Option<&Name>) -> Side {
    let (old, new) = (course.rollout.old_revision(), course.rollout.new_revision());
    let old = old.or_else(|| course.rollout.current().map(|s| &s.hash).filter(|_| course.changed().is_none()));
    match revision {
        None => Side::Unknown,
        Some(r) if Some(r) == new => Side::New,
        Some(r) if Some(r) == old => Side::Old,
        Some(_) => Side::Other,
    }
}

impl Rollout {
    /// The rollout so far.
    pub fn of(course: &Course) -> Self {
        let rollout = &course.rollout;
        let mut lives = rollout.pods();
        let existing = lives.len();
        let gone: Vec<_> = rollout.gone().collect();
        lives.extend(gone.iter().rev());
        let pods_unlisted = lives.len().saturating_sub(MAX_PODS.max(existing));
        lives.truncate(MAX_PODS.max(existing));
        lives.sort_by(|a, b| (a.seen, &a.state.name).cmp(&(b.seen, &b.state.name)));
        Self {
            old: rollout.old_revision().map(|hash| Revision::of(course, hash)),
            new: rollout.new_revision().map(|hash| Revision::of(course, hash)),
            phases: PhaseSpan::all(course),
            changed_s: course.changed().map(Seconds),
            deployed_after_s: course.deployed().zip(course.changed()).map(|(d, c)| Seconds::lasting(d.since(c))),
            pods: lives.into_iter().map(|life| Pod::of(course, life)).collect(),
            pods_unlisted,
        }
    }
}

impl Revision {
    fn of(course: &Course, hash: &Name) -> Self {
        let set = course.rollout.sets().into_iter().find(|s| s.hash == *hash);
        Self {
            revision: clean(hash),
            replica_set: set.map(|s| clean(&s.name)),
            number: set.map(|s| s.revision),
            images: set.into_iter().flat_map(|s| &s.images).map(|(c, i)| (clean(c), clean(i))).collect(),
        }
    }
}

impl PhaseSpan {
    /// Phases so far, in order.
    pub fn all(course: &Course) -> Vec<Self> {
        let phases = course.phases();
        let ends = phases.iter().skip(1).map(|(at, _)| *at).chain([course.now()]);
        let span = |((from, phase), to): (&(At, Phase), At)| Self {
            phase: *phase,
            from_s: Seconds(*from),
            length_s: Seconds::lasting(to.since(*from)),
        };
        phases.iter().zip(ends).map(span).collect()
    }
}

impl Pod {
    fn of(course: &Course, life: &PodLife) -> Self {
        let state = &life.state;
        Self {
            pod: clean(&state.name),
            revision: clean(&state.revision),
            side: side_of(course, Some(&state.revision)),
            node: state.node.as_deref().map(clean),
            seen_s: Seconds(life.seen),
            scheduled_s: life.scheduled.map(Seconds),
            started_s: life.started.map(Seconds),
            ready_s: life.ready.map(Seconds),
            terminating_s: life.terminating.map(Seconds),
            gone_s: life.gone.map(Seconds),
            restarts: state.containers.iter().map(|c| c.restarts).sum(),
            reason: match &state.unschedulable {
                Some(why) => Some(clean(&format!("Unschedulable: {why}"))),
                None => state.containers.iter().find_map(reason),
            },
            readiness: life.readiness.iter().map(|(at, ready)| ReadyTurn { at_s: Seconds(*at), ready: *ready }).collect(),
            endpoints: life.membership.iter().map(|(at, state)| EndpointTurn { at_s: Seconds(*at), state: *state }).collect(),
            exits: life
                .exits
                .iter()
                .map(|(at, e)| ExitSeen { at_s: Seconds(*at), code: e.code, reason: clean(&e.reason) })
                .collect(),
        }
    }
}

fn reason(container: &ContainerState) -> Option<String> {
    let reason = match (&container.now, &container.last_exit) {
        (ContainerNow::Waiting { reason, .. }, _) => reason,
        (ContainerNow::Terminated(exit), _) | (ContainerNow::Running, Some(exit)) => &exit.reason,
        (ContainerNow::Running, None) => return None,
    };
    Some(clean(reason)).filter(|r| !r.is_empty())
}

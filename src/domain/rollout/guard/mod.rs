//! What a breach does to the workload: four guards, and the decision which of them can be carried out on the rollout as it is.
//!
//! * `pause` sets `spec.paused`. New pods that are there stay; no more come, but for what the surge still allows.
//! * `hold` pauses, and scales the new ReplicaSet to 0: the paused Deployment controller then brings the one ReplicaSet that still has pods
//!   to the full count by itself. The template stays as it was applied. It needs old pods: with none, a paused Deployment would bring the
//!   new ones back.
//! * `undo` puts the old template back, and `paused` to false, in one patch. It goes to the revision that was complete before the
//!   change and to no other; when there is none it becomes a pause.
//!
//! At most one action is taken for each revision of each Deployment. Its record stands on the Deployment itself, so that it outlives
//! whoever took it.

mod effect;
mod live;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::effect::{Effect, effect};
pub use self::live::{Live, LiveSet, rest, still};
use super::Rollout;
use super::state::{DeploymentState, ReplicaSetState, Strategy};
use crate::domain::time::At;
use crate::domain::traffic::Name;
use crate::domain::verdict::{Verdict, VerdictKind};

/// The field manager of what is written on a breach: not that of a scenario's steps, so that each can be told from the other.
pub const MANAGER: &str = "verifier-guard";

/// What a breach does to the workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Nothing: it is only reported.
    #[default]
    None,
    /// The rollout goes no further.
    Pause,
    /// The rollout goes no further, its pods go, and the old ones come back; the template stays.
    Hold,
    /// The template of before the change comes back.
    Undo,
}

impl Guard {
    const ALL: [Self; 4] = [Self::None, Self::Pause, Self::Hold, Self::Undo];

    /// The word in files and on the command line.
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pause => "pause",
            Self::Hold => "hold",
            Self::Undo => "undo",
        }
    }

    /// What it does, if it does something.
    pub const fn verb(self) -> Option<Verb> {
        match self {
            Self::None => None,
            Self::Pause => Some(Verb::Pause),
            Self::Hold => Some(Verb::Hold),
            Self::Undo => Some(Verb::Undo),
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Guard {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::label).join(", ");
        Self::ALL.into_iter().find(|g| g.label() == text).ok_or_else(|| format!("`{text}` is none of {known}"))
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// `spec.paused: true`
    Pause,
    /// A pause, and the new ReplicaSet to 0.
    Hold,
    /// The old template and `spec.paused: false`, in one patch.
    Undo,
}

impl Verb {
    /// The word in files and annotations.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Hold => "hold",
            Self::Undo => "undo",
        }
    }

    /// The verb of a record, by its word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Pause, Self::Hold, Self::Undo].into_iter().find(|v| v.label() == word)
    }
}

/// A revision and the ReplicaSet that is it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its `pod-template-hash`.
    pub hash: Name,
    /// The ReplicaSet's name.
    pub set: Name,
    /// The ReplicaSet's uid.
    pub uid: Name,
}

impl From<&ReplicaSetState> for Revision {
    fn from(set: &ReplicaSetState) -> Self {
        Self { hash: set.hash.clone(), set: set.name.clone(), uid: set.uid.clone() }
    }
}

/// One action, named so exactly that it can be done to nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// What.
    pub verb: Verb,
    /// The Deployment's uid.
    pub uid: Name,
    /// The revision that is stopped.
    pub revision: Revision,
    /// The revision that comes back: by `hold` and `undo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<Revision>,
    /// Why: the verdict's first reason.
    pub because: String,
    /// The guard asked for this, which cannot be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<Verb>,
    /// The earlier run that paused for this hold and came no further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finishes: Option<Record>,
}

/// What stands in the Deployment's annotations about an action that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What was done.
    pub verb: Verb,
    /// By which run.
    pub run: Name,
    /// When, RFC 3339.
    pub at: Name,
    /// To which Deployment: a copy of its manifest has another uid.
    pub uid: Name,
    /// To which revision.
    pub revision: Name,
    /// Why.
    pub reason: String,
}

impl Record {
    /// One sentence.
    pub fn sentence(&self) -> String {
        let done = match self.verb {
            Verb::Pause => "paused",
            Verb::Hold => "held",
            Verb::Undo => "undid",
        };
        format!("run {} {done} revision {} at {}, because {}", self.run, self.revision, self.at, self.reason)
    }
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The Deployment was deleted, or another one has its name.
    Gone,
    /// The Deployment controller has not taken the change in yet.
    NotSeen,
    /// The change brought no new revision: a scaling, a deleted pod.
    NoNewRevision,
    /// Somebody changed the template since: to this revision, or to one that is not known yet.
    Superseded(Option<Name>),
    /// Somebody else paused it.
    PausedByOther,
    /// Somebody scaled it to 0.
    ScaledToZero,
    /// An action was taken for this revision.
    Already(Record),
    /// Pause: there is nothing left to pause.
    Complete,
    /// Hold: not exactly the old revision has pods beside the new one.
    NothingToHold,
    /// Pause and hold: `Recreate` ends all old pods before it starts new ones.
    Recreate,
    /// Undo: nothing was complete before the change, or its ReplicaSet is gone, and nothing can be paused either.
    NothingToUndo,
}

/// Whether a refusal leaves users with what hurts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// An earlier action stands.
    Done,
    /// Somebody else has taken over.
    LeftAlone,
    /// The guard cannot do what it was asked for.
    Impossible,
}

impl Refusal {
    /// What it means for who relies on the guard.
    pub const fn weight(&self) -> Weight {
        match self {
            Self::Already(_) => Weight::Done,
            Self::Gone | Self::Superseded(_) | Self::PausedByOther | Self::ScaledToZero => Weight::LeftAlone,
            Self::NotSeen | Self::NoNewRevision | Self::Complete | Self::NothingToHold | Self::Recreate | Self::NothingToUndo => {
                Weight::Impossible
            }
        }
    }

    /// One sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Gone => "the Deployment was deleted or replaced".into(),
            Self::NotSeen => "the Deployment controller has not taken the change in, so its revision is not known".into(),
            Self::NoNewRevision => "the change brought no new revision that could be stopped".into(),
            Self::Superseded(Some(by)) => format!("somebody changed the template since, to revision {by}"),
            Self::Superseded(None) => "somebody changed the template since".into(),
            Self::PausedByOther => "somebody else paused the Deployment".into(),
            Self::ScaledToZero => "the Deployment is scaled to 0".into(),
            Self::Already(record) => format!("already done: {}", record.sentence()),
            Self::Complete => "the rollout is complete, there is nothing left to pause; `undo` would go back".into(),
            Self::NothingToHold => {
                "no old ReplicaSet alone has pods beside the new one, and a paused Deployment would bring the new one back; `undo` \
                 would go back"
                    .into()
            }
            Self::Recreate => "with strategy Recreate all old pods end before new ones start; only `undo` brings them back".into(),
            Self::NothingToUndo => "no revision that was complete before the change is there to go back to".into(),
        }
    }
}

/// How an action went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionEnded {
    /// The API accepted all of it.
    Accepted {
        /// The Deployment's generation after it.
        generation: i64,
        /// When the patch of the Deployment was accepted; of a hold that an earlier run began, when this was found.
        at: At,
        /// Hold: when the new ReplicaSet was scaled to 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scaled: Option<At>,
        /// An answer was lost, and the effect found by reading.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        read_back: bool,
    },
    /// The Deployment, read just before, was not what the action was decided on.
    LeftAlone(Refusal),
    /// It failed, or it is not known to have taken effect.
    Failed {
        /// Why.
        why: String,
        /// Hold: the pause was accepted, and what came after it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        paused: Option<At>,
    },
}

/// What a verdict leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Do this.
    Act(Box<Action>),
    /// The guard asks for an action, and it is not taken.
    Refuse(Refusal),
    /// Nothing is asked for.
    Nothing,
}

/// What the guard makes of a verdict on the rollout as it is seen.
pub fn decide(guard: Guard, verdict: &Verdict, rollout: &Rollout) -> Plan {
    let Some(verb) = guard.verb().filter(|_| verdict.verdict == VerdictKind::Breach) else { return Plan::Nothing };
    let because = verdict.reasons.first().map(|r| r.message.clone()).unwrap_or_default();
    match action(verb, because, rollout) {
        Ok(action) => Plan::Act(Box::new(action)),
        Err(refusal) => Plan::Refuse(refusal),
    }
}

fn action(verb: Verb, because: String, rollout: &Rollout) -> Result<Action, Refusal> {
    let target = rollout.target().filter(|_| !rollout.is_lost()).ok_or(Refusal::Gone)?;
    if let Some(by) = rollout.superseded() {
        return Err(Refusal::Superseded(Some(by.clone())));
    }
    let taken_in = rollout.ours.as_ref().is_some_and(|(generation, _)| Some(*generation) == rollout.wanted);
    if rollout.wanted.is_some() && !taken_in {
        return Err(Refusal::NotSeen);
    }
    let new = rollout.new_revision().and_then(|hash| rollout.set(hash)).ok_or(Refusal::NoNewRevision)?;
    let action =
        Action { verb, uid: target.uid.clone(), revision: new.into(), back_to: None, because, instead_of: None, finishes: None };
    if let Some(record) = target.acted.as_ref().filter(|r| r.uid == target.uid && r.revision == new.hash) {
        return finishing(action, record, target, rollout);
    }
    if target.paused {
        return Err(Refusal::PausedByOther);
    }
    if target.replicas == 0 {
        return Err(Refusal::ScaledToZero);
    }
    match verb {
        Verb::Pause => paused(action, target, rollout),
        Verb::Hold if target.strategy == Strategy::Recreate => Err(Refusal::Recreate),
        Verb::Hold => {
            let old = held_for(rollout, &new.hash).ok_or(Refusal::NothingToHold)?;
            Ok(Action { back_to: Some(old), ..action })
        }
        Verb::Undo => {
            if let Some(old) = undone_to(rollout) {
                return Ok(Action { back_to: Some(old), ..action });
            }
            let pause = Action { verb: Verb::Pause, instead_of: Some(Verb::Undo), ..action };
            paused(pause, target, rollout).map_err(|_| Refusal::NothingToUndo)
        }
    }
}

/// A hold whose run ended between its two writes is finished; everything else that was done stays done.
fn finishing(action: Action, record: &Record, target: &DeploymentState, rollout: &Rollout) -> Result<Action, Refusal> {
    let half = record.verb == Verb::Hold && target.paused && rollout.set(&action.revision.hash).is_some_and(|s| s.replicas > 0);
    match held_for(rollout, &action.revision.hash).filter(|_| half && action.verb == Verb::Hold) {
        Some(old) => Ok(Action { back_to: Some(old), finishes: Some(record.clone()), ..action }),
        None => Err(Refusal::Already(record.clone())),
    }
}

fn paused(action: Action, target: &DeploymentState, rollout: &Rollout) -> Result<Action, Refusal> {
    if target.strategy == Strategy::Recreate {
        return Err(Refusal::Recreate);
    }
    let old_left = rollout.sets.values().any(|s| s.hash != action.revision.hash && s.replicas > 0);
    if old_left || target.status.updated < target.replicas { Ok(action) } else { Err(Refusal::Complete) }
}

/// The revision that the paused controller brings to the full count when the new one is empty: it must be the only one that has pods, or
/// pods are shared out among all; and the one from before the change.
fn held_for(rollout: &Rollout, new: &Name) -> Option<Revision> {
    let mut live = rollout.sets.values().filter(|s| s.hash != *new && s.replicas > 0);
    let (first, second) = (live.next()?, live.next());
    (second.is_none() && Some(&first.hash) == rollout.old_revision()).then(|| first.into())
}

/// The revision to go back to: it was complete when the change began, and its template is still there.
fn undone_to(rollout: &Rollout) -> Option<Revision> {
    let old = rollout.old_revision().filter(|_| rollout.before_complete)?;
    rollout.set(old).map(Revision::from)
}

/// What is to be known before the change about what the guard could not do: better now than at the breach.
pub fn forecast(guard: Guard, rollout: &Rollout) -> Vec<String> {
    let (Some(verb), Some(target)) = (guard.verb(), rollout.target()) else { return Vec::new() };
    let mut said = Vec::new();
    if target.paused {
        said.push("the Deployment is paused: the change will not roll out, and the guard leaves it alone".into());
    }
    let recreate = target.strategy == Strategy::Recreate;
    match verb {
        Verb::Pause | Verb::Hold if recreate => said.push(Refusal::Recreate.sentence()),
        Verb::Undo if undone_to(rollout).is_none() => {
            let instead = if recreate { "nothing can be done" } else { "it pauses instead" };
            said.push(format!("{}: on a breach {instead}", Refusal::NothingToUndo.sentence()));
        }
        Verb::Hold if rollout.old_revision().is_none() || target.replicas == 0 => {
            said.push("no old pods are there that a hold could bring back".into());
        }
        Verb::Pause | Verb::Hold | Verb::Undo => {}
    }
    said.into_iter().map(|text: String| format!("guard {guard}: {text}")).collect()
}

#[cfg(test)]
mod tests;

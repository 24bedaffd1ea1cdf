//! The last look before a write: is the Deployment, as just read, still what the action was decided on?

use super::{Action, Record, Refusal, Revision, Verb};
use crate::domain::traffic::Name;

/// The Deployment and its ReplicaSets, just read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// `metadata.uid`
    pub uid: Name,
    /// `metadata.generation`
    pub generation: i64,
    /// There is a deletion timestamp.
    pub deleting: bool,
    /// `spec.paused`
    pub paused: bool,
    /// `spec.replicas`
    pub replicas: u32,
    /// The revision whose template is the Deployment's; nothing when the controller has not seen that template yet.
    pub revision: Option<Name>,
    /// What a verifier did to it.
    pub acted: Option<Record>,
    /// Its ReplicaSets.
    pub sets: Vec<LiveSet>,
}

/// A ReplicaSet of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSet {
    /// The revision that it is.
    pub revision: Revision,
    /// `spec.replicas`
    pub replicas: u32,
}

impl Live {
    /// The replicas of a ReplicaSet, if it is there.
    pub fn replicas_of(&self, uid: &Name) -> Option<u32> {
        self.sets.iter().find(|s| s.revision.uid == *uid).map(|s| s.replicas)
    }
}

/// Nothing stands against the action; or else what does.
pub fn still(action: &Action, live: &Live) -> Result<(), Refusal> {
    if live.uid != action.uid || live.deleting {
        return Err(Refusal::Gone);
    }
    if live.revision.as_ref() != Some(&action.revision.hash) {
        return Err(Refusal::Superseded(live.revision.clone()));
    }
    let record = live.acted.as_ref().filter(|r| r.uid == live.uid && r.revision == action.revision.hash);
    match (record, &action.finishes) {
        // The record that is to be finished, and still as it was left.
        (Some(record), Some(begun)) if record == begun && live.paused => {}
        (Some(record), _) => return Err(Refusal::Already(record.clone())),
        (None, Some(_)) => return Err(Refusal::Superseded(live.revision.clone())),
        (None, None) if live.paused => return Err(Refusal::PausedByOther),
        (None, None) => {}
    }
    if live.replicas == 0 {
        return Err(Refusal::ScaledToZero);
    }
    let back = action.back_to.as_ref().map(|to| live.replicas_of(&to.uid));
    match action.verb {
        Verb::Hold if back.flatten().unwrap_or(0) == 0 => Err(Refusal::NothingToHold),
        Verb::Undo if back.flatten().is_none() => Err(Refusal::NothingToUndo),
        Verb::Pause | Verb::Hold | Verb::Undo => Ok(()),
    }
}

/// What is left to be done of a hold whose verifier ended between its two writes: the new ReplicaSet has pods still, beside that of one other
/// revision.
pub fn rest(record: &Record, live: &Live) -> Option<Action> {
    let (mut of_it, mut others) = (None, Vec::new());
    for set in live.sets.iter().filter(|s| s.replicas > 0) {
        if set.revision.hash == record.revision { of_it = Some(&set.revision) } else { others.push(&set.revision) }
    }
    let (Verb::Hold, true, Some(new), [old]) = (record.verb, live.paused, of_it, others.as_slice()) else { return None };
    Some(Action {
        verb: Verb::Hold,
        uid: record.uid.clone(),
        revision: new.clone(),
        back_to: Some((*old).clone()),
        because: record.reason.clone(),
        instead_of: None,
        finishes: Some(record.clone()),
    })
}

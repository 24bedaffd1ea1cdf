//! Whether an action has had its effect, seen from the cluster's own objects.

use super::{Action, Verb};
use crate::domain::rollout::Rollout;

/// What has come of an action that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Not to be seen yet.
    Open,
    /// Pause: the controller goes by it. Hold: no new pod is in the endpoints and the old revision has its full count ready. Undo: the old
    /// revision is complete.
    There,
    /// Somebody took it back: resumed the Deployment, or put the stopped template in again.
    TakenBack,
    /// The Deployment was given yet another template, or is gone: what was done is over.
    Overtaken,
}

/// What has come of an action that the API accepted as this generation.
pub fn effect(action: &Action, generation: i64, rollout: &Rollout) -> Effect {
    if rollout.is_lost() {
        return Effect::Overtaken;
    }
    let Some(d) = rollout.target().filter(|d| d.generation >= generation) else { return Effect::Open };
    if action.verb != Verb::Undo && !d.paused {
        return Effect::TakenBack;
    }
    if d.observed < d.generation {
        return Effect::Open;
    }
    let Some(current) = rollout.current().map(|s| &s.hash) else { return Effect::Open };
    let back_to = action.back_to.as_ref().map(|to| &to.hash);
    let wanted = if action.verb == Verb::Undo { back_to } else { Some(&action.revision.hash) };
    if Some(current) != wanted {
        // The revision's annotation may be older than the generation that was accepted, never than a later one.
        return match (action.verb, d.generation > generation) {
            (_, false) => Effect::Open,
            (Verb::Undo, true) if *current == action.revision.hash => Effect::TakenBack,
            (Verb::Pause | Verb::Hold | Verb::Undo, true) => Effect::Overtaken,
        };
    }
    let there = match (action.verb, back_to) {
        (Verb::Pause, _) => true,
        (Verb::Hold, Some(old)) => {
            let empty = rollout.set(&action.revision.hash).is_none_or(|s| s.replicas == 0);
            empty && rollout.serving_pods(&action.revision.hash) == 0 && rollout.ready_pods(old) >= d.replicas as usize
        }
        (Verb::Undo, Some(_)) => rollout.is_available() && rollout.serving_pods(&action.revision.hash) == 0,
        (Verb::Hold | Verb::Undo, None) => false,
    };
    if there { Effect::There } else { Effect::Open }
}

//! What the guard did about a breach.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Seconds;
pub use crate::domain::course::ActionOutcome;
use crate::domain::course::{Course, Deed, Undone};
use crate::domain::display::clean;
use crate::domain::rollout::guard::{self, ActionEnded, Guard, Verb};

/// The guard's action: what was done, when, and with what effect; or why nothing was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// What the scenario asks for.
    pub guard: Guard,
    /// What was done or tried: a pause where an undo has nothing to go back to; nothing when it was refused at once.
    pub verb: Option<Verb>,
    /// What came of it.
    pub outcome: ActionOutcome,
    /// That in a sentence, with its reason.
    pub what: String,
    /// The revision that was stopped, by its pod-template-hash.
    pub revision: Option<String>,
    /// The revision that came back, by its pod-template-hash.
    pub back_to: Option<String>,
    /// When it was decided.
    pub decided_s: Seconds,
    /// When the API had accepted the patch of the Deployment.
    pub accepted_s: Option<Seconds>,
    /// Hold: when the API had accepted that the new ReplicaSet is scaled to 0.
    pub scaled_s: Option<Seconds>,
    /// When its effect was first seen in the cluster's objects.
    pub effective_s: Option<Seconds>,
    /// When it was seen that somebody took it back or changed the Deployment again.
    pub undone_s: Option<Seconds>,
    /// The field manager that did so, if the API says.
    pub undone_by: Option<String>,
    /// The answer to a patch was lost, and its effect found by reading.
    pub read_back: bool,
}

impl Action {
    /// What is known of it; nothing without a breach or a guard, and in a run that is judged by other terms and never acted.
    pub fn of(course: &Course) -> Option<Self> {
        let deed = course.deed().filter(|d| d.began.is_some() || d.refused.is_some())?;
        let action = deed.action.as_ref();
        let (scaled, read_back) = match &deed.ended {
            Some(ActionEnded::Accepted { scaled, read_back, .. }) => (*scaled, *read_back),
            Some(ActionEnded::LeftAlone(_) | ActionEnded::Failed { .. }) | None => (None, false),
        };
        Some(Self {
            guard: course.head().scenario.guard,
            verb: action.map(|a| a.verb),
            outcome: deed.outcome(course.now()),
            what: clean(&what(deed, course)),
            revision: action.map(|a| clean(&a.revision.hash)),
            back_to: action.and_then(|a| a.back_to.as_ref()).map(|to| clean(&to.hash)),
            decided_s: Seconds(deed.decided),
            accepted_s: deed.accepted().map(Seconds),
            scaled_s: scaled.map(Seconds),
            effective_s: deed.effective.map(Seconds),
            undone_s: deed.undone.as_ref().map(|u| Seconds(u.at)),
            undone_by: deed.undone.as_ref().and_then(|u| u.by.as_ref()).map(|by| clean(by)),
            read_back,
        })
    }
}

fn what(deed: &Deed, course: &Course) -> String {
    let reason = match (&deed.refused, &deed.ended) {
        (Some(refusal), _) | (None, Some(ActionEnded::LeftAlone(refusal))) => return refusal.sentence(),
        (None, Some(ActionEnded::Failed { why, .. })) => Some(why.clone()),
        (None, Some(ActionEnded::Accepted { .. }) | None) => None,
    };
    let Some(action) = &deed.action else { return String::new() };
    let new = &action.revision.hash;
    let old = action.back_to.as_ref().map_or("", |to| &to.hash);
    let mut text = match action.verb {
        Verb::Pause => format!("the Deployment is paused at revision {new}"),
        Verb::Hold => format!("the Deployment is paused, revision {new} has no pods, {old} is back; the template stays"),
        Verb::Undo => format!("the template of revision {old} is back in place of {new}"),
    };
    match deed.outcome(course.now()) {
        ActionOutcome::UnderWay | ActionOutcome::NotEffective | ActionOutcome::Failed => {
            text = format!("{} of revision {new}", action.verb.label());
        }
        ActionOutcome::Effective
        | ActionOutcome::TakenBack
        | ActionOutcome::Overtaken
        | ActionOutcome::AlreadyDone
        | ActionOutcome::LeftAlone
        | ActionOutcome::Impossible => {}
    }
    let mut parts = vec![text];
    parts.extend(action.instead_of.map(|_| format!("in place of an undo: {}", guard::Refusal::NothingToUndo.sentence())));
    parts.extend(action.finishes.as_ref().map(|record| format!("it finishes what an earlier run began: {}", record.sentence())));
    parts.extend(reason);
    parts.extend(deed.undone.as_ref().map(Undone::sentence));
    if let (Verb::Pause, Some((before, most))) = (action.verb, deed.grown.filter(|(before, most)| most > before)) {
        parts.push(format!("a pause still fills the surge: pods of {new} went from {before} to {most}"));
    }
    parts.join("; ")
}

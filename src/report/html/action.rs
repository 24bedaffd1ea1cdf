//! What the guard did about a breach.

use super::markup::{Element, classed, el};
use super::section;
use crate::domain::display::{moment, span};
use crate::domain::summary::{Action, ActionOutcome, Seconds, Summary};

/// The action with its times, or why there was none.
pub(super) fn action(s: &Summary) -> Option<Element> {
    let action = s.action.as_ref()?;
    let class = match action.outcome {
        ActionOutcome::Effective | ActionOutcome::AlreadyDone => "good",
        ActionOutcome::UnderWay | ActionOutcome::Overtaken | ActionOutcome::LeftAlone => "warn",
        ActionOutcome::NotEffective | ActionOutcome::TakenBack | ActionOutcome::Impossible | ActionOutcome::Failed => "bad",
    };
    let said = classed("strong", class).text(action.outcome.label());
    let told = el("p").with(said).text(format!(": {}", action.what));
    Some(section(&format!("What the guard `{}` did", action.guard)).with(told).with(times(action)))
}

fn times(action: &Action) -> Element {
    let after = |at: Seconds| format!("{}, {} after that", moment(at.0), span(at.0.since(action.decided_s.0)));
    let entries = [
        ("decided", Some(moment(action.decided_s.0))),
        ("patch accepted", action.accepted_s.map(after)),
        ("new ReplicaSet at 0", action.scaled_s.map(after)),
        ("effective", action.effective_s.map(after)),
    ];
    let entries = entries.into_iter().filter_map(|(name, value)| Some((name, value?)));
    classed("dl", "facts").all(entries.map(|(name, value)| el("div").with(el("dt").text(name)).with(el("dd").text(value))))
}

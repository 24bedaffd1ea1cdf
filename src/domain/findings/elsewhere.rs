//! V502 and V503: what is not the rollout's doing.

use super::found::Found;
use super::seen::{Open, Seen};
use crate::domain::display::{count, plural};
use crate::domain::outcome::Blame;
use crate::domain::scenario::Step;
use crate::domain::verdict::VerdictKind;

/// One in so many requests may say nothing before that is worth a word.
const ONE_IN: u64 = 20;

/// V503: somebody else changed the Deployment meanwhile.
pub(super) fn superseded(seen: &Seen<'_>, _: &Open<'_>) -> Option<Found> {
    let rollout = &seen.course.rollout;
    let verdict = seen.course.verdict().filter(|v| v.verdict == VerdictKind::Superseded);
    let at = verdict.map_or(seen.course.now(), |v| v.at);
    let advice = "run again when nobody else changes the Deployment: what was measured is about more than one change";
    let found = |title: &str| Found::of("V503", &[], title).phase(seen.course.phase_before(at));
    if rollout.is_lost() {
        let found = found("rollout superseded: the Deployment was deleted or replaced while it was being measured");
        return Some(found.advice(advice, "a verdict"));
    }
    if let Some(verdict) = verdict {
        let found = found("rollout superseded: the Deployment was given another template than the one that is measured");
        let found = verdict.reasons.iter().fold(found, |found, reason| found.seen(reason.message.clone()));
        return Some(found.advice(advice, "a verdict about one change"));
    }
    // What was decided before that may rest on it all the same. Who observes has no steps to tell it by.
    if seen.course.head().scenario.observe.is_some() {
        return None;
    }
    seen.course.changed()?;
    let sets = rollout.sets();
    let old = sets.iter().find(|s| Some(&s.hash) == rollout.old_revision())?;
    let newer = sets.iter().filter(|s| s.revision > old.revision).count();
    let steps = &seen.course.head().scenario.when;
    let ours = |step: usize| matches!(steps.get(step), Some(Step::Apply(_) | Step::Set(_) | Step::Patch(_) | Step::Restart));
    let ours = seen.course.steps().filter(|(step, ..)| ours(*step)).count();
    if newer <= ours {
        return None;
    }
    let found = found("rollout superseded: the Deployment was given another revision than the one that is measured").seen(format!(
        "{} came after the old one, and {} of this run can have brought one",
        plural(newer as u64, "revision"),
        plural(ours as u64, "step")
    ));
    Some(found.advice(advice, "a verdict about one change"))
}

/// V502: the verifier could not send, or not see, what it had planned.
pub(super) fn prober(seen: &Seen<'_>, _: &Open<'_>) -> Option<Found> {
    let counts = seen.course.tally.measured().counts;
    let excluded = counts.of(Blame::Verifier);
    if excluded * ONE_IN <= counts.total() || excluded == 0 {
        return None;
    }
    let kinds: Vec<String> = counts
        .iter()
        .filter(|(outcome, _)| outcome.blame() == Blame::Verifier)
        .map(|(outcome, n)| format!("{} {}: {}", count(n), outcome.label(), outcome.meaning()))
        .collect();
    let title =
        format!("prober at fault: {} of {} say nothing about the target", count(excluded), plural(counts.total(), "request"));
    let found = kinds.into_iter().fold(Found::of("V502", &[], title), Found::seen);
    let advice = "lower traffic.lanes.*.rate, or give the verifier a machine of its own; for names that do not resolve use --url with an \
                  address, and for throttling raise the limit for this client";
    Some(found.advice(advice, "a verdict that rests on what was planned"))
}

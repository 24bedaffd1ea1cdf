//! V401 and V501: errors that the application itself answers with, told apart by version.

use super::found::{Found, share};
use super::seen::{Failed, Open, Seen};
use crate::domain::attribution::How;
use crate::domain::display::{count, percent};
use crate::domain::objective::Ppm;
use crate::domain::traffic::Name;

/// Fewer errors of a version than this may be an accident.
const FEW: u64 = 5;

/// What the pods of one revision answered.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    failed: u64,
    valid: u64,
}

impl Answers {
    fn of(seen: &Seen<'_>, open: &Open<'_>, revision: Option<&Name>) -> Self {
        let valid = |p: &&Name| seen.course.revision_of(p) == revision;
        let pods = seen.course.tally.pods();
        Self {
            failed: open.failures.iter().filter(|f| is_of(f, revision)).count() as u64,
            valid: pods.keys().filter(valid).filter_map(|p| pods.get(p)).map(|p| p.counts.valid()).sum(),
        }
    }

    fn share(self) -> Ppm {
        Ppm::of(self.failed, self.valid).unwrap_or(Ppm(0))
    }

    fn text(self) -> String {
        format!("{} of {} ({})", count(self.failed), count(self.valid), percent(self.share()))
    }
}

/// Answered (or cut in the middle) by a pod of this revision.
fn is_of(failed: &Failed<'_>, revision: Option<&Name>) -> bool {
    failed.who.how == How::Connection && revision.is_some() && failed.who.revision.as_ref() == revision
}

/// V501: both versions fail alike, or the service did before anything was changed.
pub(super) fn errors_of_both(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let advice = "mend the service first, or set the objective to what it can keep: this rollout neither made nor cured it";
    let gain = "a verdict about the rollout instead of one about the service";
    if seen.course.changed().is_none() {
        let before = seen.course.tally.baseline().counts;
        let (bad, valid) = (before.bad(), before.valid());
        let title =
            format!("errors of both versions: {} of {} requests failed before anything was changed", count(bad), count(valid));
        return (bad >= FEW && bad * 100 > valid).then(|| Found::of("V501", &[], title).advice(advice, gain));
    }
    let rollout = &seen.course.rollout;
    let (old, new) = (rollout.old_revision(), rollout.new_revision());
    let (of_old, of_new) = (Answers::of(seen, open, old), Answers::of(seen, open, new));
    let alike = new.is_none() || of_new.failed >= FEW && of_new.share().0 <= of_old.share().0.saturating_mul(2);
    if of_old.failed < FEW || !alike {
        return None;
    }
    let failures = open.that(|f| is_of(f, old) || is_of(f, new));
    let before = seen.course.tally.baseline().counts;
    let title = format!("errors of both versions: {}, by old and new pods alike", share(&failures, seen));
    let found = Found::of("V501", &failures, title)
        .seen(format!("failed of old pods' answers {}, of new ones' {}", of_old.text(), of_new.text()))
        .seen(format!("before the change {} of {} requests failed", count(before.bad()), count(before.valid())));
    Some(found.advice(advice, gain))
}

/// V401: the new version fails where the old one does not.
pub(super) fn more_errors(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let rollout = &seen.course.rollout;
    let new = rollout.new_revision()?;
    let (of_old, of_new) = (Answers::of(seen, open, rollout.old_revision()), Answers::of(seen, open, Some(new)));
    let more = of_new.share().0 > of_old.share().0.saturating_mul(2) + Ppm::ONE / 200;
    if of_new.failed < FEW || !more {
        return None;
    }
    let failures = open.that(|f| is_of(f, Some(new)));
    let title = format!("version regression in errors: {}, by new pods", share(&failures, seen));
    let found = Found::of("V401", &failures, title).seen(format!(
        "failed of new pods' answers {}, of old ones' at the same time {}",
        of_new.text(),
        of_old.text()
    ));
    let target = &seen.course.head().scenario.target;
    let advice = format!(
        "go back to the old version (`kubectl rollout undo deployment/{} -n {}`) and look for the error in what changed between the two",
        target.deployment, target.namespace
    );
    Some(found.advice(advice, format!("failures fall to those of old pods: {}", percent(of_old.share()))))
}

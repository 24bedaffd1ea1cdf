//! V402: answers that are good and late.

use super::found::Found;
use super::seen::{Open, Seen};
use crate::domain::display::span;
use crate::domain::judge::State;
use crate::domain::latency::Latencies;
use crate::domain::objective::{Goal, Ppm};
use crate::domain::rollout::PodLife;
use crate::domain::traffic::Name;

/// Fewer answers of a version say little about its slowest.
const FEW: u64 = 50;

fn of_revision(seen: &Seen<'_>, revision: Option<&Name>) -> Latencies {
    let pods = seen.course.tally.pods().iter().filter(|(pod, _)| revision.is_some() && seen.course.revision_of(pod) == revision);
    pods.fold(Latencies::default(), |mut all, (_, sums)| {
        all.merge(&sums.latency);
        all
    })
}

/// V402: an objective about latency is missed, and new pods are slower than old ones at the same time.
pub(super) fn slower(seen: &Seen<'_>, _: &Open<'_>) -> Option<Found> {
    let standings = seen.course.standings();
    let missed = standings.iter().filter(|s| matches!(s.state, State::Missed(_)));
    let (objective, share) = missed.into_iter().find_map(|s| match s.objective.goal {
        Goal::Latency { share, .. } => Some((&s.objective, share)),
        Goal::Availability(_) | Goal::LongestOutage(_) | Goal::DeployedWithin(_) => None,
    })?;
    let rollout = &seen.course.rollout;
    let new = rollout.new_revision()?;
    let (of_old, of_new) = (of_revision(seen, rollout.old_revision()), of_revision(seen, Some(new)));
    let at = |l: &Latencies, share| l.quantile(share).filter(|_| l.count() >= FEW);
    let (old_slow, new_slow) = (at(&of_old, share)?, at(&of_new, share)?);
    let (old_usual, new_usual) = (at(&of_old, Ppm(500_000))?, at(&of_new, Ppm(500_000))?);
    if new_slow * 2 < old_slow * 3 {
        return None;
    }
    let quantile = objective.goal.metric();
    let title = format!(
        "version regression in latency: {quantile} of new pods is {}, of old ones at the same time {}",
        span(new_slow),
        span(old_slow)
    );
    let pods: Vec<&PodLife> = seen.pods_of(Some(new)).into_iter().filter(|p| p.ready.is_some()).collect();
    let found = Found::of("V402", &[], title)
        .pods(pods)
        .phase(seen.course.phase_at(seen.course.now()))
        .seen(format!("the usual answer (p50) of new pods takes {}, of old ones {}", span(new_usual), span(old_usual)))
        .seen(format!("{objective} is missed"));
    let advice = "go back to the old version and profile the new one; if only its first answers are slow, have it warm up before it is ready";
    Some(found.advice(advice, format!("latency falls to that of old pods: {quantile} {}", span(old_slow))))
}

//! V6xx: settings that cost users something although everything works as it is told to.

use std::time::Duration;

use serde_json::json;

use super::found::{Found, after, share};
use super::patch;
use super::seen::{Failed, Open, Seen};
use super::start::falls_into;
use crate::domain::attribution::explained_by_a_missing_pod;
use crate::domain::display::{plural, span};
use crate::domain::rollout::Phase;
use crate::domain::rollout::state::Strategy;
use crate::domain::scenario::Step;
use crate::domain::time::At;

/// Longer than this nobody waits for Kubernetes to say that a rollout is stuck.
const LATE: Duration = Duration::from_mins(5);
/// What is proposed instead, in seconds: longer than any healthy start, short enough for who waits.
const DEADLINE: u64 = 120;
/// A target of an autoscaler is not raised before it has been too low for so many seconds.
const STABLE: u64 = 120;

/// The failures for want of a pod, and for how long there was none.
fn outage<'a>(seen: &Seen<'_>, open: &Open<'a>) -> Option<(Vec<&'a Failed<'a>>, Duration)> {
    let spans = seen.without_endpoints();
    let longest = spans.iter().map(|(from, to)| to.unwrap_or(seen.course.now()).since(*from)).max()?;
    let failures = open.that(|f| explained_by_a_missing_pod(f.outcome()) && falls_into(f, &spans));
    (!failures.is_empty()).then_some((failures, longest))
}

fn rolling() -> serde_json::Value {
    json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}})
}

fn nobody(longest: Duration) -> String {
    format!("for {} no pod was ready by the EndpointSlices", span(longest))
}

/// V602: all old pods go before the first new one comes.
pub(super) fn recreate(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    if seen.deployment()?.strategy != Strategy::Recreate {
        return None;
    }
    let (failures, longest) = outage(seen, open)?;
    let old = seen.pods_of(seen.course.rollout.old_revision());
    let title = format!("strategy Recreate: {}, between the last old pod and the first new one", share(&failures, seen));
    let found = Found::of("V602", &failures, title).pods(old).seen(nobody(longest));
    let advice = "roll pod by pod, the new one first; if two versions must not run side by side, this outage is the price";
    let gain = format!("nobody is without a pod: {} are answered", plural(failures.len() as u64, "failed request"));
    Some(found.set(advice, "spec.strategy", patch::deployment(seen, &rolling()), gain))
}

/// V601: as many pods may be unavailable as there are.
pub(super) fn too_few_left(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let deployment = seen.deployment()?;
    let Strategy::RollingUpdate { max_unavailable: unavailable @ 1.., .. } = deployment.strategy else { return None };
    let (failures, longest) = outage(seen, open)?;
    let replicas = plural(deployment.replicas.into(), "replica");
    let title = format!(
        "too few replicas for maxUnavailable: {}, while none of {replicas} was there ({unavailable} may be unavailable)",
        share(&failures, seen)
    );
    let old = seen.pods_of(seen.course.rollout.old_revision());
    let when = after(&failures);
    let found = Found::of("V601", &failures, title).pods(old).seen(nobody(longest));
    let found = if when.is_empty() { found } else { found.seen(format!("failures fell {when} after a pod was told to end")) };
    let advice = "let a new pod be available before an old one goes";
    let gain = format!("nobody is without a pod: {} are answered", plural(failures.len() as u64, "failed request"));
    Some(found.set(advice, "spec.strategy.rollingUpdate.maxUnavailable", patch::deployment(seen, &rolling()), gain))
}

/// V604: a stuck rollout would have been called so only much later.
pub(super) fn late_deadline(seen: &Seen<'_>, _: &Open<'_>) -> Option<Found> {
    let (stuck, changed) = seen.course.stuck().zip(seen.course.changed())?;
    let deadline = seen.deployment()?.progress_deadline;
    if deadline < LATE || stuck.reason == "ProgressDeadlineExceeded" {
        return None;
    }
    let known = seen.course.verdict().map_or(seen.course.now(), |v| v.at).since(changed);
    let title =
        format!("progress deadline too long: Kubernetes says after {} what could be known after {}", span(deadline), span(known));
    let found =
        Found::of("V604", &[], title).phase(Phase::Surging).seen(format!("progressDeadlineSeconds is {}", deadline.as_secs()));
    let advice = "set the deadline to what a healthy pod needs to become available, with some to spare: `kubectl rollout status` and alerts \
                  wait for it";
    let patch = patch::deployment(seen, &json!({"progressDeadlineSeconds": DEADLINE}));
    let gain =
        format!("a rollout that is stuck is called so {} earlier", span(deadline.saturating_sub(Duration::from_secs(DEADLINE))));
    Some(found.set(advice, "spec.progressDeadlineSeconds", patch, gain))
}

/// V603: an autoscaler took the rollout for load.
pub(super) fn inflated_by_surge(seen: &Seen<'_>, _: &Open<'_>) -> Option<Found> {
    let changed = seen.course.changed()?;
    let scaled_by_us = seen.course.head().scenario.when.iter().any(|step| matches!(step, Step::Scale(_)));
    let rising = seen.course.head().scenario.traffic.lanes.values().any(|lane| !lane.profile.is_empty());
    if scaled_by_us || rising {
        return None;
    }
    let before = seen.course.rollout.replicas_at(changed)?;
    let (at, autoscaler, most) = rescales(seen, changed).max_by_key(|(_, _, size)| *size).filter(|(_, _, size)| *size > before)?;
    let title = format!(
        "autoscaler inflated by the rollout: from {before} to {} under traffic that did not change",
        plural(most.into(), "replica")
    );
    let found = Found::of("V603", &[], title)
        .phase(seen.course.phase_before(at))
        .seen(format!("HorizontalPodAutoscaler {autoscaler} raised the target {} after the change began", span(at.since(changed))));
    let advice = "let the autoscaler wait before it scales up: what starting pods use is not load";
    let namespace = &seen.course.head().scenario.target.namespace;
    let patch = json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": autoscaler, "namespace": namespace},
        "spec": {"behavior": {"scaleUp": {"stabilizationWindowSeconds": STABLE}}},
    });
    let gain = format!("a rollout does not cost {} more", plural(u64::from(most - before), "pod"));
    Some(found.set(advice, "spec.behavior.scaleUp.stabilizationWindowSeconds", patch, gain))
}

/// What autoscalers did to the Deployment after the change: when, which one, and to which size. The Event does not name what was scaled, so the
/// Deployment must have been given that size; of the two the one that was seen first tells when.
fn rescales<'a>(seen: &'a Seen<'_>, changed: At) -> impl Iterator<Item = (At, &'a str, u32)> {
    let events = seen.course.kube_events();
    let rescaled = events.filter(|(_, e)| &*e.kind == "HorizontalPodAutoscaler" && &*e.reason == "SuccessfulRescale");
    rescaled.filter(move |(told, _)| *told >= changed).filter_map(move |(told, e)| {
        let size = size(&e.message)?;
        let given = seen.course.rollout.scaled_to(size, changed)?;
        Some((given.min(*told), &*e.name, size))
    })
}

/// `New size: 6; reason: …`
fn size(message: &str) -> Option<u32> {
    message.strip_prefix("New size: ")?.split(';').next()?.trim().parse().ok()
}

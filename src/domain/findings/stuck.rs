//! V3xx: what keeps a rollout from completing.

use serde_json::json;

use super::found::Found;
use super::seen::{Open, Seen};
use crate::domain::display::plural;
use crate::domain::rollout::state::Strategy;
use crate::domain::rollout::{PodLife, Stuck};

/// Why the rollout cannot complete, if its reason is one of these and nothing has explained it yet.
fn stuck(seen: &Seen<'_>, open: &Open<'_>, reasons: &[&str]) -> Option<Stuck> {
    let explained = open.has(&["V203", "V204", "V305"]);
    let stuck = seen.course.stuck().cloned().or_else(|| seen.course.rollout.stuck(seen.course.now()).ok())?;
    (!explained && reasons.contains(&stuck.reason.as_str())).then_some(stuck)
}

fn found(seen: &Seen<'_>, code: &'static str, stuck: &Stuck, title: String) -> Found {
    let pod: Option<&PodLife> = stuck.pod.as_ref().and_then(|pod| seen.course.rollout.pod_named(pod));
    let at = seen.course.verdict().map_or(seen.course.now(), |v| v.at);
    Found::of(code, &[], title).pods(pod).phase(seen.course.phase_at(at)).seen(format!("{}: {}", stuck.reason, stuck.message))
}

/// V301: containers end as often as they are started.
pub(super) fn crash_loop(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let stuck = stuck(seen, open, &["CrashLoopBackOff"])?;
    let pod = stuck.pod.clone()?;
    let restarts: u32 = seen.course.rollout.pod_named(&pod)?.state.containers.iter().map(|c| c.restarts).sum();
    let found = found(
        seen,
        "V301",
        &stuck,
        format!("crash loop: the new version ends again and again, {}", plural(restarts.into(), "restart")),
    );
    let namespace = &seen.course.head().scenario.target.namespace;
    let advice =
        format!("read its last words with `kubectl logs -n {namespace} {pod} --previous`; the old version can stay meanwhile");
    Some(found.advice(advice, "none by a manifest field: the version has to be mended"))
}

/// V302: the image cannot be had.
pub(super) fn image_pull(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let stuck = stuck(seen, open, &["ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"])?;
    let images = |set: &crate::domain::rollout::state::ReplicaSetState| set.images.clone();
    let wanted = seen.course.rollout.current().map(images).unwrap_or_default();
    let old = seen.course.rollout.old_revision();
    let before = seen.course.rollout.sets().into_iter().find(|s| Some(&s.hash) == old).map(images).unwrap_or_default();
    let new: Vec<&str> = wanted.iter().filter(|pair| !before.contains(pair)).map(|(_, image)| &**image).collect();
    let old: Vec<&str> = before.iter().map(|(_, image)| &**image).collect();
    let found = found(seen, "V302", &stuck, format!("image pull: {} cannot be had", new.join(", ")));
    let advice = format!(
        "check name, tag and pull secret of the image (it was {} before); a tag that CI has not pushed yet, and a name that is misspelt, \
         are the usual reasons",
        old.join(", ")
    );
    Some(found.advice(advice, "the rollout goes on as soon as the image is there"))
}

/// V303: no node takes the pod.
pub(super) fn unschedulable(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let stuck = stuck(seen, open, &["Unschedulable"])?;
    let found = found(seen, "V303", &stuck, "unschedulable: no node has room for the new pods".to_owned());
    let advice = "lower resources.requests to what the program needs, add nodes, or roll without surge \
                  (strategy.rollingUpdate: maxSurge 0, maxUnavailable 1), which needs no more room than there is";
    Some(found.advice(advice, "the rollout goes on as soon as a node has room"))
}

/// V304: the namespace may not have more.
pub(super) fn quota(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let stuck = stuck(seen, open, &["FailedCreate"]).filter(|s| s.message.contains(EXCEEDED))?;
    let deployment = seen.deployment()?;
    let found = found(seen, "V304", &stuck, "quota: the namespace may not have the pods that the rollout needs".to_owned());
    let gain = "the rollout goes on";
    let surge = match deployment.strategy {
        Strategy::RollingUpdate { max_surge, .. } => max_surge,
        Strategy::Recreate => 0,
    };
    let Some((quota, limit)) = pods_of_quota(&stuck.message) else {
        return Some(found.advice("raise the quota by what the surge asks for, or ask for less in resources.requests", gain));
    };
    // Old pods on their way out count until they are gone, so that at worst all of both versions do.
    let needed = limit + deployment.replicas + surge;
    let advice = format!(
        "raise the quota to {needed} pods, so that old ones on their way out fit beside new ones; or roll without surge \
         (strategy.rollingUpdate: maxSurge 0, maxUnavailable 1)"
    );
    let namespace = &seen.course.head().scenario.target.namespace;
    let patch = json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": quota, "namespace": namespace},
        "spec": {"hard": {"pods": needed.to_string()}},
    });
    Some(found.set(advice, "spec.hard.pods", patch, gain))
}

/// How the API server says that a quota is in the way.
const EXCEEDED: &str = "exceeded quota: ";

/// The quota's name and how many pods it allows, if it is pods that there are too many of.
fn pods_of_quota(message: &str) -> Option<(&str, u32)> {
    let (name, rest) = message.split_once(EXCEEDED)?.1.split_once(',')?;
    let limited = rest.split_once("limited: ")?.1;
    let pods = limited.split([',', ' ']).find_map(|part| part.strip_prefix("pods="))?;
    let digits = pods.find(|c: char| !c.is_ascii_digit()).unwrap_or(pods.len());
    Some((name.trim(), pods[..digits].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_of_pods_is_told_from_one_of_something_else() {
        let of = |what| {
            format!("pods \"b-x\" is forbidden: exceeded quota: small, requested: {what}=1, used: {what}=4, limited: {what}=4")
        };
        assert_eq!(pods_of_quota(&of("pods")), Some(("small", 4)));
        assert_eq!(pods_of_quota(&of("requests.cpu")), None);
        assert_eq!(pods_of_quota("no such thing"), None);
    }
}

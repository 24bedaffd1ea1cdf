//! What does not get better by itself: image pulls, crash loops, missing configuration, no room, no quota.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Rollout;
use super::state::{Condition, ContainerNow, ContainerState, DeploymentState, PodState};
use crate::domain::time::At;
use crate::domain::traffic::Name;

/// Trouble that may pass within moments (a slow registry, a ConfigMap applied a little later) is given this long.
const PATIENCE: Duration = Duration::from_secs(3);
/// A cluster autoscaler may still add a node.
const UNSCHEDULABLE_PATIENCE: Duration = Duration::from_secs(8);

/// Why a rollout will not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// The pod, if it got that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Name>,
    /// Kubernetes' own word: `ImagePullBackOff`, `CrashLoopBackOff`, `Unschedulable`, `FailedCreate`, `ProgressDeadlineExceeded`.
    pub reason: String,
    /// The detail, for people.
    pub message: String,
}

impl Stuck {
    /// One sentence.
    pub fn sentence(&self) -> String {
        match &self.pod {
            Some(pod) => format!("the rollout cannot complete: pod {pod} is in {}: {}", self.reason, self.message),
            None => format!("the rollout cannot complete: {}: {}", self.reason, self.message),
        }
    }

    /// What to type to see more.
    pub fn command(&self, namespace: &str) -> String {
        match (&self.pod, self.reason.as_str()) {
            (Some(pod), "CrashLoopBackOff") => format!("kubectl logs -n {namespace} {pod} --previous"),
            (Some(pod), _) => format!("kubectl describe pod -n {namespace} {pod}"),
            (None, "FailedCreate") => format!("kubectl describe quota,limits -n {namespace}"),
            (None, _) => format!("kubectl get events -n {namespace} --sort-by=.lastTimestamp"),
        }
    }
}

/// What is wrong with a pod, and how long that may last.
pub(super) fn trouble(pod: &PodState) -> Option<(String, String, Duration)> {
    if let Some(why) = &pod.unschedulable {
        return Some(("Unschedulable".into(), why.clone(), UNSCHEDULABLE_PATIENCE));
    }
    pod.containers.iter().find_map(container_trouble)
}

fn container_trouble(container: &ContainerState) -> Option<(String, String, Duration)> {
    let ContainerNow::Waiting { reason, message } = &container.now else { return None };
    let patience = match reason.as_str() {
        "CrashLoopBackOff" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => Duration::ZERO,
        "ErrImagePull" | "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" | "StartError" => PATIENCE,
        _ => return None,
    };
    let detail = match (&container.last_exit, reason.as_str()) {
        (Some(exit), "CrashLoopBackOff") => {
            format!(
                "container {} exited with code {} ({}), {} restarts",
                container.name, exit.code, exit.reason, container.restarts
            )
        }
        _ if message.is_empty() => format!("container {}", container.name),
        _ => format!("container {}: {message}", container.name),
    };
    Some((reason.clone(), detail, patience))
}

/// Kubernetes says that the rollout is late.
pub(super) fn deadline_exceeded(d: &DeploymentState) -> Option<&Condition> {
    let says = |c: &&Condition| &*c.kind == "Progressing" && c.status == Some(false) && c.reason == "ProgressDeadlineExceeded";
    d.conditions.iter().find(says)
}

/// The first trouble whose patience has run out; or else the moment the next one's does.
pub(super) fn find(rollout: &Rollout, now: At) -> Result<Stuck, Option<At>> {
    let mut next: Option<At> = None;
    let mut due = |since: At, patience: Duration| {
        let at = since + patience;
        if at > now {
            next = Some(next.map_or(at, |n| n.min(at)));
        }
        at <= now
    };
    let current = rollout.current();
    for pod in rollout.pods() {
        let wanted = current.is_some_and(|c| c.hash == pod.state.revision);
        if let Some(((reason, message, patience), since)) = trouble(&pod.state).zip(pod.troubled)
            && wanted
            && pod.is_active()
            && due(since, patience)
        {
            return Ok(Stuck { pod: Some(pod.state.name.clone()), reason, message });
        }
    }
    if let Some(set) = current
        && let Some((failure, since)) = set.failure.as_ref().zip(rollout.set_trouble.get(&set.uid))
        && due(*since, PATIENCE)
    {
        return Ok(Stuck { pod: None, reason: failure.reason.clone(), message: failure.message.clone() });
    }
    let fresh = |d: &&DeploymentState| d.observed >= rollout.wanted.unwrap_or(d.generation);
    let deadline = rollout.target().filter(fresh).and_then(deadline_exceeded);
    if let Some(condition) = deadline.filter(|_| !rollout.late_at_the_gate) {
        return Ok(Stuck { pod: None, reason: condition.reason.clone(), message: condition.message.clone() });
    }
    Err(next)
}

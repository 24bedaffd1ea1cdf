//! Letting a pod in: its condition is set once, by a patch that names the pod's uid. Nothing is sent twice; when the answer is lost, the pod
//! is read until it tells.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::guard::write::{self, Patching, Sent};
use crate::clock::Clock;
use crate::domain::admission::{AdmissionEnded, Came, GATE, MANAGER, Permit};

/// Longest time altogether: the patch, and reading back after a lost answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Between two looks at the pod.
const RETRY: Duration = Duration::from_millis(200);

/// Sets the condition of a pod, on a client that never retries by itself. Never takes longer than a few seconds.
pub async fn open(client: &Client, clock: Clock, namespace: &str, run: &str, permit: &Permit) -> AdmissionEnded {
    let deadline: Instant = clock.instant(clock.now() + DEADLINE).into();
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}/status", permit.pod);
    let now = clock.stamp();
    let patching = Patching { content_type: "application/strategic-merge-patch+json", manager: MANAGER };
    let outcome = match write::send_as(client, &path, &patch(permit, run, &now), patching).await {
        Sent::Accepted(_) => Came::Opened { read_back: false },
        // The uid is the only precondition.
        Sent::Gone | Sent::Conflict(_) => Came::Gone,
        Sent::Refused(why) => Came::Failed { why },
        Sent::Unknown(why) => match read_back(client, namespace, permit, deadline).await {
            Some(came) => came,
            None => Came::Failed { why: format!("{why}, and it is not to be seen that it took effect") },
        },
    };
    AdmissionEnded { uid: permit.uid.clone(), outcome }
}

/// A strategic merge patch: conditions are told apart by their type, so that no other one is touched.
fn patch(permit: &Permit, run: &str, now: &str) -> Value {
    let message = format!("{} (verifier run {run})", permit.basis.sentence());
    let condition = json!({"type": GATE, "status": "True", "reason": permit.basis.reason(), "message": message,
        "lastTransitionTime": now, "lastProbeTime": null});
    json!({"metadata": {"uid": permit.uid}, "status": {"conditions": [condition]}})
}

/// Reads until the condition is there, the pod is gone, or the deadline passes.
async fn read_back(client: &Client, namespace: &str, permit: &Permit, deadline: Instant) -> Option<Came> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    // A list needs no other permission than the watch of pods does.
    let params = ListParams::default().fields(&format!("metadata.name={}", permit.pod));
    loop {
        if let Ok(found) = timeout_at(deadline, api.list(&params)).await.ok()? {
            let pod = found.items.into_iter().find(|p| p.metadata.uid.as_deref() == Some(&*permit.uid));
            let Some(pod) = pod else { return Some(Came::Gone) };
            let conditions = pod.status.and_then(|s| s.conditions).unwrap_or_default();
            if conditions.iter().any(|c| c.type_ == GATE && c.status == "True") {
                return Some(Came::Opened { read_back: true });
            }
        }
        timeout_at(deadline, sleep(RETRY)).await.ok()?;
    }
}

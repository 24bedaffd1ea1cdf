//! Letting a pod in: its condition is set by a patch that names the pod's uid. When it is not known to have been written, the pod is read; and
//! while its condition is not there, the very same patch is sent again: however often it arrives, the pod is let in once, and no other.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::guard::write::{self, Patching, Sent};
use crate::clock::Clock;
use crate::domain::admission::{AdmissionEnded, Came, GATE, MANAGER, Permit};

/// After this nothing is sent any more.
const DEADLINE: Duration = Duration::from_secs(5);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);

/// Sets the condition of a pod, on a client that never retries by itself. Never takes longer than a few seconds.
pub async fn open(client: &Client, clock: Clock, namespace: &str, run: &str, permit: &Permit) -> AdmissionEnded {
    let patch = patch(permit, run, &clock.stamp());
    AdmissionEnded { uid: permit.uid.clone(), outcome: set(client, clock, namespace, permit, &patch).await }
}

async fn set(client: &Client, clock: Clock, namespace: &str, permit: &Permit, patch: &Value) -> Came {
    let deadline: Instant = clock.instant(clock.now() + DEADLINE).into();
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}/status", permit.pod);
    let patching = Patching { content_type: "application/strategic-merge-patch+json", manager: MANAGER };
    loop {
        let why = match write::send_as(client, &path, patch, patching).await {
            Sent::Accepted(_) => return Came::Opened { read_back: false },
            Sent::Gone => return Came::Gone,
            Sent::Refused(why) => return Came::Failed { why },
            // Another pod has its name, or this one was written to at the same moment by others.
            Sent::Conflict(why) => why,
            Sent::Unknown(why) => format!("{why}, and it is not to be seen that it took effect"),
        };
        match timeout_at(deadline, look(client, namespace, permit)).await {
            Ok(Ok(Found::Open)) => return Came::Opened { read_back: true },
            Ok(Ok(Found::Gone)) => return Came::Gone,
            Ok(Ok(Found::Closed) | Err(_)) if timeout_at(deadline, sleep(RETRY)).await.is_ok() => {}
            _ => return Came::Failed { why },
        }
    }
}

/// A strategic merge patch: conditions are told apart by their type, so that no other one is touched.
fn patch(permit: &Permit, run: &str, now: &str) -> Value {
    let message = format!("{} (verifier run {run})", permit.basis.sentence());
    let condition = json!({"type": GATE, "status": "True", "reason": permit.basis.reason(), "message": message,
        "lastTransitionTime": now, "lastProbeTime": null});
    json!({"metadata": {"uid": permit.uid}, "status": {"conditions": [condition]}})
}

/// How the pod is found.
enum Found {
    /// Its condition is set.
    Open,
    /// It is not.
    Closed,
    /// There is no pod of this uid.
    Gone,
}

/// Reads the pod.
async fn look(client: &Client, namespace: &str, permit: &Permit) -> Result<Found, kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    // A list needs no other permission than the watch of pods does.
    let found = api.list(&ListParams::default().fields(&format!("metadata.name={}", permit.pod))).await?;
    let pod = found.items.into_iter().find(|p| p.metadata.uid.as_deref() == Some(&*permit.uid));
    let Some(pod) = pod else { return Ok(Found::Gone) };
    let conditions = pod.status.and_then(|s| s.conditions).unwrap_or_default();
    let open = conditions.iter().any(|c| c.type_ == GATE && c.status == "True");
    Ok(if open { Found::Open } else { Found::Closed })
}

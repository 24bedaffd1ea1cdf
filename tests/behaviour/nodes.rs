//! Nodes, probes, endpoints and evictions.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams};
use kube::{Error, ResourceExt};
use serde_json::{Value, json};

use super::{Stage, until};

/// The status of a pod's condition, with the time of its last turn.
fn turned(pod: &Pod, kind: &str) -> Option<(String, DateTime<Utc>)> {
    let pod = serde_json::to_value(pod).unwrap();
    let condition = pod["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)?.clone();
    Some((condition["status"].as_str()?.to_owned(), time(&condition["lastTransitionTime"])?))
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|t| t.to_utc())
}

fn is(pod: &Pod, kind: &str) -> Option<bool> {
    turned(pod, kind).map(|(status, _)| status == "True")
}

async fn only_pod(stage: &Stage) -> Pod {
    let pods = stage.pods().await;
    assert_eq!(pods.len(), 1, "{pods:#?}");
    pods.into_iter().next().unwrap()
}

/// A pod with a gate is ready when its containers are and somebody has said that the gate is open.
pub(super) async fn readiness_gates(stage: Stage) {
    stage.web(1, json!({"template": {"spec": {"readinessGates": [{"conditionType": "example.com/open"}]}}})).await;
    let name = until("ready containers", async || {
        let pods = stage.pods().await;
        match pods.first() {
            Some(pod) if is(pod, "ContainersReady") == Some(true) && is(pod, "Ready") == Some(false) => Ok(pod.name_any()),
            _ => Err(format!("{:?}", pods.first().map(|pod| &pod.status))),
        }
    })
    .await;
    let deployment = stage.deployment().await;
    assert_eq!(deployment.status.unwrap_or_default().ready_replicas.unwrap_or(0), 0);
    let open = json!({"status": {"conditions": [{"type": "example.com/open", "status": "True"}]}});
    stage.api::<Pod>().patch_status(&name, &PatchParams::default(), &Patch::Strategic(open)).await.unwrap();
    stage.complete().await;
    assert_eq!(is(&only_pod(&stage).await, "Ready"), Some(true));
}

/// A pod that ends leaves the endpoints at once as far as readiness goes, and is still said to serve while it does.
pub(super) async fn endpoints_of_a_pod_that_ends(stage: Stage) {
    let gently = json!({"terminationGracePeriodSeconds": 20, "containers": [{"name": "web", "lifecycle": {"preStop": {"sleep": {"seconds": 6}}}}]});
    stage.web(1, json!({"template": {"spec": gently}})).await;
    stage
        .create::<Service>(
            json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]}}),
        )
        .await;
    stage.complete().await;
    let name = only_pod(&stage).await.name_any();
    let conditions = async || {
        let slices = stage.api::<EndpointSlice>().list(&ListParams::default()).await.unwrap().items;
        let mut all = slices.into_iter().flat_map(|s| s.endpoints);
        let ours = all.find(|e| e.target_ref.as_ref().and_then(|t| t.name.as_deref()) == Some(&*name));
        ours.and_then(|e| e.conditions).map(|c| [c.ready, c.serving, c.terminating].map(Option::unwrap_or_default))
    };
    let become_so = async |wanted: Option<[bool; 3]>| {
        until(&format!("ready, serving, terminating as in {wanted:?}"), async || {
            let now = conditions().await;
            if now == wanted { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
    };
    become_so(Some([true, true, false])).await;
    stage.api::<Pod>().delete(&name, &DeleteParams::default()).await.unwrap();
    become_so(Some([false, true, true])).await;
    become_so(None).await;
}

/// Deletes the pod, and tells how long it takes to go.
async fn takes(stage: &Stage) -> Duration {
    let name = only_pod(stage).await.name_any();
    let start = Instant::now();
    stage.api::<Pod>().delete(&name, &DeleteParams::default()).await.unwrap();
    until("end of the pod", async || match stage.api::<Pod>().get_opt(&name).await.unwrap() {
        None => Ok(()),
        Some(pod) => Err(format!("{:?}", pod.status)),
    })
    .await;
    let took = start.elapsed();
    stage.complete().await;
    took
}

/// SIGTERM comes after preStop; who ignores it is killed when the grace period is over, which began before preStop.
pub(super) async fn pre_stop_and_grace(stage: Stage) {
    let ending = |grace: u32, drain: &str| {
        let container =
            json!({"name": "web", "lifecycle": {"preStop": {"sleep": {"seconds": 2}}}, "env": [{"name": "DRAIN", "value": drain}]});
        json!({"strategy": {"type": "Recreate", "rollingUpdate": null}, "template": {"spec": {"terminationGracePeriodSeconds": grace, "containers": [container]}}})
    };
    stage.web(1, ending(30, "abrupt")).await;
    stage.complete().await;
    let took = takes(&stage).await;
    assert!((Duration::from_secs(2)..Duration::from_secs(12)).contains(&took), "{took:?}");
    stage.patch(ending(5, "ignore")).await;
    stage.complete().await;
    let took = takes(&stage).await;
    assert!((Duration::from_secs(5)..Duration::from_secs(15)).contains(&took), "{took:?}");
}

/// No probe is asked before its initial delay is over.
pub(super) async fn probe_timing(stage: Stage) {
    let probe = json!({"initialDelaySeconds": 4, "periodSeconds": 1});
    stage.web(1, json!({"template": {"spec": {"containers": [{"name": "web", "readinessProbe": probe}]}}})).await;
    stage.complete().await;
    let pod = only_pod(&stage).await;
    let (_, ready) = turned(&pod, "Ready").unwrap();
    let state = serde_json::to_value(&pod).unwrap()["status"]["containerStatuses"][0]["state"].clone();
    let took = (ready - time(&state["running"]["startedAt"]).unwrap()).num_seconds();
    // Both are whole seconds.
    assert!((3..=9).contains(&took), "{took} s");
}

/// A budget of one lets one pod go, and refuses the next until that one has a successor.
pub(super) async fn eviction_against_a_budget(stage: Stage) {
    let slow = json!({"template": {"spec": {"containers": [{"name": "web", "readinessProbe": {"initialDelaySeconds": 3}}]}}});
    stage.web(2, slow).await;
    let budget = json!({"metadata": {"name": "web"}, "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    stage.create::<PodDisruptionBudget>(budget).await;
    stage.complete().await;
    until("a budget of one", async || {
        let status = stage.api::<PodDisruptionBudget>().get("web").await.unwrap().status;
        if status.as_ref().is_some_and(|s| s.disruptions_allowed == 1 && s.current_healthy == 2) {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;
    let names: Vec<String> = stage.pods().await.iter().map(ResourceExt::name_any).collect();
    let pods = stage.api::<Pod>();
    pods.evict(&names[0], &EvictParams::default()).await.unwrap();
    match pods.evict(&names[1], &EvictParams::default()).await {
        Err(Error::Api(status)) => assert_eq!((status.code, &*status.reason), (429, "TooManyRequests"), "{status:?}"),
        other => panic!("{other:?}"),
    }
    until("another eviction", async || pods.evict(&names[1], &EvictParams::default()).await.map_err(|e| e.to_string())).await;
}

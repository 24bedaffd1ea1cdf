//! The Deployment controller.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ResourceQuota;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Stage, condition, env, until};

/// Five pods, of which up to two more and one less may be there.
async fn five(stage: &Stage) {
    stage.web(5, json!({"strategy": {"rollingUpdate": {"maxSurge": "30%", "maxUnavailable": "30%"}}})).await;
    stage.complete().await;
}

/// Waits until the ReplicaSets are to have so many pods, by revision.
async fn stands_at(stage: &Stage, wanted: &[i32]) {
    until(&format!("ReplicaSets with {wanted:?}"), async || {
        let now = stage.wanted().await;
        if now == wanted { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}

/// A surge is rounded up and what may be missing down: a rollout of five of which nothing becomes ready stands at 4 old and 3 new pods. Pods of
/// a revision that was given up go first, and available pods never are too few.
pub(super) async fn rolling_update_arithmetic(stage: Stage) {
    five(&stage).await;
    stage.patch(env("READY_DELAY", "1h")).await;
    stands_at(&stage, &[4, 3]).await;
    stage.patch(env("READY_DELAY", "0s")).await;
    until("the third revision alone, always within its bounds", async || {
        let (wanted, deployment) = (stage.wanted().await, stage.deployment().await);
        let status = deployment.status.unwrap_or_default();
        let available = status.available_replicas.unwrap_or(0);
        assert!(wanted.iter().sum::<i32>() <= 7 && available >= 4, "{wanted:?}, {available} available");
        let is = wanted == [0, 0, 5] && available == 5 && status.replicas == Some(5);
        if is { Ok(()) } else { Err(format!("{wanted:?} {status:?}")) }
    })
    .await;
}

/// A pod that is ready counts as available only so much later.
pub(super) async fn min_ready_seconds(stage: Stage) {
    stage.web(1, json!({"minReadySeconds": 4})).await;
    let ready = until("a ready pod", async || {
        let status = stage.deployment().await.status.unwrap_or_default();
        let (ready, available) = (status.ready_replicas.unwrap_or(0), status.available_replicas.unwrap_or(0));
        assert_eq!(available, 0, "available before it was seen ready");
        if ready == 1 { Ok(Instant::now()) } else { Err(format!("{status:?}")) }
    })
    .await;
    stage.complete().await;
    // The time of readiness is kept in whole seconds, and it is seen a little later.
    let took = ready.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&took), "{took:?}");
}

/// A rollout that gets no further says so after its deadline, and takes that back when it is complete.
pub(super) async fn progress_deadline(stage: Stage) {
    stage.web(1, json!({"progressDeadlineSeconds": 4})).await;
    stage.complete().await;
    let start = Instant::now();
    stage.patch(env("READY_DELAY", "1h")).await;
    let says = async |status: &str, reason: &str| {
        until(&format!("Progressing {status} for {reason}"), async || {
            let now = condition(&stage.deployment().await, "Progressing");
            if now == Some((status.into(), reason.into())) { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
    };
    says("False", "ProgressDeadlineExceeded").await;
    let took = start.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_secs(20)).contains(&took), "{took:?}");
    assert_eq!(stage.wanted().await, [1, 1], "it is told and nothing else");
    stage.patch(env("READY_DELAY", "0s")).await;
    says("True", "NewReplicaSetAvailable").await;
}

/// A paused rollout makes no step, but takes on another number of replicas: in proportion.
pub(super) async fn pause_and_proportional_scaling(stage: Stage) {
    five(&stage).await;
    stage.patch(env("READY_DELAY", "1h")).await;
    stands_at(&stage, &[4, 3]).await;
    stage.patch(json!({"paused": true})).await;
    until("a paused Deployment", async || {
        let now = condition(&stage.deployment().await, "Progressing");
        if now == Some(("Unknown".into(), "DeploymentPaused".into())) { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    stage.patch(json!({"replicas": 10})).await;
    stands_at(&stage, &[7, 6]).await;
    stage.patch(env("READY_DELAY", "0s")).await;
    stage.patch(json!({"replicas": 5})).await;
    // Of seven in all, again in proportion; and the third template has made nothing.
    stands_at(&stage, &[4, 3]).await;
}

/// The template of an earlier revision takes up that revision's ReplicaSet again, under the next number.
pub(super) async fn rollback_takes_the_old_replica_set_again(stage: Stage) {
    stage.web(1, json!({})).await;
    stage.complete().await;
    stage.patch(env("LATENCY", "1ms")).await;
    stage.complete().await;
    let before: Vec<String> = stage.sets().await.iter().map(ResourceExt::name_any).collect();
    assert_eq!(before.len(), 2);
    stage
        .patch(json!({"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "LATENCY", "$patch": "delete"}]}]}}}))
        .await;
    stage.complete().await;
    let after = stage.sets().await;
    let revisions: Vec<&str> = after.iter().map(|s| &*s.annotations()["deployment.kubernetes.io/revision"]).collect();
    assert_eq!(revisions, ["2", "3"]);
    let names: Vec<String> = after.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, [&*before[1], &*before[0]]);
    stands_at(&stage, &[0, 1]).await;
}

/// Pods that a quota forbids are told of in the Deployment's status, and made as soon as there is room.
pub(super) async fn quota_is_told_and_tried_again(stage: Stage) {
    stage.create::<ResourceQuota>(json!({"metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}})).await;
    until("a quota that is counted", async || {
        let quota = stage.api::<ResourceQuota>().get("few").await.unwrap();
        if quota.status.as_ref().is_some_and(|s| s.hard.is_some()) { Ok(()) } else { Err(format!("{:?}", quota.status)) }
    })
    .await;
    stage.web(2, json!({})).await;
    until("a ReplicaFailure", async || {
        let status = stage.deployment().await.status.unwrap_or_default();
        let mut conditions = status.conditions.iter().flatten();
        let told = conditions.any(|c| {
            let message = c.message.as_deref().unwrap_or_default();
            (&*c.type_, &*c.status, c.reason.as_deref()) == ("ReplicaFailure", "True", Some("FailedCreate"))
                && message.contains("exceeded quota: few")
        });
        if told { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    let more = Patch::Merge(json!({"spec": {"hard": {"pods": "2"}}}));
    stage.api::<ResourceQuota>().patch("few", &PatchParams::default(), &more).await.unwrap();
    let deployment = stage.complete().await;
    assert_eq!(condition(&deployment, "ReplicaFailure"), None);
}

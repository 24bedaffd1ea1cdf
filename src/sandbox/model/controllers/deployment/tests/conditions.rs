//! What the status and the events say.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::sandbox::model::controllers::queue::Queue;
use crate::sandbox::model::controllers::refusals::Refusals;
use crate::sandbox::model::controllers::testing::*;
use crate::sandbox::model::controllers::{deployment, replica_set};
use crate::sandbox::model::object::{Now, Object, name, resource, time};
use crate::sandbox::model::store::Store;
use crate::sandbox::model::suffix::Suffixes;
use crate::sandbox::model::virtual_cluster::VirtualCluster;
use crate::sandbox::model::virtual_node::Behavior;
use crate::sandbox::model::write::{Read, Write};

const NEVER: Behavior = Behavior { ready: None, ..QUICK };

fn set_of(store: &Store, image: &str) -> Object {
    let sets = store.list(&resource::REPLICA_SETS, Some(NAMESPACE));
    sets.into_iter().find(|s| s["spec"]["template"]["spec"]["containers"][0]["image"] == image).unwrap()
}

/// The reasons and times in seconds at which the Progressing condition changed its reason.
fn progress(cluster: &mut VirtualCluster, for_seconds: i64) -> Vec<(i64, String)> {
    let begun = cluster.now();
    let mut seen = vec![(0, reason(&web(cluster), "Progressing").unwrap_or("none").to_owned())];
    let mut observe = |store: &Store, now: Now| {
        let web = store.list(&resource::DEPLOYMENTS, None).remove(0);
        let reason = reason(&web, "Progressing").unwrap_or("none").to_owned();
        if seen.last().is_some_and(|(_, last)| *last != reason) {
            seen.push(((now - begun).num_seconds(), reason));
        }
    };
    cluster.settle_watched(&mut observe);
    while cluster.now() < begun + seconds(for_seconds) && cluster.tick(&mut observe) {}
    seen
}

fn reasons(seen: &[(i64, String)]) -> Vec<&str> {
    seen.iter().map(|(_, reason)| reason.as_str()).collect()
}

#[test]
fn a_complete_rollout_has_this_status() {
    let cluster = running(|_| QUICK, deployment(3, "a", json!({})));
    let mut status = web(&cluster)["status"].clone();
    let set = set_of(cluster.store(), "a");
    status["conditions"].as_array_mut().unwrap().sort_by_key(|c| c["type"].to_string());
    let (begun, done) = (time(start()), time(start() + seconds(1)));
    let want = json!({
        "observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3,
        "terminatingReplicas": 0,
        "conditions": [
            {
                "type": "Available", "status": "True", "lastUpdateTime": done, "lastTransitionTime": done,
                "reason": "MinimumReplicasAvailable", "message": "Deployment has minimum availability.",
            },
            {
                "type": "Progressing", "status": "True", "lastUpdateTime": done, "lastTransitionTime": begun,
                "reason": "NewReplicaSetAvailable", "message": format!("ReplicaSet \"{}\" has successfully progressed.",
                    name(&set)),
            },
        ],
    });
    assert_eq!(status, want);
    let status = json!({
        "observedGeneration": 1, "replicas": 3, "fullyLabeledReplicas": 3, "readyReplicas": 3, "availableReplicas": 3,
        "terminatingReplicas": 0,
    });
    assert_eq!(set["status"], status);
}

#[test]
fn a_rollout_in_the_middle_counts_what_is_there() {
    let mut cluster = running(|image| if image == "b" { NEVER } else { QUICK }, deployment(3, "a", rolling(1, 1)));
    set_image(&mut cluster, "b");
    cluster.settle();
    let counts = |status: &Value| {
        let fields =
            ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas", "terminatingReplicas"];
        fields.map(|f| status[f].as_i64().unwrap_or(0))
    };
    assert_eq!(shape(&cluster), "a:2 b:2");
    assert_eq!(counts(&web(&cluster)["status"]), [4, 2, 2, 2, 2, 1]);
    cluster.advance(seconds(2));
    assert_eq!(counts(&web(&cluster)["status"]), [4, 2, 2, 2, 2, 0]);
    assert_eq!(reason(&web(&cluster), "Available"), Some("MinimumReplicasAvailable"));
}

#[test]
fn the_first_rollout_is_created_updated_available() {
    let mut cluster = cluster(|_| QUICK);
    create(&mut cluster, resource::DEPLOYMENTS, deployment(1, "a", json!({})));
    let seen = progress(&mut cluster, 60);
    let want = [(0, "none"), (0, "NewReplicaSetCreated"), (0, "ReplicaSetUpdated"), (1, "NewReplicaSetAvailable")];
    assert_eq!(seen, want.map(|(at, reason)| (at, reason.to_owned())));
}

#[test]
fn a_rollout_without_progress_times_out_and_recovers_when_pods_get_ready() {
    let spec = json!({"progressDeadlineSeconds": 30, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}});
    let slow = Behavior { ready: Some(TimeDelta::seconds(50)), ..QUICK };
    let mut cluster = running(move |image| if image == "b" { slow } else { QUICK }, deployment(1, "a", spec));
    cluster.advance(seconds(100));
    set_image(&mut cluster, "b");
    let seen = progress(&mut cluster, 200);
    let want = [
        (0, "NewReplicaSetAvailable"),
        (0, "NewReplicaSetCreated"),
        (0, "ReplicaSetUpdated"),
        (31, "ProgressDeadlineExceeded"),
        (50, "ReplicaSetUpdated"),
        (50, "NewReplicaSetAvailable"),
    ];
    assert_eq!(seen, want.map(|(at, reason)| (at, reason.to_owned())));
}

#[test]
fn the_timed_out_condition_names_the_replica_set() {
    let spec = json!({"progressDeadlineSeconds": 5});
    let mut cluster = running(|image| if image == "b" { NEVER } else { QUICK }, deployment(1, "a", spec));
    set_image(&mut cluster, "b");
    cluster.advance(seconds(10));
    let web = web(&cluster);
    let condition = condition(&web, "Progressing").unwrap();
    let name = name(&set_of(cluster.store(), "b")).to_owned();
    assert_eq!(condition["status"], "False");
    assert_eq!(condition["message"], format!("ReplicaSet \"{name}\" has timed out progressing."));
}

#[test]
fn time_spent_paused_is_not_held_against_the_rollout() {
    let spec = json!({"progressDeadlineSeconds": 30});
    let mut cluster = running(|image| if image == "b" { NEVER } else { QUICK }, deployment(2, "a", spec));
    set_image(&mut cluster, "b");
    cluster.advance(seconds(10));
    edit(&mut cluster, json!({"spec": {"paused": true}}));
    assert_eq!(reasons(&progress(&mut cluster, 300)), ["ReplicaSetUpdated", "DeploymentPaused"]);
    cluster.advance(seconds(300));
    assert_eq!(condition(&web(&cluster), "Progressing").unwrap()["status"], "Unknown");
    edit(&mut cluster, json!({"spec": {"paused": false}}));
    let seen = progress(&mut cluster, 300);
    assert_eq!(reasons(&seen), ["DeploymentPaused", "DeploymentResumed", "ProgressDeadlineExceeded"]);
    assert_eq!(seen.last().map(|(at, _)| *at), Some(31), "the deadline starts anew");
}

#[test]
fn a_pause_does_not_cover_up_a_failed_rollout() {
    let spec = json!({"progressDeadlineSeconds": 5});
    let mut cluster = running(|image| if image == "b" { NEVER } else { QUICK }, deployment(2, "a", spec));
    set_image(&mut cluster, "b");
    cluster.advance(seconds(10));
    edit(&mut cluster, json!({"spec": {"paused": true}}));
    cluster.advance(seconds(10));
    assert_eq!(reason(&web(&cluster), "Progressing"), Some("ProgressDeadlineExceeded"));
}

#[test]
fn too_few_available_pods_are_reported() {
    let mut cluster = cluster(|_| Behavior { ready: None, ..QUICK });
    create(&mut cluster, resource::DEPLOYMENTS, deployment(2, "a", json!({})));
    cluster.advance(seconds(5));
    let web = web(&cluster);
    let condition = condition(&web, "Available").unwrap();
    let said = ["status", "reason", "message"].map(|f| condition[f].as_str().unwrap());
    assert_eq!(said, ["False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."]);
    assert_eq!(web["status"]["unavailableReplicas"], 2);
}

#[test]
fn without_a_deadline_there_is_no_progressing_condition() {
    let mut cluster = cluster(|_| QUICK);
    create(&mut cluster, resource::DEPLOYMENTS, deployment(1, "a", json!({"progressDeadlineSeconds": i32::MAX})));
    cluster.advance(seconds(5));
    assert_eq!(condition(&web(&cluster), "Progressing"), None);
    assert_eq!(web(&cluster)["status"]["availableReplicas"], 1);
}

#[test]
fn the_observed_generation_follows_every_edit() {
    let mut cluster = running(|_| QUICK, deployment(1, "a", json!({})));
    edit(&mut cluster, json!({"spec": {"minReadySeconds": 3}}));
    cluster.settle();
    let web = web(&cluster);
    assert_eq!((&web["metadata"]["generation"], &web["status"]["observedGeneration"]), (&json!(2), &json!(2)));
    assert_eq!(set_of(cluster.store(), "a")["spec"]["minReadySeconds"], 3, "no new revision, the old one is adjusted");
}

#[test]
fn a_return_to_an_old_revision_is_progress_too() {
    let mut cluster = running(|_| QUICK, deployment(1, "a", json!({})));
    set_image(&mut cluster, "b");
    settled_rollout(&mut cluster);
    cluster.advance(seconds(5));
    set_image(&mut cluster, "a");
    let seen = progress(&mut cluster, 60);
    assert_eq!(reasons(&seen), ["NewReplicaSetAvailable", "ReplicaSetUpdated", "NewReplicaSetAvailable"]);
}

#[test]
fn in_a_namespace_that_is_going_nothing_is_created() {
    let set = json!({
        "metadata": {"name": "lone", "namespace": NAMESPACE, "uid": "s"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}}}},
    });
    let created = |namespace: Value| {
        let objects = Objects::default().with(resource::NAMESPACES, namespace).with(resource::REPLICA_SETS, set.clone());
        let view = objects.with(resource::DEPLOYMENTS, deployment(1, "a", json!({}))).view();
        let (refusals, mut names) = (Refusals::default(), Suffixes::new(1));
        let mut writes = deployment::step(&view, &mut Queue::default(), &refusals, start()).writes;
        writes.extend(replica_set::step(&view, &mut Queue::default(), &refusals, &mut names, start()).writes);
        writes.iter().filter(|w| matches!(w, Write::Create { .. })).count()
    };
    assert_eq!(created(json!({"metadata": {"name": NAMESPACE}})), 2);
    assert_eq!(created(json!({"metadata": {"name": NAMESPACE, "deletionTimestamp": time(start())}})), 0);
}

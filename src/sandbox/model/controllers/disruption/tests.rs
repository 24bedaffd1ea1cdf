//! How many pods may be evicted.
#![expect(clippy::needless_pass_by_value, reason = "calls of fixtures read better")]

use serde_json::{Value, json};

use super::step;
use crate::sandbox::model::controllers::queue::Queue;
use crate::sandbox::model::controllers::testing::*;
use crate::sandbox::model::object::{resource, time};
use crate::sandbox::model::write::{EventType, Step, Write};

fn budget(spec: Value) -> Value {
    let mut budget = json!({
        "metadata": {"name": "pdb", "namespace": NAMESPACE, "uid": "pdb", "generation": 2},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
    });
    json_patch::merge(&mut budget["spec"], &spec);
    budget
}

fn pod(i: usize, ready: bool) -> Value {
    json!({
        "metadata": {
            "name": format!("p{i}"), "namespace": NAMESPACE, "uid": format!("p{i}"), "labels": {"app": "web"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "s", "uid": "s", "controller": true}],
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    })
}

/// The controller's answer about a Deployment of `replicas` with so many ready and unready pods.
fn run(budget: Value, replicas: i64, ready: usize, unready: usize) -> Step {
    let mut web = deployment(replicas, "a", json!({}));
    web["metadata"]["uid"] = "d".into();
    let set = json!({
        "metadata": {
            "name": "s", "namespace": NAMESPACE, "uid": "s",
            "ownerReferences": [{"kind": "Deployment", "name": "web", "uid": "d", "controller": true}],
        },
        "spec": {"replicas": 0},
    });
    let objects = Objects::default().with(resource::DEPLOYMENTS, web).with(resource::REPLICA_SETS, set);
    let objects = (0..ready + unready).fold(objects, |o, i| o.with(resource::PODS, pod(i, i < ready)));
    step(&objects.with(resource::POD_DISRUPTION_BUDGETS, budget).view(), &mut Queue::default(), start())
}

/// currentHealthy, desiredHealthy, expectedPods, disruptionsAllowed.
fn numbers(step: &Step) -> [i64; 4] {
    let Some(Write::PatchStatus { patch, .. }) = step.writes.first() else { panic!("{:#?}", step.writes) };
    ["currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed"].map(|f| patch["status"][f].as_i64().unwrap())
}

#[test]
fn numbers_follow_the_kind_of_budget() {
    let cases = [
        (json!({"maxUnavailable": 1}), 4, 4, 0, [4, 3, 4, 1]),
        (json!({"maxUnavailable": 1}), 4, 3, 1, [3, 3, 4, 0]),
        (json!({"maxUnavailable": 1}), 4, 1, 3, [1, 3, 4, 0]),
        (json!({"maxUnavailable": "30%"}), 10, 10, 0, [10, 7, 10, 3]),
        // Shares round up: of three, a third and a bit is two.
        (json!({"maxUnavailable": "34%"}), 3, 3, 0, [3, 1, 3, 2]),
        (json!({"minAvailable": 2}), 4, 4, 0, [4, 2, 4, 2]),
        (json!({"minAvailable": "50%"}), 5, 5, 0, [5, 3, 5, 2]),
        (json!({"minAvailable": 3}), 3, 3, 0, [3, 3, 3, 0]),
        (json!({"minAvailable": 0}), 0, 0, 0, [0, 0, 0, 0]),
        // During a rollout surge pods are healthy too, and more may go.
        (json!({"maxUnavailable": 1}), 4, 5, 0, [5, 3, 4, 2]),
        (json!({"maxUnavailable": 9}), 4, 4, 0, [4, 0, 4, 4]),
    ];
    for (spec, replicas, ready, unready, want) in cases {
        assert_eq!(numbers(&run(budget(spec.clone()), replicas, ready, unready)), want, "{spec} of {replicas}");
    }
}

#[test]
fn the_status_is_complete_and_written_once() {
    let first = run(budget(json!({"maxUnavailable": 1})), 2, 2, 0);
    let [Write::PatchStatus { patch, .. }] = &first.writes[..] else { panic!("{:#?}", first.writes) };
    let condition = json!({
        "type": "DisruptionAllowed", "status": "True", "observedGeneration": 2, "lastTransitionTime": time(start()),
        "reason": "SufficientPods", "message": "",
    });
    let want = json!({"status": {
        "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2, "disruptionsAllowed": 1, "observedGeneration": 2,
        "conditions": [condition],
    }});
    assert_eq!(patch, &want);
    let mut known = budget(json!({"maxUnavailable": 1}));
    json_patch::merge(&mut known, patch);
    assert_eq!(run(known.clone(), 2, 2, 0).writes, []);
    let worse = run(known, 2, 1, 1);
    let [Write::PatchStatus { patch, .. }] = &worse.writes[..] else { panic!("{:#?}", worse.writes) };
    assert_eq!(patch["status"]["conditions"][0]["reason"], "InsufficientPods");
}

#[test]
fn an_eviction_that_was_allowed_counts_until_the_pod_goes_or_two_minutes_pass() {
    let evicted = |ago: i64| {
        let mut budget = budget(json!({"maxUnavailable": 1}));
        budget["status"] = json!({"disruptedPods": {"p0": time(start() - seconds(ago)), "gone": time(start())}});
        let step = run(budget, 3, 3, 0);
        let Some(Write::PatchStatus { patch, .. }) = step.writes.first() else { panic!() };
        (numbers(&step), patch["status"]["disruptedPods"].clone(), step.wake.map(|w| (w - start()).num_seconds()))
    };
    let kept = json!({"p0": time(start() - seconds(20)), "gone": null});
    assert_eq!(evicted(20), ([2, 2, 3, 0], kept, Some(100)));
    assert_eq!(evicted(121), ([3, 2, 3, 1], Value::Null, None));
}

#[test]
fn pods_nobody_controls_leave_no_room() {
    let mut lone = pod(0, true);
    lone["metadata"]["ownerReferences"][0] = json!({"kind": "Job", "name": "j", "uid": "j", "controller": true});
    let objects = Objects::default().with(resource::PODS, lone);
    let view = objects.with(resource::POD_DISRUPTION_BUDGETS, budget(json!({"maxUnavailable": 1}))).view();
    let step = step(&view, &mut Queue::default(), start());
    let [Write::PatchStatus { patch, .. }, Write::Event { kind: EventType::Warning, message, .. }] = &step.writes[..] else {
        panic!("{:#?}", step.writes)
    };
    assert_eq!(
        (&patch["status"]["disruptionsAllowed"], &patch["status"]["conditions"][0]["reason"]),
        (&json!(0), &json!("SyncFailed"))
    );
    assert_eq!(message, "Failed to calculate the number of expected pods: found no controllers for pod \"p0\"");
}

#[test]
fn an_empty_selector_means_every_pod_of_the_namespace() {
    let mut all = budget(json!({"minAvailable": 1}));
    all["spec"]["selector"] = json!({});
    assert_eq!(numbers(&run(all, 3, 3, 0)), [3, 1, 3, 2]);
}

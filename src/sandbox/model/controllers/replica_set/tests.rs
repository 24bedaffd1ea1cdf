//! Which pods come and which go.
#![expect(clippy::needless_pass_by_value, reason = "calls of fixtures read better")]

use serde_json::{Value, json};

use super::step;
use crate::sandbox::model::controllers::queue::Queue;
use crate::sandbox::model::controllers::refusals::Refusals;
use crate::sandbox::model::controllers::testing::*;
use crate::sandbox::model::object::{resource, time};
use crate::sandbox::model::suffix::Suffixes;
use crate::sandbox::model::write::{Step, Write};

fn set(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "web-1", "namespace": NAMESPACE, "uid": "s", "generation": 1},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web", "tier": "x"}, "annotations": {"note": "hi"}},
                "spec": {"containers": [{"name": "web", "image": "a"}]},
            },
        },
    })
}

/// A pod that has been ready for five minutes, with changes.
fn pod(name: &str, patch: Value) -> Value {
    let since = time(start() - seconds(300));
    let mut pod = json!({
        "metadata": {
            "name": name, "namespace": NAMESPACE, "uid": name, "labels": {"app": "web", "tier": "x"}, "creationTimestamp": since,
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "uid": "s", "controller": true}],
        },
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]},
    });
    json_patch::merge(&mut pod, &patch);
    pod
}

fn ready(status: &str, ago: i64) -> Value {
    json!([{"type": "Ready", "status": status, "lastTransitionTime": time(start() - seconds(ago))}])
}

fn run(set: Value, pods: Vec<Value>) -> Step {
    let objects = pods.into_iter().fold(Objects::default(), |o, pod| o.with(resource::PODS, pod));
    let view = objects.with(resource::REPLICA_SETS, set).view();
    step(&view, &mut Queue::default(), &Refusals::default(), &mut Suffixes::new(1), start())
}

fn deleted(step: &Step) -> Vec<String> {
    let name = |w: &Write| if let Write::Delete { key, .. } = w { Some(key.name.clone()) } else { None };
    step.writes.iter().filter_map(name).collect()
}

fn status(step: &Step) -> Option<&Value> {
    step.writes.iter().find_map(|w| if let Write::PatchStatus { patch, .. } = w { Some(&patch["status"]) } else { None })
}

#[test]
fn a_missing_pod_is_made_from_the_template() {
    let step = run(set(1), vec![]);
    let [Write::Create { object, .. }, Write::Event { reason, message, .. }, Write::PatchStatus { .. }] = &step.writes[..] else {
        panic!("{:#?}", step.writes)
    };
    let name = object["metadata"]["name"].as_str().unwrap();
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "s", "controller": true,
        "blockOwnerDeletion": true});
    let want = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "generateName": "web-1-", "namespace": NAMESPACE, "labels": {"app": "web", "tier": "x"},
            "annotations": {"note": "hi"}, "ownerReferences": [owner],
        },
        "spec": {"containers": [{"name": "web", "image": "a"}]},
    });
    assert_eq!(object, &want);
    assert_eq!((name.len(), *reason, message), (11, "SuccessfulCreate", &format!("Created pod: {name}")));
}

#[test]
fn the_least_useful_pod_goes_first() {
    let rule = |why, worse: Value, better: Value| (why, worse, better);
    let cost = |n: &str| json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": n}}});
    let restarts = |n: i64| json!({"status": {"containerStatuses": [{"restartCount": n}]}});
    let born = |ago| json!({"metadata": {"creationTimestamp": time(start() - seconds(ago))}});
    let unready = |ago| {
        json!({"metadata": {"creationTimestamp": time(start() - seconds(ago))},
        "status": {"conditions": ready("False", ago)}})
    };
    let rules = [
        rule("unassigned before assigned", json!({"spec": {"nodeName": null}}), json!({"status": {"phase": "Pending"}})),
        rule(
            "pending before running",
            json!({"status": {"phase": "Pending"}}),
            json!({"status": {"conditions": ready("False", 9)}}),
        ),
        rule("not ready before ready", json!({"status": {"conditions": ready("False", 300)}}), json!({})),
        rule("not ready before a low cost", json!({"status": {"conditions": ready("False", 300)}}), cost("-10")),
        rule("a low cost before a high one", cost("-10"), cost("5")),
        rule(
            "a cost before the time",
            json!({}),
            json!({"metadata": cost("1")["metadata"], "status": {"conditions": ready("True", 1)}}),
        ),
        rule("lately ready before long ready", json!({"status": {"conditions": ready("True", 2)}}), json!({})),
        rule("many restarts before few", restarts(3), restarts(1)),
        rule("young before old", born(2), born(3000)),
        rule("young before old while not ready", unready(2), unready(3000)),
    ];
    for (why, worse, better) in rules {
        for names in [["x", "y"], ["y", "x"]] {
            let pods = vec![pod(names[0], worse.clone()), pod(names[1], better.clone())];
            assert_eq!(deleted(&run(set(1), pods)), [names[0]], "{why}");
        }
    }
}

#[test]
fn pods_that_share_a_node_with_relatives_go_first() {
    let related = |name: &str, uid: &str| {
        let mut set = set(0);
        json_patch::merge(
            &mut set,
            &json!({"metadata": {"name": name, "uid": uid, "ownerReferences": [{"kind": "Deployment", "name": "web",
                "uid": "d", "controller": true}]}}),
        );
        set
    };
    let mut mine = related("web-1", "s");
    mine["spec"]["replicas"] = 1.into();
    let on = |name: &str, node: &str, owner: &str| {
        let owners = json!([{"kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true}]);
        pod(name, json!({"spec": {"nodeName": node}, "metadata": {"ownerReferences": owners}}))
    };
    let objects = [on("p1", "node-1", "s"), on("p2", "node-2", "s"), on("other", "node-2", "t")];
    let objects = objects.into_iter().fold(Objects::default(), |o, pod| o.with(resource::PODS, pod));
    let mut sibling = related("web-2", "t");
    sibling["spec"]["replicas"] = 1.into();
    let view = objects.with(resource::REPLICA_SETS, mine).with(resource::REPLICA_SETS, sibling).view();
    let step = step(&view, &mut Queue::default(), &Refusals::default(), &mut Suffixes::new(1), start());
    assert_eq!(deleted(&step), ["p2"]);
}

#[test]
fn ended_and_ending_pods_do_not_count_as_replicas() {
    let pods = vec![
        pod("failed", json!({"status": {"phase": "Failed"}})),
        pod("succeeded", json!({"status": {"phase": "Succeeded"}})),
        pod("going", json!({"metadata": {"deletionTimestamp": time(start())}})),
        pod("gone", json!({"metadata": {"deletionTimestamp": time(start())}, "status": {"phase": "Succeeded"}})),
        pod("stray", json!({"metadata": {"deletionTimestamp": time(start()), "labels": {"app": "else"}}})),
        pod("good", json!({"metadata": {"labels": {"tier": "y"}}})),
    ];
    let step = run(set(2), pods);
    let created = step.writes.iter().filter(|w| matches!(w, Write::Create { .. })).count();
    assert_eq!((created, deleted(&step).len()), (1, 0));
    let want =
        json!({"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "terminatingReplicas": 1});
    assert_eq!(status(&step), Some(&want), "the one whose labels differ from the template's is not fully labeled");
}

#[test]
fn orphans_that_match_are_adopted_and_strays_released() {
    let orphan = pod("orphan", json!({"metadata": {"ownerReferences": null}}));
    let stray = pod("stray", json!({"metadata": {"labels": {"app": "else"}}}));
    let foreign =
        pod("foreign", json!({"metadata": {"ownerReferences": [{"kind": "Job", "name": "j", "uid": "j", "controller": true}]}}));
    let going = pod("going", json!({"metadata": {"ownerReferences": null, "deletionTimestamp": time(start())}}));
    let step = run(set(1), vec![orphan, stray, foreign, going]);
    let patches: Vec<_> = step
        .writes
        .iter()
        .filter_map(|w| if let Write::Patch { key, patch, .. } = w { Some((key.name.as_str(), patch)) } else { None })
        .collect();
    let owner = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "s", "controller": true,
        "blockOwnerDeletion": true});
    let adopted = json!({"metadata": {"ownerReferences": [owner]}});
    let released = json!({"metadata": {"ownerReferences": null}});
    assert_eq!(patches, [("stray", &released), ("orphan", &adopted)]);
    assert!(!step.writes.iter().any(|w| matches!(w, Write::Create { .. })), "the orphan fills the gap");
}

#[test]
fn availability_comes_after_min_ready_seconds_and_wakes_for_it() {
    let mut set = set(2);
    set["spec"]["minReadySeconds"] = 60.into();
    let step = run(set, vec![pod("old", json!({})), pod("new", json!({"status": {"conditions": ready("True", 20)}}))]);
    assert_eq!(status(&step).map(|s| (s["readyReplicas"].clone(), s["availableReplicas"].clone())), Some((json!(2), json!(1))));
    assert_eq!(step.wake, Some(start() + seconds(40)));
}

#[test]
fn a_set_that_is_being_deleted_neither_makes_nor_takes_pods() {
    let mut deleting = set(3);
    deleting["metadata"]["deletionTimestamp"] = time(start());
    let step = run(deleting, vec![pod("one", json!({}))]);
    assert!(matches!(&step.writes[..], [Write::PatchStatus { .. }]), "{:?}", step.writes);
}

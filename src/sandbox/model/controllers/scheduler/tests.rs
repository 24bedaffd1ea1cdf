//! Where pods go, and what is said when they cannot.
#![expect(clippy::needless_pass_by_value, reason = "calls of fixtures read better")]

use serde_json::{Value, json};

use super::step;
use crate::sandbox::model::controllers::testing::*;
use crate::sandbox::model::object::{resource, time};
use crate::sandbox::model::write::{Step, Write};

fn node(name: &str, patch: Value) -> Value {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {
            "allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    });
    json_patch::merge(&mut node, &patch);
    node
}

fn pod(name: &str, cpu: &str, patch: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": name, "generation": 1},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]},
        "status": {"phase": "Pending"},
    });
    json_patch::merge(&mut pod, &patch);
    pod
}

fn run(nodes: Vec<Value>, pods: Vec<Value>) -> Step {
    let objects = nodes.into_iter().fold(Objects::default(), |o, node| o.with(resource::NODES, node));
    let view = pods.into_iter().fold(objects, |o, pod| o.with(resource::PODS, pod)).view();
    step(&view, start())
}

/// Pod and node of every assignment.
fn placed(step: &Step) -> Vec<(String, String)> {
    let of = |w: &Write| match w {
        Write::Patch { key, patch, .. } => Some((key.name.clone(), patch["spec"]["nodeName"].as_str()?.to_owned())),
        _ => None,
    };
    step.writes.iter().filter_map(of).collect()
}

/// What the scheduler says of the only pod.
fn complaint(nodes: Vec<Value>, pod: Value) -> String {
    let step = run(nodes, vec![pod]);
    let [Write::PatchStatus { patch, .. }, Write::Event { reason: "FailedScheduling", message, .. }] = &step.writes[..] else {
        panic!("{:#?}", step.writes)
    };
    assert_eq!(patch["status"]["conditions"][0]["message"], *message);
    message.clone()
}

#[test]
fn a_pod_that_fits_is_bound_and_said_to_be() {
    let step = run(vec![node("n1", json!({}))], vec![pod("p", "1", json!({}))]);
    let condition = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": time(start()),
    });
    let [Write::PatchStatus { patch: status, .. }, Write::Patch { patch, .. }, Write::Event { message, .. }] = &step.writes[..]
    else {
        panic!("{:#?}", step.writes)
    };
    assert_eq!(status, &json!({"status": {"conditions": [condition]}}));
    assert_eq!((patch, message.as_str()), (&json!({"spec": {"nodeName": "n1"}}), "Successfully assigned shop/p to n1"));
}

#[test]
fn pods_fill_a_node_up_to_what_it_has() {
    let pods: Vec<Value> = ["a", "b", "c"].iter().map(|name| pod(name, "800m", json!({}))).collect();
    let step = run(vec![node("n1", json!({}))], pods);
    assert_eq!(placed(&step), [("a".into(), "n1".into()), ("b".into(), "n1".into())]);
}

#[test]
fn ended_pods_free_their_share_and_ending_ones_do_not() {
    let on = |phase: &str, deleting: Value| {
        pod(
            "old",
            "2",
            json!({"spec": {"nodeName": "n1"}, "status": {"phase": phase}, "metadata": {"deletionTimestamp": deleting}}),
        )
    };
    let fits = |old: Value| placed(&run(vec![node("n1", json!({}))], vec![old, pod("new", "2", json!({}))])).len();
    assert_eq!([fits(on("Failed", Value::Null)), fits(on("Running", time(start()))), fits(on("Running", Value::Null))], [1, 0, 0]);
}

#[test]
fn pods_of_one_owner_spread_over_nodes() {
    let owned = |name: &str| {
        pod(
            name,
            "100m",
            json!({"metadata": {"ownerReferences": [{"kind": "ReplicaSet", "name": "s", "uid": "s", "controller": true}]}}),
        )
    };
    let step = run(vec![node("n1", json!({})), node("n2", json!({}))], vec![owned("a"), owned("b"), owned("c"), owned("d")]);
    let mut nodes: Vec<String> = placed(&step).into_iter().map(|(_, node)| node).collect();
    nodes.sort();
    assert_eq!(nodes, ["n1", "n1", "n2", "n2"]);
}

#[test]
fn higher_priority_goes_first() {
    let step = run(vec![node("n1", json!({}))], vec![pod("a", "2", json!({})), pod("z", "2", json!({"spec": {"priority": 10}}))]);
    assert_eq!(placed(&step), [("z".into(), "n1".into())]);
}

#[test]
fn complaints_are_those_of_the_real_scheduler() {
    let none = "no new claims to deallocate, preemption: 0/1 nodes are available: 1";
    let (possible, useless) = ("No preemption victims found for incoming pod", "Preemption is not helpful for scheduling");
    let expect = |reason: &str, why: &str| format!("0/1 nodes are available: 1 {reason}. {none} {why}.");
    let plain = || pod("p", "1", json!({}));
    let one = |patch: Value| vec![node("n1", patch)];
    let full = |cpu: &str| {
        let step = run(one(json!({})), vec![pod("old", "1500m", json!({"spec": {"nodeName": "n1"}})), pod("p", cpu, json!({}))]);
        step.writes.iter().find_map(|w| if let Write::Event { message, .. } = w { Some(message.clone()) } else { None }).unwrap()
    };
    assert_eq!(full("1"), expect("Insufficient cpu", possible));
    assert_eq!(full("3"), expect("Insufficient cpu", useless));
    assert_eq!(
        complaint(one(json!({"status": {"allocatable": {"memory": "1Mi"}}})), plain()),
        expect("Insufficient memory", useless)
    );
    assert_eq!(complaint(one(json!({"status": {"allocatable": {"pods": "0"}}})), plain()), expect("Too many pods", possible));
    assert_eq!(complaint(one(json!({"spec": {"unschedulable": true}})), plain()), expect("node(s) were unschedulable", useless));
    let not_ready = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    assert_eq!(complaint(one(not_ready), plain()), expect("node(s) had untolerated taint(s)", useless));
    let choosy = pod("p", "1", json!({"spec": {"nodeSelector": {"disk": "ssd"}}}));
    assert_eq!(complaint(one(json!({})), choosy), expect("node(s) didn't match Pod's node affinity/selector", useless));
    assert_eq!(complaint(vec![], plain()), "no nodes available to schedule pods");
    let small = json!({"status": {"allocatable": {"cpu": "500m"}}});
    let nodes = vec![node("n1", small.clone()), node("n2", small), node("n3", json!({"spec": {"unschedulable": true}}))];
    assert_eq!(
        complaint(nodes, plain()),
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. no new claims to deallocate, \
         preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    );
}

#[test]
fn a_complaint_is_made_once() {
    let mut waiting = pod("p", "9", json!({}));
    let message = complaint(vec![node("n1", json!({}))], waiting.clone());
    waiting["status"]["conditions"] =
        json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]);
    assert_eq!(run(vec![node("n1", json!({}))], vec![waiting]).writes, []);
}

#[test]
fn taints_tolerations_and_affinity_decide() {
    let tainted = || vec![node("n1", json!({"spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}}))];
    let tolerating =
        |toleration: Value| placed(&run(tainted(), vec![pod("p", "1", json!({"spec": {"tolerations": [toleration]}}))])).len();
    let tolerations = [
        json!({"key": "gpu", "value": "yes", "effect": "NoSchedule"}),
        json!({"key": "gpu", "operator": "Exists"}),
        json!({"operator": "Exists"}),
        json!({"key": "gpu", "value": "no", "effect": "NoSchedule"}),
        json!({"key": "gpu", "value": "yes", "effect": "NoExecute"}),
    ];
    assert_eq!(tolerations.map(tolerating), [1, 1, 1, 0, 0]);
    let affine = |term: Value| {
        let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}});
        let nodes = vec![
            node("n1", json!({"metadata": {"labels": {"zone": "a"}}})),
            node("n2", json!({"metadata": {"labels": {"zone": "b"}}})),
        ];
        placed(&run(nodes, vec![pod("p", "1", json!({"spec": {"affinity": {"nodeAffinity": required}}}))]))
            .pop()
            .map(|(_, node)| node)
    };
    assert_eq!(affine(json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]})).as_deref(), Some("n2"));
    assert_eq!(
        affine(json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]})).as_deref(),
        Some("n2")
    );
    assert_eq!(affine(json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["c"]}]})), None);
}

#[test]
fn pods_of_other_schedulers_gated_and_deleted_ones_are_left_alone() {
    let pods = vec![
        pod("other", "1", json!({"spec": {"schedulerName": "mine"}})),
        pod("gated", "1", json!({"spec": {"schedulingGates": [{"name": "wait"}]}})),
        pod("deleted", "1", json!({"metadata": {"deletionTimestamp": time(start())}})),
    ];
    assert_eq!(run(vec![node("n1", json!({}))], pods).writes, []);
}

#[test]
fn an_init_container_that_asks_for_more_counts_instead() {
    let init = json!({"spec": {"initContainers": [{"name": "i", "resources": {"requests": {"cpu": "3"}}}]}});
    assert_eq!(placed(&run(vec![node("n1", json!({}))], vec![pod("p", "1", init)])), []);
}

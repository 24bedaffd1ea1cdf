//! What goes with its owner, and what stays.
#![expect(clippy::needless_pass_by_value, reason = "calls of fixtures read better")]

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::pods::Missing;
use super::{namespaces, pods, step};
use crate::sandbox::model::controllers::testing::*;
use crate::sandbox::model::object::{Resource, resource, time};
use crate::sandbox::model::write::{Step, Write};

fn object(name: &str, patch: Value) -> Value {
    let mut object = json!({"metadata": {"name": name, "namespace": NAMESPACE, "uid": name}});
    json_patch::merge(&mut object, &patch);
    object
}

fn owned_by(owners: &[(&str, &str, bool)]) -> Value {
    let owner = |(kind, uid, blocking): &(&str, &str, bool)| {
        let group = if matches!(*kind, "Pod" | "Service" | "ConfigMap") { "v1" } else { "apps/v1" };
        json!({"apiVersion": group, "kind": kind, "name": uid, "uid": uid, "blockOwnerDeletion": blocking})
    };
    json!({"metadata": {"ownerReferences": owners.iter().map(owner).collect::<Vec<_>>()}})
}

fn deleting(finalizers: &[&str]) -> Value {
    json!({"metadata": {"deletionTimestamp": time(start()), "finalizers": finalizers}})
}

fn merged(mut a: Value, b: &Value) -> Value {
    json_patch::merge(&mut a, b);
    a
}

fn collect(objects: Vec<(Resource, Value)>) -> Vec<Write> {
    let objects = objects.into_iter().fold(Objects::default(), |o, (resource, object)| o.with(resource, object));
    step(&objects.view()).writes
}

/// Short text: `delete pods/p`, `patch pods/p {...}`.
fn brief(writes: &[Write]) -> Vec<String> {
    let of = |w: &Write| match w {
        Write::Delete { key, uid, grace } => {
            assert_eq!(uid.as_deref(), Some(key.name.as_str()), "deleted by uid");
            format!("delete {}/{}{}", key.resource, key.name, grace.map_or(String::new(), |g| format!(" in {g} s")))
        }
        Write::Patch { key, patch, .. } => format!("patch {}/{} {patch}", key.resource, key.name),
        Write::PatchStatus { key, patch, .. } => format!("status {}/{} {}", key.resource, key.name, patch["status"]["phase"]),
        Write::Create { resource, object } => {
            format!("create {resource}/{}", object["metadata"]["name"].as_str().unwrap_or_default())
        }
        Write::Event { reason, .. } => format!("event {reason}"),
    };
    writes.iter().map(of).collect()
}

#[test]
fn what_lost_its_only_owner_is_deleted() {
    let pod = || object("p", owned_by(&[("ReplicaSet", "s", true)]));
    assert_eq!(brief(&collect(vec![(resource::PODS, pod())])), ["delete pods/p"]);
    let set = object("s", json!({}));
    assert_eq!(brief(&collect(vec![(resource::PODS, pod()), (resource::REPLICA_SETS, set)])), [""; 0]);
}

#[test]
fn an_owner_of_the_same_name_is_not_the_same_owner() {
    let set = object("s", json!({"metadata": {"uid": "later"}}));
    let pod = object("p", owned_by(&[("ReplicaSet", "s", true)]));
    assert_eq!(brief(&collect(vec![(resource::PODS, pod), (resource::REPLICA_SETS, set)])), ["delete pods/p"]);
}

#[test]
fn an_owner_in_another_namespace_is_none() {
    let set = object("s", json!({"metadata": {"namespace": "elsewhere"}}));
    let pod = object("p", owned_by(&[("ReplicaSet", "s", true)]));
    assert_eq!(brief(&collect(vec![(resource::PODS, pod), (resource::REPLICA_SETS, set)])), ["delete pods/p"]);
}

#[test]
fn while_one_owner_is_left_only_the_references_to_the_others_go() {
    let map = object("c", owned_by(&[("ReplicaSet", "gone", true), ("Service", "svc", false)]));
    let service = object("svc", json!({}));
    let left = json!([{"apiVersion": "v1", "kind": "Service", "name": "svc", "uid": "svc", "blockOwnerDeletion": false}]);
    let want = format!("patch configmaps/c {}", json!({"metadata": {"ownerReferences": left}}));
    assert_eq!(brief(&collect(vec![(resource::CONFIG_MAPS, map), (resource::SERVICES, service)])), [want]);
}

#[test]
fn owners_of_unknown_kinds_may_exist() {
    let pod = object("p", owned_by(&[("Workflow", "w", true)]));
    assert_eq!(brief(&collect(vec![(resource::PODS, pod)])), [""; 0]);
}

#[test]
fn custom_resources_own_and_are_owned() {
    let definition = json!({
        "metadata": {"name": "runs.verifier.dev", "uid": "crd"},
        "spec": {"group": "verifier.dev", "names": {"plural": "runs", "kind": "Run"}},
    });
    let owner = json!({"apiVersion": "verifier.dev/v1alpha1", "kind": "Run", "name": "r", "uid": "r"});
    let map = object("c", json!({"metadata": {"ownerReferences": [owner]}}));
    let run = object("r", owned_by(&[("Deployment", "d", false)]));
    let all = |with_run: bool| {
        let mut objects = vec![(resource::CUSTOM_RESOURCE_DEFINITIONS, definition.clone()), (resource::CONFIG_MAPS, map.clone())];
        if with_run {
            objects.push((Resource::from("runs.verifier.dev"), run.clone()));
        }
        brief(&collect(objects))
    };
    assert_eq!(all(true), ["delete runs.verifier.dev/r"]);
    assert_eq!(all(false), ["delete configmaps/c"]);
}

#[test]
fn in_the_foreground_the_owner_waits_for_those_that_block_it() {
    let deployment = object("d", deleting(&["foregroundDeletion"]));
    let set = object("s", owned_by(&[("Deployment", "d", true)]));
    let pod = object("p", owned_by(&[("ReplicaSet", "s", true)]));
    let first = collect(vec![
        (resource::DEPLOYMENTS, deployment.clone()),
        (resource::REPLICA_SETS, set.clone()),
        (resource::PODS, pod.clone()),
    ]);
    let want = [r#"patch replicasets.apps/s {"metadata":{"finalizers":["foregroundDeletion"]}}"#, "delete replicasets.apps/s"];
    assert_eq!(brief(&first), want);

    let set = merged(set, &deleting(&["foregroundDeletion"]));
    let objects =
        vec![(resource::DEPLOYMENTS, deployment.clone()), (resource::REPLICA_SETS, set.clone()), (resource::PODS, pod.clone())];
    assert_eq!(brief(&collect(objects)), ["delete pods/p"]);

    let ending = merged(pod, &json!({"metadata": {"deletionTimestamp": time(start())}}));
    let objects =
        vec![(resource::DEPLOYMENTS, deployment.clone()), (resource::REPLICA_SETS, set.clone()), (resource::PODS, ending)];
    assert_eq!(brief(&collect(objects)), [""; 0], "the pod is still on its way out");

    let objects = vec![(resource::DEPLOYMENTS, deployment.clone()), (resource::REPLICA_SETS, set)];
    assert_eq!(brief(&collect(objects)), [r#"patch replicasets.apps/s {"metadata":{"finalizers":null}}"#]);
    assert_eq!(
        brief(&collect(vec![(resource::DEPLOYMENTS, deployment)])),
        [r#"patch deployments.apps/d {"metadata":{"finalizers":null}}"#]
    );
}

#[test]
fn in_the_foreground_nobody_waits_for_those_that_do_not_block() {
    let deployment = object("d", deleting(&["foregroundDeletion", "mine"]));
    let map = object("c", owned_by(&[("Deployment", "d", false)]));
    let writes = brief(&collect(vec![(resource::DEPLOYMENTS, deployment), (resource::CONFIG_MAPS, map)]));
    assert_eq!(writes, ["delete configmaps/c", r#"patch deployments.apps/d {"metadata":{"finalizers":["mine"]}}"#]);
}

#[test]
fn orphans_lose_their_owner_before_it_goes() {
    let deployment = object("d", deleting(&["orphan"]));
    let set = object("s", owned_by(&[("Deployment", "d", true)]));
    let first = collect(vec![(resource::DEPLOYMENTS, deployment.clone()), (resource::REPLICA_SETS, set)]);
    assert_eq!(brief(&first), [r#"patch replicasets.apps/s {"metadata":{"ownerReferences":null}}"#]);
    let second = collect(vec![(resource::DEPLOYMENTS, deployment), (resource::REPLICA_SETS, object("s", json!({})))]);
    assert_eq!(brief(&second), [r#"patch deployments.apps/d {"metadata":{"finalizers":null}}"#]);
}

#[test]
fn a_deployment_takes_everything_with_it() {
    let mut cluster = running(|_| QUICK, deployment(2, "a", json!({})));
    let key = crate::sandbox::model::object::Key::new(resource::DEPLOYMENTS, NAMESPACE, "web");
    cluster.write(Write::Delete { key, uid: None, grace: None });
    cluster.advance(seconds(5));
    assert_eq!((sizes(cluster.store()), crate::sandbox::model::controllers::testing::pods(cluster.store())), (vec![], vec![]));
}

fn namespace(patch: Value) -> Value {
    merged(
        json!({"metadata": {"name": NAMESPACE, "uid": NAMESPACE}, "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"}}),
        &patch,
    )
}

fn keep(objects: Vec<(Resource, Value)>) -> Vec<Write> {
    keep_step(objects).writes
}

fn keep_step(objects: Vec<(Resource, Value)>) -> Step {
    let objects = objects.into_iter().fold(Objects::default(), |o, (resource, object)| o.with(resource, object));
    namespaces::step(&objects.view(), start())
}

#[test]
fn every_namespace_has_a_default_service_account() {
    assert_eq!(brief(&keep(vec![(resource::NAMESPACES, namespace(json!({})))])), ["create serviceaccounts/default"]);
    let account = object("default", json!({}));
    assert_eq!(brief(&keep(vec![(resource::NAMESPACES, namespace(json!({}))), (resource::SERVICE_ACCOUNTS, account)])), [""; 0]);
}

#[test]
fn a_namespace_is_emptied_before_it_goes() {
    let going = namespace(deleting(&[]));
    let pod = object("p", json!({}));
    let event = object("e", json!({}));
    let other = object("q", json!({"metadata": {"namespace": "other"}}));
    let first = keep(vec![
        (resource::NAMESPACES, going.clone()),
        (resource::PODS, pod.clone()),
        (resource::PODS, other),
        (resource::EVENTS, event),
    ]);
    assert_eq!(brief(&first), ["delete pods/p", "delete events/e", "status namespaces/shop \"Terminating\""]);

    let ending = merged(pod, &deleting(&["guard"]));
    let second = keep(vec![(resource::NAMESPACES, going.clone()), (resource::PODS, ending.clone())]);
    let [Write::PatchStatus { patch, .. }] = &second[..] else { panic!("{second:#?}") };
    let said: Vec<_> = patch["status"]["conditions"].as_array().unwrap().iter().map(|c| (&c["reason"], &c["message"])).collect();
    let want = [
        ("ResourcesDiscovered", "All resources successfully discovered"),
        ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ("SomeResourcesRemain", "Some resources are remaining: pods. has 1 resource instances"),
        ("SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: guard in 1 resource instances"),
    ];
    assert_eq!(said, want.map(|(r, m)| (Value::from(r), Value::from(m))).iter().map(|(r, m)| (r, m)).collect::<Vec<_>>());

    let waiting = merged(going, patch);
    assert_eq!(brief(&keep(vec![(resource::NAMESPACES, waiting.clone()), (resource::PODS, ending)])), [""; 0]);
    let third = keep(vec![(resource::NAMESPACES, waiting.clone())]);
    let [Write::PatchStatus { patch, .. }] = &third[..] else { panic!("{third:#?}") };
    let empty = merged(waiting, patch);
    assert_eq!(brief(&keep(vec![(resource::NAMESPACES, empty)])), [r#"patch namespaces/shop {"spec":{"finalizers":[]}}"#]);
}

#[test]
fn late_events_are_deleted_too_and_looked_for_again() {
    let step = keep_step(vec![(resource::NAMESPACES, namespace(deleting(&[]))), (resource::EVENTS, object("late", json!({})))]);
    assert_eq!(brief(&step.writes)[0], "delete events/late");
    assert_eq!(step.wake, Some(start()));
}

#[test]
fn pods_of_a_lost_node_are_given_up_after_a_quarantine() {
    let pod = object("p", json!({"spec": {"nodeName": "n1"}, "status": {"phase": "Running"}}));
    let away = Objects::default().with(resource::PODS, pod.clone()).view();
    let back = Objects::default().with(resource::PODS, pod).with(resource::NODES, json!({"metadata": {"name": "n1"}})).view();
    let mut missing = Missing::new();
    let mut at = |view, second: i64| {
        let step = pods::step(view, &mut missing, start() + TimeDelta::seconds(second));
        (brief(&step.writes), step.wake.map(|w| (w - start()).num_seconds()))
    };
    assert_eq!(at(&away, 0), (vec![], Some(40)));
    assert_eq!(at(&away, 39), (vec![], Some(40)));
    assert_eq!(at(&back, 39), (vec![], None));
    assert_eq!(at(&away, 50), (vec![], Some(90)), "counted anew");
    assert_eq!(at(&away, 90).0, ["status pods/p \"Failed\"", "delete pods/p in 0 s"]);
}

#[test]
fn a_pod_that_never_had_a_node_goes_at_once() {
    let pod = object("p", deleting(&[]));
    let view = Objects::default().with(resource::PODS, pod).view();
    assert_eq!(
        brief(&pods::step(&view, &mut Missing::new(), start()).writes),
        ["status pods/p \"Failed\"", "delete pods/p in 0 s"]
    );
}

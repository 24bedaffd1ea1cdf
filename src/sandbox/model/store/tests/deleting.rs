//! Deletion, eviction and their preconditions.

use serde_json::{Value, json};

use super::{Bench, deployment, pod};
use crate::sandbox::model::object::{Key, resource};
use crate::sandbox::model::selector::LabelSelector;
use crate::sandbox::model::store::{DeleteOptions, Propagation, Selection};
use crate::sandbox::model::write::Write;

fn scheduled(name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["nodeName"] = "node".into();
    pod
}

fn make(bench: &mut Bench, resource: &crate::sandbox::model::object::Resource, mut object: Value) {
    object["metadata"]["namespace"] = "default".into();
    bench.store.apply(Write::Create { resource: resource.clone(), object }, bench.now).unwrap();
}

#[test]
fn a_running_pod_has_its_grace_period_and_is_gone_with_the_second_deletion() {
    let mut bench = Bench::new();
    bench.create("pods", scheduled("p")).unwrap();
    let target = bench.target("pods", "p");
    let done = bench.store.delete(&target, &DeleteOptions::default(), bench.now).unwrap();
    let meta = &done.object["metadata"];
    assert_eq!(
        (done.deleted, &meta["deletionTimestamp"], &meta["deletionGracePeriodSeconds"], &meta["generation"]),
        (false, &json!("2026-01-01T00:00:30Z"), &json!(30), &json!(2))
    );
    bench.pass(1);
    let options = DeleteOptions { grace: Some(10), ..DeleteOptions::default() };
    let done = bench.store.delete(&target, &options, bench.now).unwrap();
    assert_eq!(done.object["metadata"]["deletionTimestamp"], "2026-01-01T00:00:10Z", "only ever sooner");
    let options = DeleteOptions { grace: Some(0), ..DeleteOptions::default() };
    assert!(bench.store.delete(&target, &options, bench.now).unwrap().deleted);
    assert_eq!(bench.get(&resource::PODS, "p"), None);
}

#[test]
fn nobody_waits_for_a_pod_that_never_ran() {
    let mut bench = Bench::new();
    bench.create("pods", pod("p")).unwrap();
    let target = bench.target("pods", "p");
    assert!(bench.store.delete(&target, &DeleteOptions::default(), bench.now).unwrap().deleted);
}

#[test]
fn an_object_stays_until_its_last_finalizer_is_gone() {
    let mut bench = Bench::new();
    let mut object = deployment("x", 1);
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    bench.create("deployments/apps", object).unwrap();
    let target = bench.target("deployments/apps", "x");
    assert!(!bench.store.delete(&target, &DeleteOptions::default(), bench.now).unwrap().deleted);
    let mut held = bench.get(&resource::DEPLOYMENTS, "x").unwrap();
    assert_eq!(held["metadata"]["deletionTimestamp"], "2026-01-01T00:00:00Z");
    held["metadata"]["finalizers"] = json!(["example.com/hold", "example.com/more"]);
    let error = bench.replace("deployments/apps", held.clone()).unwrap_err();
    assert!(error.message().contains("no new finalizers can be added if the object is being deleted"), "{error}");
    held["metadata"]["finalizers"] = json!([]);
    assert!(bench.replace("deployments/apps", held).unwrap().deleted);
    assert_eq!(bench.get(&resource::DEPLOYMENTS, "x"), None);
}

#[test]
fn how_dependents_go_is_written_as_a_finalizer() {
    for (propagation, finalizer) in [(Propagation::Foreground, "foregroundDeletion"), (Propagation::Orphan, "orphan")] {
        let mut bench = Bench::new();
        bench.create("deployments/apps", deployment("x", 1)).unwrap();
        let target = bench.target("deployments/apps", "x");
        let options = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        let done = bench.store.delete(&target, &options, bench.now).unwrap();
        assert_eq!((done.deleted, &done.object["metadata"]["finalizers"]), (false, &json!([finalizer])));
        let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        let done = bench.store.delete(&target, &options, bench.now).unwrap();
        assert!(done.deleted, "the second wish replaces the first");
        assert_eq!(done.object["status"], "Success");
    }
}

#[test]
fn a_deletion_can_name_the_very_object() {
    let mut bench = Bench::new();
    bench.create("deployments/apps", deployment("x", 1)).unwrap();
    let target = bench.target("deployments/apps", "x");
    for options in [
        DeleteOptions { uid: Some("other".into()), ..DeleteOptions::default() },
        DeleteOptions { version: Some("1".into()), ..DeleteOptions::default() },
    ] {
        let error = bench.store.delete(&target, &options, bench.now).unwrap_err();
        assert_eq!((error.code(), error.reason()), (409, "Conflict"));
        assert!(error.message().starts_with("Operation cannot be fulfilled on Deployment.apps \"x\": the "), "{error}");
    }
}

#[test]
fn a_collection_is_deleted_by_selection() {
    let mut bench = Bench::new();
    for (name, app) in [("p1", "a"), ("p2", "b"), ("p3", "a")] {
        let mut object = pod(name);
        object["metadata"]["labels"]["app"] = app.into();
        bench.create("pods", object).unwrap();
    }
    let selection = Selection { labels: LabelSelector::parse("app=a").unwrap(), ..Selection::default() };
    let target = bench.target("pods", "");
    let gone = bench.store.delete_collection(&target, &selection, &DeleteOptions::default(), bench.now).unwrap();
    assert_eq!(gone.len(), 2);
    assert!(bench.get(&resource::PODS, "p2").is_some() && bench.get(&resource::PODS, "p1").is_none());
}

#[test]
fn an_eviction_spends_the_disruption_budget() {
    let mut bench = Bench::new();
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    for name in ["p1", "p2"] {
        make(&mut bench, &resource::PODS, scheduled(name));
        let key = Key::new(resource::PODS, "default", name);
        bench.store.apply(Write::PatchStatus { key, if_version: None, patch: json!({"status": ready}) }, bench.now).unwrap();
    }
    bench
        .create(
            "poddisruptionbudgets/policy",
            json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}}),
        )
        .unwrap();
    let evict = |bench: &mut Bench, name: &str| {
        let target = bench.target("pods", name);
        bench.store.evict(&target, &json!({"metadata": {"name": name}}), &DeleteOptions::default(), bench.now)
    };
    let cause = |error: &crate::sandbox::model::error::ApiError| {
        error.details().unwrap()["causes"][0]["message"].as_str().unwrap().to_owned()
    };
    let error = evict(&mut bench, "p1").unwrap_err();
    assert_eq!((error.code(), error.message()), (429, "Cannot evict pod as it would violate the pod's disruption budget."));
    assert_eq!(cause(&error), "The disruption budget b is still being processed by the server.");

    let status = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2}});
    let key = Key::new(resource::POD_DISRUPTION_BUDGETS, "default", "b");
    bench.store.apply(Write::PatchStatus { key, if_version: None, patch: status }, bench.now).unwrap();
    assert_eq!(evict(&mut bench, "p1").unwrap()["status"], "Success");
    let budget = bench.get(&resource::POD_DISRUPTION_BUDGETS, "b").unwrap();
    assert_eq!(
        (&budget["status"]["disruptionsAllowed"], &budget["status"]["disruptedPods"]["p1"]),
        (&json!(0), &json!("2026-01-01T00:00:00Z"))
    );
    let evicted = bench.get(&resource::PODS, "p1").unwrap();
    assert_eq!(evicted["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(evicted["status"]["conditions"][1]["reason"], "EvictionByEvictionAPI");

    let error = evict(&mut bench, "p2").unwrap_err();
    assert_eq!(cause(&error), "The disruption budget b needs 1 healthy pods and has 2 currently");
    assert!(evict(&mut bench, "p1").is_ok(), "a pod that is going anyway costs nothing");
}

#[test]
fn a_pod_is_bound_once() {
    let mut bench = Bench::new();
    bench.create("pods", pod("p")).unwrap();
    let target = bench.target("pods", "p");
    let binding = json!({"target": {"kind": "Node", "name": "n"}});
    bench.store.bind(&target, &binding, "kube-scheduler", bench.now).unwrap();
    let bound = bench.get(&resource::PODS, "p").unwrap();
    assert_eq!((&bound["spec"]["nodeName"], &bound["status"]["conditions"][0]["type"]), (&json!("n"), &json!("PodScheduled")));
    let error = bench.store.bind(&target, &binding, "kube-scheduler", bench.now).unwrap_err();
    assert_eq!(error.message(), "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\"");
}

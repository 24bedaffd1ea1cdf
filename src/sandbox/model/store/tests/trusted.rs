//! Writes of the sandbox's own parts.

use serde_json::{Value, json};

use super::{Bench, deployment, pod};
use crate::sandbox::model::object::{Key, resource};
use crate::sandbox::model::store::{Store, StoreConfig};
use crate::sandbox::model::write::{EventType, Read, Write};

#[test]
fn a_patch_of_a_controller_has_its_precondition_and_its_name() {
    let mut bench = Bench::new();
    bench.create("deployments/apps", deployment("x", 1)).unwrap();
    let key = Key::new(resource::DEPLOYMENTS, "default", "x");
    let version = bench.get(&resource::DEPLOYMENTS, "x").unwrap()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let patch = |if_version: Option<String>, replicas: i64| Write::PatchStatus {
        key: key.clone(),
        if_version,
        patch: json!({"spec": {"replicas": 9}, "status": {"replicas": replicas, "observedGeneration": 1}}),
    };
    bench.store.apply(patch(Some(version.clone()), 1), bench.now).unwrap();
    assert_eq!(bench.store.apply(patch(Some(version), 2), bench.now).unwrap_err().code(), 409);
    let object = bench.get(&resource::DEPLOYMENTS, "x").unwrap();
    assert_eq!((&object["spec"]["replicas"], &object["status"]), (&json!(1), &json!({"observedGeneration": 1, "replicas": 1})));
    let shown = bench.store.stored(&key).unwrap().managed.to_json();
    assert_eq!((&shown[0]["manager"], &shown[0]["subresource"]), (&json!("kube-controller-manager"), &json!("status")));
}

#[test]
fn annotations_come_along_with_a_status_and_are_no_new_generation() {
    let mut bench = Bench::new();
    bench.create("deployments/apps", deployment("x", 1)).unwrap();
    let key = Key::new(resource::DEPLOYMENTS, "default", "x");
    let patch = json!({"metadata": {"annotations": {"revision": "1"}, "labels": {"no": "no"}}});
    bench.store.apply(Write::PatchStatus { key, if_version: None, patch }, bench.now).unwrap();
    let meta = bench.get(&resource::DEPLOYMENTS, "x").unwrap()["metadata"].clone();
    assert_eq!(
        (&meta["annotations"], &meta["labels"]["no"], &meta["generation"]),
        (&json!({"revision": "1"}), &Value::Null, &json!(1))
    );
}

#[test]
fn a_deletion_by_a_controller_leaves_the_finalizers_that_are_there() {
    let mut bench = Bench::new();
    let mut object = deployment("x", 1);
    object["metadata"]["finalizers"] = json!(["foregroundDeletion", "example.com/mine"]);
    bench.create("deployments/apps", object).unwrap();
    let key = Key::new(resource::DEPLOYMENTS, "default", "x");
    bench.store.apply(Write::Delete { key, uid: None, grace: None }, bench.now).unwrap();
    let meta = bench.get(&resource::DEPLOYMENTS, "x").unwrap()["metadata"].clone();
    assert_eq!(
        (&meta["finalizers"], &meta["deletionTimestamp"]),
        (&json!(["foregroundDeletion", "example.com/mine"]), &json!("2026-01-01T00:00:00Z"))
    );
}

#[test]
fn repeated_events_are_counted_and_old_ones_go() {
    let mut bench = Bench::with(StoreConfig { events: 3, ..StoreConfig::default() });
    bench.create("pods", pod("p")).unwrap();
    let about = Key::new(resource::PODS, "default", "p");
    let record = |bench: &mut Bench, message: &str| {
        let event = Write::Event {
            about: about.clone(),
            kind: EventType::Warning,
            reason: "BackOff",
            message: message.into(),
            by: "kubelet",
        };
        bench.store.apply(event, bench.now).unwrap();
    };
    record(&mut bench, "one");
    bench.pass(7);
    record(&mut bench, "one");
    let events = bench.store.list(&resource::EVENTS, None);
    let event = &events[0];
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&event["count"], &event["firstTimestamp"], &event["lastTimestamp"], &event["involvedObject"]["kind"], &event["type"]),
        (&json!(2), &json!("2026-01-01T00:00:00Z"), &json!("2026-01-01T00:00:07Z"), &json!("Pod"), &json!("Warning"))
    );
    for message in ["two", "three", "four"] {
        record(&mut bench, message);
    }
    let left = |bench: &Bench| {
        bench.store.list(&resource::EVENTS, None).iter().map(|e| e["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(left(&bench), ["two", "three", "four"]);
    bench.pass(7200);
    record(&mut bench, "five");
    assert_eq!(left(&bench), ["five"]);
}

#[test]
fn a_bare_store_asks_for_no_namespace() {
    let mut store = Store::default();
    let now = crate::sandbox::model::object::parse_time(&json!("2026-01-01T00:00:00Z")).unwrap();
    let mut object = pod("");
    object["metadata"] = json!({"generateName": "p-", "namespace": "anywhere"});
    store.apply(Write::Create { resource: resource::PODS, object }, now).unwrap();
    let pods = store.list(&resource::PODS, Some("anywhere"));
    assert_eq!((pods.len(), &pods[0]["status"]["phase"], &pods[0]["kind"]), (1, &json!("Pending"), &json!("Pod")));
    assert!(store.list(&resource::PODS, Some("elsewhere")).is_empty());
}

#[test]
fn two_stores_with_one_seed_are_the_same() {
    let run = |seed: u64| {
        let mut bench = Bench::with(StoreConfig { seed, ..StoreConfig::default() });
        let mut object = pod("");
        object["metadata"] = json!({"generateName": "p-"});
        bench.create("pods", object).unwrap();
        bench.create("services", json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}})).unwrap();
        let all = [resource::PODS, resource::SERVICES, resource::NAMESPACES].map(|r| bench.store.list(&r, None));
        all.into_iter().flatten().map(|o| Value::clone(&o)).collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

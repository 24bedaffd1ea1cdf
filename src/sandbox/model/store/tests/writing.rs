//! Creating and changing objects.

use serde_json::{Value, json};

use super::{Bench, deployment, pod};
use crate::sandbox::model::object::resource;
use crate::sandbox::model::patch::Format;
use crate::sandbox::model::store::{Body, FieldValidation, Options};

#[test]
fn a_created_object_has_what_the_server_gives_it() {
    let mut bench = Bench::new();
    let done = bench.create("deployments/apps", deployment("x", 2)).unwrap();
    let meta = &done.object["metadata"];
    assert_eq!(
        (&meta["namespace"], &meta["generation"], &meta["creationTimestamp"], &meta["managedFields"][0]["manager"]),
        (&json!("default"), &json!(1), &json!("2026-01-01T00:00:00Z"), &json!("test"))
    );
    assert_eq!(meta["uid"].as_str().unwrap().len(), 36);
    assert_eq!(meta["resourceVersion"], bench.store.version().to_string());
    assert_eq!(done.object["spec"]["strategy"]["rollingUpdate"]["maxSurge"], "25%");
    assert_eq!(done.object["status"], json!({}));
    let again = bench.create("deployments/apps", deployment("x", 2)).unwrap_err();
    assert_eq!((again.code(), again.message()), (409, "deployments.apps \"x\" already exists"));
}

#[test]
fn a_generated_name_is_drawn_from_the_seed() {
    let name = |seed| {
        let mut bench = Bench::with(&crate::sandbox::model::store::StoreConfig { seed, ..Default::default() });
        let mut object = pod("");
        object["metadata"] = json!({"generateName": "web-"});
        bench.create("pods", object).unwrap().object["metadata"]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(name(7), name(7));
    assert_ne!(name(7), name(8));
    let suffix = name(7).strip_prefix("web-").unwrap().to_owned();
    assert!(suffix.len() == 5 && suffix.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c)), "{suffix}");
}

#[test]
fn only_what_is_wanted_counts_generations() {
    let mut bench = Bench::new();
    let mut object = bench.create("deployments/apps", deployment("x", 2)).unwrap().object;
    let generation = |o: &Value| o["metadata"]["generation"].as_i64().unwrap();

    object["metadata"]["labels"] = json!({"l": "1"});
    let mut object = bench.replace("deployments/apps", object).unwrap().object;
    assert_eq!(generation(&object), 1, "a label");

    object["spec"]["replicas"] = 3.into();
    object["status"] = json!({"replicas": 9});
    let object = bench.replace("deployments/apps", object).unwrap().object;
    assert_eq!(generation(&object), 2, "replicas");
    assert_eq!(object["status"], json!({}), "the status has its own door");

    let mut changed = object;
    changed["spec"]["replicas"] = 7.into();
    changed["status"] = json!({"replicas": 3});
    let target = bench.status_of("deployments/apps", "x");
    let object = bench.store.replace(&target, Body::from(changed), &bench.options.clone(), bench.now).unwrap().object;
    assert_eq!((generation(&object), &object["spec"]["replicas"], &object["status"]["replicas"]), (2, &json!(3), &json!(3)));
}

#[test]
fn a_write_that_changes_nothing_makes_no_version() {
    let mut bench = Bench::new();
    let object = bench.create("deployments/apps", deployment("x", 2)).unwrap().object;
    let before = bench.store.version();
    bench.pass(5);
    bench.replace("deployments/apps", object).unwrap();
    bench.replace("deployments/apps", deployment("x", 2)).unwrap();
    assert_eq!(bench.store.version(), before);
}

#[test]
fn a_stale_version_is_a_conflict() {
    let mut bench = Bench::new();
    let old = bench.create("deployments/apps", deployment("x", 2)).unwrap().object;
    bench.replace("deployments/apps", deployment("x", 3)).unwrap();
    let error = bench.replace("deployments/apps", old).unwrap_err();
    assert_eq!(
        (error.code(), error.reason(), error.message()),
        (
            409,
            "Conflict",
            "Operation cannot be fulfilled on deployments.apps \"x\": the object has been modified; please apply your changes to the latest version and try again"
        )
    );
}

#[test]
fn unknown_fields_are_refused_warned_of_or_dropped() {
    let mut bench = Bench::new();
    let mut object = deployment("x", 1);
    object["spec"]["foo"] = 1.into();
    let body = Body { value: object, duplicates: vec!["spec.replicas".into()] };
    let target = bench.target("deployments/apps", "");
    let mut with =
        |fields| bench.store.create(&target, body.clone(), &Options { fields, dry_run: true, ..Options::default() }, bench.now);
    let error = with(FieldValidation::Strict).unwrap_err();
    assert_eq!(
        error.message(),
        "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.foo\", duplicate field \"spec.replicas\""
    );
    assert_eq!(with(FieldValidation::Warn).unwrap().warnings, ["unknown field \"spec.foo\"", "duplicate field \"spec.replicas\""]);
    let done = with(FieldValidation::Ignore).unwrap();
    assert_eq!((done.warnings.len(), done.object["spec"].get("foo")), (0, None));
}

#[test]
fn a_dry_run_changes_nothing() {
    let mut bench = Bench::new();
    let before = bench.store.version();
    bench.options.dry_run = true;
    let done = bench.create("services", json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})).unwrap();
    assert!(done.object["spec"]["clusterIP"].is_string());
    assert_eq!((bench.store.version(), bench.get(&resource::SERVICES, "s")), (before, None));
}

#[test]
fn a_patch_is_judged_like_a_whole_object() {
    let mut bench = Bench::new();
    bench.create("deployments/apps", deployment("x", 1)).unwrap();
    let target = bench.target("deployments/apps", "x");
    let options = bench.options.clone();
    let mut patch = |format, patch: Value| bench.store.patch(&target, format, Body::from(patch), &options, bench.now);
    let error = patch(Format::Merge, json!({"spec": {"replicas": -1}})).unwrap_err();
    assert_eq!(
        error.message(),
        "Deployment.apps \"x\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
    let error = patch(Format::Strategic, json!({"spec": {"replicas": "a"}})).unwrap_err();
    assert_eq!(
        error.message(),
        " \"\" is invalid: patch: Invalid value: \"map[spec:map[replicas:a]]\": json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    );
    let error = patch(Format::Merge, json!({"metadata": {"resourceVersion": "1"}})).unwrap_err();
    assert_eq!(error.code(), 409);
    let done =
        patch(Format::Strategic, json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i:2"}]}}}})).unwrap();
    assert_eq!(done.object["spec"]["template"]["spec"]["containers"][0]["image"], "i:2");
    assert_eq!(done.object["metadata"]["generation"], 2);
}

#[test]
fn server_side_apply_creates_changes_and_conflicts() {
    let mut bench = Bench::new();
    let target = bench.target("deployments/apps", "x");
    let now = bench.now;
    let mut apply = |manager: &str, replicas, force| {
        let options = Options { manager: manager.into(), force, ..Options::default() };
        bench.store.apply_patch(&target, Body::from(deployment("x", replicas)), &options, now)
    };
    assert!(apply("a", 1, false).unwrap().created);
    let same = apply("a", 1, false).unwrap();
    assert_eq!((same.created, &same.object["metadata"]["generation"]), (false, &json!(1)));
    assert_eq!(apply("b", 2, false).unwrap_err().message(), "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas");
    let forced = apply("b", 2, true).unwrap();
    assert_eq!((&forced.object["spec"]["replicas"], &forced.object["metadata"]["generation"]), (&json!(2), &json!(2)));
    let names: Vec<&str> =
        forced.object["metadata"]["managedFields"].as_array().unwrap().iter().map(|m| m["manager"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn scale_is_a_door_to_the_replicas() {
    let mut bench = Bench::new();
    bench.create("deployments/apps", deployment("x", 1)).unwrap();
    let target = bench.target("deployments/apps", "x");
    let mut scale = bench.store.scale(&target).unwrap();
    assert_eq!((&scale["spec"], &scale["status"]), (&json!({"replicas": 1}), &json!({"replicas": 0, "selector": "app=x"})));
    scale["spec"]["replicas"] = 4.into();
    bench.store.replace_scale(&target, &scale, &bench.options.clone(), bench.now).unwrap();
    assert_eq!(bench.get(&resource::DEPLOYMENTS, "x").unwrap()["spec"]["replicas"], 4);
    let error =
        bench.store.replace_scale(&target, &json!({"spec": {"replicas": -1}}), &bench.options.clone(), bench.now).unwrap_err();
    assert_eq!(
        error.message(),
        "Scale.autoscaling \"x\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
}

#[test]
fn a_service_gets_an_address_and_keeps_it() {
    let mut bench = Bench::new();
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let made = bench.create("services", service.clone()).unwrap().object;
    let address = made["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("127.16."), "{address}");
    assert_eq!(bench.replace("services", service).unwrap().object["spec"]["clusterIP"], address);
    let mut moved = made;
    moved["spec"]["clusterIP"] = "127.16.96.9".into();
    let error = bench.replace("services", moved).unwrap_err();
    assert!(error.message().contains("may not change once set"), "{error}");
}

//! Custom resources.

use serde_json::{Value, json};

use super::Bench;
use crate::sandbox::model::object::{Key, Resource};
use crate::sandbox::model::store::{Body, DeleteOptions, FieldValidation};
use crate::sandbox::model::write::Read;

fn definition() -> Value {
    let schema = json!({"type": "object", "required": ["spec"], "properties": {
        "spec": {"type": "object", "required": ["mode"], "properties": {
            "replicas": {"type": "integer", "minimum": 1, "default": 2}, "mode": {"type": "string", "enum": ["a", "b"]},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}, "when": {"type": "string", "nullable": true}}},
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}}}});
    json!({"metadata": {"name": "widgets.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}}}]}})
}

fn widget(spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec})
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    let made = bench.create("customresourcedefinitions/apiextensions.k8s.io", definition()).unwrap().object;
    assert_eq!(made["status"]["conditions"][1]["type"], "Established");
    assert_eq!(
        (&made["status"]["acceptedNames"]["singular"], &made["status"]["storedVersions"]),
        (&json!("widget"), &json!(["v1"]))
    );
    bench
}

#[test]
fn objects_are_pruned_defaulted_and_judged() {
    let mut bench = bench();
    let given = json!({"mode": "a", "foo": 1, "when": null, "free": {"x": null}});
    let made = bench.create("widgets/example.com", widget(&given)).unwrap();
    assert_eq!(made.object["spec"], json!({"replicas": 2, "mode": "a", "when": null, "free": {"x": null}}));
    assert_eq!(made.warnings, ["unknown field \"spec.foo\""]);
    let mut bad = widget(&json!({"mode": "z", "replicas": 0}));
    bad["metadata"]["name"] = "v".into();
    let error = bench.create("widgets/example.com", bad).unwrap_err();
    assert_eq!(
        error.message(),
        "Widget.example.com \"v\" is invalid: [spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1, spec.mode: Unsupported value: \"z\": supported values: \"a\", \"b\"]"
    );
    bench.options.fields = FieldValidation::Strict;
    let error = bench.create("widgets/example.com", widget(&given)).unwrap_err();
    assert_eq!(error.code(), 400);
}

#[test]
fn status_and_scale_are_doors_of_their_own() {
    let mut bench = bench();
    let mut made = bench.create("widgets/example.com", widget(&json!({"mode": "a"}))).unwrap().object;
    made["status"] = json!({"replicas": 1, "selector": "a=b"});
    let target = bench.status_of("widgets/example.com", "w");
    let with_status = bench.store.replace(&target, Body::from(made.clone()), &bench.options.clone(), bench.now).unwrap().object;
    assert_eq!((&with_status["status"]["replicas"], &with_status["metadata"]["generation"]), (&json!(1), &json!(1)));
    let target = bench.target("widgets/example.com", "w");
    let mut scale = bench.store.scale(&target).unwrap();
    assert_eq!((&scale["spec"], &scale["status"]), (&json!({"replicas": 2}), &json!({"replicas": 1, "selector": "a=b"})));
    scale["spec"]["replicas"] = 5.into();
    bench.store.replace_scale(&target, &scale, &bench.options.clone(), bench.now).unwrap();
    let key = Key::new(Resource::Borrowed("widgets.example.com"), "default", "w");
    let now = bench.store.get(&key).unwrap();
    assert_eq!(
        (&now["spec"]["replicas"], &now["status"]["replicas"], &now["metadata"]["generation"]),
        (&json!(5), &json!(1), &json!(2))
    );
}

#[test]
fn with_the_definition_go_its_objects() {
    let mut bench = bench();
    bench.create("widgets/example.com", widget(&json!({"mode": "a"}))).unwrap();
    let target = bench.target("customresourcedefinitions/apiextensions.k8s.io", "widgets.example.com");
    assert!(bench.store.delete(&target, &DeleteOptions::default(), bench.now).unwrap().deleted);
    assert!(bench.store.registry().find("example.com", "v1", "widgets").is_none());
    assert!(bench.store.list(&Resource::Borrowed("widgets.example.com"), None).is_empty());
}

use std::path::Path;

use kube::CustomResourceExt;
use serde_json::Map;

use super::*;
use crate::domain::policy::spec::PolicySpec;

/// The cases of a folder: name, first line without its sign, and the object.
fn cases(folder: &str) -> Vec<(String, String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/policies").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let first = text.lines().next().unwrap().strip_prefix("# ").unwrap().to_owned();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let object: Value = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!((&object["kind"], &object["metadata"]["name"]), (&json!("RolloutPolicy"), &json!(name)));
        (name, first, object)
    };
    files.iter().map(read).collect()
}

fn read(object: &Value) -> Result<RolloutPolicy, String> {
    serde_json::from_value(object.clone()).map_err(|e| e.to_string())
}

/// What is left for an annotation when nobody needs to be named.
fn annotation(object: &Value) -> String {
    let fields: Map<String, Value> = object["spec"].as_object().unwrap().clone();
    Value::Object(fields.into_iter().filter(|(name, _)| !["deployments", "selector"].contains(&name.as_str())).collect())
        .to_string()
}

#[test]
fn good_policies_are_read_and_say_the_same_as_annotations() {
    let cases = cases("good");
    assert!(cases.len() >= 5, "{}", cases.len());
    for (name, _, object) in cases {
        let policy = read(&object).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(PolicySpec::parse(&annotation(&object)).as_ref(), Ok(&policy.spec.policy), "{name}");
        let written = serde_json::to_value(&policy.spec).unwrap();
        assert_eq!(serde_json::from_value::<RolloutPolicySpec>(written).unwrap(), policy.spec, "{name}");
    }
}

#[test]
fn bad_policies_are_refused_whoever_reads_them() {
    let cases = cases("bad");
    assert!(cases.len() >= 20, "{}", cases.len());
    for (name, first, object) in cases {
        let (by, words) = first.split_once(": ").unwrap();
        assert!(["refused by schema", "refused by rule", "stalled"].contains(&by) && !words.is_empty(), "{name}: {first}");
        let error = read(&object).err().unwrap_or_else(|| panic!("{name} is read"));
        assert!(by != "stalled" || error.contains(words), "{name}: {error}");
        let about_whom = !object["spec"].is_object() || selection::read(object["spec"].clone()).0.is_err();
        assert!(about_whom || PolicySpec::parse(&annotation(&object)).is_err(), "{name} is read from an annotation");
    }
}

#[test]
fn the_schema_has_all_fields_and_rules_and_bounds() {
    let crd = serde_json::to_value(RolloutPolicy::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let fields: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let wanted = [
        "baseline",
        "deadline",
        "deployments",
        "entry",
        "freezeWhen",
        "guard",
        "ingress",
        "lanes",
        "path",
        "probing",
        "selector",
        "service",
        "soak",
        "then",
    ];
    assert_eq!(fields, wanted);
    let rules: Vec<&str> =
        schema["x-kubernetes-validations"].as_array().unwrap().iter().map(|r| r["rule"].as_str().unwrap()).collect();
    assert_eq!((rules[0], rules.len()), ("has(self.deployments) != has(self.selector)", 5));
    assert!(schema.get("required").is_none(), "everything may be left out, but for one of two");
    assert_bounded(schema, "spec");
    let status = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    assert_eq!(status["properties"]["conditions"]["x-kubernetes-list-type"], "map");
    assert_eq!(status["properties"]["deployments"]["maxItems"], 20);
}

/// Each text, list and map has a bound, so that the cost of a rule has one.
fn assert_bounded(schema: &Value, at: &str) {
    let bound = match schema["type"].as_str() {
        Some("string") if schema["enum"].is_array() => "enum",
        Some("string") => "maxLength",
        Some("array") => "maxItems",
        Some("object") if schema["properties"].is_object() => "properties",
        Some("object") => "maxProperties",
        Some("number") => "maximum",
        other => panic!("{at} is {other:?}"),
    };
    assert!(!schema[bound].is_null(), "{at} has no {bound}");
    assert!(schema["nullable"].is_null(), "{at} may be null");
    schema["properties"].as_object().into_iter().flatten().for_each(|(name, below)| assert_bounded(below, &format!("{at}.{name}")));
    for below in ["items", "additionalProperties"] {
        if schema[below].is_object() {
            assert_bounded(&schema[below], &format!("{at}.{below}"));
        }
    }
}

#[test]
fn an_object_that_makes_no_sense_is_read_as_far_as_it_does() {
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "verifier.dev/v1alpha1", "kind": "RolloutPolicy",
        "metadata": {"namespace": "todo", "name": "p", "uid": "u", "generation": 4, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"selector": {}, "then": ["uptime >= 99%"]},
        "status": "none",
    }))
    .unwrap();
    let rule = rule(&object);
    assert_eq!((rule.key, rule.uid.as_str(), rule.generation, rule.created), (Key::new("todo", "p"), "u", 4, 1_767_225_600));
    assert!(rule.whom.is_ok() && rule.policy.unwrap_err().contains("unknown objective `uptime`"));
    assert_eq!(status(&object), PolicyStatus::default());
}

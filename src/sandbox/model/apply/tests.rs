//! Appliers, updaters and their quarrels, as a real API server settles them.

use serde_json::{Value, json};

use super::managed::{Managed, Manager};
use super::{Writer, applied, updated};
use crate::sandbox::model::defaults;
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::object::{Now, parse_time};
use crate::sandbox::model::schema::builtin;
use crate::sandbox::model::schema::decode::decode;

struct Bench {
    object: Option<Value>,
    managed: Managed,
    now: Now,
}

fn manager(name: &str, applies: bool) -> Manager {
    Manager { name: name.into(), applies, api_version: "apps/v1".into(), subresource: String::new() }
}

impl Bench {
    fn new() -> Self {
        Self { object: None, managed: Managed::default(), now: parse_time(&json!("2026-01-01T00:00:00Z")).unwrap() }
    }

    fn settle(&mut self, object: Value, managed: Managed) {
        let set = builtin();
        let mut object = decode(set.named("io.k8s.api.apps.v1.Deployment").unwrap(), object, false, &mut Vec::new()).unwrap();
        defaults::apps::deployment(&mut object);
        (self.object, self.managed) = (Some(object), managed);
    }

    fn apply(&mut self, name: &str, config: &Value, force: bool) -> Result<(), ApiError> {
        let set = builtin();
        let of = set.named("io.k8s.api.apps.v1.Deployment").unwrap();
        let who = manager(name, true);
        let by = Writer { manager: &who, ignored: &["status"], now: self.now };
        let (object, managed) = applied(of, &self.managed, self.object.as_ref(), config, by, force)?;
        self.settle(object, managed);
        Ok(())
    }

    fn update(&mut self, name: &str, edit: impl FnOnce(&mut Value)) {
        let set = builtin();
        let of = set.named("io.k8s.api.apps.v1.Deployment").unwrap();
        let who = manager(name, false);
        let by = Writer { manager: &who, ignored: &["status"], now: self.now };
        let mut new = self.object.clone().unwrap_or_else(|| json!({}));
        edit(&mut new);
        let mut new = decode(of, new, false, &mut Vec::new()).unwrap();
        defaults::apps::deployment(&mut new);
        let managed = updated(of, &self.managed, self.object.as_ref(), &new, by);
        self.settle(new, managed);
    }

    fn owned(&self, name: &str) -> Vec<String> {
        self.managed.0.iter().find(|o| o.manager.name == name).map(|o| o.fields.paths()).unwrap_or_default()
    }
}

fn config(replicas: Option<i64>, image: &str) -> Value {
    let mut config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": image, "ports": [{"containerPort": 80}]}]}}}});
    if let Some(replicas) = replicas {
        config["spec"]["replicas"] = replicas.into();
    }
    config
}

#[test]
fn an_applier_owns_what_it_wrote_and_not_the_defaults() {
    let mut bench = Bench::new();
    bench.apply("m", &config(Some(2), "i"), false).unwrap();
    assert_eq!(
        bench.managed.to_json(),
        json!([{
            "manager": "m", "operation": "Apply", "apiVersion": "apps/v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {
                "f:metadata": {"f:labels": {"f:a": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}}
        }])
    );
}

#[test]
fn a_second_applier_conflicts_until_it_forces() {
    let mut bench = Bench::new();
    bench.apply("m", &config(Some(2), "i"), false).unwrap();
    let error = bench.apply("m2", &config(Some(3), "j"), false).unwrap_err();
    assert_eq!(
        error.message(),
        "Apply failed with 2 conflicts: conflicts with \"m\":\n- .spec.replicas\n- .spec.template.spec.containers[name=\"c\"].image"
    );
    assert_eq!(
        error.details().unwrap(),
        &json!({"causes": [
            {"reason": "FieldManagerConflict", "message": "conflict with \"m\"", "field": ".spec.replicas"},
            {"reason": "FieldManagerConflict", "message": "conflict with \"m\"", "field": ".spec.template.spec.containers[name=\"c\"].image"}
        ]})
    );
    bench.apply("m2", &config(Some(3), "j"), true).unwrap();
    assert_eq!(bench.object.as_ref().unwrap()["spec"]["replicas"], 3);
    assert!(!bench.owned("m").contains(&".spec.replicas".to_owned()));
    assert!(bench.owned("m").contains(&".spec.selector".to_owned()), "agreement is shared");
    assert!(bench.owned("m2").contains(&".spec.replicas".to_owned()));
}

#[test]
fn what_is_no_longer_applied_goes_unless_another_owns_it() {
    let mut bench = Bench::new();
    bench.apply("m", &config(Some(2), "i"), false).unwrap();
    bench.apply("m", &config(None, "i"), false).unwrap();
    assert_eq!(bench.object.as_ref().unwrap()["spec"]["replicas"], 1, "back to the default");

    bench.apply("m", &config(Some(2), "i"), false).unwrap();
    bench.apply("other", &json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2}}), false).unwrap();
    bench.apply("m", &config(None, "i"), false).unwrap();
    assert_eq!(bench.object.as_ref().unwrap()["spec"]["replicas"], 2, "another applier still wants it");
}

#[test]
fn a_container_that_is_no_longer_applied_is_removed() {
    let mut bench = Bench::new();
    let mut two = config(None, "i");
    two["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "d", "image": "k"}));
    bench.apply("m", &two, false).unwrap();
    bench.apply("m", &config(None, "i"), false).unwrap();
    let names: Vec<Value> = bench.object.as_ref().unwrap()["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].clone())
        .collect();
    assert_eq!(names, ["c"]);
}

#[test]
fn an_update_takes_the_fields_it_changes() {
    let mut bench = Bench::new();
    bench.apply("m", &config(Some(2), "i"), false).unwrap();
    bench.update("kubectl-edit", |d| d["spec"]["replicas"] = 5.into());
    assert_eq!(bench.owned("kubectl-edit"), [".spec.replicas"]);
    let error = bench.apply("m", &config(Some(2), "i"), false).unwrap_err();
    assert_eq!(error.message(), "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using apps/v1: .spec.replicas");
}

#[test]
fn an_update_that_changes_nothing_owns_nothing() {
    let mut bench = Bench::new();
    bench.apply("m", &config(Some(2), "i"), false).unwrap();
    let before = bench.managed.clone();
    bench.update("nobody", |_| {});
    assert_eq!(bench.managed, before);
}

#[test]
fn kubectl_takes_over_what_client_side_apply_set() {
    let mut bench = Bench::new();
    let applied = config(Some(2), "i");
    bench.update("kubectl-client-side-apply", |d| {
        *d = applied.clone();
        d["metadata"]["annotations"] = json!({super::LAST_APPLIED: applied.to_string()});
    });
    assert!(bench.apply("someone", &config(Some(3), "j"), false).is_err());
    bench.apply("kubectl", &config(Some(3), "j"), false).unwrap();
    assert_eq!(bench.object.as_ref().unwrap()["spec"]["replicas"], 3);
}

#[test]
fn of_many_updaters_the_oldest_are_thrown_together() {
    let mut bench = Bench::new();
    bench.apply("m", &config(Some(2), "i"), false).unwrap();
    for i in 0..14 {
        bench.now += chrono::TimeDelta::seconds(1);
        bench.update(&format!("u{i:02}"), |d| d["metadata"]["annotations"][format!("a{i}")] = "x".into());
    }
    let names: Vec<&str> = bench.managed.0.iter().map(|o| o.manager.name.as_str()).collect();
    assert_eq!(names, ["m", "ancient-changes", "u05", "u06", "u07", "u08", "u09", "u10", "u11", "u12", "u13"]);
    assert_eq!(bench.owned("ancient-changes").len(), 6, "annotations and five keys");
}

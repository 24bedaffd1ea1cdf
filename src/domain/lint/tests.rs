use serde_json::{Value, json};

use super::*;
use crate::domain::scenario::merge_by_name;

/// A Deployment with nothing to find, with its Service and its budget.
fn sound() -> Vec<Value> {
    let probe = |path: &str, period: u64| json!({"httpGet": {"path": path, "port": "http"}, "periodSeconds": period});
    let container = json!({
        "name": "web", "image": "shop/web:1.2", "ports": [{"name": "http", "containerPort": 8000}],
        "startupProbe": probe("/livez", 1), "readinessProbe": probe("/readyz", 1), "livenessProbe": probe("/livez", 10),
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": 4, "minReadySeconds": 5, "progressDeadlineSeconds": 120,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "web"}},
    });
    vec![deployment, service, budget(&json!({"maxUnavailable": 1}))]
}

fn budget(spec: &Value) -> Value {
    let mut budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec,
    });
    budget["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    budget
}

fn autoscaler(spec: &Value) -> Value {
    let mut hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec,
    });
    hpa["spec"]["scaleTargetRef"] = json!({"kind": "Deployment", "name": "web"});
    hpa
}

/// The sound one with another value at a pointer into its spec.
fn with(pointer: &str, value: Value) -> Vec<Value> {
    let mut objects = sound();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let place = objects[0]["spec"].pointer_mut(parent).unwrap();
    place[key] = value;
    objects
}

fn in_container(field: &str, value: Value) -> Vec<Value> {
    with(&format!("/template/spec/containers/0/{field}"), value)
}

/// `level code rule` of each.
fn rules(objects: &[Value]) -> Vec<String> {
    let told = |p: &Problem| format!("{} {} {}", p.level.label(), p.code.as_deref().unwrap_or("-"), p.rule);
    lint(objects).problems.iter().map(told).collect()
}

#[test]
fn a_deployment_done_well_has_no_problem() {
    let report = lint(&sound());
    assert_eq!((report.deployments, report.problems), (vec!["shop/web".to_owned()], vec![]));
}

#[test]
fn each_rule_finds_its_setting_and_nothing_else() {
    let table: Vec<(Vec<Value>, &[&str])> = vec![
        (in_container("lifecycle", Value::Null), &["error V101 no-prestop"]),
        (in_container("lifecycle", json!({"preStop": {"exec": {"command": ["/bin/drain"]}}})), &[]),
        (
            in_container("lifecycle", json!({"preStop": {"exec": {"command": ["sh", "-c", "sleep 1"]}}})),
            &["warning V102 short-prestop"],
        ),
        (in_container("lifecycle", json!({"preStop": {"sleep": {"seconds": 30}}})), &["error V103 short-grace"]),
        (in_container("lifecycle", json!({"preStop": {"sleep": {"seconds": 27}}})), &["warning V103 short-grace"]),
        (with("/template/spec/terminationGracePeriodSeconds", json!(5)), &["error V103 short-grace"]),
        (in_container("readinessProbe", Value::Null), &["error V201 no-readiness"]),
        (in_container("livenessProbe", json!({"periodSeconds": 2, "failureThreshold": 2})), &["warning V203 hasty-liveness"]),
        (in_container("livenessProbe", Value::Null), &[]),
        (with("/strategy", json!({"type": "Recreate"})), &["error V602 recreate"]),
        (with("/strategy", json!({"rollingUpdate": {"maxUnavailable": "100%"}})), &["error V601 none-left"]),
        (with("/strategy", json!({"rollingUpdate": {"maxUnavailable": 3}})), &[]),
        (with("/minReadySeconds", Value::Null), &["warning - no-min-ready"]),
        (with("/progressDeadlineSeconds", Value::Null), &["warning V604 late-deadline"]),
        (with("/revisionHistoryLimit", json!(0)), &["error - no-history"]),
        (in_container("resources", json!({"requests": {"cpu": "1"}})), &["warning - no-requests"]),
        (in_container("image", json!("shop/web")), &["warning - latest"]),
        (in_container("image", json!("registry:5000/shop/web:latest")), &["warning - latest"]),
        (in_container("image", json!("registry:5000/shop/web@sha256:00")), &[]),
    ];
    for (objects, expected) in table {
        assert_eq!(rules(&objects), expected, "{:#}", objects[0]["spec"]);
    }
    let mut no_startup = sound();
    no_startup[0]["spec"]["template"]["spec"]["containers"][0]["startupProbe"] = Value::Null;
    assert_eq!(rules(&no_startup), Vec::<String>::new(), "30 s are enough");
    no_startup[0]["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["failureThreshold"] = json!(2);
    assert_eq!(rules(&no_startup), ["warning V204 no-startup"]);
}

#[test]
fn one_replica_may_not_be_missing() {
    let mut one = with("/replicas", json!(1));
    one.pop();
    assert_eq!(rules(&one), ["warning - one-replica"]);
    one[0]["spec"]["strategy"] = json!({"rollingUpdate": {"maxUnavailable": 1}});
    assert_eq!(rules(&one), ["error V601 none-left", "warning - one-replica"], "the worst first");
}

#[test]
fn a_budget_neither_blocks_nor_lets_all_go() {
    let with = |spec: Value| [&sound()[..2], &[budget(&spec)]].concat();
    assert_eq!(rules(&with(json!({"maxUnavailable": 0}))), ["error - budget-blocks"]);
    assert_eq!(rules(&with(json!({"minAvailable": "100%"}))), ["error - budget-blocks"]);
    assert_eq!(rules(&with(json!({"minAvailable": 3}))), Vec::<String>::new());
    assert_eq!(rules(&with(json!({"minAvailable": 0}))), ["warning - budget-keeps-none"]);
    assert_eq!(rules(&sound()[..2]), ["warning - no-budget"]);
    assert_eq!(rules(&sound()[..1]), Vec::<String>::new(), "what no Service leads to has no users to lose");
    let mut elsewhere = with(json!({"maxUnavailable": 0}));
    elsewhere[2]["metadata"]["namespace"] = json!("other");
    assert_eq!(rules(&elsewhere), ["warning - no-budget"]);
}

#[test]
fn an_autoscaler_needs_two_pods_and_something_to_go_by() {
    let with = |spec: Value| [sound(), vec![autoscaler(&spec)]].concat();
    let by_cpu =
        json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]);
    assert_eq!(rules(&with(json!({"minReplicas": 2, "metrics": by_cpu}))), Vec::<String>::new());
    assert_eq!(rules(&with(json!({"metrics": by_cpu}))), ["warning - one-replica"]);
    let mut nothing = with(json!({"minReplicas": 2, "metrics": by_cpu}));
    nothing[0]["spec"]["template"]["spec"]["containers"][0]["resources"] = Value::Null;
    assert_eq!(rules(&nothing), ["error - no-utilization", "warning - no-requests"]);
}

#[test]
fn what_is_prescribed_cures_what_it_is_prescribed_for() {
    let broken = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": 1, "strategy": {"type": "Recreate"}, "revisionHistoryLimit": 0,
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{
                    "name": "web", "image": "w:1", "ports": [{"containerPort": 80}], "resources": {"requests": {"cpu": "1", "memory": "1"}},
                    "livenessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1, "failureThreshold": 1},
                }]},
            },
        },
    });
    let before = lint(std::slice::from_ref(&broken));
    assert_eq!(before.count(Level::Error), 4, "{before:#?}");
    for problem in &before.problems {
        let mut cured = broken.clone();
        merge_by_name(&mut cured, problem.patch.as_ref().unwrap());
        let rules: Vec<String> = lint(&[cured]).problems.into_iter().map(|p| p.rule).collect();
        assert!(!rules.contains(&problem.rule), "{} is still among {rules:?}", problem.rule);
    }
}

#[test]
fn the_loss_is_reckoned_from_the_replicas() {
    let report = lint(&in_container("lifecycle", Value::Null));
    let loss = report.problems[0].loss.as_deref().unwrap();
    assert!(loss.starts_with("4 pods lose 1/4 of the traffic each for about 2 s"), "{loss}");
}

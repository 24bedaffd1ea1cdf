//! Rows as `kubectl get` prints them.

use serde_json::{Value, json};

use super::{cells, columns};
use crate::sandbox::model::kinds::Registry;
use crate::sandbox::model::object::{Now, parse_time};

fn now() -> Now {
    parse_time(&json!("2026-01-01T00:05:00Z")).unwrap()
}

fn row(group: &str, version: &str, plural: &str, mut object: Value) -> Vec<Value> {
    object["metadata"]["name"] = "x".into();
    object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    let registry = Registry::builtin();
    let kind = registry.find(group, version, plural).unwrap();
    let row = cells(kind, &object.into(), now());
    assert_eq!(row.len(), columns(kind).as_array().unwrap().len(), "as many cells as columns");
    row
}

fn pod_status(object: Value) -> (String, String, String) {
    let row = row("", "v1", "pods", object);
    let text = |i: usize| row[i].as_str().unwrap().to_owned();
    (text(1), text(2), text(3))
}

#[test]
fn a_pod_is_summed_up_in_one_word() {
    let spec = json!({"containers": [{"name": "c"}], "initContainers": [{"name": "i"}]});
    let says = |status: Value, deleting: bool| {
        let mut object = json!({"spec": spec, "status": status});
        if deleting {
            object["metadata"] = json!({"deletionTimestamp": "2026-01-01T00:05:30Z"});
        }
        let (ready, reason, restarts) = pod_status(object);
        format!("{ready} {reason} {restarts}")
    };
    let container = |state: Value, ready: bool, restarts: i64| json!([{"name": "c", "state": state, "ready": ready, "restartCount": restarts, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:04:00Z"}}}]);
    assert_eq!(says(json!({"phase": "Pending"}), false), "0/1 Pending 0");
    let waiting = json!([{"name": "i", "state": {"waiting": {"reason": "PodInitializing"}}}]);
    assert_eq!(says(json!({"phase": "Pending", "initContainerStatuses": waiting}), false), "0/1 Init:0/1 0");
    let running = container(json!({"running": {}}), true, 0);
    assert_eq!(says(json!({"phase": "Running", "containerStatuses": running}), false), "1/1 Running 0");
    assert_eq!(says(json!({"phase": "Running", "containerStatuses": running}), true), "1/1 Terminating 0");
    let looping = container(json!({"waiting": {"reason": "CrashLoopBackOff"}}), false, 3);
    assert_eq!(says(json!({"phase": "Running", "containerStatuses": looping}), false), "0/1 CrashLoopBackOff 3 (60s ago)");
    let killed = container(json!({"terminated": {"reason": "", "exitCode": 143}}), false, 0);
    assert_eq!(says(json!({"phase": "Failed", "containerStatuses": killed}), false), "0/1 ExitCode:143 0");
}

#[test]
fn deployments_services_and_ingresses_have_their_columns() {
    let deployment = json!({"spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}},
        "status": {"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2}});
    assert_eq!(
        row("apps", "v1", "deployments", deployment),
        [json!("x"), json!("2/3"), json!(1), json!(2), json!("5m"), json!("c,d"), json!("i,j"), json!("a=b")]
    );
    let service = json!({"spec": {"type": "NodePort", "clusterIPs": ["127.0.0.9"], "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}], "selector": {"a": "b"}}});
    assert_eq!(
        row("", "v1", "services", service),
        ["x", "NodePort", "127.0.0.9", "<none>", "80:30001/TCP", "5m", "a=b"].map(Value::from)
    );
    let ingress = json!({"spec": {"ingressClassName": "v", "rules": [{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}]}, "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}});
    assert_eq!(
        row("networking.k8s.io", "v1", "ingresses", ingress),
        ["x", "v", "a,b,c + 1 more...", "127.0.0.1", "80", "5m"].map(Value::from)
    );
}

#[test]
fn an_autoscaler_shows_what_it_knows() {
    let hpa = json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 1, "maxReplicas": 5, "metrics": [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}, "status": {"currentReplicas": 2}});
    assert_eq!(
        row("autoscaling", "v2", "horizontalpodautoscalers", hpa),
        [json!("x"), json!("Deployment/d"), json!("cpu: <unknown>/80%"), json!("1"), json!(5), json!(2), json!("5m")]
    );
}

#[test]
fn every_kind_prints_an_empty_object() {
    for kind in Registry::builtin().all() {
        row(&kind.group, &kind.version, &kind.plural, json!({"metadata": {}}));
    }
}

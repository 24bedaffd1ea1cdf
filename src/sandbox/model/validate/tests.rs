//! Whole objects and all that is wrong with them.

use serde_json::{Value, json};

use crate::sandbox::model::field::Causes;
use crate::sandbox::model::{defaults, validate};

fn wrong(validate: fn(&Value, Option<&Value>, &mut Causes), new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut causes = Causes::default();
    validate(new, old, &mut causes);
    causes.0.iter().map(ToString::to_string).collect()
}

fn deployment() -> Value {
    let mut deployment = json!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
        "containers": [{"name": "c", "image": "i", "resources": {}}]}}}});
    defaults::apps::deployment(&mut deployment);
    deployment
}

#[test]
fn a_sound_deployment_has_nothing_wrong() {
    assert_eq!(wrong(validate::apps::deployment, &deployment(), None), Vec::<String>::new());
}

#[test]
fn each_mistake_in_a_deployment_is_named() {
    let mut d = deployment();
    d["spec"]["replicas"] = (-1).into();
    d["spec"]["minReadySeconds"] = 600.into();
    d["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": 0, "maxUnavailable": "0%"});
    d["spec"]["template"]["metadata"]["labels"] = json!({"a": "c"});
    d["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
    d["spec"]["template"]["spec"]["containers"] = json!([
        {"name": "", "image": ""},
        {"name": "x", "image": "i", "ports": [{"containerPort": 0}, {"containerPort": 70000, "name": "p"}, {"containerPort": 1, "name": "p"}],
         "readinessProbe": {"periodSeconds": -1}, "livenessProbe": {"successThreshold": 2, "tcpSocket": {"port": 1}},
         "lifecycle": {"preStop": {"sleep": {"seconds": 40}, "exec": {"command": ["x"]}}},
         "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}},
         "volumeMounts": [{"name": "v", "mountPath": "/"}]},
        {"name": "x", "image": "i"}]);
    assert_eq!(
        wrong(validate::apps::deployment, &d, Some(&deployment())),
        [
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`",
            "spec.template.spec.containers[0].name: Required value",
            "spec.template.spec.containers[0].image: Required value",
            "spec.template.spec.containers[1].ports[0].containerPort: Required value",
            "spec.template.spec.containers[1].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.template.spec.containers[1].ports[2].name: Duplicate value: \"p\"",
            "spec.template.spec.containers[1].volumeMounts[0].name: Not found: \"v\"",
            "spec.template.spec.containers[1].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            "spec.template.spec.containers[1].lifecycle.preStop.sleep: Forbidden: may not specify more than 1 handler type",
            "spec.template.spec.containers[1].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            "spec.template.spec.containers[1].readinessProbe: Required value: must specify a handler type",
            "spec.template.spec.containers[1].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            "spec.template.spec.containers[2].name: Duplicate value: \"x\"",
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
        ]
    );
}

#[test]
fn a_selector_stays_what_it_was() {
    let mut d = deployment();
    d["spec"]["selector"]["matchLabels"]["z"] = "y".into();
    d["spec"]["template"]["metadata"]["labels"]["z"] = "y".into();
    assert_eq!(
        wrong(validate::apps::deployment, &d, Some(&deployment())),
        ["spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"z\":\"y\"}}: field is immutable"]
    );
}

#[test]
fn of_a_running_pod_only_the_image_changes() {
    let old = json!({"spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}});
    let mut new = old.clone();
    new["spec"]["containers"][0]["image"] = "j".into();
    assert_eq!(wrong(validate::pod::pod, &new, Some(&old)), Vec::<String>::new());
    new["spec"]["hostname"] = "h".into();
    let found = wrong(validate::pod::pod, &new, Some(&old));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("spec: Forbidden: pod updates may not change fields other than"), "{found:?}");
    new["spec"]["containers"] = json!([{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]);
    assert_eq!(
        wrong(validate::pod::pod, &new, Some(&old)),
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
}

#[test]
fn a_service_and_an_ingress_are_checked() {
    let service = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80, "protocol": "TCP", "targetPort": "web"}, {"port": 80, "protocol": "TCP", "targetPort": 0}]}});
    assert_eq!(
        wrong(validate::service::service, &service, None),
        [
            "spec.ports[0].name: Required value",
            "spec.ports[1].name: Required value",
            "spec.ports[1].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[1]: Duplicate value: {\"protocol\":\"TCP\",\"port\":80}",
        ]
    );
    let ingress = json!({"spec": {"rules": [{"host": "1.2.3.4", "http": {"paths": [
        {"path": "x", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}},
        {"path": "/", "backend": {}}]}}]}});
    assert_eq!(
        wrong(validate::ingress::ingress, &ingress, None),
        [
            "spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address",
            "spec.rules[0].http.paths[0].path: Invalid value: \"x\": must be an absolute path",
            "spec.rules[0].http.paths[1].pathType: Required value: pathType must be specified",
        ]
    );
}

#[test]
fn a_frozen_config_map_stays_as_it_is() {
    let old = json!({"immutable": true, "data": {"a": "1"}});
    assert_eq!(
        wrong(validate::config::config_map, &json!({"data": {"a": "2"}}), Some(&old)),
        [
            "immutable: Forbidden: field is immutable when `immutable` is set",
            "data: Forbidden: field is immutable when `immutable` is set"
        ]
    );
}

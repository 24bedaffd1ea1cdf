//! What the API writes into an object that lacks it, kind by kind. Applying defaults twice changes nothing.

pub mod apps;
pub mod crd;
pub mod misc;
pub mod pod;
pub mod service;

use serde_json::{Map, Value};

/// For kinds without defaults.
pub fn nothing(_: &mut Value) {}

/// Sets a field of an object that is absent.
fn absent(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Value::Object(map) = object {
        map.entry(key).or_insert_with(|| value.into());
    }
}

/// Sets a field of an object that is absent, an empty text or zero.
fn empty(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Value::Object(map) = object
        && map.get(key).is_none_or(|v| v.is_null() || v == "" || v == 0)
    {
        map.insert(key.into(), value.into());
    }
}

/// The object under a key, made when absent. Nothing if there is something else.
fn within<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    let Value::Object(map) = object else { return None };
    let slot = map.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    slot.is_object().then_some(slot)
}

/// The items of a list under a key, if there is one.
fn items<'a>(object: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_gets_what_the_api_writes_and_no_more_the_second_time() {
        let mut given = json!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "strategy": {}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
            "containers": [{"name": "c", "image": "todo/backend:v1", "resources": {}, "ports": [{"containerPort": 80}],
                "readinessProbe": {"httpGet": {"port": 80}},
                "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]},
                {"name": "d", "image": "r:5000/x/y", "resources": {"limits": {"cpu": "1"}}}],
            "volumes": [{"name": "v", "configMap": {"name": "m"}}, {"name": "w"}]}}}});
        apps::deployment(&mut given);
        let expected = json!({"spec": {
            "replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
                "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "securityContext": {},
                "schedulerName": "default-scheduler",
                "containers": [
                    {"name": "c", "image": "todo/backend:v1", "resources": {}, "ports": [{"containerPort": 80, "protocol": "TCP"}],
                     "readinessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
                                        "successThreshold": 1, "failureThreshold": 3},
                     "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP", "apiVersion": "v1"}}}],
                     "imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"},
                    {"name": "d", "image": "r:5000/x/y", "resources": {"limits": {"cpu": "1"}},
                     "imagePullPolicy": "Always", "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
                "volumes": [{"name": "v", "configMap": {"name": "m", "defaultMode": 420}}, {"name": "w", "emptyDir": {}}]
            }}
        }});
        assert_eq!(given, expected);
        apps::deployment(&mut given);
        assert_eq!(given, expected);
    }

    #[test]
    fn a_pod_requests_what_it_limits_and_a_template_does_not() {
        let mut pod = json!({"spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}}]}});
        pod::pod(&mut pod);
        assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "500m", "memory": "1Gi"}));
        assert_eq!(pod["spec"]["enableServiceLinks"], true);
    }

    #[test]
    fn a_service_targets_its_own_port() {
        let mut service = json!({"spec": {"ports": [{"port": 80}, {"port": 81, "targetPort": "http"}]}});
        service::service(&mut service);
        assert_eq!(
            service,
            json!({"spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}, {"port": 81, "protocol": "TCP", "targetPort": "http"}],
                            "sessionAffinity": "None", "type": "ClusterIP", "internalTrafficPolicy": "Cluster"}})
        );
    }
}

//! Prescriptions as overlays: the object's kind and name, and the fields to lay over it.

use serde_json::{Value, json};

use super::seen::Seen;

/// Over the Deployment under watch.
pub(super) fn deployment(seen: &Seen<'_>, spec: &Value) -> Value {
    let target = &seen.course.head().scenario.target;
    let metadata = json!({"name": target.deployment, "namespace": target.namespace});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
}

/// Over one container of its pods.
pub(super) fn container(seen: &Seen<'_>, name: &str, fields: &Value) -> Value {
    pod(seen, name, fields, &json!({}))
}

/// Over one container of its pods, and over the pods themselves.
pub(super) fn pod(seen: &Seen<'_>, name: &str, fields: &Value, of_pod: &Value) -> Value {
    let mut container = json!({"name": name});
    put_all(&mut container, fields);
    let mut spec = of_pod.clone();
    put_all(&mut spec, &json!({"containers": [container]}));
    deployment(seen, &json!({"template": {"spec": spec}}))
}

fn put_all(map: &mut Value, more: &Value) {
    if let (Value::Object(map), Value::Object(more)) = (map, more) {
        map.extend(more.clone());
    }
}

/// The path of a container's field.
pub(super) fn container_field(container: &str, field: &str) -> String {
    format!("spec.template.spec.containers[{container}].{field}")
}

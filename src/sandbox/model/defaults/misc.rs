//! Defaults of the smaller kinds.

use base64::Engine;
use serde_json::{Value, json};

use super::{absent, empty, items, within};

/// Defaults of a Namespace: it is labelled with its own name.
pub fn namespace(namespace: &mut Value) {
    let name = namespace["metadata"]["name"].clone();
    if name.as_str().is_some_and(|n| !n.is_empty())
        && let Some(labels) = within(namespace, "metadata").and_then(|m| within(m, "labels"))
    {
        labels["kubernetes.io/metadata.name"] = name;
    }
    if let Some(status) = within(namespace, "status") {
        empty(status, "phase", "Active");
    }
}

/// Defaults of a Node.
pub fn node(node: &mut Value) {
    let Some(status) = within(node, "status") else { return };
    if let Some(capacity) = status.get("capacity").cloned() {
        absent(status, "allocatable", capacity);
    }
}

/// Defaults of an Event.
pub fn event(event: &mut Value) {
    absent(event, "reportingComponent", "");
    absent(event, "reportingInstance", "");
}

/// Defaults of a Secret. `stringData` is a way to write `data`, and is never kept.
pub fn secret(secret: &mut Value) {
    empty(secret, "type", "Opaque");
    let Some(texts) = secret.as_object_mut().and_then(|s| s.shift_remove("stringData")) else { return };
    if let (Value::Object(texts), Some(data)) = (texts, within(secret, "data")) {
        for (key, text) in texts {
            data[key] = base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or_default()).into();
        }
    }
}

/// Defaults of a NetworkPolicy.
pub fn network_policy(policy: &mut Value) {
    let Some(spec) = policy.get_mut("spec").filter(|s| s.is_object()) else { return };
    if spec["policyTypes"].as_array().is_none_or(Vec::is_empty) {
        let egress = spec["egress"].as_array().is_some_and(|e| !e.is_empty());
        spec["policyTypes"] = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    }
    for direction in ["ingress", "egress"] {
        for port in items(spec, direction).flat_map(|rule| items(rule, "ports")) {
            absent(port, "protocol", "TCP");
        }
    }
}

/// Defaults of a RoleBinding or ClusterRoleBinding.
pub fn binding(binding: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if let Some(role) = binding.get_mut("roleRef") {
        empty(role, "apiGroup", GROUP);
    }
    for subject in items(binding, "subjects").filter(|s| s["kind"] == "User" || s["kind"] == "Group") {
        empty(subject, "apiGroup", GROUP);
    }
}

/// Defaults of a PriorityClass.
pub fn priority_class(class: &mut Value) {
    absent(class, "preemptionPolicy", "PreemptLowerPriority");
}

/// Defaults of a StorageClass.
pub fn storage_class(class: &mut Value) {
    absent(class, "reclaimPolicy", "Delete");
    absent(class, "volumeBindingMode", "Immediate");
}

/// Defaults of a HorizontalPodAutoscaler.
pub fn autoscaler(autoscaler: &mut Value) {
    let Some(spec) = within(autoscaler, "spec") else { return };
    absent(spec, "minReplicas", 1);
    if spec["metrics"].as_array().is_none_or(Vec::is_empty) {
        spec["metrics"] =
            json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
    }
    let Some(behavior) = spec.get_mut("behavior").filter(|b| b.is_object()) else { return };
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    for (direction, policies) in
        [("scaleUp", json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, percent])), ("scaleDown", json!([percent]))]
    {
        if let Some(rules) = within(behavior, direction) {
            if direction == "scaleUp" {
                absent(rules, "stabilizationWindowSeconds", 0);
            }
            absent(rules, "selectPolicy", "Max");
            absent(rules, "policies", policies);
        }
    }
}

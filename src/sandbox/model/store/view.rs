//! Kinds that show stored objects in another form: `events.k8s.io/v1`, `autoscaling/v1`.

use serde_json::{Map, Value, json};

use crate::sandbox::model::kinds::View;

/// Names of a core Event's fields and of the same in `events.k8s.io`.
const EVENT: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// From the form in which an object came to the one in which it is stored.
pub(super) fn to_stored(view: View, object: Value) -> Value {
    match view {
        View::Stored | View::Version => object,
        View::Events => renamed(object, |key| EVENT.iter().find(|(_, new)| *new == key).map(|(core, _)| *core)),
        View::AutoscalingV1 => autoscaler_to_v2(object),
    }
}

/// From the form in which an object is stored to the one in which it is shown.
pub(super) fn from_stored(view: View, object: Value) -> Value {
    match view {
        View::Stored | View::Version => object,
        View::Events => renamed(object, |key| EVENT.iter().find(|(core, _)| *core == key).map(|(_, new)| *new)),
        View::AutoscalingV1 => autoscaler_to_v1(object),
    }
}

fn renamed(object: Value, name: impl Fn(&str) -> Option<&'static str>) -> Value {
    let Value::Object(map) = object else { return object };
    Value::Object(map.into_iter().map(|(key, value)| (name(&key).map_or(key, str::to_owned), value)).collect())
}

const TARGET: &str = "targetCPUUtilizationPercentage";
const CURRENT: &str = "currentCPUUtilizationPercentage";
/// Where v1 keeps what it has no field for.
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

fn autoscaler_to_v2(mut object: Value) -> Value {
    let mut metrics = Vec::new();
    for (key, field) in [(METRICS, "metrics"), (BEHAVIOR, "behavior")] {
        let annotations = object.get_mut("metadata").and_then(|m| m.get_mut("annotations")).and_then(Value::as_object_mut);
        let text = annotations.and_then(|a| a.shift_remove(key));
        match text.as_ref().and_then(Value::as_str).and_then(|t| serde_json::from_str(t).ok()) {
            Some(Value::Array(more)) if field == "metrics" => metrics.extend(more),
            Some(value) if field == "behavior" => object["spec"]["behavior"] = value,
            _ => {}
        }
    }
    if let Some(percent) = object.get_mut("spec").and_then(Value::as_object_mut).and_then(|s| s.shift_remove(TARGET)) {
        metrics.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}}));
    }
    if !metrics.is_empty() {
        object["spec"]["metrics"] = metrics.into();
    }
    let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) else { return object };
    if let Some(percent) = status.shift_remove(CURRENT) {
        status.insert(
            "currentMetrics".into(),
            json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}}]),
        );
    }
    object
}

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

fn autoscaler_to_v1(mut object: Value) -> Value {
    let mut annotations = Map::new();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        let metrics = spec.shift_remove("metrics");
        let (cpu, rest): (Vec<Value>, Vec<Value>) = metrics
            .into_iter()
            .flat_map(|m| m.as_array().cloned().unwrap_or_default())
            .partition(|m| is_cpu(m) && m["resource"]["target"]["type"] == "Utilization");
        if let Some(first) = cpu.first() {
            spec.insert(TARGET.into(), first["resource"]["target"]["averageUtilization"].clone());
        }
        if !rest.is_empty() {
            annotations.insert(METRICS.into(), Value::Array(rest).to_string().into());
        }
        if let Some(behavior) = spec.shift_remove("behavior") {
            annotations.insert(BEHAVIOR.into(), behavior.to_string().into());
        }
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        status.shift_remove("conditions");
        let metrics = status.shift_remove("currentMetrics");
        let cpu = metrics.as_ref().and_then(Value::as_array).and_then(|m| m.iter().find(|m| is_cpu(m)));
        if let Some(percent) = cpu.map(|m| m["resource"]["current"]["averageUtilization"].clone()).filter(|p| !p.is_null()) {
            status.insert(CURRENT.into(), percent);
        }
    }
    for (key, value) in annotations {
        object["metadata"]["annotations"][key] = value;
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_the_same_in_both_groups() {
        let core = json!({"metadata": {"name": "e"}, "involvedObject": {"name": "p"}, "message": "m", "count": 2, "reportingComponent": "kubelet", "type": "Normal"});
        let shown = from_stored(View::Events, core.clone());
        assert_eq!(
            shown,
            json!({"metadata": {"name": "e"}, "regarding": {"name": "p"}, "note": "m", "deprecatedCount": 2, "reportingController": "kubelet", "type": "Normal"})
        );
        assert_eq!(to_stored(View::Events, shown), core);
    }

    #[test]
    fn an_autoscaler_survives_the_old_version() {
        let v2 = json!({"metadata": {}, "spec": {"maxReplicas": 5, "behavior": {"scaleUp": {"selectPolicy": "Max"}}, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
            {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}}]}});
        let v1 = from_stored(View::AutoscalingV1, v2.clone());
        assert_eq!(v1["spec"], json!({"maxReplicas": 5, "targetCPUUtilizationPercentage": 60}));
        let mut back = to_stored(View::AutoscalingV1, v1);
        back["metadata"] = json!({});
        assert_eq!(back, v2);
    }
}

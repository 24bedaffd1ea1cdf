//! Conditions of Deployments and ReplicaSets: when one replaces another, and which of its times move.

use serde_json::{Value, json};

use crate::sandbox::model::object::{Now, time};

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Value], kind: &str) -> Option<&'a Value> {
    conditions.iter().find(|c| c["type"] == kind)
}

/// The reason of the condition of a type.
pub fn reason<'a>(conditions: &'a [Value], kind: &str) -> Option<&'a str> {
    find(conditions, kind)?["reason"].as_str()
}

/// A Deployment's condition, which knows when it was last looked at.
pub fn updated(kind: &str, status: &str, reason: &str, message: &str, now: Now) -> Value {
    json!({
        "type": kind, "status": status, "lastUpdateTime": time(now), "lastTransitionTime": time(now), "reason": reason,
        "message": message,
    })
}

/// Puts a condition in place of the old one of its type, unless status and reason are what they were. The transition time moves
/// only with the status.
pub fn set(conditions: &mut Vec<Value>, condition: Value) {
    let old = conditions.iter().find(|c| c["type"] == condition["type"]);
    if old.is_some_and(|o| o["status"] == condition["status"] && o["reason"] == condition["reason"]) {
        return;
    }
    replace(conditions, condition);
}

/// The same even if status and reason are what they were: the new update time and message count.
pub fn replace(conditions: &mut Vec<Value>, mut condition: Value) {
    if let Some(at) = conditions.iter().position(|c| c["type"] == condition["type"]) {
        let old = conditions.remove(at);
        if old["status"] == condition["status"] {
            condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
        }
    }
    conditions.push(condition);
}

/// Puts a condition exactly where the old one of its type is, or at the end. The transition time moves only with the status. `true`
/// when anything but that time changed.
pub fn put(conditions: &mut Vec<Value>, mut condition: Value) -> bool {
    let Some(old) = conditions.iter_mut().find(|c| c["type"] == condition["type"]) else {
        conditions.push(condition);
        return true;
    };
    if old["status"] == condition["status"] {
        condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
    }
    let changed = *old != condition;
    *old = condition;
    changed
}

/// Takes the condition of a type away.
pub fn remove(conditions: &mut Vec<Value>, kind: &str) {
    conditions.retain(|c| c["type"] != kind);
}

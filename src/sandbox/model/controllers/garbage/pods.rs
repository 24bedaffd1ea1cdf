//! Pods nobody will ever end: those on a node that is gone, and those that are to go and never had a node.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::sandbox::model::controllers::view::View;
use crate::sandbox::model::controllers::view::pod::Pod;
use crate::sandbox::model::object::{Key, Now, resource, time};
use crate::sandbox::model::write::{Step, Write};

/// How long a node may be away before its pods are given up.
const QUARANTINE: TimeDelta = TimeDelta::seconds(40);

/// The nodes that pods are bound to and that do not exist, since when.
pub type Missing = BTreeMap<String, Now>;

/// Gives up pods that have no node.
pub fn step(view: &View, missing: &mut Missing, now: Now) -> Step {
    let mut step = Step::default();
    let mut still: Missing = BTreeMap::new();
    for pod in view.pods.all() {
        let node = pod.node();
        if node.is_empty() {
            if pod.meta.deleting {
                give_up(pod, None, &mut step);
            }
        } else if view.nodes.get("", node).is_none() {
            let since = missing.get(node).copied().unwrap_or(now);
            if since + QUARANTINE <= now {
                let condition = json!({
                    "type": "DisruptionTarget", "status": "True", "lastProbeTime": null, "lastTransitionTime": time(now),
                    "reason": "DeletionByPodGC", "message": "PodGC: node no longer exists",
                });
                give_up(pod, Some(condition), &mut step);
            } else {
                step.wake_at(since + QUARANTINE);
            }
            still.insert(node.to_owned(), since);
        }
    }
    *missing = still;
    step
}

fn give_up(pod: &Pod, condition: Option<Value>, step: &mut Step) {
    let key = Key::of(resource::PODS, &pod.object);
    if !pod.is_terminal() {
        let mut conditions = pod.object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if let Some(condition) = condition {
            conditions.retain(|c| c["type"] != "DisruptionTarget");
            conditions.push(condition);
        }
        let patch = json!({"status": {"phase": "Failed", "conditions": conditions}});
        step.writes.push(Write::PatchStatus { key: key.clone(), if_version: None, patch });
    }
    step.writes.push(Write::Delete { key, uid: Some(pod.meta.uid.clone()), grace: Some(0) });
}

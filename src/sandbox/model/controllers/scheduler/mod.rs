//! The scheduler: gives every new pod a node that fits, or says why none does. Follows kube-scheduler 1.34 for what it looks at:
//! node readiness, `unschedulable`, taints, node selectors and required node affinity, cpu, memory and the number of pods.

mod fit;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::fit::{Host, Misfit};
use super::conditions;
use super::view::View;
use super::view::meta::if_version;
use super::view::pod::{Pod, condition};
use crate::sandbox::model::object::{Key, Now, resource, time};
use crate::sandbox::model::write::{EventType, Step, Write};

/// Schedules every pod that waits for a node, highest priority and longest waiting first.
pub fn step(view: &View, now: Now) -> Step {
    let mut waiting: Vec<&Pod> = view.pods.all().iter().filter(|p| waits(p)).collect();
    let mut step = Step::default();
    if waiting.is_empty() {
        return step;
    }
    waiting.sort_by_key(|p| (-p.object["spec"]["priority"].as_i64().unwrap_or(0), p.meta.created, p.name()));
    let mut hosts = Host::all(view);
    for pod in waiting {
        let (mut fitting, mut misfits) = (Vec::new(), Vec::new());
        for host in &mut hosts {
            match host.check(pod) {
                Ok(()) => fitting.push(host),
                Err(misfit) => misfits.push(misfit),
            }
        }
        match fitting.into_iter().min_by_key(|h| h.load(pod)) {
            Some(host) => {
                host.place(pod);
                assign(pod, host.name(), now, &mut step);
            }
            None => reject(pod, &explain(&misfits), now, &mut step),
        }
    }
    step
}

fn waits(pod: &Pod) -> bool {
    let spec = &pod.object["spec"];
    let ours = matches!(spec["schedulerName"].as_str(), None | Some("default-scheduler"));
    let gated = spec["schedulingGates"].as_array().is_some_and(|g| !g.is_empty());
    pod.node().is_empty() && pod.is_active() && ours && !gated
}

fn assign(pod: &Pod, node: &str, now: Now, step: &mut Step) {
    let key = Key::of(resource::PODS, &pod.object);
    // The condition first: as soon as the node is set, the node's own writes begin.
    step.writes.push(set_scheduled(pod, None, now));
    step.writes.push(Write::Patch { key: key.clone(), if_version: None, patch: json!({"spec": {"nodeName": node}}) });
    let message = format!("Successfully assigned {}/{} to {node}", pod.namespace(), pod.name());
    step.writes.push(Write::Event { about: key, kind: EventType::Normal, reason: "Scheduled", message, by: "default-scheduler" });
}

fn reject(pod: &Pod, message: &str, now: Now, step: &mut Step) {
    let old = condition(&pod.object["status"], "PodScheduled");
    if old.is_some_and(|c| c["status"] == "False" && c["message"] == message) {
        return;
    }
    step.writes.push(set_scheduled(pod, Some(message), now));
    let about = Key::of(resource::PODS, &pod.object);
    let (kind, reason, by) = (EventType::Warning, "FailedScheduling", "default-scheduler");
    step.writes.push(Write::Event { about, kind, reason, message: message.to_owned(), by });
}

/// The condition PodScheduled among the pod's others.
fn set_scheduled(pod: &Pod, unschedulable: Option<&str>, now: Now) -> Write {
    let mut conditions = pod.object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    // As the real ones write it: a binding knows of no generation.
    let condition = match unschedulable {
        None => json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": time(now)}),
        Some(message) => json!({
            "type": "PodScheduled", "observedGeneration": pod.meta.generation, "status": "False", "lastProbeTime": null,
            "lastTransitionTime": time(now), "reason": "Unschedulable", "message": message,
        }),
    };
    conditions::put(&mut conditions, condition);
    Write::PatchStatus {
        key: Key::of(resource::PODS, &pod.object),
        if_version: if_version(&pod.object),
        patch: json!({"status": {"conditions": Value::Array(conditions)}}),
    }
}

/// Why no node was found, in the scheduler's words. Evicting others is not tried, which it words as if it had been.
fn explain(misfits: &[Misfit]) -> String {
    let all = misfits.len();
    if all == 0 {
        return "no nodes available to schedule pods".into();
    }
    let count = |reasons: &mut dyn Iterator<Item = &'static str>| {
        let mut by_reason: BTreeMap<&str, usize> = BTreeMap::new();
        reasons.for_each(|r| *by_reason.entry(r).or_default() += 1);
        let mut parts: Vec<String> = by_reason.into_iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        parts.sort();
        parts.join(", ")
    };
    let reasons = count(&mut misfits.iter().flat_map(|m| m.reasons.iter().copied()));
    let (possible, useless) = ("No preemption victims found for incoming pod", "Preemption is not helpful for scheduling");
    let preemption = count(&mut misfits.iter().map(|m| if m.could_be_preempted { possible } else { useless }));
    format!(
        "0/{all} nodes are available: {reasons}. no new claims to deallocate, \
         preemption: 0/{all} nodes are available: {preemption}."
    )
}

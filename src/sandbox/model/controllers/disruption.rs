//! The status of PodDisruptionBudgets: how many pods may be evicted at the moment. The API server holds evictions against it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::conditions;
use super::queue::Queue;
use super::view::meta::{count, if_version, version};
use super::view::pod::Pod;
use super::view::workload::Amount;
use super::view::{View, digest, status_patch};
use crate::sandbox::model::object::{self, Key, Now, Object, parse_time, resource, time};
use crate::sandbox::model::selector::LabelSelector;
use crate::sandbox::model::write::{EventType, Step, Write};

/// How long an eviction that was allowed counts before the pod must be seen to go.
const DELETION_TIMEOUT: TimeDelta = TimeDelta::minutes(2);
const FIELDS: [&str; 7] =
    ["currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed", "disruptedPods", "observedGeneration", "conditions"];

/// Brings the status of every budget up to date.
pub fn step(view: &View, queue: &mut Queue, now: Now) -> Step {
    let mut out = Step::default();
    for budget in view.budgets.all().iter().map(|b| &b.0) {
        // In this version of the API an empty selector means every pod of the namespace.
        let namespace = object::namespace(budget);
        let selector = LabelSelector::of_object(&budget["spec"]["selector"]);
        let pods = selector.map_or_else(Vec::new, |selector| view.pods_selected(namespace, &selector));
        let scales = scales(view, &pods);
        let versions: Vec<_> = pods.iter().map(|p| p.meta.version).collect();
        let inputs = digest((version(budget), versions, &scales));
        queue.sync(object::uid(budget), inputs, now, &mut out, || sync(budget, &pods, &scales, now));
    }
    queue.bound(view.budgets.all().len());
    out
}

/// The sizes of the workloads the pods belong to, or the pod that belongs to none we know.
fn scales(view: &View, pods: &[&Pod]) -> Result<BTreeMap<String, i64>, String> {
    let mut scales = BTreeMap::new();
    for pod in pods {
        let Some(owner) = &pod.meta.owner else { continue };
        let set =
            view.replica_sets.get(pod.namespace(), &owner.name).filter(|s| owner.kind == "ReplicaSet" && s.meta.uid == owner.uid);
        let set = set.ok_or_else(|| pod.name().to_owned())?;
        match set.meta.owner.as_ref().filter(|o| o.kind == "Deployment") {
            None => scales.insert(set.meta.uid.clone(), set.replicas),
            Some(owner) => {
                let deployment = view.deployments.get(pod.namespace(), &owner.name).filter(|d| d.meta.uid == owner.uid);
                let deployment = deployment.ok_or_else(|| pod.name().to_owned())?;
                scales.insert(owner.uid.clone(), deployment.replicas)
            }
        };
    }
    Ok(scales)
}

fn sync(budget: &Object, pods: &[&Pod], scales: &Result<BTreeMap<String, i64>, String>, now: Now) -> Step {
    let mut step = Step::default();
    let spec = &budget["spec"];
    let expected = |step: &mut Step| match scales {
        Ok(scales) => Some(scales.values().sum::<i64>()),
        Err(pod) => {
            fail(budget, &format!("found no controllers for pod \"{pod}\""), now, step);
            None
        }
    };
    let (expected, desired) = match (Amount::read(&spec["maxUnavailable"]), Amount::read(&spec["minAvailable"])) {
        (Some(most), _) => {
            let Some(expected) = expected(&mut step) else { return step };
            (expected, (expected - most.round_up(expected)).max(0))
        }
        (None, Some(Amount::Number(least))) => (count(pods.len()), least),
        (None, Some(least @ Amount::Percent(_))) => {
            let Some(expected) = expected(&mut step) else { return step };
            (expected, least.round_up(expected))
        }
        (None, None) => (0, 0),
    };
    let disrupted = disrupted(budget, pods, now, &mut step);
    let is_healthy = |p: &&&Pod| !p.meta.deleting && !disrupted.contains_key(p.name()) && p.ready;
    let healthy = count(pods.iter().filter(is_healthy).count());
    let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };

    let generation = object::generation(budget);
    let numbers = [healthy, desired, expected, allowed];
    let mut status: Map<String, Value> = FIELDS.iter().zip(numbers).map(|(f, n)| ((*f).to_owned(), n.into())).collect();
    if !disrupted.is_empty() {
        // A merge patch must name what is to go.
        let old = budget["status"]["disruptedPods"].as_object().into_iter().flatten();
        let gone = old.filter(|(pod, _)| !disrupted.contains_key(*pod)).map(|(pod, _)| (pod.clone(), Value::Null));
        status.insert("disruptedPods".into(), disrupted.clone().into_iter().chain(gone).collect::<Map<_, _>>().into());
    }
    status.insert("observedGeneration".into(), generation.into());
    let (value, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    status.insert("conditions".into(), condition(budget, value, reason, "", generation, now));
    if let Some(patch) = status_patch(budget, &FIELDS, status) {
        let key = Key::of(resource::POD_DISRUPTION_BUDGETS, budget);
        step.writes.push(Write::PatchStatus { key, if_version: if_version(budget), patch });
        if pods.is_empty() {
            event(budget, EventType::Normal, "NoPods", "No matching pods found".into(), &mut step);
        }
    }
    step
}

/// Pods whose eviction was allowed and which have not gone yet; each counts until its time is up.
fn disrupted(budget: &Object, pods: &[&Pod], now: Now, step: &mut Step) -> Map<String, Value> {
    let old = &budget["status"]["disruptedPods"];
    let mut kept = Map::new();
    for pod in pods.iter().filter(|p| !p.meta.deleting) {
        let Some(at) = old.get(pod.name()).and_then(parse_time) else { continue };
        let until = at + DELETION_TIMEOUT;
        if until >= now {
            step.wake_at(until + TimeDelta::milliseconds(1));
            kept.insert(pod.name().to_owned(), time(at));
        }
    }
    kept
}

/// When nothing can be said, nothing may be evicted.
fn fail(budget: &Object, message: &str, now: Now, step: &mut Step) {
    let observed = budget["status"]["observedGeneration"].as_i64().unwrap_or(0);
    let mut status = Map::new();
    status.insert("disruptionsAllowed".into(), 0.into());
    status.insert("conditions".into(), condition(budget, "False", "SyncFailed", message, observed, now));
    if let Some(patch) = status_patch(budget, &[], status) {
        let key = Key::of(resource::POD_DISRUPTION_BUDGETS, budget);
        step.writes.push(Write::PatchStatus { key, if_version: if_version(budget), patch });
        let message = format!("Failed to calculate the number of expected pods: {message}");
        event(budget, EventType::Warning, "CalculateExpectedPodCountFailed", message, step);
    }
}

fn condition(budget: &Object, status: &str, reason: &str, message: &str, generation: i64, now: Now) -> Value {
    let mut all = budget["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let condition = json!({
        "type": "DisruptionAllowed", "status": status, "observedGeneration": generation, "lastTransitionTime": time(now),
        "reason": reason, "message": message,
    });
    conditions::put(&mut all, condition);
    all.into()
}

fn event(budget: &Object, kind: EventType, reason: &'static str, message: String, step: &mut Step) {
    let about = Key::of(resource::POD_DISRUPTION_BUDGETS, budget);
    step.writes.push(Write::Event { about, kind, reason, message, by: "controllermanager" });
}

//! Rules about what stands around a Deployment: autoscalers and disruption budgets.

use serde_json::{Value, json};

use super::view::{Deployment, Surroundings, namespace, object, share};
use super::{Level, Problem};
use crate::domain::display::plural;

pub(super) fn problems(d: &Deployment<'_>, around: &Surroundings<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    around.autoscalers.iter().for_each(|hpa| found.extend(autoscaler(d, hpa)));
    let least = around.autoscalers.iter().map(|hpa| least_of(hpa)).min().unwrap_or(d.replicas);
    around.budgets.iter().for_each(|budget| found.extend(disruption(budget, least)));
    if around.budgets.is_empty() && least > 1 && !around.services.is_empty() {
        let title = format!("no PodDisruptionBudget: all {} may be evicted at once when nodes are drained", plural(least, "pod"));
        let selector = &d.spec()["selector"];
        let patch = json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": d.name, "namespace": d.namespace},
            "spec": {"maxUnavailable": 1, "selector": selector},
        });
        found.push(Problem::new(Level::Warning, "no-budget", &d.object(), "PodDisruptionBudget", title).patch(patch));
    }
    found
}

fn least_of(hpa: &Value) -> u64 {
    hpa["spec"]["minReplicas"].as_u64().unwrap_or(1)
}

fn patch(of: &Value, spec: &Value) -> Value {
    let metadata = json!({"name": of["metadata"]["name"], "namespace": namespace(of)});
    json!({"apiVersion": of["apiVersion"], "kind": of["kind"], "metadata": metadata, "spec": spec})
}

fn autoscaler(d: &Deployment<'_>, hpa: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    let name = object(hpa);
    if least_of(hpa) == 1 {
        let title = "the autoscaler may leave one pod: its crash, or the drain of its node, leaves nobody to serve";
        found.push(
            Problem::new(Level::Warning, "one-replica", &name, "spec.minReplicas", title)
                .patch(patch(hpa, &json!({"minReplicas": 2}))),
        );
    }
    let by = |resource: &str| {
        hpa["spec"]["metrics"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|m| m["resource"]["name"] == resource && !m["resource"]["target"]["averageUtilization"].is_null())
    };
    for resource in ["cpu", "memory"] {
        let lacks = |c: &Value| c["resources"]["requests"][resource].is_null() && c["resources"]["limits"][resource].is_null();
        if by(resource) && d.containers().any(lacks) {
            let title = format!(
                "the autoscaler goes by the utilization of {resource}, and not every container requests it: it cannot scale"
            );
            found.push(Problem::new(Level::Error, "no-utilization", &name, "spec.metrics", title));
        }
    }
    found
}

/// A budget for so many pods.
fn disruption(budget: &Value, pods: u64) -> Option<Problem> {
    let spec = &budget["spec"];
    let (at, allowed) = match (&spec["minAvailable"], &spec["maxUnavailable"]) {
        (Value::Null, Value::Null) => return None,
        (Value::Null, unavailable) => ("spec.maxUnavailable", share(unavailable, pods, true)),
        (available, _) => ("spec.minAvailable", pods.saturating_sub(share(available, pods, true))),
    };
    let one = patch(budget, &json!({"maxUnavailable": 1, "minAvailable": null}));
    let name = object(budget);
    if pods > 0 && allowed == 0 {
        let title = format!("of {} none may be evicted: no node with one of them can be drained", plural(pods, "pod"));
        return Some(Problem::new(Level::Error, "budget-blocks", &name, at, title).patch(one));
    }
    (pods > 1 && allowed >= pods).then(|| {
        let title = format!("all {} may be evicted at once: the budget keeps none", plural(pods, "pod"));
        Problem::new(Level::Warning, "budget-keeps-none", &name, at, title)
            .patch(one)
            .loss("every request from the eviction of the last pod until a successor is ready")
    })
}

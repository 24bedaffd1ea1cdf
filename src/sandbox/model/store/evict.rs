//! Doors of a pod that are not its object: eviction, which disruption budgets guard, and binding to a node.

use serde_json::{Value, json};

use super::Store;
use super::request::{DeleteOptions, Sub, Target};
use super::update::Change;
use super::write::Origin;
use crate::sandbox::model::apply::managed::{Managed, Manager};
use crate::sandbox::model::error::{About, ApiError};
use crate::sandbox::model::object::{self, Key, Now, is_deleting, name, resource, time};
use crate::sandbox::model::selector::LabelSelector;
use crate::sandbox::model::write::Read;

const VIOLATED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
const MOST_DISRUPTED: usize = 2000;

fn about_budget() -> About<'static> {
    About { group: "policy", kind: "poddisruptionbudget" }
}

fn condition(object: &Value, kind: &str) -> bool {
    object["status"]["conditions"].as_array().is_some_and(|c| c.iter().any(|c| c["type"] == kind && c["status"] == "True"))
}

impl Store {
    /// Deletes a pod if its disruption budget allows that now.
    pub fn evict(&mut self, target: &Target, eviction: &Value, options: &DeleteOptions, now: Now) -> Result<Value, ApiError> {
        let given = name(eviction);
        if !given.is_empty() && given != target.name {
            return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
        }
        let key = target.key();
        let pod = self.existing(&target.kind, &key)?;
        let phase = pod.object["status"]["phase"].as_str().unwrap_or_default();
        let disrupts = !["Succeeded", "Failed", "Pending"].contains(&phase) && !is_deleting(&pod.object);
        if disrupts {
            self.ask_budget(&pod.object, options.dry_run, now)?;
        }
        super::delete::preconditions(&target.kind, &pod.object, options)?;
        if !options.dry_run && disrupts {
            self.mark_disrupted(&key, now)?;
        }
        let pod = self.existing(&target.kind, &key)?;
        self.remove(&target.kind, &key, &pod, options, now);
        Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
    }

    fn ask_budget(&mut self, pod: &Value, dry_run: bool, now: Now) -> Result<(), ApiError> {
        let labels = &pod["metadata"]["labels"];
        let budgets: Vec<_> = self
            .list(&resource::POD_DISRUPTION_BUDGETS, Some(object::namespace(pod)))
            .into_iter()
            .filter(|b| LabelSelector::of_object(&b["spec"]["selector"]).is_some_and(|s| s.matches(labels)))
            .collect();
        let budget = match budgets.as_slice() {
            [] => return Ok(()),
            [one] => one,
            _ => {
                let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(ApiError::new(500, "", message, None));
            }
        };
        let status = &budget["status"];
        let number = |field: &str| status[field].as_i64().unwrap_or(0);
        if !condition(pod, "Ready") {
            let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
            if always || (number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0) {
                return Ok(());
            }
        }
        let refuse = |retry: i64, message: String| {
            let mut details = json!({"causes": [{"reason": "DisruptionBudget", "message": message}]});
            if retry > 0 {
                details["retryAfterSeconds"] = retry.into();
            }
            Err(ApiError::too_many_requests(VIOLATED, details))
        };
        let budget_name = name(budget);
        if number("observedGeneration") < object::generation(budget) {
            return refuse(10, format!("The disruption budget {budget_name} is still being processed by the server."));
        }
        if number("disruptionsAllowed") < 0 {
            return Err(ApiError::forbidden(about_budget(), budget_name, "pdb disruptions allowed is negative"));
        }
        if status["disruptedPods"].as_object().is_some_and(|d| d.len() > MOST_DISRUPTED) {
            let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
            return Err(ApiError::forbidden(about_budget(), budget_name, why));
        }
        if number("disruptionsAllowed") == 0 {
            let (needed, healthy) = (number("desiredHealthy"), number("currentHealthy"));
            return refuse(
                0,
                format!("The disruption budget {budget_name} needs {needed} healthy pods and has {healthy} currently"),
            );
        }
        if dry_run {
            return Ok(());
        }
        let patch = json!({"status": {
            "disruptionsAllowed": number("disruptionsAllowed") - 1,
            "disruptedPods": {name(pod): time(now)},
        }});
        let key = Key::of(resource::POD_DISRUPTION_BUDGETS, budget);
        self.apply(crate::sandbox::model::write::Write::PatchStatus { key, if_version: None, patch }, now)
    }

    fn mark_disrupted(&mut self, key: &Key, now: Now) -> Result<(), ApiError> {
        let Some(pod) = self.get(key) else { return Ok(()) };
        let mut conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.retain(|c| c["type"] != "DisruptionTarget");
        conditions.push(json!({
            "type": "DisruptionTarget", "status": "True", "lastTransitionTime": time(now), "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting"
        }));
        let patch = json!({"status": {"conditions": conditions}});
        self.apply(crate::sandbox::model::write::Write::PatchStatus { key: key.clone(), if_version: None, patch }, now)
    }

    /// Binds a pod to a node, once.
    pub fn bind(&mut self, target: &Target, binding: &Value, manager: &str, now: Now) -> Result<Value, ApiError> {
        let node = binding["target"]["name"].as_str().unwrap_or_default();
        if node.is_empty() {
            return Err(ApiError::bad_request("the target of a Binding has to name a node"));
        }
        let key = target.key();
        let old = self.existing(&target.kind, &key)?;
        if is_deleting(&old.object) {
            let why = format!("pod {} is being deleted, cannot be assigned to a host", key.name);
            return Err(ApiError::conflict(About { group: "", kind: "pods/binding" }, &key.name, &why));
        }
        if let Some(other) = old.object["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
            let why = format!("pod {} is already assigned to node {other:?}", key.name);
            return Err(ApiError::conflict(About { group: "", kind: "pods/binding" }, &key.name, &why));
        }
        let mut new = Value::clone(&old.object);
        new["spec"]["nodeName"] = node.into();
        let mut conditions = new["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.retain(|c| c["type"] != "PodScheduled");
        conditions.push(json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": time(now)}));
        let body = super::Body::from(new);
        let mut new = self.incoming(target, body, &super::Options::default(), Origin::Whole)?.object;
        new["status"]["conditions"] = conditions.clone().into();
        let by = Manager { name: manager.into(), applies: false, api_version: "v1".into(), subresource: "binding".into() };
        let managed = Managed::clone(&old.managed);
        let change = Change { old: &old, new, managed, done: false, by, sub: Sub::Main, dry_run: false, trusted: true };
        self.change(&target.kind, change, now)?;
        let patch = json!({"status": {"conditions": conditions}});
        self.apply(crate::sandbox::model::write::Write::PatchStatus { key, if_version: None, patch }, now)?;
        Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}))
    }
}

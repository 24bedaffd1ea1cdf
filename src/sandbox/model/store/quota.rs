//! ResourceQuotas: what a namespace uses, and whether something more still fits.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Store;
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::kinds::Kind;
use crate::sandbox::model::object::{Key, Now, Resource, name, namespace, resource};
use crate::sandbox::model::quantity::Quantity;
use crate::sandbox::model::write::Read;

type Amounts = BTreeMap<String, Quantity>;

impl Store {
    /// Does a new object fit into all quotas of its namespace?
    pub(super) fn admit_to_quotas(&self, kind: &Kind, object: &Value) -> Result<(), ApiError> {
        if !kind.namespaced || !self.shelves.contains_key(&resource::RESOURCE_QUOTAS) {
            return Ok(());
        }
        let cost = cost_of(&kind.resource, object);
        for quota in self.list(&resource::RESOURCE_QUOTAS, Some(namespace(object))) {
            let hard = amounts(&quota["spec"]["hard"]);
            let counted = |name: &str| cost.get(name).filter(|q| q.nanos() > 0);
            if kind.resource == resource::PODS {
                let missing: Vec<&str> =
                    hard.keys().filter(|n| is_compute(n) && !cost.contains_key(*n)).map(String::as_str).collect();
                if !missing.is_empty() {
                    let containers: Vec<&str> =
                        object["spec"]["containers"].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str()).collect();
                    let parts: Vec<String> = missing.iter().map(|m| format!("{m} for: {}", containers.join(","))).collect();
                    let why = format!("failed quota: {}: must specify {}", name(&quota), parts.join("; "));
                    return Err(ApiError::forbidden(kind.about(), name(object), &why));
                }
            }
            let used = self.used(namespace(object), &hard);
            let nothing = Quantity::of_units(0);
            let over: Vec<&String> = hard
                .iter()
                .filter(|(name, most)| {
                    counted(name).is_some_and(|more| used.get(*name).copied().unwrap_or(nothing).plus(*more) > **most)
                })
                .map(|(name, _)| name)
                .collect();
            if !over.is_empty() {
                let text = |of: &Amounts| {
                    over.iter().map(|n| format!("{n}={}", of.get(*n).copied().unwrap_or(nothing))).collect::<Vec<_>>().join(",")
                };
                let why = format!(
                    "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                    name(&quota),
                    text(&cost),
                    text(&used),
                    text(&hard)
                );
                return Err(ApiError::forbidden(kind.about(), name(object), &why));
            }
        }
        Ok(())
    }

    fn used(&self, namespace: &str, hard: &Amounts) -> Amounts {
        let mut used: Amounts = hard.keys().map(|n| (n.clone(), Quantity::of_units(0))).collect();
        for resource in self.shelves.keys().filter(|r| hard.keys().any(|n| is_about(n, r))) {
            for object in self.list(resource, Some(namespace)) {
                for (name, amount) in cost_of(resource, &object) {
                    if let Some(sum) = used.get_mut(&name) {
                        *sum = sum.plus(amount);
                    }
                }
            }
        }
        used
    }

    /// Writes what is used into the status of a namespace's quotas, when a change of `resource` may have changed it.
    pub(super) fn count_quotas(&mut self, in_namespace: &str, resource: &Resource, now: Now) {
        if in_namespace.is_empty() || !self.shelves.contains_key(&resource::RESOURCE_QUOTAS) {
            return;
        }
        for quota in self.list(&resource::RESOURCE_QUOTAS, Some(in_namespace)) {
            let hard = amounts(&quota["spec"]["hard"]);
            if *resource != resource::RESOURCE_QUOTAS && !hard.keys().any(|n| is_about(n, resource)) {
                continue;
            }
            let used = self.used(in_namespace, &hard);
            let write = |of: &Amounts| Value::Object(of.iter().map(|(n, q)| (n.clone(), q.to_string().into())).collect());
            let status = serde_json::json!({"hard": write(&hard), "used": write(&used)});
            if quota["status"] != status {
                let mut new = Value::clone(&quota);
                new["status"] = status;
                let key = Key::of(resource::RESOURCE_QUOTAS, &new);
                let managed = self.stored(&key).map(|s| (*s.managed).clone()).unwrap_or_default();
                self.put(&key, new, managed, now);
            }
        }
    }
}

fn amounts(list: &Value) -> Amounts {
    list.as_object().into_iter().flatten().filter_map(|(n, v)| Some((n.clone(), v.as_str()?.parse().ok()?))).collect()
}

fn is_compute(name: &str) -> bool {
    ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"].contains(&name)
}

/// The old name under which a quota counts the objects of a resource.
fn short_count(resource: &str) -> Option<&'static str> {
    let known = ["pods", "services", "secrets", "configmaps", "resourcequotas"];
    known.into_iter().find(|k| *k == resource)
}

fn is_about(name: &str, resource: &Resource) -> bool {
    name.strip_prefix("count/") == Some(resource)
        || short_count(resource) == Some(name)
        || (*resource == resource::PODS && is_compute(name))
}

/// What one object counts for.
fn cost_of(resource: &Resource, object: &Value) -> Amounts {
    let one = Quantity::of_units(1);
    let mut cost = Amounts::from([(format!("count/{resource}"), one)]);
    if let Some(short) = short_count(resource) {
        cost.insert(short.into(), one);
    }
    if *resource == resource::PODS {
        if matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
            // A pod that has ended is there, and uses nothing.
            cost.remove("pods");
            return cost;
        }
        for (list, plain) in [("requests", true), ("limits", false)] {
            for name in ["cpu", "memory"] {
                if let Some(sum) = sum_of(object, list, name) {
                    cost.insert(format!("{list}.{name}"), sum);
                    if plain {
                        cost.insert(name.into(), sum);
                    }
                }
            }
        }
    }
    cost
}

/// The sum over the containers, when all of them say; at least what the greediest init container wants.
fn sum_of(pod: &Value, list: &str, name: &str) -> Option<Quantity> {
    let amount = |container: &Value| container["resources"][list][name].as_str()?.parse::<Quantity>().ok();
    let all: Option<Vec<Quantity>> = pod["spec"]["containers"].as_array()?.iter().map(amount).collect();
    let sum = all?.into_iter().reduce(Quantity::plus)?;
    let most = pod["spec"]["initContainers"].as_array().into_iter().flatten().filter_map(amount).max();
    Some(most.map_or(sum, |most| sum.max(most)))
}

//! The EndpointSlice controller: which addresses stand behind a Service, and what may be sent to each. IPv4 only.

mod endpoint;
mod plan;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use self::endpoint::{Group, desired};
use self::plan::Plan;
use super::owner;
use super::queue::Queue;
use super::view::meta::{if_version, version};
use super::view::{View, digest};
use crate::sandbox::model::object::{self, Key, Now, Object, resource};
use crate::sandbox::model::selector::LabelSelector;
use crate::sandbox::model::suffix::Suffixes;
use crate::sandbox::model::write::{Step, Write};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const HEADLESS: &str = "service.kubernetes.io/headless";

/// Brings the slices of every Service that selects pods in line with its pods.
pub fn step(view: &View, queue: &mut Queue, names: &mut Suffixes, now: Now) -> Step {
    let mut out = Step::default();
    let mut by_service: HashMap<(&str, &str), Vec<&Object>> = HashMap::new();
    for slice in view.slices.all().iter().map(|s| &s.0) {
        if let (Some(service), Some(MANAGER)) = (object::label(slice, SERVICE_NAME), object::label(slice, MANAGED_BY)) {
            by_service.entry((object::namespace(slice), service)).or_default().push(slice);
        }
    }
    for service in view.services.all().iter().map(|s| &s.0) {
        let spec = &service["spec"];
        let selector = LabelSelector::of_map(&spec["selector"]).not_empty();
        let Some(selector) = selector.filter(|_| spec["type"] != "ExternalName") else { continue };
        let namespace = object::namespace(service);
        let slices = by_service.remove(&(namespace, object::name(service))).unwrap_or_default();
        let pods = view.pods_selected(namespace, &selector);
        let closing = view.is_closing(namespace);
        let pod_versions: Vec<_> = pods.iter().map(|p| p.meta.version).collect();
        let slice_versions: Vec<_> = slices.iter().map(|s| version(s)).collect();
        let inputs = digest((version(service), pod_versions, slice_versions, closing));
        queue.sync(object::uid(service), inputs, now, &mut out, || sync(service, &slices, desired(service, &pods), closing, names));
    }
    queue.bound(view.services.all().len());
    out
}

fn sync(service: &Object, slices: &[&Object], groups: Vec<Group>, closing: bool, names: &mut Suffixes) -> Step {
    let uid = object::uid(service);
    let is_owned = |s: &Object| s["metadata"]["ownerReferences"].as_array().is_some_and(|o| o.iter().any(|o| o["uid"] == uid));
    let (owned, strangers): (Vec<&Object>, Vec<&Object>) = slices.iter().partition(|s| is_owned(s));
    let plan = Plan::make(&owned, groups);
    let labels = labels(service);
    let mut step = Step::default();
    for (slice, content) in plan.keep {
        let mut patch = Map::new();
        if let Some(content) = content {
            patch.insert("endpoints".into(), content.endpoints.into());
            patch.insert("ports".into(), content.ports);
        }
        if let Some(labels) = label_patch(slice, &labels) {
            patch.insert("metadata".into(), json!({"labels": labels}));
        }
        if !patch.is_empty() {
            let key = Key::of(resource::ENDPOINT_SLICES, slice);
            step.writes.push(Write::Patch { key, if_version: if_version(slice), patch: patch.into() });
        }
    }
    let may_create = !closing && !object::is_deleting(service);
    for content in plan.create.into_iter().filter(|_| may_create) {
        let prefix = format!("{}-", object::name(service));
        let object = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{prefix}{}", names.next_one()),
                "generateName": prefix,
                "namespace": object::namespace(service),
                "labels": labels,
                "ownerReferences": [owner::reference("v1", "Service", object::name(service), uid)],
            },
            "addressType": "IPv4",
            "endpoints": content.endpoints,
            "ports": content.ports,
        });
        step.writes.push(Write::Create { resource: resource::ENDPOINT_SLICES, object });
    }
    let gone = plan.delete.iter().chain(&strangers).filter(|s| !object::is_deleting(s)).map(|slice| Write::Delete {
        key: Key::of(resource::ENDPOINT_SLICES, slice),
        uid: Some(object::uid(slice).to_owned()),
        grace: None,
    });
    step.writes.extend(gone);
    step
}

/// A slice has the labels of its Service and some of its own.
fn labels(service: &Object) -> Map<String, Value> {
    let own = [SERVICE_NAME, MANAGED_BY, HEADLESS];
    let mut labels = service["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.retain(|key, _| !own.contains(&key.as_str()));
    if matches!(service["spec"]["clusterIP"].as_str(), None | Some("" | "None")) {
        labels.insert(HEADLESS.into(), "".into());
    }
    labels.insert(SERVICE_NAME.into(), object::name(service).into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

/// What must change for the slice to have these labels.
fn label_patch(slice: &Object, labels: &Map<String, Value>) -> Option<Map<String, Value>> {
    let old = slice["metadata"]["labels"].as_object()?;
    let dropped = old.keys().filter(|k| !labels.contains_key(*k)).map(|k| (k.clone(), Value::Null));
    let changed = labels.iter().filter(|(k, v)| old.get(*k) != Some(v)).map(|(k, v)| (k.clone(), v.clone()));
    let patch: Map<String, Value> = dropped.chain(changed).collect();
    (!patch.is_empty()).then_some(patch)
}

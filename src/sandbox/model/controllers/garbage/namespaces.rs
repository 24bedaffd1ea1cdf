//! Namespaces: each has a `default` service account, and one that is deleted goes when nothing is left in it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::everything::Item;
use crate::sandbox::model::controllers::conditions;
use crate::sandbox::model::controllers::view::View;
use crate::sandbox::model::controllers::view::meta::if_version;
use crate::sandbox::model::object::{self, Key, Now, Object, Resource, resource, time};
use crate::sandbox::model::write::{Step, Write};

/// What a namespace waits for before it goes: this controller.
const FINALIZER: &str = "kubernetes";

/// Keeps the namespaces.
pub fn step(view: &View, now: Now) -> Step {
    let mut step = Step::default();
    for namespace in view.namespaces.all().iter().map(|n| &n.0) {
        if object::is_deleting(namespace) {
            terminate(view, namespace, now, &mut step);
        } else if !has_account(view, object::name(namespace)) {
            let object = json!({
                "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": object::name(namespace)},
            });
            step.writes.push(Write::Create { resource: resource::SERVICE_ACCOUNTS, object });
        }
    }
    step
}

fn has_account(view: &View, namespace: &str) -> bool {
    let mut inside = view.everything.within(namespace);
    inside.any(|(r, i)| *r == resource::SERVICE_ACCOUNTS && object::name(&i.object) == "default")
}

fn terminate(view: &View, namespace: &Object, now: Now, step: &mut Step) {
    let name = object::name(namespace);
    let key = Key::of(resource::NAMESPACES, namespace);
    let finalizers: Vec<&str> =
        namespace["spec"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !finalizers.contains(&FINALIZER) {
        return;
    }
    let inside: Vec<(&Resource, &Item)> = view.everything.within(name).collect();
    let delete = |resource: &Resource, object: &Object| Write::Delete {
        key: Key::of(resource.clone(), object),
        uid: Some(object::uid(object).to_owned()),
        grace: None,
    };
    step.writes.extend(inside.iter().filter(|(_, i)| !i.deleting).map(|(r, i)| delete(r, &i.object)));
    let events = view.events.within(name);
    if !events.is_empty() {
        // Events alone wake nobody.
        step.wake_at(now);
    }
    step.writes.extend(events.iter().map(|e| delete(&resource::EVENTS, &e.0)));
    if let Some(patch) = status(namespace, &inside, now) {
        step.writes.push(Write::PatchStatus { key, if_version: if_version(namespace), patch });
    } else if inside.is_empty() && events.is_empty() {
        let left: Vec<&str> = finalizers.into_iter().filter(|f| *f != FINALIZER).collect();
        let patch = json!({"spec": {"finalizers": left}});
        step.writes.push(Write::Patch { key, if_version: if_version(namespace), patch });
    }
}

/// The phase and the conditions that say what a namespace waits for. `None` when they say so already.
fn status(namespace: &Object, inside: &[(&Resource, &Item)], now: Now) -> Option<Value> {
    let (mut resources, mut finalizers) = (BTreeMap::<String, usize>::new(), BTreeMap::<&str, usize>::new());
    // What is not being deleted yet is deleted in this very pass, and counts only if it is still there in the next.
    for (resource, item) in inside.iter().filter(|(_, i)| i.deleting) {
        let name = if resource.contains('.') { resource.to_string() } else { format!("{resource}.") };
        *resources.entry(name).or_default() += 1;
        item.finalizers.iter().for_each(|f| *finalizers.entry(f).or_default() += 1);
    }
    let resources: Vec<String> = resources.iter().map(|(r, n)| format!("{r} has {n} resource instances")).collect();
    let finalizers: Vec<String> = finalizers.iter().map(|(f, n)| format!("{f} in {n} resource instances")).collect();
    let (resources, finalizers) = (resources.join(", "), finalizers.join(", "));
    let discovered = "All resources successfully discovered";
    let parsed = "All legacy kube types successfully parsed";
    let deleted = "All content successfully deleted, may be waiting on finalization";
    let remaining = if resources.is_empty() {
        ("False", "ContentRemoved", "All content successfully removed".to_owned())
    } else {
        ("True", "SomeResourcesRemain", format!("Some resources are remaining: {resources}"))
    };
    let finalizing = if finalizers.is_empty() {
        ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
    } else {
        ("True", "SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {finalizers}"))
    };
    let wanted = [
        ("NamespaceDeletionDiscoveryFailure", ("False", "ResourcesDiscovered", discovered.to_owned())),
        ("NamespaceDeletionGroupVersionParsingFailure", ("False", "ParsedGroupVersions", parsed.to_owned())),
        ("NamespaceDeletionContentFailure", ("False", "ContentDeleted", deleted.to_owned())),
        ("NamespaceContentRemaining", remaining),
        ("NamespaceFinalizersRemaining", finalizing),
    ];
    let mut all = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let mut changed = namespace["status"]["phase"] != "Terminating";
    for (kind, (status, reason, message)) in wanted {
        let condition =
            json!({"type": kind, "status": status, "lastTransitionTime": time(now), "reason": reason, "message": message});
        changed |= conditions::put(&mut all, condition);
    }
    changed.then(|| json!({"status": {"phase": "Terminating", "conditions": all}}))
}

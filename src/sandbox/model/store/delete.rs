//! Deleting objects: at once, after a grace period, or when the last finalizer is gone.

use serde_json::{Value, json};

use super::request::{DeleteOptions, Done, Propagation, Target};
use super::write::{meta, shown};
use super::{Store, Stored};
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::kinds::Kind;
use crate::sandbox::model::object::{self, Key, Now, is_deleting, parse_time, resource, time, uid};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
const KEPT_NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];

impl Store {
    /// Deletes one object, or begins to.
    pub fn delete(&mut self, target: &Target, options: &DeleteOptions, now: Now) -> Result<Done, ApiError> {
        let key = target.key();
        if key.resource == resource::NAMESPACES && KEPT_NAMESPACES.contains(&key.name.as_str()) {
            return Err(ApiError::forbidden(target.kind.about(), &key.name, "this namespace may not be deleted"));
        }
        let old = self.existing(&target.kind, &key)?;
        preconditions(&target.kind, &old.object, options)?;
        let kind = self.stored_kind(&target.kind);
        let (stored, deleted) = self.remove(&kind, &key, &old, options, now);
        let object = if deleted && !target.kind.traits.returns_deleted {
            let mut details = json!({"name": key.name});
            if !kind.group.is_empty() {
                details["group"] = kind.group.clone().into();
            }
            details["kind"] = kind.plural.clone().into();
            details["uid"] = uid(&old.object).into();
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
        } else {
            shown(&target.kind, &stored)
        };
        Ok(Done { object, created: false, deleted, warnings: Vec::new() })
    }

    /// Takes the object one step towards its end. The second answer is whether it is gone.
    pub(super) fn remove(&mut self, kind: &Kind, key: &Key, old: &Stored, options: &DeleteOptions, now: Now) -> (Stored, bool) {
        let mut new = Value::clone(&old.object);
        if key.resource == resource::NAMESPACES {
            return self.remove_namespace(key, old, options, now);
        }
        let graceful = key.resource == resource::PODS;
        let mut grace = 0;
        if graceful {
            match pod_grace(&old.object, options.grace, now) {
                Grace::Pending => return (old.clone(), false),
                Grace::Now => {}
                Grace::Until(until, seconds) => {
                    grace = seconds;
                    let first = !is_deleting(&new);
                    let meta = meta(&mut new);
                    meta.insert("deletionTimestamp".into(), time(until));
                    meta.insert("deletionGracePeriodSeconds".into(), seconds.into());
                    if first {
                        count_up(meta);
                    }
                }
            }
        }
        finalizers(&mut new, options.propagation);
        let waits = new["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
        if !waits && grace == 0 {
            if !options.dry_run {
                self.drop_object(key, now);
            }
            return (self.last_state(old, new, options.dry_run), true);
        }
        if waits && grace == 0 {
            let first = !is_deleting(&new);
            let meta = meta(&mut new);
            meta.insert("deletionGracePeriodSeconds".into(), 0.into());
            if first {
                meta.insert("deletionTimestamp".into(), time(now));
                count_up(meta);
            }
        }
        if options.dry_run || new == *old.object {
            return (Stored { object: new.into(), managed: old.managed.clone() }, false);
        }
        let stored = self.put(key, new, (*old.managed).clone(), now);
        if kind.resource == resource::CUSTOM_RESOURCE_DEFINITIONS {
            self.serve_definition(&stored.object);
        }
        (stored, false)
    }

    fn last_state(&self, old: &Stored, mut object: Value, dry_run: bool) -> Stored {
        if !dry_run {
            meta(&mut object).insert("resourceVersion".into(), self.version.to_string().into());
        }
        Stored { object: object.into(), managed: old.managed.clone() }
    }

    /// A namespace is marked first, emptied by somebody, and then deleted again.
    fn remove_namespace(&mut self, key: &Key, old: &Stored, options: &DeleteOptions, now: Now) -> (Stored, bool) {
        let mut new = Value::clone(&old.object);
        if is_deleting(&new) {
            let waits = [&new["spec"]["finalizers"], &new["metadata"]["finalizers"]]
                .iter()
                .any(|f| f.as_array().is_some_and(|f| !f.is_empty()));
            if !waits && !options.dry_run {
                self.drop_object(key, now);
            }
            return (old.clone(), !waits);
        }
        meta(&mut new).insert("deletionTimestamp".into(), time(now));
        new["status"]["phase"] = "Terminating".into();
        finalizers(&mut new, options.propagation);
        if options.dry_run {
            return (Stored { object: new.into(), managed: old.managed.clone() }, false);
        }
        (self.put(key, new, (*old.managed).clone(), now), false)
    }

    /// Deletes all objects of a kind that a selection holds, as far as that goes at once.
    pub fn delete_collection(
        &mut self,
        target: &Target,
        selection: &super::Selection,
        options: &DeleteOptions,
        now: Now,
    ) -> Result<Vec<Stored>, ApiError> {
        let namespace = Some(target.namespace.as_str()).filter(|n| !n.is_empty());
        let kind = self.stored_kind(&target.kind);
        let all: Vec<Stored> = self
            .shelves
            .get(&kind.resource)
            .into_iter()
            .flat_map(|s| s.iter(namespace))
            .filter(|s| selection.holds(&s.object))
            .cloned()
            .collect();
        for stored in &all {
            let key = Key::of(kind.resource.clone(), &stored.object);
            if key.resource != resource::NAMESPACES || !KEPT_NAMESPACES.contains(&key.name.as_str()) {
                self.remove(&kind, &key, stored, options, now);
            }
        }
        Ok(all)
    }
}

pub(super) fn preconditions(kind: &Kind, object: &Value, options: &DeleteOptions) -> Result<(), ApiError> {
    let name = object::name(object);
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid(object)) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            uid(object)
        );
        return Err(ApiError::conflict(kind.about_kind(), name, &why));
    }
    let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if let Some(wanted) = options.version.as_deref().filter(|wanted| *wanted != version) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
        );
        return Err(ApiError::conflict(kind.about_kind(), name, &why));
    }
    Ok(())
}

fn count_up(meta: &mut serde_json::Map<String, Value>) {
    if let Some(generation) = meta.get("generation").and_then(Value::as_i64) {
        meta.insert("generation".into(), (generation + 1).into());
    }
}

enum Grace {
    /// It is being deleted already, and this deletion is no quicker.
    Pending,
    Now,
    Until(Now, i64),
}

/// How long a pod still has. Nobody waits for one that never ran or has ended.
fn pod_grace(pod: &Value, wanted: Option<i64>, now: Now) -> Grace {
    let wanted = wanted.map(|g| if g < 0 { 1 } else { g });
    let given = pod["metadata"]["deletionGracePeriodSeconds"].as_i64();
    if let Some(until) = parse_time(&pod["metadata"]["deletionTimestamp"]) {
        return match (given.unwrap_or(0), wanted) {
            (0, _) => Grace::Now,
            (_, None) => Grace::Pending,
            (given, Some(wanted)) if wanted >= given => Grace::Pending,
            (_, Some(0)) => Grace::Now,
            (given, Some(wanted)) => {
                let sooner = until - chrono::TimeDelta::seconds(given - wanted);
                if sooner < now { Grace::Until(now, 1) } else { Grace::Until(sooner, wanted) }
            }
        };
    }
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    let unscheduled = pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    let own = || pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(0);
    match if unscheduled || phase == "Failed" || phase == "Succeeded" { 0 } else { wanted.unwrap_or_else(own).max(0) } {
        0 => Grace::Now,
        seconds => Grace::Until(now + chrono::TimeDelta::seconds(seconds), seconds),
    }
}

/// The two finalizers that say what becomes of dependents. Without a wish they stay as they are.
fn finalizers(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let mut all = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    all.retain(|f| f != ORPHAN && f != FOREGROUND);
    match propagation {
        Propagation::Orphan => all.push(ORPHAN.into()),
        Propagation::Foreground => all.push(FOREGROUND.into()),
        Propagation::Background => {}
    }
    if all.is_empty() {
        meta(object).shift_remove("finalizers");
    } else {
        meta(object).insert("finalizers".into(), all.into());
    }
}

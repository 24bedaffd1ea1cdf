//! Writes of the sandbox's own parts: controllers, node and proxies. They are believed, and each is one small step.

use serde_json::Value;

use super::request::{DeleteOptions, Sub};
use super::update::Change;
use super::{Store, delete};
use crate::sandbox::model::apply::managed::{Managed, Manager};
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::kinds::Kind;
use crate::sandbox::model::object::{Key, Now, resource};
use crate::sandbox::model::schema::Type;
use crate::sandbox::model::schema::decode::decode;
use crate::sandbox::model::write::Write;

impl Store {
    /// Applies one write. An error says why nothing was changed: the object is gone, was changed by somebody else, or is refused.
    pub fn apply(&mut self, write: Write, now: Now) -> Result<(), ApiError> {
        match write {
            Write::Create { resource, object } => self.create_trusted(&resource, object, now).map(drop),
            Write::Patch { key, if_version, patch } => self.patch_trusted(&key, Sub::Main, if_version.as_deref(), &patch, now),
            Write::PatchStatus { key, if_version, patch } => {
                self.patch_trusted(&key, Sub::Status, if_version.as_deref(), &patch, now)
            }
            Write::Delete { key, uid, grace } => self.delete_trusted(&key, uid, grace, now),
            Write::Event { about, kind, reason, message, by } => self.record_event(&about, kind, reason, &message, by, now),
        }
    }

    fn patch_trusted(&mut self, key: &Key, sub: Sub, if_version: Option<&str>, patch: &Value, now: Now) -> Result<(), ApiError> {
        let Some(kind) = self.registry.stored(&key.resource).cloned() else { return Err(ApiError::no_such_resource()) };
        let old = self.existing(&kind, key)?;
        if if_version.is_some_and(|wanted| old.object["metadata"]["resourceVersion"] != wanted) {
            return Err(ApiError::modified(kind.about(), &key.name));
        }
        let new = match (sub, kind.schema().under("status")) {
            (Sub::Status, Some(of)) => {
                // The commonest write of all: only the status is read anew, and often it says what it said before.
                let mut status = old.object["status"].clone();
                if let Some(patch) = patch.get("status") {
                    json_patch::merge(&mut status, patch);
                }
                let status = read_believed(&kind, of, status)?;
                let annotations = annotations_after(&old.object, patch);
                if old.object["status"] == status && annotations.is_none() {
                    return Ok(());
                }
                let mut new = Value::clone(&old.object);
                new["status"] = status;
                if let Some(annotations) = annotations {
                    new["metadata"]["annotations"] = annotations;
                }
                new
            }
            _ => {
                let mut new = Value::clone(&old.object);
                json_patch::merge(&mut new, patch);
                self.believed(&kind, new)?
            }
        };
        let managed = Managed::clone(&old.managed);
        let change = Change { old: &old, new, managed, done: false, by: component(&kind, sub), sub, dry_run: false, trusted: true };
        self.change(&kind, change, now).map(drop)
    }

    fn delete_trusted(&mut self, key: &Key, uid: Option<String>, grace: Option<i64>, now: Now) -> Result<(), ApiError> {
        let Some(kind) = self.registry.stored(&key.resource).cloned() else { return Err(ApiError::no_such_resource()) };
        let old = self.existing(&kind, key)?;
        let options = DeleteOptions { grace, uid, ..DeleteOptions::default() };
        delete::preconditions(&kind, &old.object, &options)?;
        self.remove(&kind, key, &old, &options, now);
        Ok(())
    }

    /// Reads the object of a part of the sandbox. A field that its kind does not have is a mistake of that part: dropped and logged.
    pub(super) fn believed(&self, kind: &Kind, mut object: Value) -> Result<Value, ApiError> {
        if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.shift_remove("managedFields");
        }
        Ok(self.settled(kind, read_believed(kind, kind.schema(), object)?))
    }
}

/// The annotations that come along with a status, when they differ from what they were.
fn annotations_after(old: &Value, patch: &Value) -> Option<Value> {
    let patch = patch["metadata"].get("annotations").filter(|a| a.is_object())?;
    let before = &old["metadata"]["annotations"];
    let mut after = before.clone();
    json_patch::merge(&mut after, patch);
    (after != *before).then_some(after)
}

fn read_believed(kind: &Kind, of: Type<'_>, value: Value) -> Result<Value, ApiError> {
    let mut unknown = Vec::new();
    let value = decode(of, value, kind.custom.is_some(), &mut unknown)
        .map_err(|e| ApiError::bad_request(format!("{} cannot be handled: {e}", kind.kind)))?;
    if !unknown.is_empty() {
        tracing::warn!(kind = kind.kind, fields = ?unknown, "a part of the sandbox writes fields that the kind does not have");
    }
    Ok(value)
}

/// Under whose name a part of the sandbox writes: that of the component which does the same in a real cluster.
pub(super) fn component(kind: &Kind, sub: Sub) -> Manager {
    let name = match (&kind.resource, sub) {
        (r, Sub::Status) if *r == resource::PODS => "kubelet",
        (r, _) if *r == resource::NODES => "kubelet",
        _ => "kube-controller-manager",
    };
    Manager { name: name.into(), applies: false, api_version: kind.api_version(), subresource: sub.name().into() }
}

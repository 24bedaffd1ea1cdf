//! The `scale` subresource: an `autoscaling/v1` Scale made of two numbers and a selector.

use serde_json::{Value, json};

use super::request::{Body, Options, Sub, Target};
use super::update::Change;
use super::{Store, Stored};
use crate::sandbox::model::apply::managed::{Managed, Manager};
use crate::sandbox::model::error::{About, ApiError};
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::kinds::{Kind, ScalePaths};
use crate::sandbox::model::object::Now;
use crate::sandbox::model::patch::{Format, patched};
use crate::sandbox::model::schema::builtin;
use crate::sandbox::model::selector::LabelSelector;

const TYPE: &str = "io.k8s.api.autoscaling.v1.Scale";

fn paths(kind: &Kind) -> Result<&ScalePaths, ApiError> {
    kind.scale.as_ref().ok_or_else(ApiError::no_such_resource)
}

fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |value, key| &value[key])
}

impl Store {
    /// The Scale of an object.
    pub fn scale(&self, target: &Target) -> Result<Value, ApiError> {
        let old = self.existing(&target.kind, &target.key())?;
        scale_of(&target.kind, &old)
    }

    /// Replaces the Scale of an object.
    pub fn replace_scale(&mut self, target: &Target, scale: &Value, options: &Options, now: Now) -> Result<Value, ApiError> {
        let old = self.existing(&target.kind, &target.key())?;
        let about = About { group: "autoscaling", kind: "Scale" };
        let mut causes = Causes::default();
        match &scale["spec"]["replicas"] {
            Value::Null => {}
            Value::Number(n) if n.as_i64().is_some_and(|n| n >= 0) => {}
            other => {
                causes.invalid(&Path::Root.field("spec").field("replicas"), other.clone(), "must be greater than or equal to 0");
            }
        }
        if !causes.is_empty() {
            return Err(ApiError::invalid(about, &target.name, &causes));
        }
        let version = scale["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !["", old.object["metadata"]["resourceVersion"].as_str().unwrap_or_default()].contains(&version) {
            return Err(ApiError::modified(target.kind.about(), &target.name));
        }
        let mut new = Value::clone(&old.object);
        set(&mut new, &paths(&target.kind)?.spec, scale["spec"]["replicas"].as_i64().unwrap_or(0).into());
        let kind = self.stored_kind(&target.kind);
        let by =
            Manager { name: options.manager.clone(), applies: false, api_version: kind.api_version(), subresource: "scale".into() };
        let managed = Managed::clone(&old.managed);
        let change = Change { old: &old, new, managed, done: false, by, sub: Sub::Main, dry_run: options.dry_run, trusted: false };
        let (stored, _) = self.change(&kind, change, now)?;
        scale_of(&kind, &stored)
    }

    /// Changes the Scale of an object by a patch.
    pub fn patch_scale(
        &mut self,
        target: &Target,
        format: Format,
        body: Body,
        options: &Options,
        now: Now,
    ) -> Result<Value, ApiError> {
        let current = self.scale(target)?;
        let set = builtin();
        let of = set.named(TYPE).ok_or_else(ApiError::no_such_resource)?;
        let scale = patched(of, format, &current, body.value)?;
        self.replace_scale(target, &scale, options, now)
    }
}

fn set(object: &mut Value, path: &str, value: Value) {
    let mut slot = object;
    for key in path.split('.') {
        if !slot.is_object() {
            *slot = json!({});
        }
        slot = &mut slot[key];
    }
    *slot = value;
}

fn scale_of(kind: &Kind, stored: &Stored) -> Result<Value, ApiError> {
    let paths = paths(kind)?;
    let object = &*stored.object;
    let meta = &object["metadata"];
    let mut metadata = json!({"name": meta["name"]});
    for key in ["namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if !meta[key].is_null() {
            metadata[key] = meta[key].clone();
        }
    }
    let mut spec = json!({});
    if let Some(replicas) = at(object, &paths.spec).as_i64().filter(|n| *n != 0) {
        spec["replicas"] = replicas.into();
    }
    let mut status = json!({"replicas": at(object, &paths.status).as_i64().unwrap_or(0)});
    let selector = match paths.selector.as_ref().map(|path| at(object, path)) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(found @ Value::Object(_)) => LabelSelector::of_object(found).map(|s| s.to_string()),
        _ => None,
    };
    if let Some(selector) = selector {
        status["selector"] = selector.into();
    }
    Ok(json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}))
}

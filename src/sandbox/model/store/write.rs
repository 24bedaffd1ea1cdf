//! What all writes share: reading the body as its kind, and showing an object as a kind.

use serde_json::{Map, Value};

use super::request::{Body, FieldValidation, Options, Target};
use super::{Store, Stored, view};
use crate::sandbox::model::defaults;
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::kinds::{Kind, View};
use crate::sandbox::model::object::{Object, name, namespace};
use crate::sandbox::model::schema::decode::decode;
use crate::sandbox::model::validate;

/// Which way an object came: it decides how its mistakes are worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin<'a> {
    /// As a whole.
    Whole,
    /// As the result of a patch, given as text.
    Patch(&'a str),
}

/// A body that was read: in stored form, with defaults.
pub(super) struct Incoming {
    pub(super) object: Value,
    pub(super) warnings: Vec<String>,
}

impl Store {
    /// Reads a body as an object of the target's kind.
    pub(super) fn incoming(
        &self,
        target: &Target,
        body: Body,
        options: &Options,
        origin: Origin<'_>,
    ) -> Result<Incoming, ApiError> {
        let kind = &*target.kind;
        check_kind(kind, &body.value)?;
        if !body.value.is_object() {
            return Err(ApiError::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: json: cannot unmarshal {} into Go value of type {}",
                kind.kind,
                kind.version,
                kind.kind,
                type_word(&body.value),
                kind.schema().name(),
            )));
        }
        let mut unknown = Vec::new();
        let object = decode(kind.schema(), body.value, kind.custom.is_some(), &mut unknown)
            .map_err(|e| refuse(kind, origin, &e.to_string()))?;
        let notes = body.duplicates.iter().map(|p| format!("duplicate field {p:?}"));
        let notes: Vec<String> = unknown.iter().map(|p| format!("unknown field {p:?}")).chain(notes).collect();
        let warnings = match options.fields {
            FieldValidation::Ignore => Vec::new(),
            FieldValidation::Warn => notes,
            FieldValidation::Strict if notes.is_empty() => notes,
            FieldValidation::Strict => return Err(refuse(kind, origin, &format!("strict decoding error: {}", notes.join(", ")))),
        };
        Ok(Incoming { object: self.settled(kind, object), warnings })
    }

    /// In stored form, with defaults and with the names of its kind.
    pub(super) fn settled(&self, kind: &Kind, object: Value) -> Value {
        let mut object = view::to_stored(kind.view, object);
        let stored = self.registry.stored(&kind.resource).map_or(kind, |k| k);
        (stored.traits.defaults)(&mut object);
        if stored.custom.is_some() {
            defaults::crd::from_schema(stored.schema(), &mut object);
        }
        object["apiVersion"] = stored.api_version().into();
        object["kind"] = stored.kind.clone().into();
        object
    }

    /// Things worth a warning in an object that is stored.
    pub(super) fn warnings(kind: &Kind, object: &Value) -> Vec<String> {
        let at = Path::Root.field("spec");
        match kind.kind.as_str() {
            "Pod" => validate::pod::warnings(&object["spec"], &at),
            "Deployment" | "ReplicaSet" => {
                let at = at.field("template");
                validate::pod::warnings(&object["spec"]["template"]["spec"], &at.field("spec"))
            }
            _ => Vec::new(),
        }
    }
}

/// Everything that is wrong with an object in stored form.
pub(super) fn check(kind: &Kind, new: &Value, old: Option<&Value>) -> Result<(), ApiError> {
    let mut causes = Causes::default();
    validate::meta::metadata(kind, new, old, &mut causes);
    (kind.traits.validate)(new, old, &mut causes);
    if let Some(custom) = &kind.custom {
        custom.rules.check(new, &Path::Root, &mut causes);
    }
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid(kind.about_kind(), name(new), &causes)) }
}

/// The object as a kind shows it, with `metadata.managedFields`.
pub fn shown(kind: &Kind, stored: &Stored) -> Value {
    let mut object = plain(kind, &stored.object);
    if !stored.managed.0.is_empty() {
        object["metadata"]["managedFields"] = stored.managed.to_json();
    }
    object
}

/// The same without `metadata.managedFields`.
pub fn plain(kind: &Kind, object: &Object) -> Value {
    if kind.view == View::Stored {
        return Value::clone(object);
    }
    let mut shown = view::from_stored(kind.view, Value::clone(object));
    shown["apiVersion"] = kind.api_version().into();
    // The other form may drop what this one writes, and the other way round.
    decode(kind.schema(), shown.clone(), kind.custom.is_some(), &mut Vec::new()).unwrap_or(shown)
}

fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn refuse(kind: &Kind, origin: Origin<'_>, why: &str) -> ApiError {
    match origin {
        Origin::Whole => ApiError::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {why}",
            kind.kind, kind.version, kind.kind
        )),
        Origin::Patch(text) => {
            let mut causes = Causes::default();
            causes.invalid(&Path::Root.field("patch"), text, why);
            ApiError::invalid(crate::sandbox::model::error::About { group: "", kind: "" }, "", &causes)
        }
    }
}

/// The body's own `apiVersion` and `kind`, where it has any, are those of the path.
fn check_kind(kind: &Kind, body: &Value) -> Result<(), ApiError> {
    let (given, wanted) = (body["kind"].as_str().unwrap_or_default(), kind.kind.as_str());
    let api_version = kind.api_version();
    let version = body["apiVersion"].as_str().unwrap_or_default();
    if (given.is_empty() || given == wanted) && (version.is_empty() || version == api_version) {
        return Ok(());
    }
    if given == wanted && kind.custom.is_some() {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({api_version})"
        )));
    }
    let shown = if version.is_empty() { api_version.as_str() } else { version };
    let short = shown.rsplit('/').next().unwrap_or(shown);
    Err(ApiError::bad_request(format!(
        "{given} in version {short:?} cannot be handled as a {wanted}: no kind {given:?} is registered for version {shown:?} in scheme \"pkg/runtime/scheme.go:110\""
    )))
}

/// The object's namespace is that of the path, or empty and then set to it.
pub(super) fn set_namespace(kind: &Kind, object: &mut Value, wanted: &str) -> Result<(), ApiError> {
    if !kind.namespaced {
        object["metadata"].as_object_mut().and_then(|m| m.shift_remove("namespace"));
        return Ok(());
    }
    if !["", wanted].contains(&namespace(object)) {
        return Err(ApiError::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
    }
    meta(object).insert("namespace".into(), wanted.into());
    Ok(())
}

/// The metadata of an object, made when there is none.
pub(super) fn meta(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = Value::Object(Map::new());
    }
    match &mut object["metadata"] {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

/// Brings the metadata into the order in which the API server writes it.
pub(super) fn order(object: &mut Value) {
    const ORDER: [&str; 14] = [
        "name",
        "generateName",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
        "managedFields",
    ];
    let meta = meta(object);
    let mut given = std::mem::take(meta);
    meta.extend(ORDER.iter().filter_map(|key| given.swap_remove_entry(*key)));
    meta.extend(given);
}

/// Sets a field of the metadata to what another object has, or removes it.
pub(super) fn carry(object: &mut Value, from: &Value, field: &str) {
    match from["metadata"].get(field) {
        Some(value) => meta(object).insert(field.into(), value.clone()),
        None => meta(object).shift_remove(field),
    };
}

/// Sets a top-level field to what another object has, or removes it.
pub(super) fn carry_top(object: &mut Value, from: &Value, field: &str) {
    let Value::Object(map) = object else { return };
    match from.get(field) {
        Some(value) => map.insert(field.into(), value.clone()),
        None => map.shift_remove(field),
    };
}

//! What the API refuses in an object, kind by kind, in its own words.

pub mod apps;
pub mod config;
pub mod container;
pub mod crd;
pub mod ingress;
pub mod meta;
pub mod misc;
pub mod pod;
pub mod rbac;
pub mod service;

use serde_json::Value;

use super::field::{Causes, Path};
use super::names;

/// For kinds that are stored as they come.
pub fn nothing(_: &Value, _: Option<&Value>, _: &mut Causes) {}

/// The text under a key, or nothing.
fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

/// The items under a key.
fn list<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object[key].as_array().map_or(&[], Vec::as_slice)
}

fn not_negative(object: &Value, key: &str, at: &Path<'_>, causes: &mut Causes) {
    if let Some(n) = object[key].as_i64().filter(|n| *n < 0) {
        causes.invalid(&at.field(key), n, "must be greater than or equal to 0");
    }
}

fn one_of(object: &Value, key: &str, supported: &[&str], at: &Path<'_>, causes: &mut Causes) {
    let value = text(object, key);
    if !value.is_empty() && !supported.contains(&value) {
        causes.not_supported(&at.field(key), value, supported);
    }
}

fn immutable(new: &Value, old: Option<&Value>, key: &str, at: &Path<'_>, causes: &mut Causes) {
    if old.is_some_and(|old| old[key] != new[key]) {
        causes.invalid(&at.field(key), new[key].clone(), "field is immutable");
    }
}

/// A number or a name of a port.
fn port_reference(port: &Value, at: &Path<'_>, causes: &mut Causes) {
    match port {
        Value::Number(n) => causes.all_invalid(at, port, names::port_number(n.as_i64().unwrap_or(0))),
        Value::String(name) => causes.all_invalid(at, port, names::port(name)),
        _ => causes.required(at, ""),
    }
}

/// A count or a percentage.
fn count_or_percent(value: &Value, at: &Path<'_>, causes: &mut Causes) {
    match value {
        Value::String(text) if names::percent(text).is_none() => causes.invalid(
            at,
            text.as_str(),
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        ),
        Value::Number(n) if n.as_i64().is_some_and(|n| n < 0) => causes.invalid(at, value.clone(), "must be greater than or equal to 0"),
        _ => {}
    }
}

fn labels(labels: &Value, at: &Path<'_>, causes: &mut Causes) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        causes.all_invalid(at, &key.as_str().into(), names::qualified(key));
        causes.all_invalid(at, value, names::label_value(value.as_str().unwrap_or_default()));
    }
}

/// A `metav1.LabelSelector`.
fn label_selector(selector: &Value, at: &Path<'_>, causes: &mut Causes) {
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        let at = at.field("matchLabels");
        causes.all_invalid(&at, &key.as_str().into(), names::qualified(key));
        causes.all_invalid(&at, value, names::label_value(value.as_str().unwrap_or_default()));
    }
    for (i, expression) in list(selector, "matchExpressions").iter().enumerate() {
        let at = at.field("matchExpressions");
        let at = at.index(i);
        let count = list(expression, "values").len();
        match text(expression, "operator") {
            "In" | "NotIn" if count == 0 => {
                causes.required(&at.field("values"), "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if count > 0 => {
                causes.forbidden(&at.field("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => causes.invalid(&at.field("operator"), other, "not a valid selector operator"),
        }
        causes.all_invalid(&at.field("key"), &expression["key"], names::qualified(text(expression, "key")));
    }
}

#[cfg(test)]
mod tests;

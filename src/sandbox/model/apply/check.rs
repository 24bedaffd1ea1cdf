//! Is a configuration of its type? Server-side apply wants to know before it looks at the live object.

use std::collections::BTreeSet;

use serde_json::Value;

use super::walk::step_of;
use crate::sandbox::model::schema::{ListKind, Scalar, Shape, Type};

/// The first thing that is wrong, as `.spec.foo: field not declared in schema`.
pub fn check(of: Type<'_>, config: &Value) -> Result<(), String> {
    walk(of, config, "")
}

fn walk(of: Type<'_>, value: &Value, at: &str) -> Result<(), String> {
    if value.is_null() {
        return Ok(());
    }
    match of.shape() {
        Shape::Struct(s) => {
            let map = value.as_object().ok_or_else(|| format!("{at}: expected map, got {}", sample(value)))?;
            for (key, value) in map {
                match s.field(key) {
                    Some(field) => walk(of.at(field.of), value, &format!("{at}.{key}"))?,
                    None if s.open => {}
                    None => return Err(format!("{at}.{key}: field not declared in schema")),
                }
            }
        }
        Shape::Map { values, .. } => {
            let map = value.as_object().ok_or_else(|| format!("{at}: expected map, got {}", sample(value)))?;
            for (key, value) in map {
                walk(of.at(*values), value, &format!("{at}.{key}"))?;
            }
        }
        Shape::List(list) => {
            let items = value.as_array().ok_or_else(|| format!("{at}: expected list, got {}", sample(value)))?;
            let item_type = of.at(list.items);
            let mut seen = BTreeSet::new();
            for (i, item) in items.iter().enumerate() {
                if list.kind == ListKind::Atomic {
                    walk(item_type, item, &format!("{at}[{i}]"))?;
                    continue;
                }
                let step = step_of(&list.kind, Some(item_type), item).map_err(|e| format!("{at}: element {i}: {e}"))?;
                let text = super::fieldset::step_text(&step);
                walk(item_type, item, &format!("{at}{text}"))?;
                if !seen.insert(step) {
                    return Err(format!("{at}: duplicate entries for key {text}"));
                }
            }
        }
        Shape::Scalar(scalar) => {
            let wanted = match scalar {
                Scalar::Int32 | Scalar::Int64 | Scalar::Double if !value.is_number() => "numeric (int or float)",
                Scalar::Boolean if !value.is_boolean() => "boolean",
                Scalar::String | Scalar::Bytes | Scalar::Time if !value.is_string() => "string",
                Scalar::IntOrString | Scalar::Quantity if !value.is_string() && !value.is_number() => "untyped",
                _ => return Ok(()),
            };
            return Err(format!("{at}: expected {wanted}, got {}", sample(value)));
        }
        Shape::Any { .. } => {}
    }
    Ok(())
}

fn sample(value: &Value) -> String {
    match value {
        Value::String(_) => "string".into(),
        Value::Number(_) => "int".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Array(_) => "list".into(),
        Value::Object(_) => "map".into(),
        Value::Null => "null".into(),
    }
}

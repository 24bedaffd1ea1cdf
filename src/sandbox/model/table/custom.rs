//! How custom resources are printed: by the columns of their definition.

use serde_json::{Value, json};

use super::definition;
use super::path::find;
use super::text::{age, ago};
use crate::sandbox::model::object::{Now, name};

pub(super) fn columns(own: &[Value]) -> Value {
    let mut all = vec![definition("Name", "string", "", 0)];
    for column in own {
        let text = |key: &str| column[key].as_str().unwrap_or_default();
        let priority = column["priority"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap_or(0);
        let mut one = definition(text("name"), text("type"), text("description"), priority);
        one["format"] = text("format").into();
        all.push(one);
    }
    if own.is_empty() {
        all.push(json!({"name": "Age", "type": "date", "format": "", "description": "", "priority": 0}));
    }
    all.into()
}

pub(super) fn cells(own: &[Value], object: &Value, now: Now) -> Vec<Value> {
    let mut all = vec![name(object).into()];
    all.extend(own.iter().map(|column| {
        let found = find(object, column["jsonPath"].as_str().unwrap_or_default());
        let Some(first) = found.first() else { return Value::Null };
        match column["type"].as_str().unwrap_or_default() {
            "date" => ago(first, now).into(),
            "string" if found.len() > 1 => {
                found.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect::<Vec<_>>().join(",").into()
            }
            "string" => first.as_str().map_or_else(|| first.to_string(), str::to_owned).into(),
            "integer" => first.as_i64().map_or(Value::Null, Into::into),
            "number" => first.as_f64().map_or(Value::Null, Into::into),
            "boolean" => first.as_bool().map_or(Value::Null, Into::into),
            _ => Value::Null,
        }
    }));
    if own.is_empty() {
        all.push(age(object, now));
    }
    all
}

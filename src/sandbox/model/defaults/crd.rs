//! Defaults of CustomResourceDefinitions, and those that a custom resource's schema asks for.

use serde_json::Value;

use super::{absent, empty, within};
use crate::sandbox::model::schema::{Shape, Type};

/// Defaults of a CustomResourceDefinition.
pub fn definition(definition: &mut Value) {
    let Some(spec) = within(definition, "spec") else { return };
    if let Some(names) = spec.get_mut("names").filter(|n| n.is_object()) {
        let kind = names["kind"].as_str().unwrap_or_default().to_owned();
        if !kind.is_empty() {
            empty(names, "singular", kind.to_lowercase());
            empty(names, "listKind", format!("{kind}List"));
        }
    }
    if let Some(conversion) = within(spec, "conversion") {
        empty(conversion, "strategy", "None");
    }
    absent(spec, "preserveUnknownFields", false);
    if spec["preserveUnknownFields"] == false {
        spec.as_object_mut().and_then(|s| s.shift_remove("preserveUnknownFields"));
    }
}

/// Writes the defaults of a custom resource's schema into a value of its type. An object's metadata has none.
pub fn from_schema(of: Type<'_>, value: &mut Value) {
    match (of.shape(), value) {
        (Shape::Struct(s), Value::Object(map)) => {
            for field in s.fields.iter().filter(|f| !(s.embedded && f.name == "metadata")) {
                if let Some(default) = &field.default
                    && map.get(&field.name).is_none_or(|v| v.is_null() && !field.nullable)
                {
                    map.insert(field.name.clone(), default.clone());
                }
                if let Some(value) = map.get_mut(&field.name) {
                    from_schema(of.at(field.of), value);
                }
            }
        }
        (Shape::Map { values, .. }, Value::Object(map)) => map.values_mut().for_each(|v| from_schema(of.at(*values), v)),
        (Shape::List(list), Value::Array(items)) => items.iter_mut().for_each(|v| from_schema(of.at(list.items), v)),
        _ => {}
    }
}

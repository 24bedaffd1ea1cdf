//! Pod templates: when two are the same, and the hash that names one.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use serde_json::{Map, Value};

use crate::sandbox::model::suffix::safe_encode;

/// The label that tells the pods of one template from those of another.
pub const HASH_LABEL: &str = "pod-template-hash";

/// A digest for comparing templates quickly: equal templates have equal digests.
pub fn digest(template: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    walk(template, Place::Template, &mut |bytes| bytes.hash(&mut hasher));
    hasher.finish()
}

/// Are two templates the same, but for the hash label?
pub fn same(a: &Value, b: &Value) -> bool {
    equal(a, b, Place::Template)
}

/// The hash label of a template: 32 bits in letters that spell no words.
pub fn hash(template: &Value, collisions: Option<i64>) -> String {
    // FNV-1a, as the real controller has it; it hashes Go structs though, so the same template has another hash there.
    let mut state: u32 = 0x811c_9dc5;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            state = (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    };
    walk(template, Place::Template, &mut mix);
    if let Some(collisions) = collisions {
        mix(&collisions.to_le_bytes());
    }
    safe_encode(&state.to_string())
}

/// Where in a template a value is: the hash label is ignored in one place only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Template,
    Metadata,
    Labels,
    Elsewhere,
}

impl Place {
    fn of(self, field: &str) -> Self {
        match (self, field) {
            (Self::Template, "metadata") => Self::Metadata,
            (Self::Metadata, "labels") => Self::Labels,
            _ => Self::Elsewhere,
        }
    }
}

/// Absent, null and empty mean the same in a template.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn counts(field: &str, value: &Value, place: Place) -> bool {
    !is_empty(value) && (place != Place::Labels || field != HASH_LABEL)
}

fn equal(a: &Value, b: &Value, place: Place) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let within = |a: &Map<String, Value>, b: &Map<String, Value>| {
                a.iter().filter(|(f, v)| counts(f, v, place)).all(|(f, v)| b.get(f).is_some_and(|w| equal(v, w, place.of(f))))
            };
            let missing = |(f, v): (&String, &Value)| counts(f, v, place) && !a.get(f).is_some_and(|w| counts(f, w, place));
            within(a, b) && !b.iter().any(missing)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, Place::Elsewhere)),
        _ => a == b,
    }
}

/// Feeds a value in a form that does not depend on the order of fields.
fn walk(value: &Value, place: Place, feed: &mut impl FnMut(&[u8])) {
    match value {
        Value::Null => feed(b"n"),
        Value::Bool(b) => feed(if *b { b"t" } else { b"f" }),
        Value::Number(n) => feed(format!("{n};").as_bytes()),
        Value::String(s) => {
            feed(b"\"");
            feed(s.as_bytes());
            feed(b"\"");
        }
        Value::Array(items) => {
            feed(b"[");
            for item in items {
                walk(item, Place::Elsewhere, feed);
            }
            feed(b"]");
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().filter(|(f, v)| counts(f, v, place)).collect();
            fields.sort_unstable_by_key(|(field, _)| *field);
            feed(b"{");
            for (field, value) in fields {
                feed(field.as_bytes());
                feed(b":");
                walk(value, place.of(field), feed);
            }
            feed(b"}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template() -> Value {
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web:1",
            "env": [{"name": "A", "value": "1"}]}]}})
    }

    #[test]
    fn order_of_fields_emptiness_and_the_hash_label_do_not_count() {
        let other = json!({
            "spec": {"containers": [{"env": [{"value": "1", "name": "A"}], "image": "web:1", "name": "c", "resources": {},
                "args": []}]},
            "metadata": {"creationTimestamp": null, "labels": {"pod-template-hash": "7d4b9c6f5d", "app": "web"}},
        });
        assert!(same(&template(), &other) && same(&other, &template()));
        assert_eq!((digest(&template()), hash(&template(), None)), (digest(&other), hash(&other, None)));
    }

    #[test]
    fn any_value_that_counts_makes_another_template() {
        let edits = [
            ("/spec/containers/0/image", json!("web:2")),
            ("/spec/containers/0/env/0/value", json!("2")),
            ("/spec/containers/0/env", json!([])),
            ("/metadata/labels/app", json!("api")),
            ("/spec/containers/0/name", json!(null)),
        ];
        for (path, value) in edits {
            let mut other = template();
            *other.pointer_mut(path).unwrap() = value;
            assert!(!same(&template(), &other) && !same(&other, &template()), "{path}");
            assert_ne!(digest(&template()), digest(&other), "{path}");
            assert_ne!(hash(&template(), None), hash(&other, None), "{path}");
        }
    }

    #[test]
    fn the_hash_looks_like_a_real_one_and_moves_with_the_collision_count() {
        let plain = hash(&template(), None);
        assert!((6..=10).contains(&plain.len()) && plain.chars().all(|c| "456789bcdf".contains(c)), "{plain}");
        assert_ne!(plain, hash(&template(), Some(1)));
        assert_ne!(hash(&template(), Some(1)), hash(&template(), Some(2)));
    }
}

//! Laying a configuration over a live object, and taking fields out of one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fieldset::{Entry, FieldSet};
use super::walk::{Kind, Part, step_of};
use crate::sandbox::model::schema::Type;

/// The live object with the configuration laid over it.
pub fn merge(of: Type<'_>, live: &Value, config: &Value) -> Value {
    over(Kind::of(of), Some(live), Some(config)).unwrap_or(Value::Null)
}

fn over(kind: Kind<'_>, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
    match kind.part(config.or(live)) {
        Part::Fields if !(is_hollow(live) && is_hollow(config)) => {
            let (l, c) = (live.and_then(Value::as_object), config.and_then(Value::as_object));
            let mut out = Map::new();
            for (key, value) in l.into_iter().flatten() {
                let merged = over(kind.field(key), Some(value), c.and_then(|m| m.get(key)));
                out.extend(merged.map(|v| (key.clone(), v)));
            }
            for (key, value) in c.into_iter().flatten().filter(|(key, _)| l.is_none_or(|m| !m.contains_key(*key))) {
                out.extend(over(kind.field(key), None, Some(value)).map(|v| (key.clone(), v)));
            }
            (!out.is_empty()).then_some(Value::Object(out))
        }
        Part::Items(list, of) if !(is_hollow(live) && is_hollow(config)) => {
            let named = |value: Option<&Value>| -> Vec<(String, Value)> {
                let items = value.and_then(Value::as_array).into_iter().flatten();
                items.filter_map(|item| Some((step_of(list, of, item).ok()?, item.clone()))).collect()
            };
            Some(Value::Array(items(Kind::item(of), &named(live), &named(config))))
        }
        Part::Leaf | Part::Fields | Part::Items(..) => config.or(live).cloned(),
    }
}

fn is_hollow(value: Option<&Value>) -> bool {
    value.is_none_or(|v| v.is_null() || v.as_object().is_some_and(Map::is_empty) || v.as_array().is_some_and(Vec::is_empty))
}

/// Merges two lists of named items: shared items in the order of the configuration, live ones between them where they were.
fn items(kind: Kind<'_>, live: &[(String, Value)], config: &[(String, Value)]) -> Vec<Value> {
    let l: BTreeMap<&String, &Value> = live.iter().map(|(k, v)| (k, v)).collect();
    let c: BTreeMap<&String, &Value> = config.iter().map(|(k, v)| (k, v)).collect();
    let mut shared = config.iter().map(|(k, _)| k).filter(|k| l.contains_key(k)).peekable();
    let mut done: BTreeSet<&String> = BTreeSet::new();
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < live.len() || j < config.len() {
        if let (Some((name, _)), Some((wanted, _))) = (live.get(i), config.get(j)) {
            if name == wanted {
                done.insert(name);
                out.extend(over(kind, l.get(name).copied(), c.get(name).copied()));
                (i, j) = (i + 1, j + 1);
                shared.next();
                continue;
            }
            if c.contains_key(name) && shared.peek().is_some_and(|next| *next != name) {
                i += 1;
                continue;
            }
        }
        if let Some((name, value)) = live.get(i) {
            if !c.contains_key(name) {
                out.extend(over(kind, Some(value), None));
                i += 1;
                continue;
            }
            if done.contains(name) {
                i += 1;
            }
        }
        if let Some((name, value)) = config.get(j) {
            done.insert(name);
            out.extend(over(kind, l.get(name).copied(), Some(value)));
            j += 1;
            if shared.peek().is_some_and(|next| *next == name) {
                shared.next();
            }
        }
    }
    out
}

/// The object without the fields of a set. What becomes empty by that becomes null.
pub fn remove(of: Type<'_>, object: &Value, set: &FieldSet) -> Value {
    taken(Kind::of(of), object, set)
}

fn taken(kind: Kind<'_>, value: &Value, set: &FieldSet) -> Value {
    match (kind.part(Some(value)), value) {
        (Part::Fields, Value::Object(map)) => {
            let mut out = Map::new();
            for (key, value) in map {
                match set.at(&format!("f:{key}")) {
                    Some(Entry { here: true, .. }) => {}
                    Some(entry) => {
                        out.insert(key.clone(), taken(kind.field(key), value, &entry.below));
                    }
                    None => {
                        out.insert(key.clone(), value.clone());
                    }
                }
            }
            if out.is_empty() { Value::Null } else { Value::Object(out) }
        }
        (Part::Items(list, of), Value::Array(items)) => {
            let mut out = Vec::new();
            for item in items {
                match step_of(list, of, item).ok().and_then(|step| set.at(&step)) {
                    Some(Entry { here: true, .. }) => {}
                    Some(entry) => out.push(taken(Kind::item(of), item, &entry.below)),
                    None => out.push(item.clone()),
                }
            }
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        (Part::Leaf, Value::Object(_) | Value::Array(_)) => Value::Null,
        _ => value.clone(),
    }
}

/// The set, with every named field on the way to a member made a member too: who owns `a.b.c` owns `a`, unless it is a map's key.
pub fn with_named(of: Type<'_>, set: &FieldSet) -> FieldSet {
    named(Kind::of(of), set)
}

fn named(kind: Kind<'_>, set: &FieldSet) -> FieldSet {
    let mut out = FieldSet::default();
    for (step, entry) in set.iter() {
        let is_field = step.strip_prefix("f:").is_some_and(|name| kind.has_field(name));
        out.put(step.clone(), Entry { here: entry.here || is_field, below: named(kind.below(step), &entry.below) });
    }
    out
}

//! Which fields an object has, and which differ between two of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fieldset::{Entry, FieldSet};
use super::walk::{Kind, Part, step_of};
use crate::sandbox::model::schema::{ListKind, Type};

/// All fields that a configuration sets.
pub fn fields(of: Type<'_>, object: &Value) -> FieldSet {
    entry(Kind::of(of), object).below
}

fn entry(kind: Kind<'_>, value: &Value) -> Entry {
    match (kind.part(Some(value)), value) {
        (Part::Fields, Value::Object(map)) => {
            let mut below = FieldSet::default();
            for (key, value) in map {
                let mut entry = entry(kind.field(key), value);
                let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
                entry.here |= empty || !kind.has_field(key);
                below.put(format!("f:{key}"), entry);
            }
            Entry { here: false, below }
        }
        (Part::Items(list, of), Value::Array(items)) => {
            let mut below = FieldSet::default();
            for item in items {
                if let Ok(step) = step_of(list, of, item) {
                    let mut entry = entry(Kind::item(of), item);
                    entry.here = true;
                    below.put(step, entry);
                }
            }
            Entry { here: false, below }
        }
        (Part::Fields | Part::Items(..), Value::Null) => Entry::default(),
        _ => Entry::here(),
    }
}

/// How a new object differs from an old one.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Fields that were not there.
    pub added: FieldSet,
    /// Leaves with another value.
    pub modified: FieldSet,
    /// Fields that are gone.
    pub removed: FieldSet,
}

impl Comparison {
    /// Are the two the same?
    pub fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// Fields that were added or modified.
    pub fn changed(&self) -> FieldSet {
        let mut all = self.added.clone();
        all.add(self.modified.clone());
        all
    }

    fn put(&mut self, step: impl Fn() -> String, below: Three) {
        for (set, entry) in
            [(&mut self.added, below.added), (&mut self.modified, below.modified), (&mut self.removed, below.removed)]
        {
            if !entry.is_empty() {
                set.put(step(), entry);
            }
        }
    }
}

/// Compares two objects of a type.
pub fn compare(of: Type<'_>, old: &Value, new: &Value) -> Comparison {
    let three = three(Kind::of(of), Some(old), Some(new));
    Comparison { added: three.added.below, modified: three.modified.below, removed: three.removed.below }
}

#[derive(Default)]
struct Three {
    added: Entry,
    modified: Entry,
    removed: Entry,
}

fn is_hollow(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(map)) => map.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

fn three(kind: Kind<'_>, old: Option<&Value>, new: Option<&Value>) -> Three {
    let part = kind.part(new.or(old));
    // Two empty ones are compared as leaves, so that empty and null stay apart.
    if matches!(part, Part::Leaf) || (is_hollow(old) && is_hollow(new)) {
        return leaf(old, new);
    }
    let mut below = Comparison::default();
    match part {
        Part::Fields => {
            let (o, n) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
            for (key, value) in n.into_iter().flatten() {
                let was = o.and_then(|m| m.get(key));
                // Most of an object stays as it was: equal parts are not looked into.
                if was != Some(value) {
                    below.put(|| format!("f:{key}"), three(kind.field(key), was, Some(value)));
                }
            }
            for (key, value) in o.into_iter().flatten().filter(|(key, _)| n.is_none_or(|m| !m.contains_key(*key))) {
                below.put(|| format!("f:{key}"), three(kind.field(key), Some(value), None));
            }
        }
        Part::Items(list, of) => {
            let (o, n) = (index(list, of, old), index(list, of, new));
            for (step, value) in &n {
                below.put(|| step.clone(), three(Kind::item(of), o.get(step).copied(), Some(value)));
            }
            for (step, value) in o.iter().filter(|(step, _)| !n.contains_key(*step)) {
                below.put(|| step.clone(), three(Kind::item(of), Some(value), None));
            }
        }
        Part::Leaf => {}
    }
    Three {
        added: Entry { here: old.is_none(), below: below.added },
        modified: Entry { here: false, below: below.modified },
        removed: Entry { here: new.is_none(), below: below.removed },
    }
}

fn index<'v>(list: &ListKind, of: Option<Type<'_>>, value: Option<&'v Value>) -> BTreeMap<String, &'v Value> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| Some((step_of(list, of, item).ok()?, item))).collect()
}

fn leaf(old: Option<&Value>, new: Option<&Value>) -> Three {
    let mut three = Three::default();
    match (old, new) {
        (None, Some(_)) => three.added.here = true,
        (Some(_), None) => three.removed.here = true,
        (Some(old), Some(new)) if old != new => three.modified.here = true,
        _ => {}
    }
    three
}

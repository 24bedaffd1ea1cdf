//! Sets of fields of one object, as `metadata.managedFields` writes them (`FieldsV1`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of fields. A step of a path is kept as `FieldsV1` writes it: `f:name`, `k:{"name":"c"}`, `v:"x"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(BTreeMap<String, Entry>);

/// What a set says of one field: whether the field itself is in it, and which fields below it are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The field itself.
    pub here: bool,
    /// Fields below it.
    pub below: FieldSet,
}

impl Entry {
    /// The field itself and nothing below.
    pub fn here() -> Self {
        Self { here: true, below: FieldSet::default() }
    }

    /// Says it nothing?
    pub fn is_empty(&self) -> bool {
        !self.here && self.below.is_empty()
    }
}

impl FieldSet {
    /// Has it no field?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what an entry says of a step, if it says anything.
    pub fn put(&mut self, step: impl Into<String>, entry: Entry) {
        if !entry.is_empty() {
            let slot = self.0.entry(step.into()).or_default();
            slot.here |= entry.here;
            slot.below.add(entry.below);
        }
    }

    /// Adds all fields of another set.
    pub fn add(&mut self, other: Self) {
        for (step, entry) in other.0 {
            self.put(step, entry);
        }
    }

    /// What it says of a step.
    pub fn at(&self, step: &str) -> Option<&Entry> {
        self.0.get(step)
    }

    /// The steps and what it says of them.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.0.iter()
    }

    /// The fields that are not in `other`.
    pub fn minus(&self, other: &Self) -> Self {
        let mut out = Self::default();
        for (step, entry) in &self.0 {
            let kept = match other.0.get(step) {
                None => entry.clone(),
                Some(o) => Entry { here: entry.here && !o.here, below: entry.below.minus(&o.below) },
            };
            out.put(step.clone(), kept);
        }
        out
    }

    /// The fields that are also in `other`.
    pub fn and(&self, other: &Self) -> Self {
        let mut out = Self::default();
        for (step, entry) in &self.0 {
            if let Some(o) = other.0.get(step) {
                out.put(step.clone(), Entry { here: entry.here && o.here, below: entry.below.and(&o.below) });
            }
        }
        out
    }

    /// Without a field and all below it.
    pub fn without(&self, path: &[&str]) -> Self {
        let mut out = self.clone();
        out.cut(path);
        out
    }

    fn cut(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let step = format!("f:{first}");
        if rest.is_empty() {
            self.0.remove(&step);
        } else if let Some(entry) = self.0.get_mut(&step) {
            entry.below.cut(rest);
            if entry.is_empty() {
                self.0.remove(&step);
            }
        }
    }

    /// All fields, written as conflicts name them: `.spec.containers[name="c"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect(&mut String::new(), &mut out);
        out
    }

    fn collect(&self, prefix: &mut String, out: &mut Vec<String>) {
        // Members first, then what is below any of them: the order in which the API server lists conflicts.
        out.extend(self.0.iter().filter(|(_, entry)| entry.here).map(|(step, _)| format!("{prefix}{}", step_text(step))));
        for (step, entry) in self.0.iter().filter(|(_, entry)| !entry.below.is_empty()) {
            let length = prefix.len();
            prefix.push_str(&step_text(step));
            entry.below.collect(prefix, out);
            prefix.truncate(length);
        }
    }

    /// As `FieldsV1`.
    pub fn to_json(&self) -> Value {
        Value::Object(self.0.iter().map(|(step, entry)| (step.clone(), entry.to_json())).collect())
    }

    /// From `FieldsV1`.
    pub fn from_json(value: &Value) -> Self {
        let mut out = Self::default();
        for (step, below) in value.as_object().into_iter().flatten().filter(|(step, _)| *step != ".") {
            let object = below.as_object();
            let here = object.is_none_or(|o| o.is_empty() || o.contains_key("."));
            out.put(step.clone(), Entry { here, below: Self::from_json(below) });
        }
        out
    }
}

impl Entry {
    fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.here && !self.below.is_empty() {
            map.insert(".".into(), Value::Object(Map::new()));
        }
        if let Value::Object(below) = self.below.to_json() {
            map.extend(below);
        }
        Value::Object(map)
    }
}

/// A step as conflicts write it.
pub(super) fn step_text(step: &str) -> String {
    match step.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("v", value)) => format!("[={value}]"),
        Some(("k", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let parts: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("[{}]", parts.join(","))
        }
        _ => format!("[{step}]"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sets_survive_a_round_trip_and_name_their_fields() {
        let written = json!({"f:spec": {"f:replicas": {}, "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}}, "f:list": {"v:\"x\"": {}}});
        let set = FieldSet::from_json(&written);
        assert_eq!(
            set.to_json(),
            json!({"f:list": {"v:\"x\"": {}}, "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}, "f:replicas": {}}})
        );
        assert_eq!(
            set.paths(),
            [".list[=\"x\"]", ".spec.replicas", ".spec.containers[name=\"c\"]", ".spec.containers[name=\"c\"].image"]
        );
    }

    #[test]
    fn sets_subtract_and_intersect() {
        let a = FieldSet::from_json(&json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        let b = FieldSet::from_json(&json!({"f:a": {"f:b": {}}, "f:d": {}}));
        assert_eq!(a.minus(&b).paths(), [".a", ".c"]);
        assert_eq!(a.and(&b).paths(), [".a.b"]);
        assert_eq!(a.without(&["a"]).paths(), [".c"]);
        assert!(a.minus(&a).is_empty());
    }
}

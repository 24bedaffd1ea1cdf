//! `metadata.managedFields`: who set which fields, and when.

use chrono::Timelike as _;
use serde_json::{Value, json};

use super::fieldset::FieldSet;
use crate::sandbox::model::object::{Now, parse_time, time};

/// Somebody who writes objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// `kubectl-client-side-apply`
    pub name: String,
    /// By server-side apply, or by any other write.
    pub applies: bool,
    /// In which version.
    pub api_version: String,
    /// Through which subresource, or none.
    pub subresource: String,
}

impl Manager {
    /// Whoever applies stays the same in every version.
    fn is(&self, other: &Self) -> bool {
        self.name == other.name
            && self.applies == other.applies
            && self.subresource == other.subresource
            && (self.applies || self.api_version == other.api_version)
    }

    /// As conflicts name it.
    pub(super) fn in_words(&self) -> String {
        let mut words = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            words = format!("{words} with subresource {:?}", self.subresource);
        }
        if !self.applies {
            words = format!("{words} using {}", self.api_version);
        }
        words
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Who.
    pub manager: Manager,
    /// What.
    pub fields: FieldSet,
    /// When it last changed.
    pub time: Option<Now>,
}

/// All entries of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed(pub Vec<Owned>);

const MOST_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

impl Managed {
    /// Reads `metadata.managedFields`; `None` when there are none, or when one makes no sense.
    pub fn from_json(entries: &Value) -> Option<Self> {
        let entries = entries.as_array().filter(|e| !e.is_empty())?;
        let read = |entry: &Value| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            let applies = match entry["operation"].as_str()? {
                "Apply" => true,
                "Update" => false,
                _ => return None,
            };
            let manager =
                Manager { name: text("manager"), applies, api_version: text("apiVersion"), subresource: text("subresource") };
            Some(Owned { manager, fields: FieldSet::from_json(&entry["fieldsV1"]), time: parse_time(&entry["time"]) })
        };
        entries.iter().map(read).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Writes `metadata.managedFields`.
    pub fn to_json(&self) -> Value {
        let entry = |owned: &Owned| {
            let Owned { manager, fields, time: when } = owned;
            let mut entry = json!({
                "manager": manager.name, "operation": if manager.applies { "Apply" } else { "Update" }, "apiVersion": manager.api_version,
            });
            if let Some(when) = when {
                entry["time"] = time(*when);
            }
            entry["fieldsType"] = "FieldsV1".into();
            entry["fieldsV1"] = fields.to_json();
            if !manager.subresource.is_empty() {
                entry["subresource"] = manager.subresource.clone().into();
            }
            entry
        };
        self.0.iter().map(entry).collect()
    }

    /// The entry of a manager.
    pub(super) fn of(&self, manager: &Manager) -> Option<&Owned> {
        self.0.iter().find(|o| o.manager.is(manager))
    }

    /// Replaces the entry of a manager; an empty set removes it.
    pub(super) fn set(&mut self, manager: &Manager, fields: FieldSet, time: Option<Now>) {
        self.0.retain(|o| !o.manager.is(manager));
        if !fields.is_empty() {
            // Shown and read back as whole seconds: more would make an object differ from itself.
            let time = time.and_then(|t| t.with_nanosecond(0));
            self.0.push(Owned { manager: manager.clone(), fields, time });
        }
    }

    /// Takes fields from everybody but `keeper`.
    pub(super) fn take(&mut self, fields: &FieldSet, keeper: Option<&Manager>) {
        for owned in self.0.iter_mut().filter(|o| keeper.is_none_or(|k| !o.manager.is(k))) {
            owned.fields = owned.fields.minus(fields);
        }
        self.0.retain(|o| !o.fields.is_empty());
    }

    /// Who owns any of these fields, `manager` excepted, and which.
    pub(super) fn owners(&self, fields: &FieldSet, manager: &Manager) -> Vec<(&Manager, FieldSet)> {
        let others = self.0.iter().filter(|o| !o.manager.is(manager)).map(|o| (&o.manager, o.fields.and(fields)));
        let mut owners: Vec<_> = others.filter(|(_, set)| !set.is_empty()).collect();
        owners.sort_by_key(|(who, _)| who.in_words());
        owners
    }

    /// All fields that anybody owns.
    pub(super) fn all(&self) -> FieldSet {
        let mut all = FieldSet::default();
        self.0.iter().for_each(|o| all.add(o.fields.clone()));
        all
    }

    /// Applied entries first, then by time; the oldest updaters beyond ten are thrown together.
    pub(super) fn tidy(&mut self) {
        let updaters = |all: &[Owned]| all.iter().filter(|o| !o.manager.applies).count();
        while updaters(&self.0) > MOST_UPDATERS {
            let mut oldest: Vec<usize> = (0..self.0.len()).filter(|i| !self.0[*i].manager.applies).collect();
            oldest.sort_by_key(|i| (self.0[*i].time, self.0[*i].manager.name.clone()));
            let (first, second) = (self.0[oldest[0]].clone(), self.0[oldest[1]].clone());
            let manager = Manager { name: ANCIENT.into(), applies: false, subresource: String::new(), ..second.manager.clone() };
            let mut fields = first.fields;
            fields.add(second.fields);
            if let Some(bucket) = self.of(&manager) {
                fields.add(bucket.fields.clone());
            }
            self.0.retain(|o| !o.manager.is(&first.manager) && !o.manager.is(&second.manager));
            self.set(&manager, fields, second.time);
        }
        self.0.sort_by(|a, b| {
            let key = |o: &Owned| (!o.manager.applies, o.time.map(|t| t.timestamp()));
            key(a).cmp(&key(b)).then_with(|| {
                let rest = |o: &Owned| (o.manager.name.clone(), o.manager.api_version.clone(), o.manager.subresource.clone());
                rest(a).cmp(&rest(b))
            })
        });
    }
}

//! All objects of all kinds, as far as the garbage collector cares: who they are and whose.

use serde_json::Value;

use crate::sandbox::model::controllers::view::table::{Table, Typed};
use crate::sandbox::model::kinds::builtin;
use crate::sandbox::model::object::{self, Object, Resource, resource};
use crate::sandbox::model::write::Read;

/// An object's place among the others.
#[derive(Debug)]
pub struct Item {
    /// Where it was read from.
    pub object: Object,
    /// `metadata.uid`
    pub uid: String,
    /// A deletion is under way.
    pub deleting: bool,
    /// `metadata.finalizers`
    pub finalizers: Vec<String>,
    /// `metadata.ownerReferences`
    pub owners: Vec<OwnerRef>,
}

/// One owner reference.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnerRef {
    /// `apiVersion` without the version.
    pub group: String,
    /// `kind`
    pub kind: String,
    /// `uid`
    pub uid: String,
    /// `blockOwnerDeletion`
    pub blocking: bool,
}

impl Typed for Item {
    fn read(object: Object) -> Self {
        let metadata = &object["metadata"];
        let finalizers = metadata["finalizers"].as_array().into_iter().flatten();
        Self {
            uid: object::uid(&object).to_owned(),
            deleting: object::is_deleting(&object),
            finalizers: finalizers.filter_map(|f| f.as_str().map(str::to_owned)).collect(),
            owners: metadata["ownerReferences"].as_array().into_iter().flatten().map(OwnerRef::read).collect(),
            object,
        }
    }
    fn object(&self) -> &Object {
        &self.object
    }
    fn differs(&self, newer: &Self) -> bool {
        let place = |i: &Self| (i.uid.clone(), i.deleting);
        place(self) != place(newer) || self.finalizers != newer.finalizers || self.owners != newer.owners
    }
}

impl OwnerRef {
    fn read(owner: &Value) -> Self {
        let text = |field: &str| owner[field].as_str().unwrap_or_default();
        Self {
            group: text("apiVersion").split_once('/').map_or("", |(group, _)| group).to_owned(),
            kind: text("kind").to_owned(),
            uid: text("uid").to_owned(),
            blocking: owner["blockOwnerDeletion"] == true,
        }
    }
}

/// The tables of all resources; events are left out, nobody owns them and there are many.
#[derive(Debug)]
pub struct Everything {
    definitions: Table<Definition>,
    /// The built-in kinds, then those of definitions.
    tables: Vec<Served>,
    built_in: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Served {
    resource: Resource,
    group: String,
    kind: String,
    items: Table<Item>,
}

impl Served {
    fn new(resource: Resource, group: &str, kind: &str) -> Self {
        Self { items: Table::new(resource.clone()), resource, group: group.to_owned(), kind: kind.to_owned() }
    }
}

impl Default for Everything {
    fn default() -> Self {
        let tables: Vec<Served> = builtin::stored()
            .filter(|(_, _, resource)| *resource != resource::EVENTS)
            .map(|(group, kind, resource)| Served::new(resource, group, kind))
            .collect();
        let built_in = tables.len();
        Self { definitions: Table::new(resource::CUSTOM_RESOURCE_DEFINITIONS), tables, built_in, dropped: 0 }
    }
}

impl Everything {
    /// Catches up with the store, whose version is given.
    pub fn update(&mut self, store: &dyn Read, version: u64) {
        if self.definitions.update(store, version) {
            let custom: Vec<&Definition> = self.definitions.all().iter().collect();
            let mut dropped = 0;
            let mut at = 0;
            self.tables.retain(|table| {
                at += 1;
                let keep = at <= self.built_in || custom.iter().any(|d| d.resource == table.resource);
                dropped += if keep { 0 } else { table.items.serial() + 1 };
                keep
            });
            // Keeps the serial from going back.
            self.dropped += dropped;
            for definition in custom {
                if !self.tables.iter().any(|t| t.resource == definition.resource) {
                    self.tables.push(Served::new(definition.resource.clone(), &definition.group, &definition.kind));
                }
            }
        }
        for table in &mut self.tables {
            table.items.update(store, version);
        }
    }

    /// A number that grows whenever something relevant changes.
    pub fn serial(&self) -> u64 {
        self.dropped + self.tables.iter().map(|t| t.items.serial()).sum::<u64>()
    }

    /// All objects.
    pub fn iter(&self) -> impl Iterator<Item = (&Resource, &Item)> {
        self.tables.iter().flat_map(|t| t.items.all().iter().map(|i| (&t.resource, i)))
    }

    /// The objects of one namespace.
    pub fn within(&self, namespace: &str) -> impl Iterator<Item = (&Resource, &Item)> {
        self.tables.iter().flat_map(move |t| t.items.within(namespace).iter().map(|i| (&t.resource, i)))
    }

    /// Could an object of this kind be seen here at all?
    pub fn serves(&self, group: &str, kind: &str) -> bool {
        self.tables.iter().any(|t| t.kind == kind && t.group == group)
    }
}

/// What a CustomResourceDefinition serves.
#[derive(Debug)]
struct Definition {
    object: Object,
    resource: Resource,
    group: String,
    kind: String,
}

impl Typed for Definition {
    fn read(object: Object) -> Self {
        let spec = &object["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let group = text(&spec["group"]);
        Self {
            resource: format!("{}.{group}", text(&spec["names"]["plural"])).into(),
            kind: text(&spec["names"]["kind"]),
            group,
            object,
        }
    }
    fn object(&self) -> &Object {
        &self.object
    }
}

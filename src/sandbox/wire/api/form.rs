//! Objects and lists in the form a client wants: whole, as a table, or their metadata only.

use serde_json::{Map, Value, json};

use super::media::Form;
use crate::sandbox::model::kinds::Kind;
use crate::sandbox::model::object::Now;
use crate::sandbox::model::store::write::shown;
use crate::sandbox::model::store::{Page, Stored};
use crate::sandbox::model::table;

/// How much of an object goes with its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowObject {
    None,
    Metadata,
    Whole,
}

impl RowObject {
    pub(super) fn read(text: Option<&str>) -> Self {
        match text {
            Some("None") => Self::None,
            Some("Object") => Self::Whole,
            _ => Self::Metadata,
        }
    }
}

/// A kind, the form it is wanted in, and the time its ages are told by.
#[derive(Clone, Copy)]
pub(super) struct Showing<'a> {
    pub(super) kind: &'a Kind,
    pub(super) form: Form,
    pub(super) rows: RowObject,
    pub(super) now: Now,
}

fn metadata_of(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

impl Showing<'_> {
    /// One stored object.
    pub(super) fn one(&self, stored: &Stored) -> Value {
        match self.form {
            Form::Whole => shown(self.kind, stored),
            Form::Metadata => metadata_of(&shown(self.kind, stored)),
            Form::Table => self.table(
                std::slice::from_ref(stored),
                &json!({"resourceVersion": stored.object["metadata"]["resourceVersion"]}),
                true,
            ),
        }
    }

    /// An object that is shown already, after a write.
    pub(super) fn done(&self, object: Value) -> Value {
        match self.form {
            Form::Whole => object,
            _ if object["kind"] == "Status" => object,
            Form::Metadata => metadata_of(&object),
            Form::Table => {
                let stored = Stored { object: object.into(), managed: std::sync::Arc::default() };
                self.one(&stored)
            }
        }
    }

    /// A page of a list.
    pub(super) fn list(&self, page: &Page) -> Value {
        let mut metadata = json!({"resourceVersion": page.version.to_string()});
        if let Some(token) = &page.resume {
            metadata["continue"] = token.clone().into();
        }
        if let Some(left) = page.remaining {
            metadata["remainingItemCount"] = left.into();
        }
        let of = |kind: &str, version: &str, items: Vec<Value>| json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items});
        match self.form {
            Form::Table => self.table(&page.items, &metadata, true),
            Form::Metadata => {
                let items = page.items.iter().map(|s| metadata_of(&shown(self.kind, s))).collect();
                of("PartialObjectMetadataList", "meta.k8s.io/v1", items)
            }
            Form::Whole => {
                let items = page.items.iter().map(|s| self.item(s)).collect();
                of(&format!("{}List", self.kind.kind), &self.kind.api_version(), items)
            }
        }
    }

    /// An item of a list: those of built-in kinds do not repeat what the list says.
    fn item(&self, stored: &Stored) -> Value {
        let object = shown(self.kind, stored);
        match object {
            Value::Object(map) if self.kind.custom.is_none() => {
                Value::Object(map.into_iter().filter(|(key, _)| key != "kind" && key != "apiVersion").collect::<Map<_, _>>())
            }
            other => other,
        }
    }

    /// A table. Only the first one of a watch defines the columns.
    pub(super) fn table(&self, items: &[Stored], metadata: &Value, columns: bool) -> Value {
        let rows: Vec<Value> = items
            .iter()
            .map(|stored| {
                let mut row = json!({"cells": table::cells(self.kind, &stored.object, self.now)});
                if let Some(conditions) = table::conditions(self.kind, &stored.object) {
                    row["conditions"] = conditions;
                }
                match self.rows {
                    RowObject::None => {}
                    RowObject::Metadata => row["object"] = metadata_of(&shown(self.kind, stored)),
                    RowObject::Whole => row["object"] = shown(self.kind, stored),
                }
                row
            })
            .collect();
        let definitions = if columns { table::columns(self.kind) } else { Value::Null };
        json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions, "rows": rows})
    }

    /// What a watcher is sent to say that nothing before this version is missing.
    pub(super) fn bookmark(&self, version: u64, initial: bool) -> Value {
        let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.form {
            Form::Table => {
                let object = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
                let rows = if initial { json!([{"cells": [], "object": object}]) } else { json!([]) };
                json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": version.to_string()}, "columnDefinitions": null, "rows": rows})
            }
            Form::Metadata => json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}),
            Form::Whole => json!({"kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata}),
        }
    }
}

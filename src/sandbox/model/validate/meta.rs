//! Metadata, which all kinds share.

use serde_json::Value;

use super::{list, text};
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::kinds::{Kind, Names};
use crate::sandbox::model::names;

const ANNOTATIONS: usize = 256 * 1024;

/// Metadata of a new object or of one that replaces `old`.
pub fn metadata(kind: &Kind, new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let meta = &new["metadata"];
    let at = Path::Root.field("metadata");
    let judge = |text: &str| match kind.traits.names {
        Names::Subdomain => names::subdomain(text),
        Names::Label => names::label(text),
        Names::Service => names::service(text),
        Names::PathSegment => names::path_segment(text),
    };
    let prefix = text(meta, "generateName");
    if !prefix.is_empty() {
        // A name is going to follow, so a trailing dash or dot does no harm.
        causes.all_invalid(&at.field("generateName"), &meta["generateName"], judge(&format!("{}a", prefix.trim_end_matches('-'))));
    }
    match text(meta, "name") {
        "" => causes.required(&at.field("name"), "name or generateName is required"),
        name => causes.all_invalid(&at.field("name"), &meta["name"], judge(name)),
    }
    super::labels(&meta["labels"], &at.field("labels"), causes);
    annotations(&meta["annotations"], &at.field("annotations"), causes);
    owners(&meta["ownerReferences"], &at.field("ownerReferences"), causes);
    finalizers(meta, old, kind.custom.is_none(), &at.field("finalizers"), causes);
    if let Some(old) = old {
        for key in ["name", "namespace", "uid"] {
            super::immutable(meta, Some(&old["metadata"]), key, &at, causes);
        }
    }
}

fn annotations(annotations: &Value, at: &Path<'_>, causes: &mut Causes) {
    let mut size = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        causes.all_invalid(at, &key.as_str().into(), names::qualified(&key.to_lowercase()));
    }
    if size > ANNOTATIONS {
        causes.too_long(at, ANNOTATIONS);
    }
}

fn owners(owners: &Value, at: &Path<'_>, causes: &mut Causes) {
    let mut controller: Option<String> = None;
    for owner in owners.as_array().into_iter().flatten() {
        for (key, wrong) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(owner, key).is_empty() {
                causes.invalid(&at.field(key), "", wrong);
            }
        }
        if owner["controller"] == true {
            let this = format!("{}/{}", text(owner, "kind"), text(owner, "name"));
            if let Some(first) = &controller {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                );
                causes.invalid(at, owners.clone(), &detail);
            } else {
                controller = Some(this);
            }
        }
    }
}

fn finalizers(meta: &Value, old: Option<&Value>, builtin: bool, at: &Path<'_>, causes: &mut Causes) {
    let all = list(meta, "finalizers");
    for (i, finalizer) in all.iter().enumerate() {
        let name = finalizer.as_str().unwrap_or_default();
        causes.all_invalid(at, finalizer, names::qualified(name));
        if builtin && !name.contains('/') && !["kubernetes", "orphan", "foregroundDeletion"].contains(&name) {
            causes.invalid(&at.index(i), name, "name is neither a standard finalizer name nor is it fully qualified");
        }
    }
    if all.iter().any(|f| f == "orphan") && all.iter().any(|f| f == "foregroundDeletion") {
        causes.invalid(at, meta["finalizers"].clone(), "finalizer orphan and foregroundDeletion cannot be both set");
    }
    let Some(old) = old.map(|o| &o["metadata"]).filter(|o| o["deletionTimestamp"].is_string()) else { return };
    let mut added: Vec<String> =
        all.iter().filter(|f| !list(old, "finalizers").contains(f)).filter_map(|f| f.as_str().map(|s| format!("{s:?}"))).collect();
    added.sort();
    if !added.is_empty() {
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.join(", ")
        );
        causes.forbidden(at, &detail);
    }
}

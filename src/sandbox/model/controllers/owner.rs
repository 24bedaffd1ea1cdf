//! Who owns what: references to a controller, adoption of orphans and release of what no longer matches.

use serde_json::{Value, json};

use super::view::meta::{Meta, if_version};
use crate::sandbox::model::object::{Key, Object, Resource};
use crate::sandbox::model::selector::LabelSelector;
use crate::sandbox::model::write::Write;

/// The reference that makes `owner` the controller of an object.
pub fn reference(api_version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true})
}

/// What an owner does about one object it might control.
#[derive(Debug, PartialEq)]
pub enum Claim {
    /// It is the owner's already.
    Mine,
    /// It is not, and nothing is to be done.
    NotMine,
    /// It becomes the owner's by this.
    Adopted(Write),
    /// It ceases to be the owner's by this.
    Released(Write),
}

/// Decides about an object that is owned by nobody or by `owner` itself.
pub fn claim(
    owner: &Meta,
    reference: &impl Fn() -> Value,
    selector: &LabelSelector,
    resource: Resource,
    object: &Object,
    meta: &Meta,
) -> Claim {
    let matches = selector.matches(&object["metadata"]["labels"]);
    match (&meta.owner, matches) {
        (Some(_), true) => Claim::Mine,
        (Some(_), false) if !owner.deleting => Claim::Released(set_owners(resource, object, without(object, &owner.uid))),
        (None, true) if !owner.deleting && !meta.deleting => {
            let mut owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            owners.push(reference());
            Claim::Adopted(set_owners(resource, object, owners))
        }
        (Some(_) | None, _) => Claim::NotMine,
    }
}

/// The owner references of an object but the one to `uid`.
pub fn without(object: &Object, uid: &str) -> Vec<Value> {
    let owners = object["metadata"]["ownerReferences"].as_array().map_or(&[][..], Vec::as_slice);
    owners.iter().filter(|o| o["uid"] != uid).cloned().collect()
}

/// The patch that leaves an object with these owner references.
pub fn set_owners(resource: Resource, object: &Object, owners: Vec<Value>) -> Write {
    let owners = if owners.is_empty() { Value::Null } else { Value::Array(owners) };
    Write::Patch {
        key: Key::of(resource, object),
        if_version: if_version(object),
        patch: json!({"metadata": {"ownerReferences": owners}}),
    }
}

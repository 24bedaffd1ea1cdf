//! The metadata that controllers ask for again and again.

use serde_json::Value;

use crate::sandbox::model::object::{self, Now, Object, parse_time};

/// What every typed reading has.
#[derive(Debug)]
pub struct Meta {
    /// `metadata.uid`
    pub uid: String,
    /// A number that differs between any two versions of any objects.
    pub version: u64,
    /// `metadata.generation`
    pub generation: i64,
    /// `metadata.creationTimestamp`
    pub created: Option<Now>,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The controlling owner.
    pub owner: Option<Owner>,
}

/// The owner that controls an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// `kind`
    pub kind: String,
    /// `name`
    pub name: String,
    /// `uid`
    pub uid: String,
}

impl Meta {
    /// Reads it from an object.
    pub fn read(object: &Value) -> Self {
        let owner =
            object::controller(object).map(|(kind, name, uid)| Owner { kind: kind.into(), name: name.into(), uid: uid.into() });
        Self {
            uid: object::uid(object).to_owned(),
            version: version(object),
            generation: object::generation(object),
            created: parse_time(&object["metadata"]["creationTimestamp"]),
            deleting: object::is_deleting(object),
            owner,
        }
    }
}

/// `metadata.resourceVersion` as a number.
pub fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// The precondition that makes a patch fail when the object has changed since.
pub fn if_version(object: &Object) -> Option<String> {
    object["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}

/// A count as the API writes it.
pub fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

//! What a request asks of the store, and what it gets.

use std::sync::Arc;

use serde_json::Value;

use crate::sandbox::model::apply::managed::Manager;
use crate::sandbox::model::kinds::Kind;
use crate::sandbox::model::object::Key;

/// Which object, through which door.
#[derive(Clone, Debug)]
pub struct Target {
    /// The kind, in the version asked for.
    pub kind: Arc<Kind>,
    /// The namespace, empty for cluster-scoped kinds.
    pub namespace: String,
    /// The name, empty for a collection.
    pub name: String,
    /// The subresource.
    pub sub: Sub,
}

impl Target {
    /// The object as it is stored.
    pub fn key(&self) -> Key {
        Key::new(self.kind.resource.clone(), self.namespace.clone(), self.name.clone())
    }
}

/// The object itself or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sub {
    /// The object, without its status.
    Main,
    /// Its status only.
    Status,
    /// A namespace's `spec.finalizers` only.
    Finalize,
}

impl Sub {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Finalize => "finalize",
        }
    }
}

/// A body with what its reading already found.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// The object or patch.
    pub value: Value,
    /// Paths of fields that occurred twice; the last one counts.
    pub duplicates: Vec<String>,
}

impl From<Value> for Body {
    fn from(value: Value) -> Self {
        Self { value, duplicates: Vec::new() }
    }
}

/// What to do about fields that are unknown or occur twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Nothing.
    Ignore,
    /// Warn.
    #[default]
    Warn,
    /// Refuse.
    Strict,
}

/// How to write.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Say what would happen, and change nothing.
    pub dry_run: bool,
    /// Who writes.
    pub manager: String,
    /// What to do about unknown fields.
    pub fields: FieldValidation,
    /// A server-side apply takes fields from other managers.
    pub force: bool,
}

impl Options {
    pub(super) fn writer(&self, target: &Target, applies: bool) -> Manager {
        Manager {
            name: self.manager.clone(),
            applies,
            api_version: target.kind.api_version(),
            subresource: target.sub.name().into(),
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug)]
pub struct Done {
    /// The object after it, in the version asked for, or a `Status`.
    pub object: Value,
    /// Was it new?
    pub created: bool,
    /// Is it gone?
    pub deleted: bool,
    /// Warnings for the client.
    pub warnings: Vec<String>,
}

/// What becomes of the objects that a deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They lose their owner.
    Orphan,
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
}

/// How to delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Say what would happen, and change nothing.
    pub dry_run: bool,
    /// Seconds, for pods.
    pub grace: Option<i64>,
    /// What becomes of dependents; none leaves it to the finalizers that are there.
    pub propagation: Option<Propagation>,
    /// Precondition.
    pub uid: Option<String>,
    /// Precondition.
    pub version: Option<String>,
}

//! The kinds the API serves: a fixed table of built-in ones, and those that CustomResourceDefinitions add.

pub mod builtin;
pub mod custom;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::error::About;
use super::field::Causes;
use super::object::Resource;
use super::schema::rules::Rules;
use super::schema::{Type, TypeId, TypeSet};

/// One kind in one version of its group.
#[derive(Debug)]
pub struct Kind {
    /// API group, empty for the core group.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// CamelCase name.
    pub kind: String,
    /// Lower-case plural, as in paths.
    pub plural: String,
    /// Lower-case singular.
    pub singular: String,
    /// What people type.
    pub short_names: Vec<String>,
    /// Groups of kinds, such as `all`.
    pub categories: Vec<String>,
    /// Does it live in a namespace?
    pub namespaced: bool,
    /// Under which name its objects are stored.
    pub resource: Resource,
    /// Has it a `status` subresource?
    pub status: bool,
    /// Has it a `scale` subresource, and where are its numbers?
    pub scale: Option<ScalePaths>,
    /// How it behaves.
    pub traits: Traits,
    /// In which form it is shown.
    pub view: View,
    /// What a custom resource adds.
    pub custom: Option<Custom>,
    types: Arc<TypeSet>,
    root: TypeId,
}

/// JSON paths of the `scale` subresource, without the leading dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// Wanted replicas.
    pub spec: String,
    /// Existing replicas.
    pub status: String,
    /// The label selector, as text or as an object.
    pub selector: Option<String>,
}

/// What a custom resource's definition says beyond names.
#[derive(Debug)]
pub struct Custom {
    /// What its values must be.
    pub rules: Rules,
    /// Its printer columns, as given.
    pub columns: Vec<Value>,
    /// The schema as given, for OpenAPI.
    pub schema: Value,
}

/// How the objects of a kind behave.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// `metadata.generation` counts changes of what is wanted.
    pub generation: bool,
    /// An update without a resourceVersion overwrites.
    pub unconditional: bool,
    /// A PUT of a missing object creates it.
    pub creates_on_update: bool,
    /// A deletion answers with the object.
    pub returns_deleted: bool,
    /// What its names may look like.
    pub names: Names,
    /// Adds what the API adds to an object that lacks it.
    pub defaults: fn(&mut Value),
    /// Looks for what is wrong with a new object, or with one that replaces `old`.
    pub validate: fn(new: &Value, old: Option<&Value>, causes: &mut Causes),
}

/// What names may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// RFC 1123 subdomain.
    Subdomain,
    /// RFC 1123 label.
    Label,
    /// RFC 1035 label.
    Service,
    /// Anything that can stand between two slashes.
    PathSegment,
}

/// In which form the stored objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As they are stored.
    Stored,
    /// Another version of a custom resource: only `apiVersion` differs.
    Version,
    /// `events.k8s.io/v1` of core events.
    Events,
    /// `autoscaling/v1` of `autoscaling/v2`.
    AutoscalingV1,
}

impl Kind {
    /// The type of its objects.
    pub fn schema(&self) -> Type<'_> {
        self.types.at(self.root)
    }

    /// `group/version`, or the version alone.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// For messages that speak of the resource: `deployments.apps`.
    pub fn about(&self) -> About<'_> {
        About { group: &self.group, kind: &self.plural }
    }

    /// For messages that speak of the kind: `Deployment.apps`.
    pub fn about_kind(&self) -> About<'_> {
        About { group: &self.group, kind: &self.kind }
    }
}

/// Finds kinds by their names.
#[derive(Debug)]
pub struct Registry {
    /// By group, version and plural.
    kinds: BTreeMap<(String, String, String), Arc<Kind>>,
    /// The kind in which the objects of a resource are stored.
    stored: BTreeMap<Resource, Arc<Kind>>,
}

impl Registry {
    /// The built-in kinds.
    pub fn builtin() -> Self {
        let mut registry = Self { kinds: BTreeMap::new(), stored: BTreeMap::new() };
        for kind in builtin::kinds() {
            registry.add(Arc::new(kind));
        }
        registry
    }

    /// Adds a kind; one that shows its objects as they are stored becomes the stored form (or the first, if there is none such).
    pub fn add(&mut self, kind: Arc<Kind>) {
        if kind.view == View::Stored {
            self.stored.insert(kind.resource.clone(), kind.clone());
        } else {
            self.stored.entry(kind.resource.clone()).or_insert_with(|| kind.clone());
        }
        self.kinds.insert((kind.group.clone(), kind.version.clone(), kind.plural.clone()), kind);
    }

    /// Removes all versions of a custom resource.
    pub fn remove(&mut self, resource: &Resource) {
        self.kinds.retain(|_, kind| kind.resource != *resource);
        self.stored.remove(resource);
    }

    /// A kind by what stands in a path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.kinds.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// A kind by what stands in an object.
    pub fn of_object(&self, api_version: &str, kind: &str) -> Option<&Arc<Kind>> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.kinds.values().find(|k| k.kind == kind && k.version == version && k.group == group)
    }

    /// The form in which a resource is stored.
    pub fn stored(&self, resource: &Resource) -> Option<&Arc<Kind>> {
        self.stored.get(resource)
    }

    /// All kinds, by group, version and plural.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.kinds.values()
    }
}

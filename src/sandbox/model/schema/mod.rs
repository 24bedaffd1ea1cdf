//! What the API knows of its types: one table for decoding, strategic merge, server-side apply, `kubectl explain` and custom resources.
//!
//! `kubernetes.json` holds the published OpenAPI v3 schemas of Kubernetes 1.34 for the served kinds (Apache-2.0), written by
//! `generate/main.go`. Types refer to one another by number, for some are recursive.

pub mod compile;
pub mod decode;
pub mod openapi;
pub mod proto;
pub mod rules;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

/// The published schemas, as text.
pub const KUBERNETES: &str = include_str!("kubernetes.json");

static BUILTIN: LazyLock<Arc<TypeSet>> = LazyLock::new(|| Arc::new(compile::builtin()));

/// The types of the built-in kinds.
pub fn builtin() -> Arc<TypeSet> {
    BUILTIN.clone()
}

/// A number of a type in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeId(u32);

/// Types that refer to one another.
#[derive(Debug, Default)]
pub struct TypeSet {
    nodes: Vec<Node>,
    names: BTreeMap<String, TypeId>,
}

impl TypeSet {
    /// A type by its published name.
    pub fn named(&self, name: &str) -> Option<Type<'_>> {
        self.names.get(name).map(|id| self.at(*id))
    }

    /// The number of a type by its published name.
    pub fn id(&self, name: &str) -> Option<TypeId> {
        self.names.get(name).copied()
    }

    /// A type by its number.
    pub fn at(&self, id: TypeId) -> Type<'_> {
        Type { set: self, id }
    }
}

#[derive(Debug)]
struct Node {
    shape: Shape,
    /// How the API server's messages call the type: `v1.PodSpec`.
    name: String,
}

/// The form of a type's values.
#[derive(Debug)]
pub enum Shape {
    /// Named fields.
    Struct(Struct),
    /// Any keys, one type of value.
    Map {
        /// The type of the values.
        values: TypeId,
        /// Replaced as a whole.
        atomic: bool,
    },
    /// A list.
    List(List),
    /// A leaf.
    Scalar(Scalar),
    /// Anything. `granular`: an apply tracks the fields of its objects one by one.
    Any {
        /// Tracked field by field.
        granular: bool,
    },
}

/// Named fields.
#[derive(Debug, Default)]
pub struct Struct {
    /// In the order they are written.
    pub fields: Vec<Field>,
    index: BTreeMap<String, usize>,
    /// Replaced as a whole by an apply.
    pub atomic: bool,
    /// Fields without a schema are kept.
    pub open: bool,
    /// A whole API object (`x-kubernetes-embedded-resource`): `apiVersion`, `kind` and `metadata` are always known.
    pub embedded: bool,
}

impl Struct {
    /// A struct with its fields.
    pub fn new(fields: Vec<Field>) -> Self {
        let index = fields.iter().enumerate().map(|(i, f)| (f.name.clone(), i)).collect();
        Self { fields, index, ..Self::default() }
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.index.get(name).map(|i| &self.fields[*i])
    }
}

/// One field of a struct.
#[derive(Debug)]
pub struct Field {
    /// Its JSON name.
    pub name: String,
    /// Its type.
    pub of: TypeId,
    /// What becomes of an empty value.
    pub empty: Empty,
    /// A strategic merge drops the keys of it that the patch does not retain.
    pub retain_keys: bool,
    /// Replaced as a whole by an apply, although its type is not.
    pub atomic: bool,
    /// Custom resources: written when the field is absent. Built-in kinds: stands for an absent key of a keyed list.
    pub default: Option<Value>,
    /// Its number in the protobuf form, after those of the messages around it that JSON does not have.
    pub proto: Vec<u32>,
    /// Custom resources: null is a value, and no reason to write the default.
    pub nullable: bool,
}

/// How the encoder treats an empty or absent value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// Kept as given; an absent one stays absent.
    Keep,
    /// Dropped.
    Drop,
    /// Written even when absent.
    Write,
    /// Written as null when absent.
    Null,
}

/// A list and how two of them are merged.
#[derive(Debug)]
pub struct List {
    /// The type of the items.
    pub items: TypeId,
    /// How server-side apply sees it.
    pub kind: ListKind,
    /// A strategic merge joins two of them instead of replacing one by the other.
    pub merge: bool,
    /// The field by which a strategic merge finds an item; lists of scalars have none.
    pub merge_key: Option<String>,
}

/// How server-side apply sees a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Owned as a whole.
    Atomic,
    /// Scalars, each owned by itself.
    Set,
    /// Objects found by these keys.
    Map(Vec<String>),
}

/// A leaf type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Text.
    String,
    /// Base64 text.
    Bytes,
    /// `metav1.Time` or `MicroTime`.
    Time,
    /// 32 bits.
    Int32,
    /// 64 bits.
    Int64,
    /// A float.
    Double,
    /// True or false.
    Boolean,
    /// A number or text.
    IntOrString,
    /// `resource.Quantity`.
    Quantity,
}

/// A type in its set: what one passes around.
#[derive(Clone, Copy, Debug)]
pub struct Type<'a> {
    set: &'a TypeSet,
    id: TypeId,
}

impl<'a> Type<'a> {
    /// Its form.
    pub fn shape(self) -> &'a Shape {
        &self.node().shape
    }

    /// Its name in messages.
    pub fn name(self) -> &'a str {
        &self.node().name
    }

    /// Another type of the same set.
    pub fn at(self, id: TypeId) -> Self {
        Self { set: self.set, id }
    }

    /// The type found under a key: of a struct's field, a map's value, or anything.
    pub fn under(self, key: &str) -> Option<Self> {
        match self.shape() {
            Shape::Struct(s) => s.field(key).map(|f| self.at(f.of)),
            Shape::Map { values, .. } => Some(self.at(*values)),
            Shape::Any { .. } => Some(self),
            Shape::List(_) | Shape::Scalar(_) => None,
        }
    }

    /// The type found by following keys.
    pub fn path(self, keys: &[&str]) -> Option<Self> {
        keys.iter().try_fold(self, |t, key| t.under(key))
    }

    fn node(self) -> &'a Node {
        &self.set.nodes[self.id.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_fields_lists_and_what_the_encoder_drops() {
        let set = builtin();
        let deployment = set.named("io.k8s.api.apps.v1.Deployment").unwrap();
        let Shape::Struct(spec) = deployment.path(&["spec"]).unwrap().shape() else { panic!("spec is no struct") };
        assert_eq!(spec.field("replicas").unwrap().empty, Empty::Keep);
        assert_eq!(spec.field("paused").unwrap().empty, Empty::Drop);
        assert!(spec.field("strategy").unwrap().retain_keys);
        let pod = deployment.path(&["spec", "template", "spec"]).unwrap();
        assert_eq!(pod.name(), "v1.PodSpec");
        let Shape::List(containers) = pod.under("containers").unwrap().shape() else { panic!("no list") };
        assert_eq!((containers.kind.clone(), containers.merge_key.as_deref()), (ListKind::Map(vec!["name".into()]), Some("name")));
        let container = deployment.at(containers.items);
        let Shape::List(ports) = container.under("ports").unwrap().shape() else { panic!("no list") };
        assert_eq!(ports.kind, ListKind::Map(vec!["containerPort".into(), "protocol".into()]));
        assert!(matches!(container.path(&["resources", "limits", "cpu"]).unwrap().shape(), Shape::Scalar(Scalar::Quantity)));
    }
}

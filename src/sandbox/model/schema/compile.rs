//! From OpenAPI schemas to types.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::{Empty, Field, KUBERNETES, List, ListKind, Node, Scalar, Shape, Struct, TypeId, TypeSet};

const REF: &str = "#/components/schemas/";

/// Compiles the published schemas. They are part of the program, so nothing in them can be wrong at run time; a test reads them all.
pub fn builtin() -> TypeSet {
    let schemas: Map<String, Value> = serde_json::from_str(KUBERNETES).unwrap_or_default();
    let mut compiler = Compiler::default();
    for name in schemas.keys() {
        compiler.reserve(name);
    }
    for (name, schema) in &schemas {
        let node = compiler.published(name, schema);
        compiler.fill(name, node);
    }
    compiler.set
}

/// The published schemas of metadata, which custom resources have too.
static METADATA: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let mut schemas: Map<String, Value> = serde_json::from_str(KUBERNETES).unwrap_or_default();
    let names = ["ObjectMeta", "OwnerReference", "ManagedFieldsEntry", "FieldsV1", "Time"];
    names
        .map(|n| format!("io.k8s.apimachinery.pkg.apis.meta.v1.{n}"))
        .into_iter()
        .filter_map(|n| schemas.remove_entry(&n))
        .collect()
});

/// Compiles the structural schema of a custom resource; its `metadata` is the built-in one.
pub fn custom(schema: &Value, kind: &str) -> (TypeSet, TypeId) {
    let mut compiler = Compiler::default();
    for (name, _) in METADATA.iter() {
        compiler.reserve(name);
    }
    for (name, schema) in METADATA.iter() {
        let node = compiler.published(name, schema);
        compiler.fill(name, node);
    }
    compiler.meta = METADATA.first().and_then(|(name, _)| compiler.set.id(name));
    let mut node = compiler.structural(schema);
    kind.clone_into(&mut node.name);
    if let Shape::Any { .. } = node.shape {
        node.shape = Shape::Struct(Struct { open: true, ..Struct::default() });
    }
    if let Shape::Struct(s) = &mut node.shape {
        compiler.add_object_fields(s);
    }
    let root = compiler.add(node);
    (compiler.set, root)
}

#[derive(Default)]
struct Compiler {
    set: TypeSet,
    meta: Option<TypeId>,
}

impl Compiler {
    fn add(&mut self, node: Node) -> TypeId {
        self.set.nodes.push(node);
        TypeId(u32::try_from(self.set.nodes.len() - 1).unwrap_or(u32::MAX))
    }

    fn reserve(&mut self, name: &str) {
        let id = self.add(Node { shape: Shape::Any { granular: false }, name: String::new() });
        self.set.names.insert(name.to_owned(), id);
    }

    fn fill(&mut self, name: &str, node: Node) {
        if let Some(id) = self.set.id(name) {
            self.set.nodes[id.0 as usize] = node;
        }
    }

    /// A named type of the published schemas.
    fn published(&mut self, name: &str, schema: &Value) -> Node {
        let short = name.rsplit('.').next().unwrap_or(name);
        let shape = match short {
            "Quantity" => Shape::Scalar(Scalar::Quantity),
            "IntOrString" => Shape::Scalar(Scalar::IntOrString),
            "Time" | "MicroTime" => Shape::Scalar(Scalar::Time),
            "RawExtension" | "FieldsV1" | "JSON" => Shape::Any { granular: false },
            _ if short.starts_with("JSONSchemaPropsOr") => Shape::Any { granular: false },
            _ => self.shape(schema),
        };
        let mut parts = name.rsplit('.');
        let name = match (parts.next(), parts.next()) {
            (Some(kind), Some(version)) => format!("{version}.{kind}"),
            _ => name.to_owned(),
        };
        Node { shape, name }
    }

    /// The type of a property or of items.
    fn part(&mut self, schema: &Value) -> TypeId {
        let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
        if let Some(id) = reference.and_then(|r| self.set.id(r.strip_prefix(REF).unwrap_or(r))) {
            return id;
        }
        let shape = self.shape(schema);
        let name = self.name_of(&shape);
        self.add(Node { shape, name })
    }

    fn name_of(&self, shape: &Shape) -> String {
        let name = |id: &TypeId| self.set.nodes[id.0 as usize].name.clone();
        match shape {
            Shape::Scalar(Scalar::Bytes) => "[]uint8".into(),
            Shape::Scalar(Scalar::Int32) => "int32".into(),
            Shape::Scalar(Scalar::Int64) => "int64".into(),
            Shape::Scalar(Scalar::Double) => "float64".into(),
            Shape::Scalar(Scalar::Boolean) => "bool".into(),
            Shape::Scalar(_) => "string".into(),
            Shape::Map { values, .. } => format!("map[string]{}", name(values)),
            Shape::List(list) => format!("[]{}", name(&list.items)),
            Shape::Struct(_) | Shape::Any { .. } => "object".into(),
        }
    }

    fn shape(&mut self, schema: &Value) -> Shape {
        match schema["type"].as_str() {
            Some("string") => Shape::Scalar(match schema["format"].as_str() {
                Some("byte") => Scalar::Bytes,
                Some("date-time") => Scalar::Time,
                _ => Scalar::String,
            }),
            Some("integer") => Shape::Scalar(if schema["format"] == "int32" { Scalar::Int32 } else { Scalar::Int64 }),
            Some("number") => Shape::Scalar(Scalar::Double),
            Some("boolean") => Shape::Scalar(Scalar::Boolean),
            Some("array") => self.list(schema),
            Some("object") if schema["properties"].is_object() => self.fields(schema),
            Some("object") if !schema["additionalProperties"].is_null() => {
                Shape::Map { values: self.part(&schema["additionalProperties"]), atomic: is_atomic(schema) }
            }
            Some("object") => Shape::Struct(Struct::default()),
            _ => Shape::Any { granular: false },
        }
    }

    fn list(&mut self, schema: &Value) -> Shape {
        let strategy = schema["x-kubernetes-patch-strategy"].as_str().unwrap_or_default();
        Shape::List(List {
            items: self.part(&schema["items"]),
            kind: list_kind(schema),
            merge: strategy.split(',').any(|s| s == "merge"),
            merge_key: schema["x-kubernetes-patch-merge-key"].as_str().map(str::to_owned),
        })
    }

    fn fields(&mut self, schema: &Value) -> Shape {
        let mut fields = Vec::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            fields.push(Field {
                name: name.clone(),
                of: self.part(property),
                empty: match property["x-go"].as_str() {
                    Some("omitempty") => Empty::Drop,
                    Some("always") => Empty::Write,
                    Some("null") => Empty::Null,
                    _ => Empty::Keep,
                },
                retain_keys: property["x-kubernetes-patch-strategy"].as_str().is_some_and(|s| s.contains("retainKeys")),
                atomic: is_atomic(property),
                default: property.get("default").filter(|d| !d.is_object()).cloned(),
                proto: property["x-proto"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|n| u32::try_from(n.as_u64()?).ok())
                    .collect(),
                nullable: false,
            });
        }
        Shape::Struct(Struct { atomic: is_atomic(schema), ..Struct::new(fields) })
    }

    /// A type of a custom resource's schema; what its values must be is for [`super::rules`].
    fn structural(&mut self, schema: &Value) -> Node {
        let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
        let part = |s: &mut Self, schema: &Value| {
            let node = s.structural(schema);
            s.add(node)
        };
        let shape = if schema["x-kubernetes-int-or-string"] == true {
            Shape::Scalar(Scalar::IntOrString)
        } else {
            match schema["type"].as_str() {
                Some("object") if schema["additionalProperties"].is_object() => {
                    Shape::Map { values: part(self, &schema["additionalProperties"]), atomic: is_atomic(schema) }
                }
                Some("object") => {
                    let mut fields = Vec::new();
                    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                        let default = property.get("default").cloned();
                        let nullable = property["nullable"] == true;
                        let of = part(self, property);
                        fields.push(Field {
                            name: name.clone(),
                            of,
                            empty: Empty::Keep,
                            retain_keys: false,
                            atomic: false,
                            default,
                            proto: Vec::new(),
                            nullable,
                        });
                    }
                    let mut s = Struct { atomic: is_atomic(schema), open, ..Struct::new(fields) };
                    if schema["x-kubernetes-embedded-resource"] == true {
                        self.add_object_fields(&mut s);
                    }
                    Shape::Struct(s)
                }
                Some("array") => Shape::List(List {
                    items: part(self, &schema["items"]),
                    kind: list_kind(schema),
                    merge: false,
                    merge_key: None,
                }),
                Some("string") => Shape::Scalar(Scalar::String),
                Some("integer") => Shape::Scalar(Scalar::Int64),
                Some("number") => Shape::Scalar(Scalar::Double),
                Some("boolean") => Shape::Scalar(Scalar::Boolean),
                _ => Shape::Any { granular: true },
            }
        };
        let name = self.name_of(&shape);
        Node { shape, name }
    }

    /// `apiVersion`, `kind` and `metadata`, which every object has whatever its schema says.
    fn add_object_fields(&mut self, object: &mut Struct) {
        let text = self.add(Node { shape: Shape::Scalar(Scalar::String), name: "string".into() });
        let Some(meta) = self.meta else { return };
        let own = ["apiVersion", "kind", "metadata"];
        let mut fields: Vec<Field> = [text, text, meta]
            .into_iter()
            .zip(own)
            .map(|(of, name)| Field {
                name: name.into(),
                of,
                empty: Empty::Keep,
                retain_keys: false,
                atomic: false,
                default: None,
                proto: Vec::new(),
                nullable: false,
            })
            .collect();
        fields.extend(std::mem::take(&mut object.fields).into_iter().filter(|f| !own.contains(&f.name.as_str())));
        *object = Struct { atomic: object.atomic, open: object.open, embedded: true, ..Struct::new(fields) };
    }
}

fn is_atomic(schema: &Value) -> bool {
    schema["x-kubernetes-map-type"] == "atomic"
}

pub(super) fn list_kind(schema: &Value) -> ListKind {
    let keys = || {
        schema["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|k| k.as_str().map(str::to_owned))
            .collect()
    };
    match schema["x-kubernetes-list-type"].as_str() {
        Some("map") => ListKind::Map(keys()),
        Some("set") => ListKind::Set,
        _ => ListKind::Atomic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_schema_is_read_and_every_reference_resolves() {
        let schemas: Map<String, Value> = serde_json::from_str(KUBERNETES).unwrap();
        let set = builtin();
        assert_eq!(set.names.len(), schemas.len());
        for reference in KUBERNETES.split(REF).skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(set.id(reference).is_some(), "{reference} is referred to and missing");
        }
    }
}

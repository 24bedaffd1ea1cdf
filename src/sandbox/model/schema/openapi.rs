//! The OpenAPI v3 documents that `kubectl explain`, `kubectl apply` and client-side validation read.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

use super::KUBERNETES;
use crate::sandbox::model::kinds::{Kind, Registry, builtin};

const REF: &str = "#/components/schemas/";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `/openapi/v3`: where the document of each group and version is. The hash changes with its content, so clients may keep it.
pub fn index(registry: &Registry) -> Value {
    let mut seen = BTreeSet::new();
    let mut paths = Map::new();
    for kind in registry.all() {
        let path = path_of(&kind.group, &kind.version);
        if seen.insert(path.clone()) {
            let hash = hash(registry, &kind.group, &kind.version);
            paths.insert(path.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}));
        }
    }
    json!({"paths": paths})
}

/// Of what the document of a group and version is made.
pub fn hash(registry: &Registry, group: &str, version: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (env!("CARGO_PKG_VERSION"), KUBERNETES.len(), group, version).hash(&mut hasher);
    for kind in registry.all().filter(|k| k.group == group && k.version == version) {
        (&kind.kind, &kind.plural).hash(&mut hasher);
        if let Some(custom) = &kind.custom {
            custom.schema.to_string().hash(&mut hasher);
        }
    }
    format!("{:016X}", hasher.finish())
}

/// The document of a group and version; nothing when that is not served.
pub fn document(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let published: Map<String, Value> = serde_json::from_str(KUBERNETES).ok()?;
    let mut wanted = Wanted { published: &published, schemas: Map::new() };
    let mut paths = Map::new();
    for kind in registry.all().filter(|k| k.group == group && k.version == version) {
        let name = if kind.custom.is_some() { custom_name(kind) } else { builtin::type_name(group, version, &kind.kind) };
        match &kind.custom {
            Some(custom) => wanted.custom(kind, &name, &custom.schema),
            None => wanted.take(&name),
        }
        wanted.list(kind, &name);
        add_paths(kind, &name, &mut paths);
        if kind.scale.is_some() {
            wanted.take("io.k8s.api.autoscaling.v1.Scale");
        }
    }
    for name in ["DeleteOptions", "Status"] {
        wanted.take(&format!("{META}.{name}"));
    }
    wanted.schemas.insert(format!("{META}.Patch"), json!({"description": "A patch.", "type": "object"}));
    (!paths.is_empty()).then(|| {
        json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.34.4"}, "paths": paths, "components": {"schemas": wanted.schemas}})
    })
}

struct Wanted<'a> {
    published: &'a Map<String, Value>,
    schemas: Map<String, Value>,
}

impl Wanted<'_> {
    /// Adds a published schema and all that it refers to.
    fn take(&mut self, name: &str) {
        if self.schemas.contains_key(name) {
            return;
        }
        let Some(schema) = self.published.get(name) else { return };
        let mut schema = schema.clone();
        for (_, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
            for own in ["x-go", "x-proto"] {
                property.as_object_mut().and_then(|p| p.shift_remove(own));
            }
        }
        let below = references(&schema);
        self.schemas.insert(name.to_owned(), schema);
        for name in below {
            self.take(&name);
        }
    }

    fn custom(&mut self, kind: &Kind, name: &str, schema: &Value) {
        let mut schema = schema.clone();
        if !schema["properties"].is_object() {
            schema["properties"] = json!({});
        }
        let meta = format!("{META}.ObjectMeta");
        self.take(&meta);
        schema["properties"]["apiVersion"] = json!({"type": "string", "description": "The version of the schema of this object."});
        schema["properties"]["kind"] = json!({"type": "string", "description": "The kind of this object."});
        schema["properties"]["metadata"] =
            json!({"description": "Standard object's metadata.", "allOf": [{"$ref": format!("{REF}{meta}")}]});
        schema["x-kubernetes-group-version-kind"] = json!([gvk(kind, &kind.kind)]);
        self.schemas.insert(name.to_owned(), schema);
    }

    fn list(&mut self, kind: &Kind, item: &str) {
        let meta = format!("{META}.ListMeta");
        self.take(&meta);
        let list = json!({
            "description": format!("{}List is a list of {}.", kind.kind, kind.plural), "type": "object", "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"allOf": [{"$ref": format!("{REF}{meta}")}]},
                "items": {"type": "array", "items": {"allOf": [{"$ref": format!("{REF}{item}")}]}}
            },
            "x-kubernetes-group-version-kind": [gvk(kind, &format!("{}List", kind.kind))]
        });
        self.schemas.insert(format!("{item}List"), list);
    }
}

fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| match value.as_str().and_then(|v| v.strip_prefix(REF)) {
                Some(name) if key == "$ref" => vec![name.to_owned()],
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn custom_name(kind: &Kind) -> String {
    let reversed: Vec<&str> = kind.group.split('.').rev().collect();
    format!("{}.{}.{}", reversed.join("."), kind.version, kind.kind)
}

fn gvk(kind: &Kind, name: &str) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": name})
}

fn query(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}})).collect()
}

fn operation(kind: &Kind, action: &str, takes: Option<(&[&str], &str)>, gives: &str, parameters: &[&str]) -> Value {
    let reference = |name: &str| json!({"schema": {"$ref": format!("{REF}{name}")}});
    let mut operation = json!({"tags": [kind.group], "parameters": query(parameters), "responses": {"200": {"description": "OK", "content": {"application/json": reference(gives)}}}});
    if let Some((types, schema)) = takes {
        let content: Map<String, Value> = types.iter().map(|t| ((*t).to_owned(), reference(schema))).collect();
        operation["requestBody"] = json!({"content": content, "required": true});
    }
    operation["x-kubernetes-action"] = action.into();
    operation["x-kubernetes-group-version-kind"] = gvk(kind, &kind.kind);
    operation
}

const JSON: &[&str] = &["application/json", "application/yaml"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const WRITE: [&str; 3] = ["dryRun", "fieldManager", "fieldValidation"];
const READ: [&str; 9] = [
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "watch",
];

fn add_paths(kind: &Kind, name: &str, paths: &mut Map<String, Value>) {
    let base = format!("/{}", path_of(&kind.group, &kind.version));
    let patches = if kind.custom.is_some() { &PATCHES[..2] } else { PATCHES };
    let patch = || (patches, "io.k8s.apimachinery.pkg.apis.meta.v1.Patch");
    let status = format!("{META}.Status");
    let delete = format!("{META}.DeleteOptions");
    let list = format!("{name}List");
    let parameter =
        |name: &str| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}});
    let (collection, mut shared) = if kind.namespaced {
        paths.insert(format!("{base}/{}", kind.plural), json!({"get": operation(kind, "list", None, &list, &READ)}));
        (format!("{base}/namespaces/{{namespace}}/{}", kind.plural), vec![parameter("namespace")])
    } else {
        (format!("{base}/{}", kind.plural), Vec::new())
    };
    paths.insert(
        collection.clone(),
        json!({
            "get": operation(kind, "list", None, &list, &READ), "post": operation(kind, "post", Some((JSON, name)), name, &WRITE),
            "delete": operation(kind, "deletecollection", Some((JSON, &delete)), &status, &READ), "parameters": shared
        }),
    );
    shared.insert(0, parameter("name"));
    let patch_query = ["dryRun", "fieldManager", "fieldValidation", "force"];
    let delete_query = ["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];
    let single = |of: &str| {
        json!({
            "get": operation(kind, "get", None, of, &[]), "put": operation(kind, "put", Some((JSON, of)), of, &WRITE),
            "patch": operation(kind, "patch", Some(patch()), of, &patch_query), "parameters": shared
        })
    };
    let mut one = single(name);
    one["delete"] = operation(kind, "delete", Some((JSON, &delete)), &status, &delete_query);
    paths.insert(format!("{collection}/{{name}}"), one);
    if kind.status {
        paths.insert(format!("{collection}/{{name}}/status"), single(name));
    }
    if kind.scale.is_some() {
        let mut scale = single("io.k8s.api.autoscaling.v1.Scale");
        for verb in ["get", "put", "patch"] {
            scale[verb]["x-kubernetes-group-version-kind"] = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
        }
        paths.insert(format!("{collection}/{{name}}/scale"), scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_complete_and_says_what_clients_look_for() {
        let registry = Registry::builtin();
        let document = document(&registry, "apps", "v1").unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in references(&document) {
            assert!(schemas.contains_key(&name), "{name} is missing");
        }
        assert!(!document.to_string().contains("\"x-go\"") && !document.to_string().contains("\"x-proto\""));
        let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        assert_eq!(patch["x-kubernetes-group-version-kind"], json!({"group": "apps", "version": "v1", "kind": "Deployment"}));
        assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
        assert_eq!(super::document(&registry, "apps", "v9"), None);
        assert!(
            index(&registry)["paths"]["apis/apps/v1"]["serverRelativeURL"]
                .as_str()
                .unwrap()
                .starts_with("/openapi/v3/apis/apps/v1?hash=")
        );
    }
}

//! CustomResourceDefinitions.

use serde_json::Value;

use super::{immutable, list, one_of, text};
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::names;

/// A CustomResourceDefinition.
pub fn definition(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &new["spec"];
    let at = Path::Root.field("spec");
    let plural = text(&spec["names"], "plural");
    let group = text(spec, "group");
    if text(&new["metadata"], "name") != format!("{plural}.{group}") {
        let meta = Path::Root.field("metadata");
        causes.invalid(&meta.field("name"), new["metadata"]["name"].clone(), "must be spec.names.plural+\".\"+spec.group");
    }
    match group {
        "" => causes.required(&at.field("group"), ""),
        group => {
            causes.all_invalid(&at.field("group"), &spec["group"], names::subdomain(group));
            if !group.contains('.') {
                causes.invalid(&at.field("group"), group, "should be a domain with at least one dot");
            }
        }
    }
    match text(spec, "scope") {
        "" => causes.required(&at.field("scope"), ""),
        _ => one_of(spec, "scope", &["Cluster", "Namespaced"], &at, causes),
    }
    let at_names = at.field("names");
    for key in ["plural", "singular", "kind", "listKind"] {
        match text(&spec["names"], key) {
            "" if key == "plural" || key == "kind" => causes.required(&at_names.field(key), ""),
            "" => {}
            name => causes.all_invalid(&at_names.field(key), &spec["names"][key], names::service(&name.to_lowercase())),
        }
    }
    let old_spec = old.map(|o| &o["spec"]);
    immutable(spec, old_spec, "group", &at, causes);
    immutable(spec, old_spec, "scope", &at, causes);
    versions(list(spec, "versions"), &at.field("versions"), causes);
}

fn versions(versions: &[Value], at: &Path<'_>, causes: &mut Causes) {
    if versions.is_empty() {
        causes.required(at, "");
        return;
    }
    for (i, version) in versions.iter().enumerate() {
        let at = at.index(i);
        causes.all_invalid(&at.field("name"), &version["name"], names::service(text(version, "name")));
        if versions[..i].iter().any(|other| other["name"] == version["name"]) {
            causes.invalid(&at.field("name"), version["name"].clone(), "must contain unique version names");
        }
        let spec = Path::Root.field("spec");
        // A schema that all versions share is spoken of as the one of the definition.
        let (of_all, of_one) = (spec.field("validation"), at.field("schema"));
        let at = if versions.len() == 1 && !version["schema"].is_null() { &of_all } else { &of_one };
        let at = at.field("openAPIV3Schema");
        let schema = &version["schema"]["openAPIV3Schema"];
        if schema.is_null() {
            causes.required(&at, "");
        } else if text(schema, "type").is_empty() {
            causes.required(&at.field("type"), "must not be empty at the root");
        } else if text(schema, "type") != "object" {
            causes.invalid(&at.field("type"), text(schema, "type"), "must be object at the root");
        } else {
            structural(schema, &at, causes);
        }
    }
    if versions.iter().filter(|v| v["storage"] == true).count() != 1 {
        causes.invalid(at, versions, "must have exactly one version marked as storage version");
    }
}

/// Each part says what it is, and keeps its list kinds apart.
fn structural(schema: &Value, at: &Path<'_>, causes: &mut Causes) {
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(error) = regex::Regex::new(pattern)
    {
        causes.invalid(&at.field("pattern"), pattern, &format!("must be a valid regular expression, but isn't: {error}"));
    }
    let mut part = |schema: &Value, at: &Path<'_>, what: &str| {
        let free = schema["x-kubernetes-int-or-string"] == true || schema["x-kubernetes-preserve-unknown-fields"] == true;
        if text(schema, "type").is_empty() && !free {
            causes.required(&at.field("type"), &format!("must not be empty for specified {what}"));
        }
        structural(schema, at, causes);
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        part(property, &at.field("properties").key(name), "object fields");
    }
    if schema["additionalProperties"].is_object() {
        part(&schema["additionalProperties"], &at.field("additionalProperties"), "object fields");
    }
    if text(schema, "type") == "array" {
        if schema["items"].is_object() {
            part(&schema["items"], &at.field("items"), "array items");
        } else {
            causes.required(&at.field("items"), "must be specified");
        }
    }
    if schema["x-kubernetes-list-type"] == "map" && list(schema, "x-kubernetes-list-map-keys").is_empty() {
        causes.required(&at.field("x-kubernetes-list-map-keys"), "must not be empty if x-kubernetes-list-type is map");
    }
}

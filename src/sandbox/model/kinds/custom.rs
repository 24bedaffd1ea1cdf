//! Kinds from CustomResourceDefinitions.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Custom, Kind, Names, ScalePaths, Traits, View};
use crate::sandbox::model::object::{Now, Resource, name, time};
use crate::sandbox::model::schema::compile;
use crate::sandbox::model::schema::rules::Rules;
use crate::sandbox::model::{defaults, validate};

/// The kinds that a definition adds, one for each version that it serves. All of them are stored in the same form, for no conversion
/// but a change of `apiVersion` is known here.
pub fn kinds(definition: &Value) -> Vec<Kind> {
    let spec = &definition["spec"];
    let names = &spec["names"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let kind = text(&names["kind"]);
    let served = spec["versions"].as_array().into_iter().flatten().filter(|v| v["served"] == true);
    served
        .map(|version| {
            let schema = &version["schema"]["openAPIV3Schema"];
            let (types, root) = compile::custom(schema, &kind);
            let path = |of: &Value| of.as_str().map(|p| p.trim_start_matches('.').to_owned());
            let scale = &version["subresources"]["scale"];
            Kind {
                group: text(&spec["group"]),
                version: text(&version["name"]),
                kind: kind.clone(),
                plural: text(&names["plural"]),
                singular: text(&names["singular"]),
                short_names: texts(&names["shortNames"]),
                categories: texts(&names["categories"]),
                namespaced: spec["scope"] == "Namespaced",
                resource: resource(definition),
                status: version["subresources"]["status"].is_object(),
                scale: path(&scale["specReplicasPath"]).zip(path(&scale["statusReplicasPath"])).map(|(spec, status)| ScalePaths {
                    spec,
                    status,
                    selector: path(&scale["labelSelectorPath"]),
                }),
                traits: Traits {
                    generation: true,
                    unconditional: false,
                    creates_on_update: false,
                    returns_deleted: false,
                    names: Names::Subdomain,
                    defaults: defaults::nothing,
                    validate: validate::nothing,
                },
                view: if version["storage"] == true { View::Stored } else { View::Version },
                custom: Some(Custom {
                    rules: Rules::read(schema),
                    columns: version["additionalPrinterColumns"].as_array().cloned().unwrap_or_default(),
                    schema: schema.clone(),
                }),
                types: Arc::new(types),
                root,
            }
        })
        .collect()
}

/// Under which name the objects of a definition are stored: its own.
pub fn resource(definition: &Value) -> Resource {
    name(definition).to_owned().into()
}

/// The status of a definition that was accepted, which it is at once: conditions, accepted names and stored versions.
pub fn accept(definition: &mut Value, now: Now) {
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "lastTransitionTime": time(now), "reason": reason, "message": message});
    let names = definition["spec"]["names"].clone();
    let storage =
        definition["spec"]["versions"].as_array().into_iter().flatten().find(|v| v["storage"] == true).map(|v| v["name"].clone());
    let status = &mut definition["status"];
    if status["conditions"].as_array().is_none_or(Vec::is_empty) {
        status["conditions"] = json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ]);
    }
    status["acceptedNames"] = names;
    let mut stored = status["storedVersions"].as_array().cloned().unwrap_or_default();
    if let Some(version) = storage.filter(|v| !stored.contains(v)) {
        stored.push(version);
    }
    status["storedVersions"] = stored.into();
}

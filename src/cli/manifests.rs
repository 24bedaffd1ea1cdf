//! Reading manifests: embedded ones by name, files and folders by path.

use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use super::library;
use crate::domain::scenario::merge_by_name;

/// Why manifests could not be read.
#[derive(Debug, Error)]
pub(super) enum ManifestError {
    #[error("no manifests at `{0}`: neither embedded nor a file or folder")]
    Missing(String),
    #[error("could not read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}")]
    Parse { path: String, message: String },
    #[error("the overlay names {kind} `{name}`, which is not among the manifests")]
    Overlay { kind: String, name: String },
}

/// Objects that must exist before others, in this order; everything else comes after them.
const FIRST: [&str; 10] = [
    "Namespace",
    "CustomResourceDefinition",
    "ResourceQuota",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "Service",
    "IngressClass",
    "Ingress",
    "PodDisruptionBudget",
];

/// Reads all of `paths` (files or folders, relative to `base`), sorted so that what others need comes first.
pub(super) fn read(paths: &[String], base: &Path) -> Result<Vec<Value>, ManifestError> {
    let mut objects = Vec::new();
    for path in paths {
        let embedded = library::manifests(path);
        if embedded.is_empty() {
            for file in files(path, &base.join(path))? {
                let text = std::fs::read_to_string(&file).map_err(|source| ManifestError::Read { path: file.clone(), source })?;
                parse(&file.display().to_string(), &text, &mut objects)?;
            }
        }
        for (name, text) in embedded {
            parse(name, text, &mut objects)?;
        }
    }
    objects.sort_by_key(|o: &Value| FIRST.iter().position(|k| o["kind"] == *k).unwrap_or(FIRST.len()));
    Ok(objects)
}

fn files(named: &str, path: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    if path.is_file() {
        return Ok(vec![path.into()]);
    }
    let entries = std::fs::read_dir(path).map_err(|_| ManifestError::Missing(named.into()))?;
    let manifest = |p: &PathBuf| {
        let kustomization = p.file_stem().is_some_and(|s| s == "kustomization");
        !kustomization && p.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json")
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(manifest).collect();
    files.sort();
    Ok(files)
}

fn parse(path: &str, text: &str, objects: &mut Vec<Value>) -> Result<(), ManifestError> {
    let wrong = |message: String| ManifestError::Parse { path: path.into(), message };
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| wrong(e.to_string()))?;
    for document in documents {
        match document["items"].as_array() {
            Some(items) if document["kind"] == "List" => objects.extend(items.iter().cloned()),
            _ if document.is_null() => {}
            _ if !document["kind"].is_string() || !document["metadata"]["name"].is_string() => {
                return Err(wrong("an object needs `kind` and `metadata.name`".into()));
            }
            _ => objects.push(document),
        }
    }
    Ok(())
}

/// Lays each overlay over the object of its kind and name.
pub(super) fn overlay(objects: &mut [Value], overlays: &[Value]) -> Result<(), ManifestError> {
    for over in overlays {
        let (kind, name) = (&over["kind"], &over["metadata"]["name"]);
        let Some(object) = objects.iter_mut().find(|o| o["kind"] == *kind && o["metadata"]["name"] == *name) else {
            let text = |v: &Value| v.as_str().unwrap_or("?").to_owned();
            return Err(ManifestError::Overlay { kind: text(kind), name: text(name) });
        };
        merge_by_name(object, over);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn manifests_come_in_the_order_in_which_they_are_needed() {
        let objects = read(&["k8s/todo/backend".into()], Path::new("/nowhere")).unwrap();
        let kinds: Vec<&str> = objects.iter().filter_map(|o| o["kind"].as_str()).collect();
        assert_eq!(kinds, ["Namespace", "ServiceAccount", "ConfigMap", "Service", "Ingress", "PodDisruptionBudget", "Deployment"]);
    }

    #[test]
    fn an_overlay_that_fits_nothing_is_an_error() {
        let mut objects = [json!({"kind": "Deployment", "metadata": {"name": "backend"}, "spec": {"replicas": 4}})];
        overlay(&mut objects, &[json!({"kind": "Deployment", "metadata": {"name": "backend"}, "spec": {"replicas": 1}})]).unwrap();
        assert_eq!(objects[0]["spec"]["replicas"], 1);
        let error = overlay(&mut objects, &[json!({"kind": "Deployment", "metadata": {"name": "frontend"}})]).unwrap_err();
        assert_eq!(error.to_string(), "the overlay names Deployment `frontend`, which is not among the manifests");
        assert!(read(&["nothing".into()], Path::new("/nowhere")).unwrap_err().to_string().contains("no manifests at `nothing`"));
    }
}

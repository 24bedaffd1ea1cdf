//! Changing the cluster: the steps of a scenario, the guards' actions, and permits. Nothing here decides, and nothing is retried but a permit,
//! which takes effect once however often it is sent.

pub mod admission;
pub mod guard;
pub(super) mod record;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::ClusterError;
use super::kinds::{Kinds, Place};

/// The field manager of everything that a scenario writes.
pub const FIELD_MANAGER: &str = "verifier";

/// Server-side applies each object, in order; those without a namespace go into `namespace`.
pub async fn apply(client: &Client, objects: &[Value], namespace: &str) -> Result<(), ClusterError> {
    let mut kinds = Kinds::default();
    for object in objects {
        let Place { api, name, label } = kinds.place(client, object, namespace, "apply").await?;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&name, &params, &Patch::Apply(object)).await.map_err(ClusterError::new(format!("apply {label}")))?;
    }
    Ok(())
}

/// Patches the Deployment and answers with its generation thereafter.
pub async fn patch_deployment(client: &Client, namespace: &str, name: &str, patch: &Value) -> Result<i64, ClusterError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let operation = format!("patch deployment {namespace}/{name}");
    let patched = api.patch(name, &params, &Patch::Strategic(patch)).await.map_err(ClusterError::new(operation))?;
    Ok(patched.metadata.generation.unwrap_or(0))
}

/// The Deployment's generation.
pub async fn generation(client: &Client, namespace: &str, name: &str) -> Result<i64, ClusterError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = api.get_metadata(name).await.map_err(ClusterError::new(format!("read deployment {namespace}/{name}")))?;
    Ok(found.metadata.generation.unwrap_or(0))
}

/// The name of the Deployment's first container, which `set` changes unless another one is named.
pub async fn first_container(client: &Client, namespace: &str, name: &str) -> Result<String, ClusterError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = api.get(name).await.map_err(ClusterError::new(format!("read deployment {namespace}/{name}")))?;
    Ok(found.spec.and_then(|s| s.template.spec).and_then(|p| p.containers.into_iter().next()).map(|c| c.name).unwrap_or_default())
}

/// The patch that sets image and environment of one container.
pub fn set_patch(container: &str, image: Option<&str>, env: &BTreeMap<String, String>) -> Value {
    let mut change = json!({"name": container});
    if let Some(image) = image {
        change["image"] = image.into();
    }
    if !env.is_empty() {
        change["env"] = env.iter().map(|(k, v)| json!({"name": k, "value": v})).collect();
    }
    json!({"spec": {"template": {"spec": {"containers": [change]}}}})
}

/// The patch that makes every pod anew, as `kubectl rollout restart` does.
pub fn restart_patch(now: chrono::DateTime<chrono::Utc>) -> Value {
    let stamp = now.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": stamp}}}}})
}

/// Deletes so many of the selected pods, oldest first, and answers with their names.
pub async fn delete_pods(client: &Client, namespace: &str, selector: &str, count: usize) -> Result<Vec<String>, ClusterError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let list =
        api.list(&ListParams::default().labels(selector)).await.map_err(ClusterError::new(format!("list pods in {namespace}")))?;
    let mut pods: Vec<Pod> = list.items.into_iter().filter(|p| p.metadata.deletion_timestamp.is_none()).collect();
    pods.sort_by_key(|p| p.metadata.creation_timestamp.as_ref().map(|t| t.0));
    let mut deleted = Vec::new();
    for pod in pods.into_iter().take(count) {
        let name = pod.metadata.name.unwrap_or_default();
        api.delete(&name, &DeleteParams::default()).await.map_err(ClusterError::new(format!("delete pod {namespace}/{name}")))?;
        deleted.push(name);
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_changes_one_container_and_nothing_else() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(
            set_patch("backend", Some("todo/backend:v2"), &env),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "backend", "image": "todo/backend:v2", "env": [{"name": "A", "value": "1"}]}]}}}})
        );
        assert_eq!(
            set_patch("c", None, &BTreeMap::new()),
            json!({"spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}})
        );
    }
}

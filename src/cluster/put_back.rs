//! Putting back what a run changed: a Deployment's spec as it was, and what the run deployed itself is removed.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::kinds::{Kinds, Place};
use super::{ClusterError, act};

/// How often a write is tried anew because the Deployment has changed since it was read.
const TRIES: usize = 3;

/// A Deployment's spec at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Whose it is.
    pub uid: String,
    /// Which one it is.
    pub generation: i64,
    /// All of it. It may hold secrets, so it goes into no event and no report.
    pub value: Value,
}

/// What was done about a Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is as it was.
    Done,
    /// It is as it was already.
    Unchanged,
    /// Somebody else has given it another template: it was left alone.
    Foreign,
    /// It is another one of the same name, or gone: it was left alone.
    Replaced,
}

/// Reads a Deployment's spec.
pub async fn spec(client: &Client, namespace: &str, name: &str) -> Result<Option<Spec>, ClusterError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await.map_err(ClusterError::new(format!("read deployment {namespace}/{name}")))?;
    Ok(found.map(|d| Spec {
        uid: d.metadata.uid.unwrap_or_default(),
        generation: d.metadata.generation.unwrap_or(0),
        value: serde_json::to_value(d.spec).unwrap_or_default(),
    }))
}

/// Gives a Deployment the spec that it had. `ours` is the template that the run gave it: with any other one, and with another uid, it is left
/// alone. The number of replicas is put back where the run has set it, and otherwise stays what it is by now.
pub async fn restore(
    client: &Client,
    namespace: &str,
    name: &str,
    before: &Spec,
    ours: Option<&Value>,
    replicas: bool,
) -> Result<Restored, ClusterError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let operation = || ClusterError::new(format!("put back deployment {namespace}/{name}"));
    let mut tries = 0;
    loop {
        let Some(now) = spec(client, namespace, name).await?.filter(|now| now.uid == before.uid) else {
            return Ok(Restored::Replaced);
        };
        let template = &now.value["template"];
        if *template != before.value["template"] && Some(template) != ours {
            return Ok(Restored::Foreign);
        }
        let mut wanted = before.value.clone();
        if !replicas {
            wanted["replicas"] = now.value["replicas"].clone();
        }
        if wanted == now.value {
            return Ok(Restored::Unchanged);
        }
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": now.uid},
            {"op": "test", "path": "/metadata/generation", "value": now.generation},
            {"op": "replace", "path": "/spec", "value": wanted},
        ]);
        let patch: json_patch::Patch = serde_json::from_value(patch).map_err(kube::Error::SerdeError).map_err(operation())?;
        let params = PatchParams { field_manager: Some(act::FIELD_MANAGER.into()), ..PatchParams::default() };
        tries += 1;
        match api.patch(name, &params, &Patch::<()>::Json(patch)).await {
            Ok(_) => return Ok(Restored::Done),
            // Changed since it was read: looked at again. What is put back is the same however often it is tried.
            Err(kube::Error::Api(status)) if matches!(status.code, 409 | 422) && tries < TRIES => {}
            Err(error) => return Err(operation()(error)),
        }
    }
}

/// An object that was not there before.
pub struct Created(Place);

impl Created {
    /// `deployment backend`
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// Deletes it; one that is gone already is well.
    pub async fn delete(&self) -> Result<(), ClusterError> {
        match self.0.api.delete(&self.0.name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(ClusterError::new(format!("delete {}", self.0.label))(error)),
        }
    }

    /// Whether it is still there.
    pub async fn is_there(&self) -> Result<bool, ClusterError> {
        let found = self.0.api.get_metadata_opt(&self.0.name).await;
        Ok(found.map_err(ClusterError::new(format!("read {}", self.0.label)))?.is_some())
    }
}

/// Those of the objects that are not there yet: what applying them will create. An object of a kind that the API does not know yet comes with
/// that kind, and goes with it.
pub async fn missing(client: &Client, objects: &[Value], namespace: &str) -> Result<Vec<Created>, ClusterError> {
    let mut kinds = Kinds::default();
    let mut missing = Vec::new();
    for object in objects {
        let Ok(place) = kinds.place(client, object, namespace, "look for").await else { continue };
        let created = Created(place);
        if !created.is_there().await? {
            missing.push(created);
        }
    }
    Ok(missing)
}

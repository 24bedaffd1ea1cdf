//! The Deployment and its ReplicaSets, as the API has them now.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client, ResourceExt};

use super::{Place, template_of};
use crate::cluster::{ClusterError, act, discover};
use crate::domain::rollout::guard::{Live, LiveSet, Revision};
use crate::domain::traffic::Name;

pub(super) const HASH: &str = "pod-template-hash";

/// What was read: the facts to decide on, and the objects they come from.
pub(super) struct Reading {
    pub(super) live: Live,
    pub(super) deployment: DynamicObject,
    pub(super) sets: Vec<DynamicObject>,
}

pub(super) fn is_gone(error: &ClusterError) -> bool {
    matches!(&*error.source, kube::Error::Api(status) if status.code == 404)
}

fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

pub(super) async fn deployment(client: &Client, place: Place<'_>) -> Result<DynamicObject, ClusterError> {
    let operation = format!("read deployment {}/{}", place.namespace, place.deployment);
    api(client, place.namespace, "Deployment").get(place.deployment).await.map_err(ClusterError::new(operation))
}

/// Reads both.
pub(super) async fn reading(client: &Client, place: Place<'_>) -> Result<Reading, ClusterError> {
    let deployment = deployment(client, place).await?;
    let selector: LabelSelector = serde_json::from_value(deployment.data["spec"]["selector"].clone()).unwrap_or_default();
    let params = ListParams::default().labels(&discover::selector(&selector));
    let operation = format!("list replicasets in {}", place.namespace);
    let list = api(client, place.namespace, "ReplicaSet").list(&params).await.map_err(ClusterError::new(operation))?;
    let uid = deployment.uid().unwrap_or_default();
    let owned = |set: &DynamicObject| set.owner_references().iter().any(|o| o.uid == uid);
    let sets: Vec<DynamicObject> = list.items.into_iter().filter(owned).collect();
    Ok(Reading { live: live(&deployment, &sets), deployment, sets })
}

fn live(deployment: &DynamicObject, sets: &[DynamicObject]) -> Live {
    let spec = &deployment.data["spec"];
    let replicas = |o: &DynamicObject| o.data["spec"]["replicas"].as_u64().and_then(|n| u32::try_from(n).ok());
    let revision = |set: &DynamicObject| Revision {
        hash: set.labels().get(HASH).map_or("", String::as_str).into(),
        set: set.name_any().into(),
        uid: set.uid().unwrap_or_default().into(),
    };
    let current = sets.iter().find(|s| template_of(&s.data) == spec["template"]);
    Live {
        uid: deployment.uid().unwrap_or_default().into(),
        generation: deployment.metadata.generation.unwrap_or(0),
        deleting: deployment.metadata.deletion_timestamp.is_some(),
        paused: spec["paused"].as_bool().unwrap_or(false),
        replicas: replicas(deployment).unwrap_or(1),
        revision: current.and_then(|s| s.labels().get(HASH)).map(|h| Name::from(h.as_str())),
        acted: act::record::read(&deployment.metadata),
        sets: sets.iter().map(|s| LiveSet { revision: revision(s), replicas: replicas(s).unwrap_or(0) }).collect(),
    }
}

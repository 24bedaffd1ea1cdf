//! A Deployment with what stands around it, as the manifests that the API has.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ClusterError;

/// The Deployment, and all Services, Ingresses, autoscalers and disruption budgets of its namespace. The error is the first call's that failed.
pub async fn around(client: &Client, namespace: &str, deployment: &str) -> Result<Vec<Value>, ClusterError> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = api.get(deployment).await.map_err(ClusterError::new(format!("read deployment {namespace}/{deployment}")))?;
    let mut objects = vec![manifest(&found)];
    objects.extend(all::<Service>(client, namespace).await?);
    objects.extend(all::<Ingress>(client, namespace).await?);
    objects.extend(all::<HorizontalPodAutoscaler>(client, namespace).await?);
    objects.extend(all::<PodDisruptionBudget>(client, namespace).await?);
    Ok(objects)
}

async fn all<K>(client: &Client, namespace: &str) -> Result<Vec<Value>, ClusterError>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + k8s_openapi::Resource
        + Clone
        + DeserializeOwned
        + Serialize
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let operation = format!("list {} in {namespace}", K::plural(&()));
    let list = api.list(&ListParams::default()).await.map_err(ClusterError::new(operation))?;
    Ok(list.items.iter().map(manifest).collect())
}

/// With its kind, which lists leave out.
fn manifest<K: k8s_openapi::Resource + Serialize>(object: &K) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = K::API_VERSION.into();
    value["kind"] = K::KIND.into();
    value
}

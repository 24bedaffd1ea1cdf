//! Objects of any kind: which resource serves them, and where.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use kube::discovery::{ApiCapabilities, Scope, oneshot};
use kube::{Api, Client};
use serde_json::Value;

use super::ClusterError;

/// Asks the API for each kind once.
#[derive(Default)]
pub(super) struct Kinds(BTreeMap<(String, String), (ApiResource, ApiCapabilities)>);

/// Where an object is, or will be.
pub(super) struct Place {
    pub(super) api: Api<DynamicObject>,
    pub(super) name: String,
    /// `deployment backend`
    pub(super) label: String,
}

impl Kinds {
    /// The place of a manifest; one without a namespace is put into `namespace`.
    pub(super) async fn place(
        &mut self,
        client: &Client,
        object: &Value,
        namespace: &str,
        doing: &str,
    ) -> Result<Place, ClusterError> {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let (version, kind, name) = (text(&object["apiVersion"]), text(&object["kind"]), text(&object["metadata"]["name"]));
        let label = format!("{} {name}", kind.to_lowercase());
        let key = (version.clone(), kind.clone());
        let (resource, capabilities) = if let Some(known) = self.0.get(&key) {
            known.clone()
        } else {
            let types = TypeMeta { api_version: version, kind };
            let gvk =
                GroupVersionKind::try_from(&types).unwrap_or_else(|_| GroupVersionKind::gvk("", &types.api_version, &types.kind));
            let found = oneshot::pinned_kind(client, &gvk).await.map_err(ClusterError::new(format!("{doing} {label}")))?;
            self.0.insert(key, found.clone());
            found
        };
        let api = match capabilities.scope {
            Scope::Cluster => Api::all_with(client.clone(), &resource),
            Scope::Namespaced => {
                let own = object["metadata"]["namespace"].as_str().unwrap_or(namespace);
                Api::namespaced_with(client.clone(), own, &resource)
            }
        };
        Ok(Place { api, name, label })
    }
}

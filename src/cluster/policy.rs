//! `RolloutPolicy`: a policy as an object, for Deployments of its namespace.

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Api, Client, CustomResource, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Value, json};

use super::ClusterError;
use super::act::FIELD_MANAGER;
use crate::domain::policy::selection::{self, ONE_OF_BOTH, Rule, Selector, Whom};
use crate::domain::policy::spec::PolicySpec;
use crate::domain::policy::standing::PolicyStatus;
use crate::domain::policy::{Key, shape};

/// Which Deployments of the namespace are probed and judged, and how. Everything but whom may be left out.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[kube(
    group = "verifier.dev",
    version = "v1alpha1",
    kind = "RolloutPolicy",
    plural = "rolloutpolicies",
    namespaced,
    status = "PolicyStatus",
    shortname = "rp",
    category = "verifier",
    printcolumn = r#"{"name": "Guard", "type": "string", "jsonPath": ".spec.guard"}"#,
    printcolumn = r#"{"name": "Matched", "type": "integer", "jsonPath": ".status.matched"}"#,
    printcolumn = r#"{"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Reason", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason", "priority": 1}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct RolloutPolicySpec {
    /// The Deployments by name. Either this or `selector`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "shape::names")]
    pub deployments: Option<Vec<String>>,
    /// The Deployments by their own labels; `{}` selects all of the namespace. Either this or `deployments`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Selector")]
    pub selector: Option<Selector>,
    /// What is asked of them.
    #[serde(flatten)]
    pub policy: PolicySpec,
}

/// The rules of a policy, and that it says whom it is about.
fn rules() -> Vec<Value> {
    let whom = json!({"rule": "has(self.deployments) != has(self.selector)", "message": ONE_OF_BOTH});
    std::iter::once(whom).chain(shape::rules()).collect()
}

/// Read in no other way than the service reads it.
impl<'de> Deserialize<'de> for RolloutPolicySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (whom, policy) = selection::read(Value::deserialize(deserializer)?);
        let (deployments, selector) = match whom.map_err(D::Error::custom)? {
            Whom::Named(names) => (Some(names.into_iter().collect()), None),
            Whom::Selected(selector) => (None, Some(selector)),
        };
        Ok(Self { deployments, selector, policy: policy.map_err(D::Error::custom)? })
    }
}

/// All policies there are, read so that one that makes no sense does not stand in the way of the others.
pub(super) fn api(client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<RolloutPolicy>(&());
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// The key of an object.
pub(super) fn key(object: &DynamicObject) -> Key {
    Key::new(&object.namespace().unwrap_or_default(), &object.name_any())
}

/// What an object says.
pub(super) fn rule(object: &DynamicObject) -> Rule {
    let (whom, policy) = selection::read(object.data["spec"].clone());
    Rule {
        key: key(object),
        uid: object.uid().unwrap_or_default(),
        created: object.creation_timestamp().map_or(0, |created| created.0.as_second()),
        generation: object.metadata.generation.unwrap_or(0),
        whom,
        policy,
    }
}

/// How an object says that it stands; one that cannot be read says nothing.
pub(super) fn status(object: &DynamicObject) -> PolicyStatus {
    serde_json::from_value(object.data["status"].clone()).unwrap_or_default()
}

/// Writes a policy's status. That it is gone is no error.
pub(super) async fn write(client: &Client, key: &Key, status: &PolicyStatus) -> Result<(), ClusterError> {
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"status": status}));
    match api(client, Some(&key.namespace)).patch_status(&key.name, &params, &patch).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        done => done.map(drop).map_err(ClusterError::new(format!("write the status of rolloutpolicy {key}"))),
    }
}

#[cfg(test)]
mod tests;

//! `RolloutVerification`: what becomes of each rollout, as an object beside its Deployment; and an Event on the Deployment.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, CustomResource, CustomResourceExt, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::act::FIELD_MANAGER;
use super::policy::RolloutPolicy;
use super::{ClusterError, within};
use crate::domain::policy::Key;
use crate::domain::policy::spec::PolicySpec;
use crate::domain::policy::verification::VerificationStatus;
use crate::domain::rollout::guard::Guard;
use crate::domain::traffic::Name;
use crate::domain::verdict::VerdictKind;

/// Objects read at once when the service begins.
const PAGE: u32 = 500;

/// What is verified. Written once, by the service.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "verifier.dev",
    version = "v1alpha1",
    kind = "RolloutVerification",
    plural = "rolloutverifications",
    namespaced,
    status = "VerificationStatus",
    shortname = "rv",
    category = "verifier",
    printcolumn = r#"{"name": "Target", "type": "string", "jsonPath": ".spec.targetRef.name"}"#,
    printcolumn = r#"{"name": "Verdict", "type": "string", "jsonPath": ".status.verdict"}"#,
    printcolumn = r#"{"name": "Availability", "type": "string", "jsonPath": ".status.availability"}"#,
    printcolumn = r#"{"name": "P99", "type": "string", "jsonPath": ".status.p99"}"#,
    printcolumn = r#"{"name": "Errors", "type": "integer", "jsonPath": ".status.errors"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name": "Phase", "type": "string", "jsonPath": ".status.phase", "priority": 1}"#,
    printcolumn = r#"{"name": "Revision", "type": "string", "jsonPath": ".status.revision", "priority": 1}"#,
    printcolumn = r#"{"name": "Action", "type": "string", "jsonPath": ".status.action", "priority": 1}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "what is verified is written once, by the verifier"}]))]
pub struct RolloutVerificationSpec {
    /// The Deployment, of the same namespace.
    pub target_ref: TargetRef,
    /// What was asked for when the rollout began.
    pub policy: PolicySpec,
}

/// A Deployment of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// `Deployment`
    #[schemars(length(max = 63))]
    pub kind: String,
    /// `metadata.name`
    #[schemars(length(max = 253))]
    pub name: String,
}

/// A verification that was found when the service began.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// The Deployment that it is about.
    pub key: Key,
    /// When it was created, RFC 3339.
    pub created: String,
    /// The template that it is about.
    pub template: Name,
    /// What a breach of it does.
    pub guard: Guard,
    /// How it stands.
    pub status: VerificationStatus,
}

/// Whose rollout it is.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The Deployment.
    pub key: Key,
    /// Its uid.
    pub uid: String,
    /// What was asked for.
    pub policy: PolicySpec,
}

/// The name of a run's verification.
pub fn name_of(deployment: &str, run: &str) -> String {
    format!("{deployment}-{}", run.strip_prefix("r-").unwrap_or(run))
}

/// Creates the object. It goes with its Deployment.
pub async fn create(client: &Client, subject: &Subject, name: &str) -> Result<(), ClusterError> {
    let (ns, deployment) = (&*subject.key.namespace, &*subject.key.name);
    let spec = RolloutVerificationSpec {
        target_ref: TargetRef { kind: "Deployment".into(), name: deployment.into() },
        policy: subject.policy.clone(),
    };
    let mut object = RolloutVerification::new(name, spec);
    object.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        name: deployment.into(),
        uid: subject.uid.clone(),
        ..OwnerReference::default()
    }]);
    let api: Api<RolloutVerification> = Api::namespaced(client.clone(), ns);
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    match api.create(&params, &object).await {
        // An answer was lost: it is there.
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        done => done.map(drop).map_err(ClusterError::new(format!("create rolloutverification {ns}/{name}"))),
    }
}

/// Writes its status.
pub async fn write(client: &Client, namespace: &str, name: &str, status: &VerificationStatus) -> Result<(), ClusterError> {
    let api: Api<RolloutVerification> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"status": status}));
    let written = api.patch_status(name, &params, &patch).await;
    written.map(drop).map_err(ClusterError::new(format!("write the status of rolloutverification {namespace}/{name}")))
}

/// All that there are, newest last.
pub async fn list(client: &Client, namespace: Option<&str>) -> Result<Vec<Found>, ClusterError> {
    let api: Api<RolloutVerification> = within(client, namespace);
    let mut found: Vec<Found> = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(ClusterError::new("list rolloutverifications"))?;
        let next = page.metadata.continue_.filter(|token| !token.is_empty());
        found.extend(page.items.into_iter().map(Found::of));
        let Some(token) = next else { break };
        params.continue_token = Some(token);
    }
    found.sort_by(|a, b| (&a.created, &a.name).cmp(&(&b.created, &b.name)));
    Ok(found)
}

impl Found {
    fn of(object: RolloutVerification) -> Self {
        Self {
            name: object.name_any(),
            key: Key::new(&object.namespace().unwrap_or_default(), &object.spec.target_ref.name),
            created: object.creation_timestamp().map(|t| t.0.to_string()).unwrap_or_default(),
            template: object.status.as_ref().map(|s| s.template.as_str()).unwrap_or_default().into(),
            guard: object.spec.policy.guard,
            status: object.status.unwrap_or_default(),
        }
    }
}

/// Removes one; that it is gone already is no error.
pub async fn delete(client: &Client, namespace: &str, name: &str) -> Result<(), ClusterError> {
    let api: Api<RolloutVerification> = Api::namespaced(client.clone(), namespace);
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        done => done.map(drop).map_err(ClusterError::new(format!("delete rolloutverification {namespace}/{name}"))),
    }
}

/// Leaves an Event on the Deployment about a verdict, one for each run. `now` is RFC 3339.
pub async fn tell(client: &Client, subject: &Subject, status: &VerificationStatus, now: &str) -> Result<(), ClusterError> {
    let (ns, name) = (&*subject.key.namespace, &*subject.key.name);
    let (kind, reason) = match status.verdict {
        Some(VerdictKind::Pass) => ("Normal", "RolloutVerified"),
        Some(VerdictKind::Breach) => ("Warning", "RolloutBreached"),
        Some(VerdictKind::Inconclusive | VerdictKind::Aborted) => ("Warning", "RolloutNotJudged"),
        Some(VerdictKind::Superseded) | None => ("Normal", "RolloutSuperseded"),
    };
    let figures = format!("{} of {} requests failed", status.errors, status.requests);
    let why = if status.message.is_empty() { String::new() } else { format!(": {}", status.message) };
    let message: String =
        format!("revision {}, run {}: {figures}{why}", status.revision, status.run_id).chars().take(1_000).collect();
    let event = json!({
        "metadata": {"name": format!("{name}.{}", status.run_id), "namespace": ns},
        "involvedObject": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": ns, "name": name, "uid": subject.uid},
        "type": kind, "reason": reason, "message": message,
        "source": {"component": FIELD_MANAGER}, "reportingComponent": "verifier.dev/verifier", "reportingInstance": status.run_id,
        "firstTimestamp": now, "lastTimestamp": now, "count": 1,
    });
    let operation = format!("leave an Event on deployment {ns}/{name}");
    let failed = |e: serde_json::Error| kube::Error::SerdeError(e);
    let event: Event = serde_json::from_value(event).map_err(failed).map_err(ClusterError::new(operation.clone()))?;
    let api: Api<Event> = Api::namespaced(client.clone(), ns);
    match api.create(&PostParams::default(), &event).await {
        // An answer was lost: it is there.
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        done => done.map(drop).map_err(ClusterError::new(operation)),
    }
}

/// The kinds that the service reads policies from and keeps verifications in, as YAML: `k8s/verifier/base/crds.yaml`.
pub fn manifests() -> Result<String, String> {
    let text = |kind| serde_saphyr::to_string(&kind).map_err(|e| e.to_string());
    let (policy, verification) = (text(RolloutPolicy::crd())?, text(RolloutVerification::crd())?);
    Ok(format!("# Made from the types of `verifier`: `verifier manifests` prints it.\n{policy}---\n{verification}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_are_made_from_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/k8s/verifier/base/crds.yaml");
        let text = manifests().unwrap();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert!(std::fs::read_to_string(path).unwrap() == text, "the types have changed: UPDATE_GOLDEN=1 writes {path} anew");
        let back: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).unwrap();
        let types = [RolloutPolicy::crd(), RolloutVerification::crd()].map(|kind| serde_json::to_value(kind).unwrap());
        assert_eq!(back, types, "the YAML says what the types say");
    }

    #[test]
    fn a_verification_is_named_after_deployment_and_run() {
        assert_eq!(name_of("backend", "r-0123abcd"), "backend-0123abcd");
    }
}

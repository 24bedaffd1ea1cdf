//! A Deployment as far as it matters here. Its template, its managed fields and other people's annotations are gone as soon as it was read.

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::Deserialize;
use serde_json::Value;

use crate::domain::policy::selection::{Labels, Wish};
use crate::domain::policy::template::fingerprint;
use crate::domain::policy::{Key, YES};
use crate::domain::traffic::Name;

/// What is kept of a Deployment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// What decides which policy it has.
    pub(super) wish: Wish,
    pub(super) uid: String,
    pub(super) paused: bool,
    pub(super) replicas: i32,
    /// The fingerprint of its template.
    pub(super) template: Name,
    pub(super) generation: i64,
    /// Its controller has seen this generation.
    pub(super) observed: bool,
    /// The latest template is rolled out.
    pub(super) complete: bool,
    /// Fewer pods are available than are wanted.
    pub(super) lacking: bool,
    /// The labels of its pods.
    pub(super) labels: Labels,
    /// A spent error budget does not hold its rollouts up.
    pub(super) unfrozen: bool,
}

/// A Deployment as it is watched.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Raw")]
pub(super) struct Light {
    meta: ObjectMeta,
    pub(super) seen: Seen,
}

impl Light {
    pub(super) fn key(&self) -> Key {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        Key::new(&text(&self.meta.namespace), &text(&self.meta.name))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    labels: Option<Labels>,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "verifier.dev/policy")]
    policy: Option<Arc<str>>,
    #[serde(rename = "verifier.dev/skip")]
    skip: Option<String>,
    #[serde(rename = "verifier.dev/ignore-budget")]
    ignore_budget: Option<String>,
}

#[derive(Default, Deserialize)]
struct Spec {
    replicas: Option<i32>,
    paused: Option<bool>,
    #[serde(default)]
    template: Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    observed_generation: Option<i64>,
    replicas: Option<i32>,
    updated_replicas: Option<i32>,
    available_replicas: Option<i32>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    reason: Option<String>,
}

impl From<Raw> for Light {
    fn from(raw: Raw) -> Self {
        let Raw { metadata, spec, status } = raw;
        let (replicas, generation) = (spec.replicas.unwrap_or(1), metadata.generation.unwrap_or(0));
        let labels = serde_json::from_value(spec.template["metadata"]["labels"].clone());
        let said = |annotation: Option<String>| annotation.as_deref() == Some(YES);
        let seen = Seen {
            wish: Wish {
                labels: metadata.labels.unwrap_or_default(),
                annotation: metadata.annotations.policy,
                skip: said(metadata.annotations.skip),
            },
            uid: metadata.uid.clone().unwrap_or_default(),
            paused: spec.paused.unwrap_or(false),
            replicas,
            template: fingerprint(&spec.template),
            generation,
            observed: status.observed_generation.unwrap_or(0) >= generation,
            complete: status.is_complete(replicas, generation),
            lacking: status.available_replicas.unwrap_or(0) < replicas,
            labels: labels.unwrap_or_default(),
            unfrozen: said(metadata.annotations.ignore_budget),
        };
        let meta = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            ..ObjectMeta::default()
        };
        Self { meta, seen }
    }
}

impl Status {
    /// The latest template is rolled out; that not everything is available, because a pod crashed since, does not change that.
    fn is_complete(&self, replicas: i32, generation: i64) -> bool {
        let count = |n: Option<i32>| n.unwrap_or(0) == replicas;
        let said = self
            .conditions
            .iter()
            .flatten()
            .any(|c| c.kind == "Progressing" && c.reason.as_deref() == Some("NewReplicaSetAvailable"));
        self.observed_generation.unwrap_or(0) >= generation
            && count(self.replicas)
            && count(self.updated_replicas)
            && (said || count(self.available_replicas))
    }
}

impl Resource for Light {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Deployment::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Deployment::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Deployment::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Deployment::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::policy::{ANNOTATION, IGNORE_BUDGET, SKIP};

    fn seen(change: impl FnOnce(&mut Value)) -> Seen {
        let mut object = json!({
            "metadata": {
                "name": "backend", "namespace": "todo", "uid": "u", "generation": 3, "resourceVersion": "7", "labels": {"tier": "web"},
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
                "annotations": {ANNOTATION: "{}", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
            },
            "spec": {"replicas": 4, "selector": {}, "template": {
                "metadata": {"labels": {"app": "backend"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]},
            }},
            "status": {"observedGeneration": 3, "replicas": 4, "updatedReplicas": 4, "availableReplicas": 4},
        });
        change(&mut object);
        let light: Light = serde_json::from_value(object).unwrap();
        assert_eq!((light.key(), light.meta.resource_version.as_deref()), (Key::new("todo", "backend"), Some("7")));
        light.seen
    }

    #[test]
    fn what_matters_is_read_and_templates_are_told_apart() {
        let usual = seen(|_| {});
        assert!(usual.complete && !usual.paused && !usual.unfrozen && usual.replicas == 4 && usual.generation == 3);
        assert_eq!((usual.wish.labels["tier"].as_str(), usual.labels["app"].as_str()), ("web", "backend"));
        assert_eq!((usual.wish.annotation.as_deref(), usual.wish.skip), (Some("{}"), false));
        let rolled = seen(|d| d["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2".into());
        assert_ne!(rolled.template, usual.template);
        let paused = seen(|d| d["spec"]["paused"] = true.into());
        assert!(paused.paused && paused.template == usual.template);
        let annotated = seen(|d| d["metadata"]["annotations"] = json!({SKIP: "true", IGNORE_BUDGET: "true"}));
        assert!(annotated.wish.skip && annotated.unfrozen && annotated.wish.annotation.is_none());
        let no = seen(|d| d["metadata"]["annotations"] = json!({SKIP: "yes", IGNORE_BUDGET: "false"}));
        assert!(!no.wish.skip && !no.unfrozen);
        let bare = seen(|d| {
            d["metadata"]
                .as_object_mut()
                .unwrap()
                .retain(|key, _| ["name", "namespace", "resourceVersion"].contains(&key.as_str()));
            d["spec"] = json!({});
            d["status"] = json!({});
        });
        assert!(bare.replicas == 1 && !bare.complete && bare.wish == Wish::default());
    }

    #[test]
    fn what_others_write_about_it_changes_nothing() {
        let usual = seen(|_| {});
        let touched = seen(|d| {
            d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "8".into();
            d["metadata"]["managedFields"] = json!([]);
            d["status"]["conditions"] = json!([{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}]);
        });
        assert_eq!(touched, usual);
    }

    #[test]
    fn a_rollout_is_complete_when_its_controller_has_seen_it_and_all_pods_are_of_it() {
        let complete = |change: fn(&mut Value)| seen(change).complete;
        assert!(!complete(|d| d["metadata"]["generation"] = 4.into()));
        assert!(!complete(|d| d["status"]["updatedReplicas"] = 3.into()));
        assert!(!complete(|d| d["status"]["replicas"] = 5.into()));
        assert!(!complete(|d| d["status"]["availableReplicas"] = 3.into()));
        let crashed_since = |d: &mut Value| {
            d["status"]["availableReplicas"] = 3.into();
            d["status"]["conditions"] = json!([{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]);
        };
        assert!(complete(crashed_since) && seen(crashed_since).lacking && !seen(|_| {}).lacking);
    }
}

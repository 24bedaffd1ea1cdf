//! Reading the parts that every API object has. Objects are plain JSON: the sandbox keeps what it was given, known field or not.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

/// A stored object; cheap to hand out, never changed in place.
pub type Object = Arc<Value>;

/// The moment a decision is taken at; the model never asks a clock.
pub type Now = DateTime<Utc>;

/// `plural.group`, or the plural alone for the core group: `pods`, `deployments.apps`.
pub type Resource = Cow<'static, str>;

/// The built-in resources by name.
pub mod resource {
    use super::Resource;
    macro_rules! names { ($($id:ident = $name:literal),* $(,)?) => { $(#[doc = $name] pub const $id: Resource = Resource::Borrowed($name);)* } }
    names! {
        NAMESPACES = "namespaces", NODES = "nodes", PODS = "pods", SERVICES = "services", CONFIG_MAPS = "configmaps", SECRETS = "secrets",
        EVENTS = "events", SERVICE_ACCOUNTS = "serviceaccounts", DEPLOYMENTS = "deployments.apps", REPLICA_SETS = "replicasets.apps",
        ENDPOINT_SLICES = "endpointslices.discovery.k8s.io", INGRESSES = "ingresses.networking.k8s.io",
        INGRESS_CLASSES = "ingressclasses.networking.k8s.io", LEASES = "leases.coordination.k8s.io",
        HORIZONTAL_POD_AUTOSCALERS = "horizontalpodautoscalers.autoscaling", POD_DISRUPTION_BUDGETS = "poddisruptionbudgets.policy",
        RESOURCE_QUOTAS = "resourcequotas", CUSTOM_RESOURCE_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io",
    }
}

/// Names one object. `namespace` is empty for cluster-scoped resources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Which resource.
    pub resource: Resource,
    /// The namespace, or nothing.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// A key from its three parts.
    pub fn new(resource: Resource, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { resource, namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object of `resource`.
    pub fn of(resource: Resource, object: &Value) -> Self {
        Self::new(resource, namespace(object), name(object))
    }
}

fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// `metadata.name`
pub fn name(object: &Value) -> &str {
    meta(object, "name")
}

/// `metadata.namespace`, empty when there is none.
pub fn namespace(object: &Value) -> &str {
    meta(object, "namespace")
}

/// `metadata.uid`
pub fn uid(object: &Value) -> &str {
    meta(object, "uid")
}

/// `metadata.generation`, 0 when there is none.
pub fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or(0)
}

/// The value of a label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["labels"].get(key)?.as_str()
}

/// The value of an annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(key)?.as_str()
}

/// Is a deletion under way?
pub fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// The owner that controls this object: its kind, name and uid.
pub fn controller(object: &Value) -> Option<(&str, &str, &str)> {
    let owner = object["metadata"]["ownerReferences"].as_array()?.iter().find(|o| o["controller"] == true)?;
    Some((owner["kind"].as_str()?, owner["name"].as_str()?, owner["uid"].as_str()?))
}

/// A timestamp as `metav1.Time` writes it: whole seconds.
pub fn time(now: Now) -> Value {
    now.to_rfc3339_opts(SecondsFormat::Secs, true).into()
}

/// A timestamp as `metav1.MicroTime` writes it.
pub fn micro_time(now: Now) -> Value {
    now.to_rfc3339_opts(SecondsFormat::Micros, true).into()
}

/// Reads either form back.
pub fn parse_time(value: &Value) -> Option<Now> {
    DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|t| t.with_timezone(&Utc))
}

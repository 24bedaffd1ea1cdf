//! Manifests as the rules read them, with the API's defaults for what they leave out.

use serde_json::{Value, json};

/// A Deployment.
pub(super) struct Deployment<'a> {
    value: &'a Value,
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) replicas: u64,
}

/// What is about it, of the other objects.
pub(super) struct Surroundings<'a> {
    pub(super) services: Vec<&'a Value>,
    pub(super) autoscalers: Vec<&'a Value>,
    pub(super) budgets: Vec<&'a Value>,
}

/// How pods are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strategy {
    Recreate,
    Rolling { max_unavailable: u64 },
}

impl<'a> Deployment<'a> {
    pub(super) fn of(value: &'a Value) -> Option<Self> {
        if value["kind"] != "Deployment" {
            return None;
        }
        Some(Self {
            value,
            name: value["metadata"]["name"].as_str()?,
            namespace: namespace(value),
            replicas: value["spec"]["replicas"].as_u64().unwrap_or(1),
        })
    }

    pub(super) fn label(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(super) fn object(&self) -> String {
        format!("Deployment {}", self.label())
    }

    pub(super) fn spec(&self) -> &'a Value {
        &self.value["spec"]
    }

    pub(super) fn pod(&self) -> &'a Value {
        &self.spec()["template"]["spec"]
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.pod()["containers"].as_array().into_iter().flatten()
    }

    /// The container that serves: the first with ports, or else the first.
    pub(super) fn serving(&self) -> Option<&'a Value> {
        let has_ports = |c: &&Value| c["ports"].as_array().is_some_and(|p| !p.is_empty());
        self.containers().find(has_ports).or_else(|| self.containers().next())
    }

    pub(super) fn strategy(&self) -> Strategy {
        let strategy = &self.spec()["strategy"];
        if strategy["type"] == "Recreate" {
            return Strategy::Recreate;
        }
        Strategy::Rolling { max_unavailable: share(&strategy["rollingUpdate"]["maxUnavailable"], self.replicas, false) }
    }

    /// A patch of its spec.
    pub(super) fn patch(&self, spec: &Value) -> Value {
        let metadata = json!({"name": self.name, "namespace": self.namespace});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})
    }

    /// A patch of one container.
    pub(super) fn patch_container(&self, container: &Value, fields: Value) -> Value {
        let mut patched = json!({"name": name_of(container)});
        if let (Some(patched), Value::Object(fields)) = (patched.as_object_mut(), fields) {
            patched.extend(fields);
        }
        self.patch(&json!({"template": {"spec": {"containers": [patched]}}}))
    }

    /// Do these labels select its pods?
    fn is_selected(&self, selector: &Value) -> bool {
        let labels = &self.spec()["template"]["metadata"]["labels"];
        selector.as_object().is_some_and(|s| !s.is_empty() && s.iter().all(|(key, value)| labels[key] == *value))
    }
}

impl<'a> Surroundings<'a> {
    pub(super) fn of(deployment: &Deployment<'_>, objects: &'a [Value]) -> Self {
        let of_kind = |kind: &'static str| {
            let near = |o: &&Value| namespace(o) == deployment.namespace;
            objects.iter().filter(move |o| o["kind"] == kind).filter(near)
        };
        let scales = |o: &&Value| {
            let target = &o["spec"]["scaleTargetRef"];
            target["kind"] == "Deployment" && target["name"] == deployment.name
        };
        Self {
            services: of_kind("Service").filter(|o| deployment.is_selected(&o["spec"]["selector"])).collect(),
            autoscalers: of_kind("HorizontalPodAutoscaler").filter(scales).collect(),
            budgets: of_kind("PodDisruptionBudget")
                .filter(|o| deployment.is_selected(&o["spec"]["selector"]["matchLabels"]))
                .collect(),
        }
    }
}

pub(super) fn namespace(value: &Value) -> &str {
    value["metadata"]["namespace"].as_str().unwrap_or("default")
}

pub(super) fn name_of(value: &Value) -> &str {
    value["name"].as_str().unwrap_or_default()
}

/// `kind namespace/name`
pub(super) fn object(value: &Value) -> String {
    let kind = value["kind"].as_str().unwrap_or_default();
    format!("{kind} {}/{}", namespace(value), value["metadata"]["name"].as_str().unwrap_or_default())
}

/// A number, or a percentage of `whole`; 25 % when it is left out.
pub(super) fn share(value: &Value, whole: u64, up: bool) -> u64 {
    let percent = match value {
        Value::Number(n) => return n.as_u64().unwrap_or(0),
        Value::String(text) => match text.strip_suffix('%') {
            Some(percent) => percent.parse().unwrap_or(25),
            None => return text.parse().unwrap_or(0),
        },
        _ => 25,
    };
    let parts = whole.saturating_mul(percent);
    if up { parts.div_ceil(100) } else { parts / 100 }
}

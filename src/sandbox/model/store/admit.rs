//! What stands between a sound object and the store: its namespace, its pod's place in the order of things, its quota.

use serde_json::{Value, json};

use super::Store;
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::kinds::Kind;
use crate::sandbox::model::object::{Key, Resource, is_deleting, name, namespace, resource};
use crate::sandbox::model::quantity::Quantity;
use crate::sandbox::model::write::Read;

const PRIORITY_CLASSES: Resource = Resource::Borrowed("priorityclasses.scheduling.k8s.io");

impl Store {
    /// Admits a new object, or says why not.
    pub(super) fn admit(&self, kind: &Kind, object: &mut Value) -> Result<(), ApiError> {
        if kind.namespaced {
            self.admit_to_namespace(kind, object)?;
        }
        if kind.resource == resource::PODS {
            self.admit_pod(kind, object)?;
        }
        self.admit_to_quotas(kind, object)
    }

    fn admit_to_namespace(&self, kind: &Kind, object: &Value) -> Result<(), ApiError> {
        let wanted = namespace(object);
        match self.get(&Key::new(resource::NAMESPACES, "", wanted)) {
            Some(found) if is_deleting(&found) => {
                let why = format!("unable to create new content in namespace {wanted} because it is being terminated");
                let error = ApiError::forbidden(kind.about(), name(object), &why);
                let cause = json!({
                    "reason": "NamespaceTerminating", "message": format!("namespace {wanted} is being terminated"), "field": "metadata.namespace"
                });
                let mut details = error.details().cloned().unwrap_or_default();
                details["causes"] = json!([cause]);
                Err(ApiError::new(403, "Forbidden", error.message(), Some(details)))
            }
            None if self.config.namespaces => {
                Err(ApiError::not_found(crate::sandbox::model::error::About { group: "", kind: "namespaces" }, wanted))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What every pod is given beyond its defaults: account, priority, tolerations, the status of one that has not begun.
    fn admit_pod(&self, kind: &Kind, pod: &mut Value) -> Result<(), ApiError> {
        let refuse = |pod: &Value, why: String| Err(ApiError::forbidden(kind.about(), name(pod), &why));
        if !pod["spec"].is_object() {
            return Ok(());
        }
        let account = pod["spec"]["serviceAccountName"].as_str().filter(|a| !a.is_empty()).unwrap_or("default").to_owned();
        // The account `default` is on its way in every namespace; others have to be there.
        if account != "default"
            && self.config.namespaces
            && self.get(&Key::new(resource::SERVICE_ACCOUNTS, namespace(pod), &account)).is_none()
        {
            let why =
                format!("error looking up service account {}/{account}: serviceaccount {account:?} not found", namespace(pod));
            return refuse(pod, why);
        }
        let (mut priority, mut preemption) = (json!(0), json!("PreemptLowerPriority"));
        if let Some(class) = pod["spec"]["priorityClassName"].as_str().filter(|c| !c.is_empty()) {
            let Some(found) = self.get(&Key::new(PRIORITY_CLASSES, "", class)) else {
                return refuse(pod, format!("no PriorityClass with name {class} was found"));
            };
            priority = found["value"].clone();
            preemption = found.get("preemptionPolicy").cloned().unwrap_or(preemption);
        }
        let qos = quality_of_service(pod);
        let spec = &mut pod["spec"];
        spec["serviceAccountName"] = account.clone().into();
        spec["serviceAccount"] = account.into();
        spec["priority"] = priority;
        spec["preemptionPolicy"] = preemption;
        tolerate(spec);
        let status = &mut pod["status"];
        if !status.is_object() {
            *status = json!({});
        }
        for (field, value) in [("phase", "Pending"), ("qosClass", qos)] {
            if status[field].as_str().is_none_or(str::is_empty) {
                status[field] = value.into();
            }
        }
        Ok(())
    }

    /// Gives a Service its address, and keeps it.
    pub(super) fn address(&mut self, kind: &Kind, object: &mut Value, old: Option<&Value>, dry_run: bool) -> Result<(), ApiError> {
        if kind.resource != resource::SERVICES {
            return Ok(());
        }
        self.addresses.assign(&mut self.rng, object, old, dry_run).map_err(|(field, value, why)| {
            let mut causes = Causes::default();
            causes.invalid(&Path::Root.field("spec").field(field), value, &why);
            ApiError::invalid(kind.about_kind(), name(object), &causes)
        })
    }
}

/// Pods stay for five minutes on a node that is gone, unless they say otherwise.
fn tolerate(spec: &mut Value) {
    if !spec["tolerations"].is_array() {
        spec["tolerations"] = json!([]);
    }
    let Some(all) = spec["tolerations"].as_array_mut() else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let covers = |t: &Value| {
            let text = |field: &str| t[field].as_str().unwrap_or_default().to_owned();
            ["", key].contains(&text("key").as_str()) && ["", "NoExecute"].contains(&text("effect").as_str())
        };
        if !all.iter().any(covers) {
            all.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}

/// `Guaranteed` when all limits are set and requested, `BestEffort` when nothing is, else `Burstable`.
fn quality_of_service(pod: &Value) -> &'static str {
    let lists = ["containers", "initContainers"];
    let containers = || lists.iter().flat_map(|l| pod["spec"][*l].as_array().into_iter().flatten());
    let amount = |container: &Value, list: &str, name: &str| {
        container["resources"][list][name].as_str().and_then(|t| t.parse::<Quantity>().ok()).filter(|q| q.nanos() > 0)
    };
    let names = ["cpu", "memory"];
    let any = containers().any(|c| names.iter().any(|n| amount(c, "limits", n).is_some() || amount(c, "requests", n).is_some()));
    let all = containers().all(|c| {
        names.iter().all(|n| match (amount(c, "limits", n), amount(c, "requests", n)) {
            (Some(limit), Some(request)) => limit == request,
            (Some(_), None) => true,
            (None, _) => false,
        })
    });
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quality_of_service_follows_from_requests_and_limits() {
        let pod = |resources: Value| json!({"spec": {"containers": [{"resources": resources}]}});
        assert_eq!(quality_of_service(&pod(json!({}))), "BestEffort");
        assert_eq!(quality_of_service(&pod(json!({"requests": {"cpu": "1"}}))), "Burstable");
        let both = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(quality_of_service(&pod(json!({"limits": both, "requests": both}))), "Guaranteed");
        assert_eq!(quality_of_service(&pod(json!({"limits": both, "requests": {"cpu": "500m", "memory": "1Gi"}}))), "Burstable");
    }
}

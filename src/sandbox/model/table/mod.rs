//! Tables: what `kubectl get` prints, with the columns of the real API server.

mod custom;
mod path;
mod pods;
mod rows;
mod text;

use serde_json::{Value, json};

use super::kinds::Kind;
use super::object::{Now, Object};

/// How a built-in kind is printed: its columns, and the cells of one object. A star before a column's name keeps it for `-o wide`; a
/// letter after a colon makes it an integer, a boolean or a date instead of text.
type Printer = (&'static [&'static str], fn(&Value, Now) -> Vec<Value>);

fn printer(kind: &Kind) -> Printer {
    match kind.kind.as_str() {
        "Pod" => {
            (&["Name", "Ready", "Status", "Restarts", "Age", "*IP", "*Node", "*Nominated Node", "*Readiness Gates"], pods::cells)
        }
        "Deployment" => {
            (&["Name", "Ready", "Up-to-date", "Available", "Age", "*Containers", "*Images", "*Selector"], rows::deployment)
        }
        "ReplicaSet" => {
            (&["Name", "Desired:i", "Current:i", "Ready:i", "Age", "*Containers", "*Images", "*Selector"], rows::replica_set)
        }
        "Service" => (&["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "*Selector"], rows::service),
        "Ingress" => (&["Name", "Class", "Hosts", "Address", "Ports", "Age"], rows::ingress),
        "IngressClass" => (&["Name", "Controller", "Parameters", "Age"], rows::ingress_class),
        "Node" => (
            &[
                "Name",
                "Status",
                "Roles",
                "Age",
                "Version",
                "*Internal-IP",
                "*External-IP",
                "*OS-Image",
                "*Kernel-Version",
                "*Container-Runtime",
            ],
            rows::node,
        ),
        "Namespace" => (&["Name", "Status", "Age"], rows::namespace),
        "Secret" => (&["Name", "Type", "Data", "Age"], rows::secret),
        "ConfigMap" => (&["Name", "Data", "Age"], rows::config_map),
        "ServiceAccount" => (&["Name", "Secrets", "Age"], rows::service_account),
        "Event" => (
            &["Last Seen", "Type", "Reason", "Object", "*Subobject", "*Source", "Message", "*First Seen", "*Count", "*Name"],
            rows::event,
        ),
        "HorizontalPodAutoscaler" => (&["Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"], rows::autoscaler),
        "PodDisruptionBudget" => {
            (&["Name", "Min Available", "Max Unavailable", "Allowed Disruptions:i", "Age"], rows::disruption_budget)
        }
        "EndpointSlice" => (&["Name", "AddressType", "Ports", "Endpoints", "Age"], rows::endpoint_slice),
        "Lease" => (&["Name", "Holder", "Age"], rows::lease),
        "ResourceQuota" => (&["Name", "Request", "Limit", "Age"], rows::quota),
        "RoleBinding" | "ClusterRoleBinding" => (&["Name", "Role", "Age", "*Users", "*Groups", "*ServiceAccounts"], rows::binding),
        "NetworkPolicy" => (&["Name", "Pod-Selector", "Age"], rows::network_policy),
        "PriorityClass" => (&["Name", "Value:i", "Global-Default:b", "Age", "PreemptionPolicy"], rows::priority_class),
        "StorageClass" => {
            (&["Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age"], rows::storage_class)
        }
        _ => (&["Name", "Created At:d"], rows::created),
    }
}

/// The column definitions of a kind.
pub fn columns(kind: &Kind) -> Value {
    if let Some(own) = &kind.custom {
        return custom::columns(&own.columns);
    }
    let read = |column: &&str| {
        let (column, wide) = column.strip_prefix('*').map_or((*column, 0), |rest| (rest, 1));
        match column.split_once(':') {
            Some((name, "i")) => definition(name, "integer", "", wide),
            Some((name, "b")) => definition(name, "boolean", "", wide),
            Some((name, _)) => definition(name, "date", "", wide),
            None => definition(column, "string", "", wide),
        }
    };
    printer(kind).0.iter().map(read).collect()
}

fn definition(name: &str, of: &str, description: &str, priority: i32) -> Value {
    let format = if name == "Name" { "name" } else { "" };
    json!({"name": name, "type": of, "format": format, "description": description, "priority": priority})
}

/// The cells of one object, in its stored form.
pub fn cells(kind: &Kind, object: &Object, now: Now) -> Vec<Value> {
    match &kind.custom {
        Some(own) => custom::cells(&own.columns, object, now),
        None => printer(kind).1(object, now),
    }
}

/// Rows of pods that have ended say so, for clients that print them apart.
pub fn conditions(kind: &Kind, object: &Value) -> Option<Value> {
    let phase = (kind.kind == "Pod").then(|| object["status"]["phase"].as_str()).flatten()?;
    let reason = ["Succeeded", "Failed"].into_iter().find(|p| *p == phase)?;
    let message = if reason == "Succeeded" { "The pod has completed successfully." } else { "The pod failed." };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

#[cfg(test)]
mod tests;

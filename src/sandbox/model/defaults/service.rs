//! Defaults of Services and EndpointSlices.

use serde_json::{Value, json};

use super::{absent, empty, items, within};

/// Defaults of a Service; its address is the store's business.
pub fn service(service: &mut Value) {
    let Some(spec) = within(service, "spec") else { return };
    empty(spec, "sessionAffinity", "None");
    match spec["sessionAffinity"].as_str() {
        Some("None") => {
            spec.as_object_mut().and_then(|s| s.shift_remove("sessionAffinityConfig"));
        }
        Some("ClientIP") if spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].is_null() => {
            spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": 10_800}});
        }
        _ => {}
    }
    empty(spec, "type", "ClusterIP");
    for port in items(spec, "ports") {
        empty(port, "protocol", "TCP");
        let number = port["port"].clone();
        empty(port, "targetPort", number);
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    let external = spec["externalIPs"].as_array().is_some_and(|ips| !ips.is_empty());
    if kind == "NodePort" || kind == "LoadBalancer" || (kind == "ClusterIP" && external) {
        empty(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind != "ExternalName" {
        absent(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        absent(spec, "allocateLoadBalancerNodePorts", true);
    }
}

/// Defaults of an EndpointSlice.
pub fn endpoint_slice(slice: &mut Value) {
    for port in items(slice, "ports") {
        absent(port, "name", "");
        absent(port, "protocol", "TCP");
    }
}

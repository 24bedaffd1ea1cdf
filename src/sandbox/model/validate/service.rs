//! Services and EndpointSlices.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::{list, one_of, port_reference, text};
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::names;

/// A Service. Whether its address is in range and free is for the store to say.
pub fn service(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &new["spec"];
    let at = Path::Root.field("spec");
    let kind = text(spec, "type");
    let headless = text(spec, "clusterIP") == "None";
    let ports = list(spec, "ports");
    if ports.is_empty() && !headless && kind != "ExternalName" {
        causes.required(&at.field("ports"), "");
    }
    if headless && ["LoadBalancer", "NodePort"].contains(&kind) {
        causes.invalid(&at.field("clusterIPs").index(0), "None", &format!("may not be set to 'None' for {kind} services"));
    }
    if kind == "ExternalName" {
        if !list(spec, "clusterIPs").is_empty() {
            causes.forbidden(&at.field("clusterIPs"), "may not be set for ExternalName services");
        }
        match text(spec, "externalName").trim_end_matches('.') {
            "" => causes.required(&at.field("externalName"), ""),
            name => causes.all_invalid(&at.field("externalName"), &spec["externalName"], names::subdomain(name)),
        }
    }
    check_ports(spec, ports, kind, &at, causes);
    super::labels(&spec["selector"], &at.field("selector"), causes);
    one_of(spec, "sessionAffinity", &["ClientIP", "None"], &at, causes);
    let timeout = &spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"];
    if timeout.as_i64().is_some_and(|t| !(1..=86_400).contains(&t)) {
        let at = at.field("sessionAffinityConfig").field("clientIP").field("timeoutSeconds").to_string();
        causes.invalid(&Path::Root.field(&at), timeout.clone(), "must be greater than 0 and less than 86400");
    }
    one_of(spec, "type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], &at, causes);
    one_of(spec, "internalTrafficPolicy", &["Cluster", "Local"], &at, causes);
    one_of(spec, "externalTrafficPolicy", &["Cluster", "Local"], &at, causes);
    if let Some(old) = old.map(|o| &o["spec"])
        && kind != "ExternalName"
        && text(old, "type") != "ExternalName"
        && !["", text(old, "clusterIP")].contains(&text(spec, "clusterIP"))
    {
        causes.invalid(&at.field("clusterIPs").index(0), json!([spec["clusterIP"]]), "may not change once set");
    }
}

fn check_ports(spec: &Value, ports: &[Value], kind: &str, at: &Path<'_>, causes: &mut Causes) {
    let at_ports = at.field("ports");
    let (mut named, mut numbered) = (BTreeSet::new(), BTreeSet::new());
    for (i, port) in ports.iter().enumerate() {
        let at = at_ports.index(i);
        match text(port, "name") {
            "" if ports.len() > 1 => causes.required(&at.field("name"), ""),
            "" => {}
            name => {
                causes.all_invalid(&at.field("name"), &port["name"], names::label(name));
                if !named.insert(name) {
                    causes.duplicate(&at.field("name"), name);
                }
            }
        }
        let number = port["port"].as_i64().unwrap_or(0);
        causes.all_invalid(&at.field("port"), &number.into(), names::port_number(number));
        one_of(port, "protocol", &["SCTP", "TCP", "UDP"], &at, causes);
        port_reference(&port["targetPort"], &at.field("targetPort"), causes);
        if kind == "ClusterIP" && port["nodePort"].as_i64().is_some_and(|n| n != 0) {
            causes.forbidden(&at.field("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
        if !numbered.insert((text(port, "protocol"), number)) {
            causes.duplicate(&at, json!({"protocol": port["protocol"], "port": number}));
        }
    }
    for (i, ip) in list(spec, "externalIPs").iter().enumerate() {
        if ip.as_str().is_none_or(|t| t.parse::<IpAddr>().is_err()) {
            causes.invalid(
                &at.field("externalIPs").index(i),
                ip.clone(),
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            );
        }
    }
}

/// An EndpointSlice.
pub fn endpoint_slice(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let root = Path::Root;
    let kinds = ["FQDN", "IPv4", "IPv6"];
    match text(new, "addressType") {
        "" => causes.required(&root.field("addressType"), ""),
        kind if !kinds.contains(&kind) => causes.not_supported(&root.field("addressType"), kind, &kinds),
        _ => {}
    }
    let endpoints = list(new, "endpoints");
    if endpoints.len() > 1000 {
        causes.too_many(&root.field("endpoints"), endpoints.len(), 1000);
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let at = root.field("endpoints");
        let at = at.index(i);
        let at = at.field("addresses");
        let addresses = list(endpoint, "addresses");
        if addresses.is_empty() {
            causes.required(&at, "must contain at least 1 address");
        }
        if addresses.len() > 100 {
            causes.too_many(&at, addresses.len(), 100);
        }
        if text(new, "addressType") == "IPv4" {
            for (j, address) in
                addresses.iter().enumerate().filter(|(_, a)| a.as_str().is_none_or(|t| t.parse::<std::net::Ipv4Addr>().is_err()))
            {
                causes.invalid(&at.index(j), address.clone(), "must be a valid IPv4 address");
            }
        }
    }
    super::immutable(new, old, "addressType", &root, causes);
}

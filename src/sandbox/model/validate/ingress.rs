//! Ingresses and their classes.

use serde_json::Value;

use super::{list, text};
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::names;

const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];

/// An Ingress.
pub fn ingress(new: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &new["spec"];
    let at = Path::Root.field("spec");
    let rules = list(spec, "rules");
    if rules.is_empty() && spec["defaultBackend"].is_null() {
        causes.invalid(&at, spec["rules"].clone(), "either `defaultBackend` or `rules` must be specified");
    }
    if spec["defaultBackend"].is_object() {
        backend(&spec["defaultBackend"], &at.field("defaultBackend"), causes);
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = at.field("rules");
        let at = at.index(i);
        host(text(rule, "host"), &at.field("host"), causes);
        if rule["http"].is_object() {
            let at = at.field("http");
            let at = at.field("paths");
            let paths = list(&rule["http"], "paths");
            if paths.is_empty() {
                causes.required(&at, "");
            }
            paths.iter().enumerate().for_each(|(j, p)| path(p, &at.index(j), causes));
        }
    }
    for (i, tls) in list(spec, "tls").iter().enumerate() {
        let at = at.field("tls");
        let at = at.index(i);
        let hosts = at.field("hosts");
        for (j, name) in list(tls, "hosts").iter().enumerate() {
            let name = name.as_str().unwrap_or_default();
            let wrong = if name.contains('*') { names::wildcard(name) } else { names::subdomain(name) };
            causes.all_invalid(&hosts.index(j), &name.into(), wrong);
        }
        if !text(tls, "secretName").is_empty() {
            causes.all_invalid(&at.field("secretName"), &tls["secretName"], names::subdomain(text(tls, "secretName")));
        }
    }
    if let Some(class) = spec["ingressClassName"].as_str() {
        causes.all_invalid(&at.field("ingressClassName"), &class.into(), names::subdomain(class));
    }
}

fn host(host: &str, at: &Path<'_>, causes: &mut Causes) {
    if host.is_empty() {
        return;
    }
    if host.parse::<std::net::IpAddr>().is_ok() {
        causes.invalid(at, host, "must be a DNS name, not an IP address");
    }
    let wrong = if host.contains('*') { names::wildcard(host) } else { names::subdomain(host) };
    causes.all_invalid(at, &host.into(), wrong);
}

fn path(path: &Value, at: &Path<'_>, causes: &mut Causes) {
    let given = text(path, "path");
    let at_path = at.field("path");
    match path["pathType"].as_str() {
        None => {
            causes.required(&at.field("pathType"), "pathType must be specified");
            return;
        }
        Some("Exact" | "Prefix") => {
            if !given.starts_with('/') {
                causes.invalid(&at_path, given, "must be an absolute path");
            }
            for bad in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|bad| given.contains(**bad)) {
                causes.invalid(&at_path, given, &format!("must not contain '{bad}'"));
            }
            for bad in ["/..", "/."].iter().filter(|bad| given.ends_with(**bad)) {
                causes.invalid(&at_path, given, &format!("cannot end with '{bad}'"));
            }
        }
        Some("ImplementationSpecific") => {
            if !given.is_empty() && !given.starts_with('/') {
                causes.invalid(&at_path, given, "must be an absolute path");
            }
        }
        Some(other) => causes.not_supported(&at.field("pathType"), other, &PATH_TYPES),
    }
    backend(&path["backend"], &at.field("backend"), causes);
}

fn backend(backend: &Value, at: &Path<'_>, causes: &mut Causes) {
    match (backend["service"].is_object(), backend["resource"].is_object()) {
        (true, true) => causes.invalid(at, "", "cannot set both resource and service backends"),
        (false, false) => causes.invalid(at, "", "resource or service backend is required"),
        (false, true) => {
            for key in ["kind", "name"].into_iter().filter(|k| text(&backend["resource"], k).is_empty()) {
                causes.required(&at.field("resource").field(key), "");
            }
        }
        (true, false) => {
            let service = &backend["service"];
            let at_service = at.field("service");
            match text(service, "name") {
                "" => causes.required(&at_service.field("name"), ""),
                name => causes.all_invalid(&at_service.field("name"), &service["name"], names::service(name)),
            }
            let port = &service["port"];
            let at_port = at_service.field("port");
            match (text(port, "name"), port["number"].as_i64().unwrap_or(0)) {
                ("", 0) => causes.required(at, "port name or number is required"),
                ("", number) => causes.all_invalid(&at_port.field("number"), &number.into(), names::port_number(number)),
                (name, 0) => causes.all_invalid(&at_port.field("name"), &name.into(), names::port(name)),
                _ => causes.invalid(at, "", "cannot set both port name & port number"),
            }
        }
    }
}

/// An IngressClass.
pub fn class(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let at = Path::Root.field("spec");
    let controller = text(&new["spec"], "controller");
    let at_controller = at.field("controller");
    super::immutable(&new["spec"], old.map(|o| &o["spec"]), "controller", &at, causes);
    match controller.split_once('/') {
        _ if controller.is_empty() => causes.required(&at_controller, ""),
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
            causes.all_invalid(&at_controller, &domain.into(), names::subdomain(domain));
        }
        _ => causes.invalid(&at_controller, controller, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
}

//! Builds the routing table from Ingress, IngressClass, Service and EndpointSlice objects.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Backend, PathKind, Routes, Rule, Rules};
use crate::sandbox::model::endpoints::{Slices, is_tcp};
use crate::sandbox::model::object::{self, Key, Object, resource};
use crate::sandbox::model::write::{Read, Write};

/// The name of the sandbox's IngressClass.
pub const CLASS: &str = "verifier";

/// `spec.controller` of the IngressClasses that the sandbox's proxy serves.
pub const CONTROLLER: &str = "verifier.dev/sandbox-ingress";

const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

/// The routing table for the present objects.
pub fn build(read: &dyn Read) -> Routes {
    let mut table = Table { read, slices: Slices::read(read), known: BTreeMap::new(), routes: Routes::default() };
    for ingress in ours(read) {
        table.add(&ingress);
    }
    let mut routes = table.routes;
    for rules in routes.hosts.values_mut().chain(routes.wildcards.values_mut()).chain([&mut routes.any_host]) {
        sort(rules);
    }
    routes
}

/// The writes that make `status.loadBalancer` of every Ingress of ours say where the proxy listens.
pub fn publish(read: &dyn Read, listening: SocketAddr) -> Vec<Write> {
    let ports = json!([{"port": listening.port(), "protocol": "TCP"}]);
    let status = json!({"loadBalancer": {"ingress": [{"ip": listening.ip().to_string(), "ports": ports}]}});
    ours(read)
        .into_iter()
        .filter(|ingress| ingress["status"]["loadBalancer"] != status["loadBalancer"])
        .map(|ingress| Write::PatchStatus {
            key: Key::of(resource::INGRESSES, &ingress),
            if_version: None,
            patch: json!({"status": status}),
        })
        .collect()
}

/// The Ingresses whose class is ours, oldest first: that is how conflicting rules are settled.
fn ours(read: &dyn Read) -> Vec<Object> {
    let classes: Vec<Object> =
        read.list(&resource::INGRESS_CLASSES, None).into_iter().filter(|c| c["spec"]["controller"] == CONTROLLER).collect();
    let is_default = classes.iter().any(|c| object::annotation(c, DEFAULT_CLASS) == Some("true"));
    let mut ingresses: Vec<Object> = read
        .list(&resource::INGRESSES, None)
        .into_iter()
        .filter(|ingress| !object::is_deleting(ingress))
        .filter(|ingress| match ingress["spec"]["ingressClassName"].as_str().or_else(|| object::annotation(ingress, OLD_CLASS)) {
            Some(class) => classes.iter().any(|c| object::name(c) == class),
            None => is_default,
        })
        .collect();
    // Stable: those of one second stay ordered by namespace and name.
    ingresses.sort_by_key(|ingress| object::parse_time(&ingress["metadata"]["creationTimestamp"]));
    ingresses
}

/// The most specific rule first; equals stay in order of age.
fn sort(rules: &mut Rules) {
    rules.sort_by_key(|rule| (std::cmp::Reverse(rule.path.len()), rule.kind == PathKind::Prefix));
}

struct Table<'a> {
    read: &'a dyn Read,
    slices: Slices,
    /// Namespace, Service and port of each backend, and its place.
    known: BTreeMap<(String, String, String), usize>,
    routes: Routes,
}

impl Table<'_> {
    fn add(&mut self, ingress: &Value) {
        let namespace = object::namespace(ingress);
        let spec = &ingress["spec"];
        for rule in spec["rules"].as_array().into_iter().flatten() {
            let rules: Rules =
                rule["http"]["paths"].as_array().into_iter().flatten().filter_map(|path| self.rule(namespace, path)).collect();
            let host = rule["host"].as_str().unwrap_or_default().to_ascii_lowercase();
            let routes = &mut self.routes;
            let of_host = match host.strip_prefix("*.") {
                Some(parent) => routes.wildcards.entry(parent.to_owned()).or_default(),
                None if host.is_empty() => &mut routes.any_host,
                None => routes.hosts.entry(host).or_default(),
            };
            of_host.extend(rules);
        }
        if self.routes.default.is_none() {
            self.routes.default = self.backend(namespace, &spec["defaultBackend"]);
        }
    }

    fn rule(&mut self, namespace: &str, path: &Value) -> Option<Rule> {
        let backend = self.backend(namespace, &path["backend"])?;
        let written = path["path"].as_str().unwrap_or("/");
        Some(if path["pathType"] == "Exact" {
            Rule { kind: PathKind::Exact, path: written.to_owned(), backend }
        } else {
            Rule { kind: PathKind::Prefix, path: written.trim_end_matches('/').to_owned(), backend }
        })
    }

    /// A backend that names no Service (a `resource` backend) is no backend of ours.
    fn backend(&mut self, namespace: &str, backend: &Value) -> Option<usize> {
        let service = backend["service"]["name"].as_str()?;
        let port = &backend["service"]["port"];
        let wanted = port["name"].as_str().map_or_else(|| port["number"].to_string(), str::to_owned);
        let key = (namespace.to_owned(), service.to_owned(), wanted.clone());
        if let Some(&index) = self.known.get(&key) {
            return Some(index);
        }
        let endpoints = self
            .port_name(namespace, service, port)
            .map(|name| self.slices.of(namespace, service, &name).ready)
            .unwrap_or_default();
        let index = self.routes.backends.len();
        self.known.insert(key, index);
        self.routes.backends.push(Backend {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            port: wanted,
            endpoints,
        });
        Some(index)
    }

    /// EndpointSlices know the Service's ports by name; the Service tells the name for a number.
    fn port_name(&self, namespace: &str, service: &str, port: &Value) -> Option<String> {
        let service = self.read.get(&Key::new(resource::SERVICES, namespace, service))?;
        let ports = service["spec"]["ports"].as_array()?;
        let found = ports.iter().filter(|p| is_tcp(p)).find(|p| match port["name"].as_str() {
            Some(name) => p["name"] == name,
            None => p["port"] == port["number"],
        })?;
        Some(found["name"].as_str().unwrap_or_default().to_owned())
    }
}

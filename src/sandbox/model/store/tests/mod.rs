//! The store from outside: requests in, objects and refusals out.

mod custom;
mod deleting;
mod history;
mod namespaces;
mod trusted;
mod writing;

use serde_json::{Value, json};

use super::{Body, Done, Options, Store, StoreConfig, Sub, Target};
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::object::{Key, Now, Resource, parse_time};
use crate::sandbox::model::write::Read;

pub(super) struct Bench {
    pub(super) store: Store,
    pub(super) now: Now,
    pub(super) options: Options,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(&StoreConfig { namespaces: true, ..StoreConfig::default() })
    }

    pub(super) fn with(config: &StoreConfig) -> Self {
        let now = parse_time(&json!("2026-01-01T00:00:00Z")).unwrap();
        Self { store: Store::new(config, now), now, options: Options { manager: "test".into(), ..Options::default() } }
    }

    pub(super) fn target(&self, kind: &str, name: &str) -> Target {
        let mut parts = kind.splitn(3, '/');
        let (plural, group, version) = match (parts.next(), parts.next(), parts.next()) {
            (Some(plural), Some(group), Some(version)) => (plural, group, version),
            (Some(plural), Some(group), None) => (plural, group, "v1"),
            _ => (kind, "", "v1"),
        };
        let kind = self.store.registry().find(group, version, plural).unwrap_or_else(|| panic!("no kind {kind}")).clone();
        let namespace = if kind.namespaced { "default".into() } else { String::new() };
        Target { kind, namespace, name: name.into(), sub: Sub::Main }
    }

    pub(super) fn status_of(&self, kind: &str, name: &str) -> Target {
        Target { sub: Sub::Status, ..self.target(kind, name) }
    }

    pub(super) fn create(&mut self, kind: &str, object: Value) -> Result<Done, ApiError> {
        let target = self.target(kind, "");
        self.store.create(&target, Body::from(object), &self.options.clone(), self.now)
    }

    pub(super) fn replace(&mut self, kind: &str, object: Value) -> Result<Done, ApiError> {
        let target = self.target(kind, object["metadata"]["name"].as_str().unwrap());
        self.store.replace(&target, Body::from(object), &self.options.clone(), self.now)
    }

    pub(super) fn get(&self, resource: &Resource, name: &str) -> Option<Value> {
        let of_cluster = ["namespaces", "nodes"].contains(&resource.as_ref());
        let namespace = if of_cluster { "" } else { "default" };
        self.store.get(&Key::new(resource.clone(), namespace, name)).map(|o| Value::clone(&o))
    }

    pub(super) fn pass(&mut self, seconds: i64) {
        self.now += chrono::TimeDelta::seconds(seconds);
    }
}

pub(super) fn deployment(name: &str, replicas: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}}})
}

pub(super) fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
}

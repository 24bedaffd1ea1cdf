//! The object store: everything the API server decides, without its sockets.
//!
//! Every change gets the next version of one counter. Per resource the last changes are kept in a ring, from which watchers read and
//! from which a list at an earlier version is put together again.

mod admit;
mod create;
mod delete;
mod evict;
mod internal;
mod list;
mod names;
mod quota;
mod recorder;
mod request;
mod scale;
mod service;
mod shelf;
mod update;
mod view;
pub mod write;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use chrono::TimeDelta;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use self::recorder::Recorder;
use self::service::Addresses;
use self::shelf::Shelf;
use super::apply::managed::Managed;
use super::error::ApiError;
use super::kinds::{Kind, Registry, custom};
use super::object::{self, Key, Now, Object, Resource, resource};
use super::write::Read;

pub use self::list::{Event, ListQuery, Page, Selection, Version, event_of};
pub use self::request::{Body, DeleteOptions, Done, FieldValidation, Options, Propagation, Sub, Target};
pub use self::shelf::Change;

/// What a store is made with.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Of uids, generated names and addresses.
    pub seed: u64,
    /// Does a namespace have to exist before anything is created in it?
    pub namespaces: bool,
    /// The network from which Services get their addresses, and its prefix length.
    pub cluster_ips: (Ipv4Addr, u8),
    /// How many changes of each resource are kept.
    pub history: usize,
    /// How long they are kept.
    pub history_age: TimeDelta,
    /// Keep track of who set which field? Simulations may do without.
    pub managers: bool,
    /// How many Events are kept.
    pub events: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            namespaces: false,
            cluster_ips: (Ipv4Addr::new(127, 16, 96, 0), 20),
            history: 4096,
            history_age: TimeDelta::minutes(10),
            managers: true,
            events: 5000,
        }
    }
}

/// An object as it is stored: never changed in place, cheap to hand out. Who owns its fields is kept beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The object, without `metadata.managedFields`.
    pub object: Object,
    /// Who owns which field.
    pub managed: Arc<Managed>,
}

/// All objects, with a version that grows with every change.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    registry: Registry,
    shelves: BTreeMap<Resource, Shelf>,
    version: u64,
    rng: StdRng,
    addresses: Addresses,
    recorder: Recorder,
}

impl Default for Store {
    /// An empty store without namespaces, in which anything may be created anywhere.
    fn default() -> Self {
        Self::bare(StoreConfig::default())
    }
}

impl Store {
    /// A store with the namespaces and priority classes that every cluster has.
    pub fn new(config: &StoreConfig, now: Now) -> Self {
        let mut store = Self::bare(StoreConfig { namespaces: false, ..config.clone() });
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            store.seed(&resource::NAMESPACES, json!({"metadata": {"name": name}}), now);
            store.seed(&resource::SERVICE_ACCOUNTS, json!({"metadata": {"name": "default", "namespace": name}}), now);
        }
        for (name, value) in [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)] {
            let class = json!({"metadata": {"name": name}, "value": value, "description": "Used for system critical pods."});
            store.seed(&Resource::Borrowed("priorityclasses.scheduling.k8s.io"), class, now);
        }
        store.config.namespaces = config.namespaces;
        store
    }

    /// An empty store.
    pub fn bare(config: StoreConfig) -> Self {
        Self {
            registry: Registry::builtin(),
            shelves: BTreeMap::new(),
            version: 0,
            rng: StdRng::seed_from_u64(config.seed),
            addresses: Addresses::new(config.cluster_ips),
            recorder: Recorder::default(),
            config,
        }
    }

    fn seed(&mut self, resource: &Resource, object: Value, now: Now) {
        // What stands above is sound; there is nobody to tell if it were not.
        let _ = self.create_trusted(resource, object, now);
    }

    /// The version of the latest change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The kinds that are served now.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// An object as it is stored.
    pub fn stored(&self, key: &Key) -> Option<&Stored> {
        self.shelves.get(&key.resource)?.get(&key.namespace, &key.name)
    }

    fn existing(&self, kind: &Kind, key: &Key) -> Result<Stored, ApiError> {
        self.stored(key).cloned().ok_or_else(|| ApiError::not_found(kind.about(), &key.name))
    }

    /// Puts an object on its shelf, new or changed, and gives it the next version.
    fn put(&mut self, key: &Key, mut object: Value, managed: Managed, now: Now) -> Stored {
        self.version += 1;
        write::meta(&mut object).insert("resourceVersion".into(), self.version.to_string().into());
        write::order(&mut object);
        let stored = Stored { object: Arc::new(object), managed: Arc::new(managed) };
        let is_new = self.stored(key).is_none();
        let shelf = self.shelves.entry(key.resource.clone()).or_default();
        shelf.put(key, stored.clone(), self.version, now, &self.config);
        if key.resource == resource::CUSTOM_RESOURCE_DEFINITIONS {
            self.serve_definition(&stored.object);
        }
        if is_new && key.resource == resource::EVENTS {
            self.drop_old_events(key, now);
        }
        stored
    }

    /// Takes an object off its shelf, and what goes with it.
    fn drop_object(&mut self, key: &Key, now: Now) {
        self.version += 1;
        let gone = self.shelves.get_mut(&key.resource).and_then(|shelf| shelf.take(key, self.version, now, &self.config));
        let Some(gone) = gone else { return };
        if key.resource == resource::SERVICES {
            self.addresses.release(&gone.object);
        }
        if key.resource == resource::CUSTOM_RESOURCE_DEFINITIONS {
            self.withdraw_definition(&gone.object, now);
        }
        self.count_quotas(&key.namespace, &key.resource, now);
    }

    fn serve_definition(&mut self, definition: &Value) {
        self.registry.remove(&custom::resource(definition));
        if !object::is_deleting(definition) {
            for kind in custom::kinds(definition) {
                self.registry.add(Arc::new(kind));
            }
        }
    }

    /// With a definition go its kinds and all objects of them.
    fn withdraw_definition(&mut self, definition: &Value, now: Now) {
        let resource = custom::resource(definition);
        let objects = self.list(&resource, None);
        for object in objects {
            self.drop_object(&Key::of(resource.clone(), &object), now);
        }
        self.registry.remove(&resource);
    }

    /// The changes of a resource after a version, at most `limit`, oldest first. An error when some of them are no longer kept.
    pub fn changes(&self, resource: &Resource, after: u64, limit: usize) -> Result<Vec<Change>, ApiError> {
        self.shelves.get(resource).map_or(Ok(Vec::new()), |shelf| shelf.changes(after, limit))
    }
}

impl Read for Store {
    fn get(&self, key: &Key) -> Option<Object> {
        self.stored(key).map(|s| s.object.clone())
    }

    fn list(&self, resource: &Resource, namespace: Option<&str>) -> Vec<Object> {
        self.shelves.get(resource).into_iter().flat_map(|shelf| shelf.iter(namespace)).map(|s| s.object.clone()).collect()
    }
}

#[cfg(test)]
mod tests;

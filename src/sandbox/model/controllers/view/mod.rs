//! A typed, indexed picture of the store for the controllers. It is a cache and nothing more: the same objects give the same view.

pub mod meta;
pub mod pod;
pub mod table;
pub mod workload;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use self::meta::Meta;
use self::pod::Pod;
use self::table::{Plain, Table, Typed};
use self::workload::{Deployment, ReplicaSet};
use super::garbage::everything::Everything;
use crate::sandbox::model::object::{self, Object, resource};
use crate::sandbox::model::selector::LabelSelector;
use crate::sandbox::model::write::Read;

/// A part of the view that a controller may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Namespaces.
    Namespaces,
    /// Deployments.
    Deployments,
    /// ReplicaSets.
    ReplicaSets,
    /// Pods.
    Pods,
    /// Nodes.
    Nodes,
    /// Services.
    Services,
    /// EndpointSlices.
    Slices,
    /// PodDisruptionBudgets.
    Budgets,
    /// HorizontalPodAutoscalers.
    Autoscalers,
    /// Events.
    Events,
    /// The metadata of everything but events.
    Everything,
}

/// The objects.
#[derive(Debug)]
pub struct View {
    /// Namespaces.
    pub namespaces: Table<Plain>,
    /// Deployments.
    pub deployments: Table<Deployment>,
    /// ReplicaSets.
    pub replica_sets: Table<ReplicaSet>,
    /// Pods.
    pub pods: Table<Pod>,
    /// Nodes.
    pub nodes: Table<Plain>,
    /// Services.
    pub services: Table<Plain>,
    /// EndpointSlices.
    pub slices: Table<Plain>,
    /// PodDisruptionBudgets.
    pub budgets: Table<Plain>,
    /// HorizontalPodAutoscalers.
    pub autoscalers: Table<Plain>,
    /// Events.
    pub events: Table<Plain>,
    /// The metadata of everything but events.
    pub everything: Everything,
    sets_by_owner: HashMap<String, Vec<u32>>,
    pods_by_owner: HashMap<String, Vec<u32>>,
    pods_by_label: HashMap<u64, Vec<u32>>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            namespaces: Table::new(resource::NAMESPACES),
            deployments: Table::new(resource::DEPLOYMENTS),
            replica_sets: Table::new(resource::REPLICA_SETS),
            pods: Table::new(resource::PODS),
            nodes: Table::new(resource::NODES),
            services: Table::new(resource::SERVICES),
            slices: Table::new(resource::ENDPOINT_SLICES),
            budgets: Table::new(resource::POD_DISRUPTION_BUDGETS),
            autoscalers: Table::new(resource::HORIZONTAL_POD_AUTOSCALERS),
            events: Table::new(resource::EVENTS),
            everything: Everything::default(),
            sets_by_owner: HashMap::new(),
            pods_by_owner: HashMap::new(),
            pods_by_label: HashMap::new(),
        }
    }
}

impl View {
    /// Catches the given parts up with the store, whose version is given.
    pub fn update(&mut self, parts: &[Part], store: &dyn Read, version: u64) {
        for part in parts {
            match part {
                Part::Namespaces => {
                    self.namespaces.update(store, version);
                }
                Part::Deployments => {
                    self.deployments.update(store, version);
                }
                Part::Nodes => {
                    self.nodes.update(store, version);
                }
                Part::Services => {
                    self.services.update(store, version);
                }
                Part::Slices => {
                    self.slices.update(store, version);
                }
                Part::Budgets => {
                    self.budgets.update(store, version);
                }
                Part::Autoscalers => {
                    self.autoscalers.update(store, version);
                }
                Part::Events => {
                    self.events.update(store, version);
                }
                Part::Everything => self.everything.update(store, version),
                Part::ReplicaSets => {
                    if self.replica_sets.update(store, version) {
                        self.sets_by_owner = by_owner(&self.replica_sets, |s| &s.meta);
                    }
                }
                Part::Pods => {
                    if self.pods.update(store, version) {
                        self.pods_by_owner = by_owner(&self.pods, |p| &p.meta);
                        self.pods_by_label = by_label(&self.pods);
                    }
                }
            }
        }
    }

    /// A number that grows whenever one of the parts changes.
    pub fn serial(&self, parts: &[Part]) -> u64 {
        let serial = |part: &Part| match part {
            Part::Namespaces => self.namespaces.serial(),
            Part::Deployments => self.deployments.serial(),
            Part::ReplicaSets => self.replica_sets.serial(),
            Part::Pods => self.pods.serial(),
            Part::Nodes => self.nodes.serial(),
            Part::Services => self.services.serial(),
            Part::Slices => self.slices.serial(),
            Part::Budgets => self.budgets.serial(),
            Part::Autoscalers => self.autoscalers.serial(),
            Part::Events => self.events.serial(),
            Part::Everything => self.everything.serial(),
        };
        parts.iter().map(serial).sum()
    }

    /// The ReplicaSets whose controller has this uid; those without a controller for the empty uid.
    pub fn replica_sets_of(&self, uid: &str) -> impl Iterator<Item = &ReplicaSet> {
        self.sets_by_owner.get(uid).into_iter().flatten().filter_map(|i| self.replica_sets.at(*i))
    }

    /// The pods whose controller has this uid; those without a controller for the empty uid.
    pub fn pods_of(&self, uid: &str) -> impl Iterator<Item = &Pod> {
        self.pods_by_owner.get(uid).into_iter().flatten().filter_map(|i| self.pods.at(*i))
    }

    /// The pods of a namespace that a selector matches.
    pub fn pods_selected(&self, namespace: &str, selector: &LabelSelector) -> Vec<&Pod> {
        let matches = |pod: &&Pod| pod.namespace() == namespace && selector.matches(pod.labels());
        match selector.one_label() {
            Some((key, value)) => {
                let indexed = self.pods_by_label.get(&label_key(namespace, key, value));
                indexed.into_iter().flatten().filter_map(|i| self.pods.at(*i)).filter(matches).collect()
            }
            None => self.pods.within(namespace).iter().filter(matches).collect(),
        }
    }

    /// Is any namespace on its way out?
    pub fn any_closing(&self) -> bool {
        self.namespaces.all().iter().any(|n| object::is_deleting(&n.0))
    }

    /// Is the namespace on its way out, so that nothing can be created in it?
    pub fn is_closing(&self, namespace: &str) -> bool {
        self.namespaces.get("", namespace).is_some_and(|n| object::is_deleting(&n.0))
    }
}

fn by_owner<T: Typed>(table: &Table<T>, meta: impl Fn(&T) -> &Meta) -> HashMap<String, Vec<u32>> {
    let mut index: HashMap<String, Vec<u32>> = HashMap::new();
    for (item, i) in table.all().iter().zip(0..) {
        let uid = meta(item).owner.as_ref().map_or("", |o| &o.uid);
        match index.get_mut(uid) {
            Some(indices) => indices.push(i),
            None => drop(index.insert(uid.to_owned(), vec![i])),
        }
    }
    index
}

fn by_label(pods: &Table<Pod>) -> HashMap<u64, Vec<u32>> {
    let mut index: HashMap<u64, Vec<u32>> = HashMap::new();
    for (pod, i) in pods.all().iter().zip(0..) {
        for (key, value) in pod.labels().as_object().into_iter().flatten() {
            index.entry(label_key(pod.namespace(), key, value.as_str().unwrap_or_default())).or_default().push(i);
        }
    }
    index
}

fn label_key(namespace: &str, key: &str, value: &str) -> u64 {
    digest((namespace, key, value))
}

/// A digest for indexes and for noticing changes; it means nothing beyond this process.
pub fn digest(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A change to a status: what `new` lacks of `owned` is removed. `None` when nothing differs.
pub fn status_patch(object: &Object, owned: &[&str], mut new: serde_json::Map<String, Value>) -> Option<Value> {
    let old = &object["status"];
    for field in owned {
        if !new.contains_key(*field) && old.get(*field).is_some_and(|v| !v.is_null()) {
            new.insert((*field).to_owned(), Value::Null);
        }
    }
    new.retain(|field, value| old.get(field) != Some(&*value));
    (!new.is_empty()).then(|| serde_json::json!({"status": new}))
}

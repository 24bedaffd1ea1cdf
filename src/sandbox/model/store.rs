//! The object store.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::object::{self, Key, Now, Object, Resource, time};
use super::write::{Read, Write};

/// All objects, with a version that grows with every change.
#[derive(Debug, Default)]
pub struct Store {
    objects: BTreeMap<Key, Object>,
    version: u64,
    uids: u64,
}

impl Store {
    /// The version of the latest change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Applies one write. `false` when a precondition failed or the object was not there.
    pub fn apply(&mut self, write: Write, now: Now) -> bool {
        match write {
            Write::Create { resource, mut object } => {
                self.uids += 1;
                if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
                    let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default();
                    object["metadata"]["name"] = format!("{prefix}{:05}", self.uids).into();
                }
                object["metadata"]["uid"] = format!("00000000-0000-0000-0000-{:012}", self.uids).into();
                object["metadata"]["creationTimestamp"] = time(now);
                object["metadata"]["generation"] = 1.into();
                let key = Key::of(resource, &object);
                !self.objects.contains_key(&key) && self.put(key, object)
            }
            Write::Patch { key, patch, .. } | Write::PatchStatus { key, patch, .. } => {
                let Some(old) = self.objects.get(&key) else { return false };
                let mut new = Value::clone(old);
                json_patch::merge(&mut new, &patch);
                self.put(key, new)
            }
            Write::Delete { key, grace, .. } => {
                let Some(old) = self.objects.get(&key) else { return false };
                if key.resource == object::resource::PODS && grace != Some(0) {
                    let mut new = Value::clone(old);
                    let grace = grace.or(new["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30);
                    json_patch::merge(
                        &mut new,
                        &json!({"metadata": {"deletionTimestamp": time(now + chrono::TimeDelta::seconds(grace)), "deletionGracePeriodSeconds": grace}}),
                    );
                    return self.put(key, new);
                }
                self.version += 1;
                self.objects.remove(&key).is_some()
            }
            Write::Event { .. } => true,
        }
    }

    fn put(&mut self, key: Key, mut object: Value) -> bool {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(key, Arc::new(object));
        true
    }
}

impl Read for Store {
    fn get(&self, key: &Key) -> Option<Object> {
        self.objects.get(key).cloned()
    }

    fn list(&self, resource: &Resource, namespace: Option<&str>) -> Vec<Object> {
        self.objects
            .iter()
            .filter(|(k, _)| k.resource == *resource && namespace.is_none_or(|n| k.namespace == n))
            .map(|(_, o)| o.clone())
            .collect()
    }
}

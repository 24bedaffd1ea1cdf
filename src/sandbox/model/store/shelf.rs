//! The objects of one resource and their last changes.

use std::collections::{BTreeMap, VecDeque};

use super::{StoreConfig, Stored};
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::object::{Key, Now};

/// One change: what was there before and what is there after it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The version it made.
    pub version: u64,
    /// When.
    pub at: Now,
    /// The object before; none when it was created.
    pub old: Option<Stored>,
    /// The object after; none when it was deleted.
    pub new: Option<Stored>,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// By namespace, then by name.
    objects: BTreeMap<String, BTreeMap<String, Stored>>,
    ring: VecDeque<Change>,
    /// The version of the latest change that was dropped from the ring.
    compacted: u64,
}

impl Shelf {
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&Stored> {
        self.objects.get(namespace)?.get(name)
    }

    /// In one namespace or in all, by namespace and name.
    pub(super) fn iter(&self, namespace: Option<&str>) -> Box<dyn Iterator<Item = &Stored> + '_> {
        match namespace {
            Some(namespace) => Box::new(self.objects.get(namespace).into_iter().flat_map(BTreeMap::values)),
            None => Box::new(self.objects.values().flat_map(BTreeMap::values)),
        }
    }

    pub(super) fn put(&mut self, key: &Key, new: Stored, version: u64, at: Now, config: &StoreConfig) {
        let old = self.objects.entry(key.namespace.clone()).or_default().insert(key.name.clone(), new.clone());
        self.record(Change { version, at, old, new: Some(new) }, config);
    }

    pub(super) fn take(&mut self, key: &Key, version: u64, at: Now, config: &StoreConfig) -> Option<Stored> {
        let namespace = self.objects.get_mut(&key.namespace)?;
        let old = namespace.remove(&key.name)?;
        if namespace.is_empty() {
            self.objects.remove(&key.namespace);
        }
        self.record(Change { version, at, old: Some(old.clone()), new: None }, config);
        Some(old)
    }

    fn record(&mut self, change: Change, config: &StoreConfig) {
        let oldest = change.at - config.history_age;
        self.ring.push_back(change);
        // The newest change always stays: it is what watchers are woken for.
        while self.ring.len() > config.history.max(1) || (self.ring.len() > 1 && self.ring.front().is_some_and(|c| c.at < oldest)) {
            if let Some(gone) = self.ring.pop_front() {
                self.compacted = gone.version;
            }
        }
    }

    pub(super) fn changes(&self, after: u64, limit: usize) -> Result<Vec<Change>, ApiError> {
        if after < self.compacted {
            return Err(ApiError::expired(format!("too old resource version: {after} ({})", self.compacted)));
        }
        let start = self.ring.partition_point(|c| c.version <= after);
        Ok(self.ring.range(start..).take(limit).cloned().collect())
    }

    /// The objects as they were at a version, or nothing when that is too long ago.
    pub(super) fn at(&self, version: u64) -> Option<BTreeMap<(String, String), Stored>> {
        if version < self.compacted {
            return None;
        }
        let key = |s: &Stored| {
            let text = |field: &str| s.object["metadata"][field].as_str().unwrap_or_default().to_owned();
            (text("namespace"), text("name"))
        };
        let mut objects: BTreeMap<_, _> = self.iter(None).map(|s| (key(s), s.clone())).collect();
        for change in self.ring.iter().rev().take_while(|c| c.version > version) {
            match (&change.old, &change.new) {
                (Some(old), _) => objects.insert(key(old), old.clone()),
                (None, Some(new)) => objects.remove(&key(new)),
                (None, None) => None,
            };
        }
        Some(objects)
    }
}

//! A list of one resource, read into typed values; what did not change since the last look is not read again.

use std::sync::Arc;

use crate::sandbox::model::object::{self, Object, Resource};
use crate::sandbox::model::write::Read;

/// A typed reading of one object.
pub trait Typed {
    /// Reads the fields that are wanted often.
    fn read(object: Object) -> Self;
    /// Where they were read from.
    fn object(&self) -> &Object;
    /// Does a newer reading say anything that matters?
    fn differs(&self, _newer: &Self) -> bool {
        true
    }
}

/// An object with nothing read in advance.
#[derive(Debug)]
pub struct Plain(pub Object);

impl Typed for Plain {
    fn read(object: Object) -> Self {
        Self(object)
    }
    fn object(&self) -> &Object {
        &self.0
    }
}

/// All objects of a resource, ordered by namespace and name.
#[derive(Debug)]
pub struct Table<T> {
    resource: Resource,
    items: Vec<T>,
    seen: Option<u64>,
    serial: u64,
}

impl<T: Typed> Table<T> {
    /// An empty table of a resource.
    pub fn new(resource: Resource) -> Self {
        Self { resource, items: Vec::new(), seen: None, serial: 0 }
    }

    /// Catches up with the store, whose version is given. `true` when something changed.
    pub fn update(&mut self, store: &dyn Read, version: u64) -> bool {
        if self.seen.replace(version) == Some(version) {
            return false;
        }
        let listed = store.list(&self.resource, None);
        let same = |(old, new): (&T, &Object)| Arc::ptr_eq(old.object(), new);
        if listed.len() == self.items.len() && self.items.iter().zip(&listed).all(same) {
            return false;
        }
        let mut old = std::mem::replace(&mut self.items, Vec::with_capacity(listed.len())).into_iter().peekable();
        let mut differs = false;
        for object in listed {
            if let Some(same) = old.next_if(|o| Arc::ptr_eq(o.object(), &object)) {
                self.items.push(same);
                continue;
            }
            while old.next_if(|o| place(o.object()) < place(&object)).is_some() {
                differs = true;
            }
            let item = match old.next_if(|o| place(o.object()) == place(&object)) {
                Some(same) if Arc::ptr_eq(same.object(), &object) => same,
                older => {
                    let newer = T::read(object);
                    differs |= older.is_none_or(|older| older.differs(&newer));
                    newer
                }
            };
            self.items.push(item);
        }
        differs |= old.next().is_some();
        self.serial += u64::from(differs);
        true
    }

    /// How many times the table changed in a way that matters.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// All items.
    pub fn all(&self) -> &[T] {
        &self.items
    }

    /// The items of one namespace.
    pub fn within(&self, namespace: &str) -> &[T] {
        let start = self.items.partition_point(|i| object::namespace(i.object()) < namespace);
        let end = self.items.partition_point(|i| object::namespace(i.object()) <= namespace);
        self.items.get(start..end).unwrap_or_default()
    }

    /// One item.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&T> {
        let found = self.items.binary_search_by(|i| place(i.object()).cmp(&(namespace, name))).ok()?;
        self.items.get(found)
    }

    pub(super) fn at(&self, index: u32) -> Option<&T> {
        self.items.get(usize::try_from(index).ok()?)
    }
}

fn place(object: &Object) -> (&str, &str) {
    (object::namespace(object), object::name(object))
}

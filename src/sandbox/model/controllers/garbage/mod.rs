//! The garbage collector: what lost its owners goes, in the background, in the foreground or not at all, as the deletion asked for.

pub mod everything;
pub mod namespaces;
pub mod pods;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::{Value, json};

use self::everything::{Item, OwnerRef};
use super::owner::set_owners;
use super::view::View;
use super::view::meta::if_version;
use crate::sandbox::model::object::{self, Key, Resource};
use crate::sandbox::model::write::{Step, Write};

/// The owner stays until its dependents are gone.
const FOREGROUND: &str = "foregroundDeletion";
/// The dependents stay and lose their owner.
const ORPHAN: &str = "orphan";

/// Deletes, orphans and finalizes what is due.
pub fn step(view: &View) -> Step {
    let graph = Graph::of(view);
    let mut step = Step::default();
    for (resource, item) in view.everything.iter() {
        if item.deleting && item.has(ORPHAN) {
            graph.orphan_dependents(resource, item, &mut step);
        } else if item.deleting && item.has(FOREGROUND) {
            if !graph.dependents(item).any(|(_, dependent)| dependent.owners.iter().any(|o| o.blocking && o.uid == item.uid)) {
                step.writes.push(without_finalizer(resource, item, FOREGROUND));
            }
        } else if !item.deleting && !item.owners.is_empty() {
            graph.collect(resource, item, &mut step);
        }
    }
    step
}

impl Item {
    fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|f| f == finalizer)
    }
}

struct Graph<'a> {
    view: &'a View,
    by_uid: HashMap<&'a str, &'a Item>,
    dependents: HashMap<&'a str, Vec<(&'a Resource, &'a Item)>>,
}

/// What an owner reference leads to.
#[derive(PartialEq, Eq)]
enum Owner {
    /// An object that stays, or one whose kind is not known here and which may well exist.
    Solid,
    /// Nothing.
    Absent,
    /// An object that waits for its dependents to go.
    Waiting,
}

impl<'a> Graph<'a> {
    fn of(view: &'a View) -> Self {
        let mut graph = Self { view, by_uid: HashMap::new(), dependents: HashMap::new() };
        for (resource, item) in view.everything.iter() {
            graph.by_uid.insert(&item.uid, item);
            for owner in &item.owners {
                graph.dependents.entry(&owner.uid).or_default().push((resource, item));
            }
        }
        graph
    }

    fn dependents(&self, item: &Item) -> impl Iterator<Item = (&'a Resource, &'a Item)> {
        self.dependents.get(item.uid.as_str()).into_iter().flatten().copied()
    }

    fn classify(&self, item: &Item, owner: &OwnerRef) -> Owner {
        let found = self.by_uid.get(owner.uid.as_str()).filter(|o| {
            let namespace = object::namespace(&o.object);
            namespace.is_empty() || namespace == object::namespace(&item.object)
        });
        match found {
            Some(owner) if owner.deleting && owner.has(FOREGROUND) => Owner::Waiting,
            None if self.view.everything.serves(&owner.group, &owner.kind) => Owner::Absent,
            Some(_) | None => Owner::Solid,
        }
    }

    /// Deletes an object nobody owns any more, and takes references that lead nowhere from the others.
    fn collect(&self, resource: &Resource, item: &Item, step: &mut Step) {
        let classes: Vec<Owner> = item.owners.iter().map(|o| self.classify(item, o)).collect();
        if classes.contains(&Owner::Solid) {
            if classes.iter().any(|c| *c != Owner::Solid) {
                let owners = item.object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
                let solid = owners.zip(&classes).filter(|(_, c)| **c == Owner::Solid).map(|(o, _)| o.clone()).collect();
                step.writes.push(set_owners(resource.clone(), &item.object, solid));
            }
            return;
        }
        let key = Key::of(resource.clone(), &item.object);
        if classes.contains(&Owner::Waiting) && self.dependents(item).next().is_some() && !item.has(FOREGROUND) {
            // Its own dependents are to go first, too: what waits for it waits for them. The Delete below keeps the finalizer.
            let finalizers: Vec<&str> = item.finalizers.iter().map(String::as_str).chain([FOREGROUND]).collect();
            let patch = json!({"metadata": {"finalizers": finalizers}});
            step.writes.push(Write::Patch { key: key.clone(), if_version: if_version(&item.object), patch });
        }
        step.writes.push(Write::Delete { key, uid: Some(item.uid.clone()), grace: None });
    }

    /// Frees the dependents, and then the object itself.
    fn orphan_dependents(&self, resource: &Resource, item: &Item, step: &mut Step) {
        let mut any = false;
        for (kind, dependent) in self.dependents(item) {
            let owners = super::owner::without(&dependent.object, &item.uid);
            step.writes.push(set_owners(kind.clone(), &dependent.object, owners));
            any = true;
        }
        if !any {
            step.writes.push(without_finalizer(resource, item, ORPHAN));
        }
    }
}

fn without_finalizer(resource: &Resource, item: &Item, finalizer: &str) -> Write {
    let left: Vec<&String> = item.finalizers.iter().filter(|f| *f != finalizer).collect();
    let left = if left.is_empty() { Value::Null } else { json!(left) };
    Write::Patch {
        key: Key::of(resource.clone(), &item.object),
        if_version: if_version(&item.object),
        patch: json!({"metadata": {"finalizers": left}}),
    }
}

//! Spreading endpoints over slices so that as few slices as possible change.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::endpoint::Group;
use crate::sandbox::model::object::Object;

/// The most endpoints in one slice.
const MOST: usize = 100;

/// What a slice shall hold.
#[derive(Debug, PartialEq)]
pub(super) struct Content {
    pub(super) endpoints: Vec<Value>,
    pub(super) ports: Value,
}

/// What becomes of the slices of a Service.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan<'a> {
    /// These stay, with new content where it changes.
    pub(super) keep: Vec<(&'a Object, Option<Content>)>,
    pub(super) create: Vec<Content>,
    pub(super) delete: Vec<&'a Object>,
}

impl<'a> Plan<'a> {
    pub(super) fn make(slices: &[&'a Object], groups: Vec<Group>) -> Self {
        let mut plan = Self::default();
        let mut left: Vec<&'a Object> = slices.to_vec();
        for group in groups {
            let (same, others) = left.into_iter().partition(|s| s["ports"] == group.ports && s["addressType"] == "IPv4");
            left = others;
            plan.fill(same, group);
        }
        // Nobody listens on these ports any more.
        plan.delete.extend(left);
        if plan.keep.is_empty() && plan.create.is_empty() {
            // A Service always has a slice, if only an empty one.
            let is_empty = |s: &Object| size(s) == 0 && s["ports"].as_array().is_none_or(Vec::is_empty);
            match plan.delete.iter().position(|s| is_empty(s)) {
                Some(at) => plan.keep.push((plan.delete.remove(at), None)),
                None => plan.create.push(Content { endpoints: Vec::new(), ports: json!([]) }),
            }
        }
        // Rather than deleting one and creating another, the one is changed into the other.
        while !plan.delete.is_empty()
            && let Some(content) = plan.create.pop()
        {
            plan.keep.push((plan.delete.remove(0), Some(content)));
        }
        plan
    }

    /// Puts a group into the slices that have its ports.
    fn fill(&mut self, slices: Vec<&'a Object>, group: Group) {
        let order: Vec<String> = group.endpoints.iter().map(|(uid, _)| uid.clone()).collect();
        let mut wanted: HashMap<String, Value> = group.endpoints.into_iter().collect();
        let mut filled: Vec<Slot<'a>> = Vec::new();
        for slice in slices {
            let old = slice["endpoints"].as_array().map_or(&[][..], Vec::as_slice);
            let endpoints: Vec<Value> = old.iter().filter_map(|e| wanted.remove(e["targetRef"]["uid"].as_str()?)).collect();
            if endpoints.is_empty() {
                self.delete.push(slice);
            } else {
                let changed = endpoints != old;
                filled.push(Slot { slice, endpoints, changed });
            }
        }
        let mut new: Vec<Value> = order.iter().filter_map(|uid| wanted.remove(uid)).collect();
        // Slices that change anyway take what they can, the fullest first.
        filled.sort_by_key(|s| (!s.changed, Reverse(s.endpoints.len())));
        filled.iter_mut().filter(|s| s.changed).for_each(|s| s.take(&mut new));
        if !new.is_empty() {
            // Then one that has room for all the rest and is fullest; then new ones.
            let fits = |s: &&mut Slot<'_>| s.endpoints.len() + new.len() <= MOST;
            if let Some(slot) = filled.iter_mut().find(fits) {
                slot.take(&mut new);
            }
        }
        let chunks = new.chunks(MOST).map(|c| Content { endpoints: c.to_vec(), ports: group.ports.clone() });
        self.create.extend(chunks);
        let content = |s: Slot<'a>| (s.slice, s.changed.then(|| Content { endpoints: s.endpoints, ports: group.ports.clone() }));
        self.keep.extend(filled.into_iter().map(content));
    }
}

struct Slot<'a> {
    slice: &'a Object,
    endpoints: Vec<Value>,
    changed: bool,
}

impl Slot<'_> {
    fn take(&mut self, new: &mut Vec<Value>) {
        let room = MOST.saturating_sub(self.endpoints.len()).min(new.len());
        self.changed |= room > 0;
        self.endpoints.extend(new.drain(..room));
    }
}

fn size(slice: &Object) -> usize {
    slice["endpoints"].as_array().map_or(0, Vec::len)
}

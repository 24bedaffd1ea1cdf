//! Who asked for what, counted: enough to compare with the permissions that a role grants.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::api::Verb;

/// One kind of request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// What was done.
    pub verb: Verb,
    /// API group.
    pub group: String,
    /// Plural.
    pub resource: String,
    /// Subresource, or nothing.
    pub sub: String,
    /// The first word of the client's name.
    pub agent: String,
}

/// As many kinds of requests as are told apart.
const MOST: usize = 4096;

/// Counts of requests.
#[derive(Debug, Default)]
pub struct Audit {
    counts: Mutex<BTreeMap<Asked, u64>>,
}

impl Audit {
    /// Counts one request. When too many kinds were seen, new ones are not told apart any more.
    pub fn note(&self, asked: Asked) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = if counts.len() < MOST || counts.contains_key(&asked) {
            asked
        } else {
            Asked { group: String::new(), resource: "others".into(), sub: String::new(), agent: String::new(), ..asked }
        };
        *counts.entry(asked).or_default() += 1;
    }

    /// All counts so far.
    pub fn counts(&self) -> BTreeMap<Asked, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

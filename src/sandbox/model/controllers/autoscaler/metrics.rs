//! What pods use, as the metrics API would report it.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::sandbox::model::object::Now;

/// The use of one pod, all its containers together, over a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Thousandths of a core.
    pub cpu_millis: i64,
    /// Bytes.
    pub memory: i64,
    /// The end of the window.
    pub at: Now,
    /// Its length.
    pub window: TimeDelta,
}

/// The use of all pods, by namespace and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodMetrics {
    pods: BTreeMap<(String, String), Usage>,
}

impl PodMetrics {
    /// Records what a pod uses.
    pub fn insert(&mut self, namespace: impl Into<String>, pod: impl Into<String>, usage: Usage) {
        self.pods.insert((namespace.into(), pod.into()), usage);
    }

    /// What a pod uses, if that is known.
    pub fn get(&self, namespace: &str, pod: &str) -> Option<Usage> {
        self.pods.get(&(namespace.to_owned(), pod.to_owned())).copied()
    }
}

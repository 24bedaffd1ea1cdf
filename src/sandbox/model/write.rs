//! How controllers and the node touch the store: they read through [`Read`] and answer with [`Write`]s, so that each decision is a
//! pure function of what it read and the time.

use serde_json::Value;

use super::object::{Key, Now, Object, Resource};

/// What a controller may look at.
pub trait Read {
    /// One object.
    fn get(&self, key: &Key) -> Option<Object>;
    /// All objects of a resource, in one namespace or in all of them, ordered by namespace and name.
    fn list(&self, resource: &Resource, namespace: Option<&str>) -> Vec<Object>;
}

/// What a controller wants changed. The store applies writes in order; one that meets a conflict or a missing object is dropped, for
/// the next step sees the new state and decides again (level-triggered).
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Create an object; `metadata.name` or `metadata.generateName` must be set.
    Create {
        /// Where.
        resource: Resource,
        /// What.
        object: Value,
    },
    /// Apply an RFC 7396 merge patch to the object, if its resourceVersion still is `if_version` (where given).
    Patch {
        /// Which object.
        key: Key,
        /// Precondition.
        if_version: Option<String>,
        /// The merge patch.
        patch: Value,
    },
    /// The same for the `status` subresource. As in the API, annotations may come along, and do not make a new generation.
    PatchStatus {
        /// Which object.
        key: Key,
        /// Precondition.
        if_version: Option<String>,
        /// The merge patch; it holds `status` at its top, and perhaps `metadata.annotations`.
        patch: Value,
    },
    /// Delete with background propagation; `grace` overrides the pod's own grace period (0 removes at once). Finalizers that the
    /// object has are kept and waited for: the garbage collector sets them before it deletes in the foreground.
    Delete {
        /// Which object.
        key: Key,
        /// Precondition: this very object and not a later one of the same name.
        uid: Option<String>,
        /// Seconds, for pods.
        grace: Option<i64>,
    },
    /// Record a Kubernetes Event about an object (repeats are counted on the existing one).
    Event {
        /// The object it is about.
        about: Key,
        /// Normal or Warning.
        kind: EventType,
        /// CamelCase reason.
        reason: &'static str,
        /// For people.
        message: String,
        /// The reporting component: `deployment-controller`, `kubelet`.
        by: &'static str,
    },
}

/// `type` of a Kubernetes Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// `Normal`
    Normal,
    /// `Warning`
    Warning,
}

/// The answer of one controller step.
#[derive(Debug, Default)]
pub struct Step {
    /// What to change now.
    pub writes: Vec<Write>,
    /// When to look again even if nothing changes.
    pub wake: Option<Now>,
}

impl Step {
    /// Asks to be woken at `at`, or earlier if that was already asked for.
    pub fn wake_at(&mut self, at: Now) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }
}

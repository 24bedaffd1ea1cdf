//! Metrics: a fold over the events of all runs, told in Prometheus's text format. Label sets are bounded: Deployments that a policy asks for,
//! lanes of a policy, and closed sets of words.

pub mod catalogue;
mod exposition;
mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::store::Store;

/// Shared by all runs and who asks.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Mutex<Store>>);

impl Metrics {
    /// The store, for a moment: it is only counted in, and never waited for.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All metrics as text, at this minute and second since the service began.
    pub fn text(&self, now: crate::domain::time::At) -> Result<String, String> {
        let families = exposition::families(&self.store(), now);
        prometheus::TextEncoder::new().encode_to_string(&families).map_err(|e| e.to_string())
    }
}

//! What every part of the sandbox shares: the store, the time, and the news that something changed.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::watch;

use super::audit::Audit;
use super::logs::{LogQuery, PodLogs};
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::object::{Key, Now};
use crate::sandbox::model::store::{Store, StoreConfig};
use crate::sandbox::model::write::Write;

/// Shared by the API server, the controllers, the node and the proxies.
#[derive(Debug)]
pub struct World {
    store: Mutex<Store>,
    changed: watch::Sender<u64>,
    audit: Audit,
    logs: OnceLock<Arc<dyn PodLogs>>,
}

impl World {
    /// A world around an empty store.
    pub fn new(store: Store) -> Arc<Self> {
        let (changed, _) = watch::channel(store.version());
        Arc::new(Self { store: Mutex::new(store), changed, audit: Audit::default(), logs: OnceLock::new() })
    }

    /// A world with the namespaces and priority classes that every cluster has.
    #[expect(clippy::disallowed_methods, reason = "this is the sandbox's one clock")]
    pub fn started(config: &StoreConfig) -> Arc<Self> {
        Self::new(Store::new(config, chrono::Utc::now()))
    }

    /// The wall clock, the only one the sandbox has.
    #[expect(clippy::disallowed_methods, reason = "this is the sandbox's one clock")]
    pub fn now(&self) -> Now {
        chrono::Utc::now()
    }

    /// Looks at the store. Never blocks for long: nobody holds the lock across an await.
    pub fn read<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the store and tells everybody.
    pub fn change<T>(&self, edit: impl FnOnce(&mut Store, Now) -> T) -> T {
        let now = self.now();
        let (answer, version) = {
            let mut store = self.lock();
            (edit(&mut store, now), store.version())
        };
        self.changed.send_if_modified(|v| std::mem::replace(v, version) != version);
        answer
    }

    /// Applies the writes of one step, dropping those that are refused or whose moment has passed. Who wants to know calls
    /// [`Store::apply`] within [`World::change`].
    pub fn write(&self, writes: Vec<Write>) {
        if !writes.is_empty() {
            self.change(|store, now| {
                for write in writes {
                    if let Err(refusal) = store.apply(write, now) {
                        tracing::debug!(%refusal, "a write was dropped");
                    }
                }
            });
        }
    }

    /// Sees the latest version; wakes whenever it grows.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Who asked the API server for what.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Says where the output of containers is to be had. The first one to say so is believed.
    pub fn provide_logs(&self, logs: Arc<dyn PodLogs>) {
        if self.logs.set(logs).is_err() {
            tracing::warn!("there is a source of container output already");
        }
    }

    /// The output of a container; an error while nobody provides any.
    pub fn pod_logs(&self, pod: &Key, query: &LogQuery) -> Result<BoxStream<'static, Bytes>, ApiError> {
        self.logs.get().map_or_else(|| Err(ApiError::no_such_resource()), |logs| logs.logs(pod, query))
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

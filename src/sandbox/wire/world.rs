//! What every part of the sandbox shares: the store, the time, and the news that something changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::sandbox::model::object::Now;
use crate::sandbox::model::store::Store;
use crate::sandbox::model::write::Write;

/// Shared by the API server, the controllers, the node and the proxies.
#[derive(Debug)]
pub struct World {
    store: Mutex<Store>,
    changed: watch::Sender<u64>,
}

impl World {
    /// A world around an empty store.
    pub fn new(store: Store) -> Arc<Self> {
        let (changed, _) = watch::channel(store.version());
        Arc::new(Self { store: Mutex::new(store), changed })
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

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What all connections share: the configuration, the time, the dice, the list and the news that the end has come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::behaviour::Fate;
use super::config::Config;
use super::law::Law;
use super::todos::Todos;

/// The running workload.
#[derive(Debug)]
pub(super) struct App {
    /// How it behaves.
    pub(super) config: Config,
    opened: Instant,
    draining: watch::Sender<bool>,
    rng: Mutex<StdRng>,
    todos: Mutex<Todos>,
    slots: Option<Arc<Semaphore>>,
    served: AtomicU64,
}

/// The workload's one clock.
#[expect(clippy::disallowed_methods, reason = "the workload imports nothing of the rest, so it has a clock of its own")]
pub(super) fn now() -> Instant {
    Instant::now()
}

impl App {
    /// The port opens now.
    pub(super) fn open(config: Config) -> Arc<Self> {
        let rng = StdRng::seed_from_u64(config.seed ^ fnv(config.pod.as_bytes()));
        let slots = config.max_concurrency.map(|n| Arc::new(Semaphore::new(n)));
        Arc::new(Self {
            opened: now(),
            draining: watch::Sender::new(false),
            rng: Mutex::new(rng),
            todos: Mutex::new(Todos::new()),
            slots,
            served: AtomicU64::new(0),
            config,
        })
    }

    /// The time since the port opened.
    pub(super) fn up(&self) -> Duration {
        now().saturating_duration_since(self.opened)
    }

    /// What happens to the request that came just now.
    pub(super) fn fate(&self) -> Fate {
        let draw = self.rng().random();
        self.config.fate(self.up(), draw)
    }

    /// Draws from a law.
    pub(super) fn draw(&self, law: &Law) -> Duration {
        law.draw(&mut *self.rng())
    }

    /// Waits for one of the `MAX_CONCURRENCY` places.
    pub(super) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed, so the error cannot come.
        Arc::clone(self.slots.as_ref()?).acquire_owned().await.ok()
    }

    /// The list.
    pub(super) fn todos(&self) -> MutexGuard<'_, Todos> {
        self.todos.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the drain.
    pub(super) fn begin_drain(&self) {
        self.draining.send_replace(true);
    }

    /// Has the drain begun?
    pub(super) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Hears of the drain.
    pub(super) fn watch_drain(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Counts one answer.
    pub(super) fn count(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers so far.
    pub(super) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    fn rng(&self) -> MutexGuard<'_, StdRng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// FNV-1a, so that pods of one seed differ, and in the same way each time.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

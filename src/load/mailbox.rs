//! What a worker is told from outside. Only the latest word on each thing counts, so nothing piles up.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use tokio::sync::oneshot;

use super::once::Witnessed;
use super::plan::{Endpoint, LaneSpec};
use super::reactor::Bell;
use crate::domain::time::At;
use crate::domain::traffic::PodTarget;

/// Where a lane connects to, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The name is being resolved for the first time.
    Unknown,
    /// These addresses, in turn; never none.
    At(Arc<[SocketAddr]>),
    /// The name did not resolve.
    Unresolved(Arc<str>),
    /// These pods, in turn; none when there are none.
    Pods(Arc<[PodTarget]>),
}

impl Target {
    /// What is known of an endpoint from the start.
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::Address(address) => Self::At([*address].into()),
            Endpoint::Name { .. } => Self::Unknown,
            Endpoint::Pods => Self::Pods([].into()),
        }
    }
}

/// One request, and who is told how it ended.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) spec: Arc<LaneSpec>,
    pub(crate) witness: oneshot::Sender<Witnessed>,
}

/// What is to become of the place of an errand.
#[derive(Debug)]
pub(crate) enum Word {
    /// This one is to be done there.
    Go(Errand),
    /// Nobody waits any more for the one that is there.
    ComeBack,
}

/// What a worker is to do, by lane of the plan or by the errand's place.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// A new rate, and when it was asked for.
    pub(crate) rates: Vec<Option<(At, f64)>>,
    pub(crate) targets: Vec<Option<Target>>,
    pub(crate) errands: Vec<Option<Word>>,
    /// Begin no more slots, and end when the last one has.
    pub(crate) stop: bool,
    /// End now.
    pub(crate) abort: bool,
}

/// A worker's mailbox.
#[derive(Debug)]
pub(crate) struct Mailbox {
    orders: Mutex<Orders>,
    bell: Bell,
    /// The worker is gone: nothing is done any more.
    closed: AtomicBool,
}

impl Mailbox {
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self { orders: Mutex::default(), bell: Bell::new()?, closed: AtomicBool::new(false) })
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Lane `lane` is to send `rate` slots a second as of `at`.
    pub(crate) fn set_rate(&self, lane: usize, at: At, rate: f64) {
        self.post(|orders| set(&mut orders.rates, lane, (at, rate)));
    }

    /// Lane `lane` is to connect to `target`.
    pub(crate) fn set_target(&self, lane: usize, target: Target) {
        self.post(|orders| set(&mut orders.targets, lane, target));
    }

    /// What is to become of the place of an errand.
    pub(crate) fn set_errand(&self, place: usize, word: Word) {
        self.post(|orders| {
            // Where the one before was to go.
            if let Some(target) = orders.targets.get_mut(place) {
                *target = None;
            }
            set(&mut orders.errands, place, word);
        });
    }

    pub(crate) fn stop(&self) {
        self.post(|orders| orders.stop = true);
    }

    pub(crate) fn abort(&self) {
        self.post(|orders| orders.abort = true);
    }

    /// Everything posted since the last call.
    pub(crate) fn take(&self) -> Orders {
        std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The worker is gone, and does nothing any more that it was told: whoever waits for it learns of that.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        drop(self.take());
    }

    fn post(&self, write: impl FnOnce(&mut Orders)) {
        write(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        if self.closed.load(Ordering::SeqCst) {
            drop(self.take());
        }
        self.bell.ring();
    }
}

fn set<T>(list: &mut Vec<Option<T>>, index: usize, value: T) {
    if list.len() <= index {
        list.resize_with(index + 1, || None);
    }
    list[index] = Some(value);
}

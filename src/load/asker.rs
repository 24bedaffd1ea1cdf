//! Single requests, from one thread for all of them: each a lane of one slot in a worker, so the very code that sends a fresh lane's slots.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use hdrhistogram::Histogram;
use rustix::io::Errno;
use tokio::sync::oneshot;

use super::fold::LATENCY_MAX;
use super::mailbox::{Errand, Mailbox, Word};
use super::once::{OnceReport, report};
use super::plan::{Endpoint, LaneError, LaneSpec};
use super::resolve::look_up;
use super::wires::Wires;
use super::worker::{Duty, Worker};
use super::{JoinError, StartError};
use crate::clock::Clock;
use crate::domain::time::micros;
use crate::domain::traffic::{LanePlan, Mode, Schedule};

/// The response headers that a report keeps, besides those that name the pod and its version.
const KEPT: [&str; 10] = [
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "location",
    "retry-after",
    "server",
    "transfer-encoding",
    "via",
];

/// Slots a second of a schedule that has one slot: the next would be due after any timeout.
const RATE: f64 = 1e-6;

/// One request, checked and prepared; to be sent as often as it is asked.
#[derive(Clone, Debug)]
pub struct Question(Arc<LaneSpec>);

impl Question {
    /// The request of `plan` on a fresh connection, whatever its mode and rate say.
    pub fn new(plan: &LanePlan, run_id: &str) -> Result<Self, LaneError> {
        let once = LanePlan { mode: Mode::Fresh, rate: RATE, schedule: Schedule::default(), max_in_flight: 1, ..plan.clone() };
        let spec = LaneSpec::new(&once, run_id).map_err(|why| LaneError { lane: plan.name.clone(), why })?;
        let own = plan.expect.pod_headers.iter().chain(&plan.expect.version_headers);
        let kept_headers = KEPT.iter().map(|name| (*name).to_owned()).chain(own.cloned()).collect();
        Ok(Self(Arc::new(LaneSpec { kept_headers, ..spec })))
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// The request cannot be sent.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// The machine gave too little.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The worker failed.
    #[error(transparent)]
    Join(#[from] JoinError),
}

/// See the top of the file. Dropping it ends its thread.
#[derive(Debug)]
pub struct Asker {
    clock: Clock,
    mailbox: Arc<Mailbox>,
    places: Mutex<Places>,
    thread: Option<JoinHandle<Result<(), Errno>>>,
}

/// Where errands are at work: a place is taken by one at a time.
#[derive(Debug, Default)]
struct Places {
    free: Vec<usize>,
    made: usize,
}

impl Asker {
    /// Starts the thread.
    pub fn start(clock: Clock) -> Result<Self, StartError> {
        let mailbox = Arc::new(Mailbox::new().map_err(StartError::Descriptors)?);
        let wires = Wires::new(clock, mailbox.bell()).map_err(StartError::Descriptors)?;
        // Nobody reads it: it is as small as can be.
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX, 0).map_err(StartError::Histogram)?;
        let worker = Worker::new(0, Vec::new(), wires, mailbox.clone(), Duty::Errands(latency));
        let closing = Closing(mailbox.clone());
        let thread = std::thread::Builder::new().name("load-asker".into()).spawn(move || {
            let _closing = closing;
            worker.run()
        });
        let thread = Some(thread.map_err(StartError::Thread)?);
        Ok(Self { clock, mailbox, places: Mutex::default(), thread })
    }

    /// Ends the thread before its time.
    #[cfg(test)]
    pub(super) fn end(&self) {
        self.mailbox.abort();
    }

    /// Sends a request once, now. Answers when its outcome is known, at the latest when its timeout has passed. Dropping the future ends it.
    pub async fn ask(&self, Question(spec): &Question) -> Result<OnceReport, JoinError> {
        let mut place = Place::take(self);
        let number = place.number;
        let (witness, witnessed) = oneshot::channel();
        let from = self.clock.now();
        self.mailbox.set_errand(number, Word::Go(Errand { spec: spec.clone(), witness }));
        let mut resolved = None;
        let resolving = async {
            if let Endpoint::Name { host, port } = &spec.endpoint {
                let target = look_up(host, *port).await;
                resolved = Some(self.clock.now());
                self.mailbox.set_target(number, target);
            }
            std::future::pending::<Infallible>().await
        };
        let seen = tokio::select! {
            seen = witnessed => seen.map_err(|_| JoinError::Thread)?,
            never = resolving => match never {},
        };
        place.over = true;
        Ok(report(seen, resolved.map(|at| micros(at.since(from)))))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.mailbox.abort();
        // A matter of microseconds. Whoever asked was told if it had failed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Closes the mailbox when the worker ends, in whatever way: who asks then is told, and does not wait for ever.
struct Closing(Arc<Mailbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A place that is taken, until it is dropped.
struct Place<'a> {
    asker: &'a Asker,
    number: usize,
    /// The worker has nothing there any more.
    over: bool,
}

impl<'a> Place<'a> {
    fn take(asker: &'a Asker) -> Self {
        let mut places = asker.places.lock().unwrap_or_else(PoisonError::into_inner);
        let number = places.free.pop().unwrap_or_else(|| {
            places.made += 1;
            places.made - 1
        });
        Self { asker, number, over: false }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.asker.mailbox.set_errand(self.number, Word::ComeBack);
        }
        self.asker.places.lock().unwrap_or_else(PoisonError::into_inner).free.push(self.number);
    }
}

/// Sends the request of `plan` once, as [`Asker::ask`] does, from a thread of its own.
pub async fn once(plan: &LanePlan, run_id: &str, clock: Clock) -> Result<OnceReport, OnceError> {
    let question = Question::new(plan, run_id)?;
    Ok(Asker::start(clock)?.ask(&question).await?)
}

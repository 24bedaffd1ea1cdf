//! The load driver: the instrument that everything else trusts.
//!
//! Open loop. Slots are due by arithmetic (`domain::pacing`), whatever the target does; latency runs from the intended start; each slot
//! ends in exactly one outcome; connections are owned, never pooled behind our back, and nothing is retried.
//!
//! - A *worker* is a thread with an epoll loop of its own (`worker`): no runtime shared with the rest, so that a busy report delays no
//!   slot. Its lanes (`lane`) find connections (`conn`) for slots (`slots`); answers are read by own decoders (`http1`, `http2`) through
//!   one buffer per worker. With several workers the slots of each lane are dealt out in turn.
//! - The *control* thread (`control`) merges what the workers fold (`fold`, `merge`) into events, and keeps names resolved.
//! - What the verifier itself failed to do or to see has outcomes and deadlines of its own (`attention`): a starved driver makes a
//!   result inconclusive, never a breach.
//! - Beside them runs a *control lane* to an `echo` of our own: a sick prober or machine shows there, and makes its seconds doubtful.
//! - Single requests (`asker`) are lanes of one slot in a worker of their own, so that the very code sends them that sends a fresh lane's.
//! - Between a connection and its socket lies a `transport`: nothing, or TLS (`tls`) driven by the same loop.
//!
//! Names that resolve anew and pods that come and go reach the workers the same way (`mailbox`). `bench` is the driver as a tool of its own.
//! Redirects are not followed, bodies not decompressed: an answer is judged as it came.

mod answer;
mod asker;
mod attention;
pub mod bench;
mod classify;
mod conn;
mod control;
mod echo;
mod expect;
mod fold;
mod http1;
mod http2;
#[doc(hidden)]
pub mod lab;
mod lane;
mod machine;
mod mailbox;
mod merge;
mod names;
mod once;
mod order;
mod plan;
mod pool;
mod reactor;
mod request;
mod resolve;
mod slab;
mod slots;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod wires;
mod worker;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use rustix::io::Errno;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use self::asker::{Asker, OnceError, Question, once};
pub use self::expect::AssertionError;
pub(crate) use self::machine::raise_descriptor_limit;
pub use self::once::{OncePhases, OnceReport, Protocol};
pub use self::plan::{LaneError, RATE_CEILING, Unfit, check};
pub use self::tls::{TlsError, TlsFacts};
use self::{
    control::{Control, Followed},
    echo::Echo,
    lane::{Lane, Schedule, Stride},
    mailbox::{Mailbox, Target},
    merge::Merger,
    plan::{Endpoint, LaneSpec, Share},
    wires::Wires,
    worker::{Duty, Worker},
};
use crate::clock::Clock;
use crate::domain::outcome::Counts;
use crate::domain::slice::LoadEvent;
use crate::domain::traffic::{Name, PodTarget, TrafficPlan};

/// Workers at most.
const WORKERS_MAX: usize = 64;
/// A lane whose start has passed begins after this: time for the threads to come up.
const LEAD: Duration = Duration::from_millis(5);
/// Pods that one lane asks; more are not asked.
const PODS_MAX: usize = 1_000;
/// Reports under way from all workers; beyond it tenths are added together.
const REPORTS: usize = 64;

/// Why a driver did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// None, or too many.
    #[error("a plan has 1 to {max} lanes, this one has {given}")]
    Lanes {
        /// How many it has.
        given: usize,
        /// How many it may have.
        max: usize,
    },
    /// A lane that cannot be sent.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// Too much for one process.
    #[error("{asked} slots a second are asked for; with what this process sends already that is more than {RATE_CEILING}")]
    Ceiling {
        /// Slots a second of this plan.
        asked: f64,
    },
    /// No worker, or too many.
    #[error("1 to {WORKERS_MAX} workers are possible, not {0}")]
    Workers(usize),
    /// No histogram could be made.
    #[error("no histogram: {0}")]
    Histogram(CreationError),
    /// The system gave no poll, timer or event descriptor.
    #[error("cannot set up a worker")]
    Descriptors(#[source] Errno),
    /// The system gave nothing to listen on.
    #[error("cannot start the verifier's own echo")]
    Echo(#[source] io::Error),
    /// The system gave no thread.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// Why a rate was not changed.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RateError {
    /// No such lane.
    #[error("there is no lane `{0}`")]
    Unknown(Name),
    /// No schedule can be made of it.
    #[error("a rate of {0} slots a second is no rate")]
    Rate(f64),
    /// Too much for one process.
    #[error("with {0} slots a second this process would send more than {RATE_CEILING}")]
    Ceiling(f64),
}

/// Why a driver came to no orderly end.
#[derive(Debug, Error)]
pub enum JoinError {
    /// A worker could wait for its sockets no longer.
    #[error("a worker failed")]
    Worker(#[source] Errno),
    /// A thread of the driver is gone.
    #[error("a thread of the driver ended before its time")]
    Thread,
}

/// What came of a driver, in all.
#[derive(Clone, Debug)]
pub struct Summary {
    /// In the order of the plan.
    pub lanes: Vec<LaneSummary>,
    /// Events that nobody took.
    pub undelivered: u64,
}

/// What came of one lane, in all.
#[derive(Clone, Debug)]
pub struct LaneSummary {
    /// The lane.
    pub name: Name,
    /// Its schedule followed the answers: see [`Schedule::is_closed`](crate::domain::traffic::Schedule::is_closed).
    pub closed: bool,
    /// Slots that became due: as many as `counts` has in total.
    pub planned: u64,
    /// How they ended.
    pub counts: Counts,
    /// Latencies of good answers from the intended start, in microseconds; on a closed lane from when the user could ask.
    pub latency: Histogram<u64>,
}

/// A running driver. Dropping it ends its threads at once; what is in flight then has no outcome.
#[derive(Debug)]
pub struct Driver {
    clock: Clock,
    /// Outlives the threads that ask it.
    _echo: Echo,
    lanes: Vec<(Name, f64)>,
    share: Share,
    mailboxes: Vec<Arc<Mailbox>>,
    workers: Vec<JoinHandle<Result<(), Errno>>>,
    control: Option<JoinHandle<()>>,
    summary: Option<oneshot::Receiver<Summary>>,
    stopping: CancellationToken,
    abort: CancellationToken,
}

impl Driver {
    /// Starts sending `plan` from one worker.
    pub fn start(plan: &TrafficPlan, clock: Clock, events: mpsc::Sender<LoadEvent>) -> Result<Self, StartError> {
        Self::start_with(plan, clock, 1, events)
    }

    /// Starts sending `plan` from `workers` threads, and one more that tells `events`; raises this process's soft limit of descriptors. The reader of `events` may be slow: then slices
    /// come late and, after a few seconds, added together. When it is gone, sending stops.
    pub fn start_with(
        plan: &TrafficPlan,
        clock: Clock,
        workers: usize,
        events: mpsc::Sender<LoadEvent>,
    ) -> Result<Self, StartError> {
        if !(1..=WORKERS_MAX).contains(&workers) {
            return Err(StartError::Workers(workers));
        }
        raise_descriptor_limit();
        let mut specs: Vec<Arc<LaneSpec>> = plan::lanes(plan)?.into_iter().map(Arc::new).collect();
        let asked = specs.iter().map(|spec| spec.peak()).sum();
        let lanes = specs.iter().map(|spec| (spec.name.clone(), spec.peak())).collect();
        let echo = Echo::start().map_err(StartError::Echo)?;
        let control = LaneSpec::new(&echo.lane(workers), &plan.run_id).map_err(|why| LaneError { lane: echo::LANE.into(), why })?;
        let mut share = Share::none();
        if !share.resize(asked) {
            return Err(StartError::Ceiling { asked });
        }
        specs.push(Arc::new(control));
        let empty = fold::histogram().map_err(StartError::Histogram)?;
        let (reports, received) = mpsc::channel(REPORTS);
        let now = clock.now();
        let mut driver = Self {
            clock,
            lanes,
            _echo: echo,
            share,
            mailboxes: Vec::new(),
            workers: Vec::new(),
            control: None,
            summary: None,
            stopping: CancellationToken::new(),
            abort: CancellationToken::new(),
        };
        let mut ready = Vec::new();
        for which in 0..workers {
            let mailbox = Arc::new(Mailbox::new().map_err(StartError::Descriptors)?);
            let wires = Wires::new(clock, mailbox.bell()).map_err(StartError::Descriptors)?;
            let lane = |(index, spec): (usize, &Arc<LaneSpec>)| {
                let (start, stride) = (spec.start.max(now + LEAD), Stride::new(spec, which, workers)?);
                let schedule = Schedule::new(spec, start, stride, seed_of(plan.seed, index))?;
                Some(Lane::new(index, spec.clone(), schedule, empty.clone()))
            };
            let lanes = specs.iter().enumerate().map(lane).collect();
            ready.push(Worker::new(which, lanes, wires, mailbox.clone(), Duty::Plan(reports.clone())));
            driver.mailboxes.push(mailbox);
        }
        drop(reports);
        let sharing = |spec: &LaneSpec| (0..workers).filter(|which| Stride::new(spec, *which, workers).is_some()).count();
        let merged = specs.iter().map(|spec| (spec.name.clone(), spec.thresholds.len(), sharing(spec)));
        let control = Control {
            merger: Merger::new(merged, workers, now, &empty).with_control(specs.len() - 1),
            closed: specs.iter().map(|spec| spec.schedule.is_closed()).collect(),
            reports: received,
            events,
            mailboxes: driver.mailboxes.clone(),
            follow: followed(&specs),
            stopping: driver.stopping.clone(),
            abort: driver.abort.clone(),
        };
        driver.launch(ready, control)?;
        Ok(driver)
    }

    /// Changes the rate of a lane from now on. Numbers of slots go on; the current interval is shortened or stretched.
    pub fn set_rate(&mut self, lane: &str, rate: f64) -> Result<(), RateError> {
        let Some(index) = self.lanes.iter().position(|(name, _)| **name == *lane) else {
            return Err(RateError::Unknown(lane.into()));
        };
        let now = self.clock.now();
        if !(rate.is_finite() && rate >= 0.0) {
            return Err(RateError::Rate(rate));
        }
        let all: f64 = self.lanes.iter().enumerate().map(|(i, (_, old))| if i == index { rate } else { *old }).sum();
        if !self.share.resize(all) {
            return Err(RateError::Ceiling(rate));
        }
        self.lanes[index].1 = rate;
        self.mailboxes.iter().for_each(|mailbox| mailbox.set_rate(index, now, rate));
        Ok(())
    }

    /// The pods that a lane with `connect_to: pods` asks from now on, in turn. What is under way to others goes on.
    pub fn set_targets(&self, lane: &str, mut pods: Vec<PodTarget>) -> Result<(), RateError> {
        let index = self.lanes.iter().position(|(name, _)| **name == *lane).ok_or_else(|| RateError::Unknown(lane.into()))?;
        pods.truncate(PODS_MAX);
        let pods: Arc<[PodTarget]> = pods.into();
        self.mailboxes.iter().for_each(|mailbox| mailbox.set_target(index, Target::Pods(pods.clone())));
        Ok(())
    }

    /// Begins no more slots. What is in flight goes on until it ends or its deadline passes.
    pub fn stop(&self) {
        self.stopping.cancel();
        self.mailboxes.iter().for_each(|mailbox| mailbox.stop());
    }

    /// Stops, waits until every slot has its outcome, and sums up. Somebody must go on reading the events meanwhile, or they are dropped
    /// after 10 seconds. The last event has been sent when this returns.
    pub async fn join(mut self) -> Result<Summary, JoinError> {
        self.stop();
        let summary = match self.summary.take() {
            Some(summary) => summary.await.map_err(|_| JoinError::Thread),
            None => Err(JoinError::Thread),
        };
        for ended in self.end() {
            ended?;
        }
        summary
    }

    fn launch(&mut self, workers: Vec<Worker>, control: Control) -> Result<(), StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let (done, summary) = oneshot::channel();
        self.summary = Some(summary);
        let control = std::thread::Builder::new().name("load-control".into()).spawn(move || {
            // Nobody waits for the summary of a driver that was dropped.
            let _ = done.send(runtime.block_on(control.run()));
            // A look-up cannot be cancelled: it may go on in its own thread for as long as the system's resolver takes.
            runtime.shutdown_background();
        });
        self.control = Some(control.map_err(StartError::Thread)?);
        for (which, worker) in workers.into_iter().enumerate() {
            let thread = std::thread::Builder::new().name(format!("load-{which}")).spawn(move || worker.run());
            self.workers.push(thread.map_err(StartError::Thread)?);
        }
        Ok(())
    }

    /// Ends all threads: a matter of milliseconds.
    fn end(&mut self) -> Vec<Result<(), JoinError>> {
        self.abort.cancel();
        self.mailboxes.iter().for_each(|mailbox| mailbox.abort());
        let control = self.control.take().map(|thread| thread.join().map_err(|_| JoinError::Thread));
        let workers = self.workers.drain(..).map(|thread| match thread.join() {
            Ok(ended) => ended.map_err(JoinError::Worker),
            Err(_) => Err(JoinError::Thread),
        });
        workers.chain(control).collect()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end();
    }
}

/// Lanes do not share their draws: far apart for neighbours, and so from the workers' own (see `Schedule`).
fn seed_of(seed: u64, lane: usize) -> u64 {
    seed ^ (lane as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The names to be resolved, each once.
fn followed(specs: &[Arc<LaneSpec>]) -> Vec<Followed> {
    let mut all: Vec<Followed> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        if let Endpoint::Name { host, port } = &spec.endpoint {
            match all.iter_mut().find(|known| known.host == *host && known.port == *port) {
                Some(known) => known.lanes.push(index),
                None => all.push(Followed { host: host.clone(), port: *port, lanes: vec![index] }),
            }
        }
    }
    all
}

//! The whole driver against real sockets. Every run is checked for the sum that must never be wrong: each slot ends exactly once.

mod bounds;
mod chaos;
mod direct;
mod http2;
mod kept;
mod once;
mod open_loop;
mod outcomes;
mod schedules;
pub(super) mod server;
mod steered;
mod streams;
mod tls;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;

use self::server::Server;
use super::{Driver, OnceReport, Summary};
use crate::clock::Clock;
use crate::domain::outcome::{Blame, Counts, Outcome};
use crate::domain::slice::{Closed, Failure, Gap, LoadEvent, SLICE_MICROS, Slice};
use crate::domain::time::At;
use crate::domain::traffic::{Expect, LanePlan, Mode, ProtocolChoice, RequestPlan, Schedule, TrafficPlan};
use crate::domain::validity::Validity;

/// No run takes longer.
const DEADLINE: Duration = Duration::from_secs(5);

fn lane(mode: Mode, url: &str, rate: f64) -> LanePlan {
    LanePlan {
        name: if mode == Mode::Fresh { "fresh".into() } else { "kept".into() },
        mode,
        rate,
        schedule: Schedule::default(),
        start: At::ZERO,
        request: RequestPlan { url: url.into(), ..RequestPlan::default() },
        expect: Expect { max_body: 10_000, ..Expect::default() },
        timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(1),
        max_in_flight: 10_000,
        thresholds: vec![],
    }
}

pub(super) fn fresh(url: &str, rate: f64) -> LanePlan {
    lane(Mode::Fresh, url, rate)
}

pub(super) fn kept(url: &str, rate: f64, connections: usize) -> LanePlan {
    lane(Mode::Kept { connections }, url, rate)
}

/// The same lane over HTTP/2.
fn over_http2(mut lane: LanePlan) -> LanePlan {
    lane.request.protocol = ProtocolChoice::Http2;
    lane
}

pub(super) fn plan(lanes: impl IntoIterator<Item = LanePlan>) -> TrafficPlan {
    TrafficPlan { lanes: lanes.into_iter().collect(), seed: 1, run_id: "test".into() }
}

/// Everything that a run told.
#[derive(Debug, Default)]
struct Told {
    slices: Vec<Slice>,
    failures: Vec<Failure>,
    gaps: Vec<Gap>,
    closed: Vec<Closed>,
    validity: Vec<Validity>,
}

impl Told {
    fn add(&mut self, event: LoadEvent) {
        match event {
            LoadEvent::Slice(slice) => self.slices.push(slice),
            LoadEvent::Failure(failure) => self.failures.push(failure),
            LoadEvent::Gap(gap) => self.gaps.push(gap),
            LoadEvent::Closed(closed) => self.closed.push(closed),
            LoadEvent::Validity(validity) => self.validity.push(validity),
        }
    }

    /// How the slots of all lanes ended.
    fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.slices.iter().for_each(|slice| all.merge(&slice.counts()));
        all
    }

    fn ended(&self) -> u64 {
        self.counts().total()
    }

    /// The outcomes without those that a busy machine may cause at any time.
    fn seen(&self) -> Vec<Outcome> {
        let ours = [Outcome::NotSent, Outcome::Unseen];
        self.counts().iter().map(|(outcome, _)| outcome).filter(|outcome| !ours.contains(outcome)).collect()
    }

    /// Latencies of good answers in microseconds, ascending, as reported.
    fn latencies(&self) -> Vec<u64> {
        let parts = self.slices.iter().flat_map(|slice| &slice.parts).flat_map(|part| &part.latency);
        let mut all: Vec<u64> = parts.flat_map(|(value, n)| std::iter::repeat_n(*value, *n as usize)).collect();
        all.sort_unstable();
        all
    }
}

/// A driver under test.
struct Bench {
    driver: Driver,
    clock: Clock,
    events: mpsc::Receiver<LoadEvent>,
    told: Told,
}

impl Bench {
    fn start(plan: &TrafficPlan, workers: usize) -> Self {
        let (sender, events) = mpsc::channel(64);
        let clock = Clock::start();
        let driver = Driver::start_with(plan, clock, workers, sender).unwrap();
        Self { driver, clock, events, told: Told::default() }
    }

    /// Reads events until they satisfy `enough`.
    async fn until(&mut self, what: &str, enough: impl Fn(&Told) -> bool) {
        let reading = async {
            while !enough(&self.told) {
                self.told.add(self.events.recv().await.unwrap());
            }
        };
        assert!(tokio::time::timeout(DEADLINE, reading).await.is_ok(), "{what} took too long: {:?}", self.told.counts());
    }

    /// Stops, drains, and checks that everything adds up.
    async fn finish(self) -> (Told, Summary) {
        let Self { driver, mut events, mut told, .. } = self;
        let draining = async {
            while let Some(event) = events.recv().await {
                told.add(event);
            }
        };
        let both = async { tokio::join!(driver.join(), draining).0.unwrap() };
        let summary = tokio::time::timeout(DEADLINE, both).await.unwrap_or_else(|_| panic!("no end"));
        check(&told, &summary);
        (told, summary)
    }
}

/// Runs until so many slots have ended.
fn run(plan: &TrafficPlan, slots: u64) -> Told {
    block_on(async {
        let mut bench = Bench::start(plan, 1);
        bench.until("the run", |told| told.ended() >= slots).await;
        bench.finish().await.0
    })
}

/// Sends one request of a lane.
fn ask(lane: &LanePlan) -> OnceReport {
    block_on(async {
        tokio::time::timeout(DEADLINE, super::once(lane, "test", Clock::start())).await.expect("it takes too long").unwrap()
    })
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The sums that must agree: planned, ended, told slice by slice, and told second by second.
fn check(told: &Told, summary: &Summary) {
    assert_eq!(summary.undelivered, 0);
    for lane in &summary.lanes {
        assert_eq!(lane.planned, lane.counts.total(), "each slot of `{}` ends exactly once", lane.name);
        let slices: Vec<&Slice> = told.slices.iter().filter(|slice| slice.lane == lane.name).collect();
        let mut counts = Counts::default();
        for slice in &slices {
            counts.merge(&slice.counts());
        }
        assert_eq!((counts, slices.iter().map(|s| s.due).sum()), (lane.counts, lane.planned));
        assert!(slices.windows(2).all(|pair| pair[1].end.0 == pair[0].end.0 + SLICE_MICROS), "every tenth is told, in order");
        let latencies: u64 = slices.iter().flat_map(|s| &s.parts).flat_map(|p| &p.latency).map(|(_, n)| u64::from(*n)).sum();
        assert_eq!((latencies, lane.latency.len()), (lane.counts.good(), lane.counts.good()));
        let failures = told.failures.iter().filter(|failure| failure.lane == lane.name).count() as u64;
        let unlisted: u64 = told.validity.iter().map(|v| v.unlisted.failures).sum();
        assert!(failures + unlisted >= lane.counts.total() - lane.counts.good());
    }
    let planned: u64 = summary.lanes.iter().map(|lane| lane.planned).sum();
    assert_eq!(told.validity.iter().map(|v| v.planned).sum::<u64>(), planned);
    let excluded = |outcome| told.counts().get(outcome);
    let dropped = [Outcome::NotSent, Outcome::NoPort, Outcome::NoDescriptor].map(excluded).iter().sum::<u64>();
    assert_eq!(told.validity.iter().map(|v| v.not_sent).sum::<u64>(), dropped);
    assert_eq!(told.validity.iter().map(|v| v.unseen).sum::<u64>(), excluded(Outcome::Unseen));
    assert_eq!(told.validity.last().map_or(0, |v| v.in_flight), 0);
    for failure in &told.failures {
        assert!(failure.outcome.blame() != Blame::Nobody && failure.known >= failure.due, "{failure:?}");
    }
}

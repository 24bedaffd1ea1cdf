//! The reports of all workers made into one stream of events: pure, so that it can be tested without a socket.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::fold::{LaneReport, PARTS_MAX, Totals};
use super::order::Order;
use super::worker::Report;
use crate::domain::gaps::Stretch;
use crate::domain::latency::{self, Sparse, quantile};
use crate::domain::outcome::{Counts, Outcome};
use crate::domain::slice::{Closed, Failure, Gap, LoadEvent, Part, SLICE_MICROS, Slice};
use crate::domain::time::At;
use crate::domain::traffic::Name;
use crate::domain::validity::{Lag, Unlisted, Validity};

/// Tenths held back for a worker that has not reported them.
const PENDING_MAX: usize = 100;
const SECOND: u64 = 1_000_000;

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Merger {
    lanes: Vec<MergedLane>,
    workers: Vec<WorkerState>,
    pending: BTreeMap<At, Tenth>,
    /// The end of the last tenth told.
    told: At,
    second: Second,
}

#[derive(Debug)]
struct MergedLane {
    name: Name,
    thresholds: usize,
    totals: Totals,
    order: Order,
}

#[derive(Clone, Copy, Debug, Default)]
struct WorkerState {
    /// It has reported everything before this.
    until: At,
    finished: bool,
    in_flight: u64,
}

/// What all workers said of one tenth of a second.
#[derive(Debug, Default)]
struct Tenth {
    slices: BTreeMap<usize, Merged>,
    failures: Vec<Failure>,
    closed: Vec<Closed>,
    sums: Second,
}

#[derive(Debug, Default)]
struct Merged {
    due: u64,
    lag_max: u64,
    parts: Vec<Part>,
}

/// What a second's validity is made of.
#[derive(Debug, Default)]
struct Second {
    planned: u64,
    sent: u64,
    waited: u64,
    counts: Counts,
    lag: Sparse,
    away: BTreeMap<usize, u64>,
    cpu: u64,
    unlisted: Unlisted,
}

impl Merger {
    /// For lanes of these names and numbers of thresholds, shared by so many workers. Tenths are told from the one after `start`.
    pub(crate) fn new(
        lanes: impl IntoIterator<Item = (Name, usize, usize)>,
        workers: usize,
        start: At,
        empty: &Histogram<u64>,
    ) -> Self {
        let lane = |(name, thresholds, sharing): (Name, usize, usize)| MergedLane {
            name,
            thresholds,
            totals: Totals { planned: 0, counts: Counts::default(), latency: empty.clone() },
            order: Order::new(sharing),
        };
        Self {
            lanes: lanes.into_iter().map(lane).collect(),
            workers: vec![WorkerState::default(); workers],
            pending: BTreeMap::new(),
            told: At(start.0 / SLICE_MICROS * SLICE_MICROS),
            second: Second::default(),
        }
    }

    /// Takes a report; answers the events of the tenths that are complete by it.
    pub(crate) fn push(&mut self, report: Report) -> Vec<LoadEvent> {
        let Report { worker, end, lanes, in_flight, away, cpu, late, last } = report;
        let at = end.max(At(self.told.0 + SLICE_MICROS));
        let tenth = self.pending.entry(at).or_default();
        tenth.sums.unlisted.slices += late + u64::from(at != end);
        tenth.sums.cpu += cpu;
        *tenth.sums.away.entry(worker).or_default() += away;
        let finished = last.is_some();
        for (index, lane) in lanes {
            if let Some(merged) = self.lanes.get_mut(index) {
                merged.order.push(worker, &lane.runs, finished);
                tenth.add(index, lane, merged.thresholds);
            }
        }
        for (index, totals) in last.into_iter().flatten() {
            if let Some(lane) = self.lanes.get_mut(index) {
                lane.add_totals(&totals);
            }
        }
        if let Some(state) = self.workers.get_mut(worker) {
            *state = WorkerState { until: if finished { At(u64::MAX) } else { end }, finished, in_flight };
        }
        self.tell()
    }

    /// What every lane came to, once all workers have finished.
    pub(crate) fn into_totals(self) -> Vec<(Name, Totals)> {
        self.lanes.into_iter().map(|lane| (lane.name, lane.totals)).collect()
    }

    fn tell(&mut self) -> Vec<LoadEvent> {
        let all_finished = self.workers.iter().all(|worker| worker.finished);
        let complete = self.workers.iter().map(|worker| worker.until).min().unwrap_or_default();
        let last = self.pending.last_key_value().map_or(self.told, |(end, _)| *end);
        let mut events = Vec::new();
        while self.told < complete.min(last) || self.pending.len() > PENDING_MAX {
            let end = At(self.told.0 + SLICE_MICROS);
            let tenth = self.pending.remove(&end).unwrap_or_default();
            let over = all_finished && self.pending.is_empty();
            self.tell_tenth(end, tenth, over, &mut events);
            self.told = end;
        }
        events
    }

    fn tell_tenth(&mut self, end: At, tenth: Tenth, over: bool, events: &mut Vec<LoadEvent>) {
        let Tenth { mut slices, failures, closed, mut sums } = tenth;
        events.extend(failures.into_iter().map(LoadEvent::Failure));
        events.extend(closed.into_iter().map(LoadEvent::Closed));
        for lane in &mut self.lanes {
            let name = &lane.name;
            let (gaps, unlisted) = lane.order.take();
            sums.unlisted.gaps += unlisted;
            events.extend(
                gaps.into_iter().map(|Stretch { from, to, failed }| LoadEvent::Gap(Gap { lane: name.clone(), from, to, failed })),
            );
        }
        for (index, lane) in self.lanes.iter().enumerate() {
            let Merged { due, lag_max, parts } = slices.remove(&index).unwrap_or_default();
            events.push(LoadEvent::Slice(Slice { lane: lane.name.clone(), end, due, parts, lag_max }));
        }
        self.second.add(sums);
        if end.0.is_multiple_of(SECOND) || over {
            let in_flight = self.workers.iter().map(|worker| worker.in_flight).sum();
            events.push(LoadEvent::Validity(std::mem::take(&mut self.second).validity(end, in_flight)));
        }
    }
}

impl MergedLane {
    fn add_totals(&mut self, totals: &Totals) {
        self.totals.planned += totals.planned;
        self.totals.counts.merge(&totals.counts);
        // It fails only for values out of range, and all histograms of a driver have the same.
        let _ = self.totals.latency.add(&totals.latency);
    }
}

impl Tenth {
    fn add(&mut self, index: usize, lane: LaneReport, thresholds: usize) {
        let merged = self.slices.entry(index).or_default();
        merged.due += lane.due;
        merged.lag_max = merged.lag_max.max(lane.lag_max);
        self.sums.planned += lane.due;
        self.sums.sent += lane.sent;
        self.sums.waited += lane.waited;
        self.sums.unlisted.merge(&lane.unlisted);
        latency::merge(&mut self.sums.lag, &lane.lag);
        for part in lane.parts {
            self.sums.counts.merge(&part.counts);
            merged.add(part, thresholds, &mut self.sums.unlisted.pods);
        }
        self.failures.extend(lane.failures);
        self.closed.extend(lane.closed);
    }
}

impl Merged {
    fn add(&mut self, part: Part, thresholds: usize, unlisted: &mut u64) {
        let same = |a: &Part, b: &Part| (&a.pod, &a.version) == (&b.pod, &b.version);
        let anonymous = Part { slow: vec![0; thresholds], ..Part::default() };
        let full = self.parts.len() >= PARTS_MAX - 1;
        let index = self.parts.iter().position(|known| same(known, &part));
        let index = index.or_else(|| {
            let anyone = same(&part, &anonymous);
            *unlisted += if full && !anyone { part.counts.total() } else { 0 };
            (full || anyone).then(|| self.parts.iter().position(|known| same(known, &anonymous))).flatten()
        });
        let into = match index {
            Some(index) => &mut self.parts[index],
            None => {
                let (pod, version) = if full { (None, None) } else { (part.pod.clone(), part.version.clone()) };
                self.parts.push(Part { pod, version, ..anonymous });
                let last = self.parts.len() - 1;
                &mut self.parts[last]
            }
        };
        into.counts.merge(&part.counts);
        into.slow.iter_mut().zip(&part.slow).for_each(|(a, b)| *a += b);
        latency::merge(&mut into.latency, &part.latency);
    }
}

impl Second {
    fn add(&mut self, other: Self) {
        self.planned += other.planned;
        self.sent += other.sent;
        self.waited += other.waited;
        self.counts.merge(&other.counts);
        latency::merge(&mut self.lag, &other.lag);
        other.away.into_iter().for_each(|(worker, away)| *self.away.entry(worker).or_default() += away);
        self.cpu += other.cpu;
        self.unlisted.merge(&other.unlisted);
    }

    fn validity(self, end: At, in_flight: u64) -> Validity {
        let at = |q| quantile(&self.lag, q).unwrap_or(0);
        let [no_port, no_descriptor, not_sent] =
            [Outcome::NoPort, Outcome::NoDescriptor, Outcome::NotSent].map(|o| self.counts.get(o));
        Validity {
            end,
            planned: self.planned,
            sent: self.sent,
            not_sent: no_port + no_descriptor + not_sent,
            unseen: self.counts.get(Outcome::Unseen),
            waited: self.waited,
            in_flight,
            lag: Lag { p50: at(0.5), p99: at(0.99), max: at(1.0) },
            away: self.away.values().copied().max().unwrap_or(0),
            cpu: self.cpu,
            unlisted: self.unlisted,
            ..Validity::default()
        }
    }
}

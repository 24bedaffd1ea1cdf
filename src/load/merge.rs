//! The reports of all workers made into one stream of events: pure, so that it can be tested without a socket.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::fold::{By, LaneReport, PARTS_MAX, Totals};
use super::order::Order;
use super::worker::Report;
use crate::domain::gaps::Stretch;
use crate::domain::outcome::{Counts, Outcome};
use crate::domain::slice::{Closed, Failure, Gap, LoadEvent, Part, SLICE_MICROS, Slice};
use crate::domain::sparse::{self, Sparse, quantile};
use crate::domain::time::At;
use crate::domain::traffic::Name;
use crate::domain::validity::{Control, Lag, Unlisted, Validity};

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
    /// The lane that asks our own echo: it is part of the condition and of nothing else.
    control: Option<usize>,
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
    control: ControlSums,
}

#[derive(Debug, Default)]
struct ControlSums {
    planned: u64,
    counts: Counts,
    latency: Sparse,
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
            control: None,
        }
    }

    /// The lane of this index asks our own echo.
    pub(crate) fn with_control(self, index: usize) -> Self {
        Self { control: Some(index), ..self }
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
            if self.control == Some(index) {
                tenth.sums.control.add(&lane);
                continue;
            }
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

    /// What every lane of the plan came to, once all workers have finished.
    pub(crate) fn into_totals(self) -> Vec<(Name, Totals)> {
        let lanes = self.lanes.into_iter().enumerate().filter(|(index, _)| self.control != Some(*index));
        lanes.map(|(_, lane)| (lane.name, lane.totals)).collect()
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
                gaps.into_iter()
                    .map(|Stretch { from, last, to, failed }| LoadEvent::Gap(Gap { lane: name.clone(), from, last, to, failed })),
            );
        }
        for (index, lane) in self.lanes.iter().enumerate().filter(|(index, _)| self.control != Some(*index)) {
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
        sparse::merge(&mut self.sums.lag, &lane.lag);
        for part in lane.parts {
            self.sums.counts.merge(&part.counts);
            merged.add(&part, thresholds, &mut self.sums.unlisted.pods);
        }
        self.failures.extend(lane.failures);
        self.closed.extend(lane.closed);
    }
}

impl Merged {
    fn add(&mut self, part: &Part, thresholds: usize, unlisted: &mut u64) {
        let mut by = (part.pod.as_ref(), part.version.as_ref());
        // One place is always left for what cannot be told apart.
        if by != (None, None) && self.position(by).is_none() && self.parts.len() >= PARTS_MAX - 1 {
            *unlisted += part.counts.total();
            by = (None, None);
        }
        let index = self.position(by).unwrap_or_else(|| {
            self.parts.push(Part { pod: by.0.cloned(), version: by.1.cloned(), slow: vec![0; thresholds], ..Part::default() });
            self.parts.len() - 1
        });
        let into = &mut self.parts[index];
        into.counts.merge(&part.counts);
        into.slow.iter_mut().zip(&part.slow).for_each(|(a, b)| *a += b);
        sparse::merge(&mut into.latency, &part.latency);
        sparse::merge(&mut into.pauses, &part.pauses);
    }

    fn position(&self, by: By<'_>) -> Option<usize> {
        self.parts.iter().position(|part| (part.pod.as_ref(), part.version.as_ref()) == by)
    }
}

impl ControlSums {
    fn add(&mut self, lane: &LaneReport) {
        self.planned += lane.due;
        for part in &lane.parts {
            self.counts.merge(&part.counts);
            sparse::merge(&mut self.latency, &part.latency);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.planned += other.planned;
        self.counts.merge(&other.counts);
        sparse::merge(&mut self.latency, &other.latency);
    }

    fn told(&self) -> Option<Control> {
        let failed = self.counts.total() - self.counts.good();
        let at = |q| quantile(&self.latency, q).unwrap_or(0);
        (self.planned + failed > 0).then(|| Control { planned: self.planned, failed, p99: at(0.99), max: at(1.0) })
    }
}

impl Second {
    fn add(&mut self, other: Self) {
        self.planned += other.planned;
        self.sent += other.sent;
        self.waited += other.waited;
        self.counts.merge(&other.counts);
        sparse::merge(&mut self.lag, &other.lag);
        other.away.into_iter().for_each(|(worker, away)| *self.away.entry(worker).or_default() += away);
        self.cpu += other.cpu;
        self.control.merge(&other.control);
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
            control: self.control.told(),
            unlisted: self.unlisted,
            ..Validity::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fold::histogram;
    use super::super::slots::Run;
    use super::*;
    use crate::domain::gaps::Class;

    fn merger(workers: usize) -> Merger {
        Merger::new([("l".into(), 1, workers)], workers, At(1_000), &histogram().unwrap())
    }

    fn report(worker: usize, tenth: u64, due: u64, part: Part) -> Report {
        let lane =
            LaneReport { due, sent: due, lag: vec![(70, 1)], lag_max: 70 + tenth, parts: vec![part], ..LaneReport::default() };
        Report { worker, end: At(tenth * SLICE_MICROS), lanes: vec![(0, lane)], in_flight: 2, away: 5, cpu: 3, late: 0, last: None }
    }

    fn part(pod: Option<&str>, good: u64) -> Part {
        let mut part = Part { pod: pod.map(Name::from), slow: vec![1], latency: vec![(100, 1)], ..Part::default() };
        part.counts.add(Outcome::Ok, good);
        part
    }

    /// The last report of a worker: nothing new, and these totals.
    fn last(worker: usize, tenth: u64, planned: u64) -> Report {
        let totals = Totals { planned, counts: Counts::default(), latency: histogram().unwrap() };
        Report { lanes: vec![], in_flight: 0, last: Some(vec![(0, totals)]), ..report(worker, tenth, 0, Part::default()) }
    }

    /// A slice in short: number of the tenth, due, lag, and the good answers by pod.
    type Short = (u64, u64, u64, Vec<(String, u64)>);

    fn slices(events: &[LoadEvent]) -> Vec<Short> {
        let by = |p: &Part| (p.pod.as_deref().unwrap_or("-").to_owned(), p.counts.good());
        let short = |event: &LoadEvent| match event {
            LoadEvent::Slice(s) => Some((s.end.0 / SLICE_MICROS, s.due, s.lag_max, s.parts.iter().map(by).collect())),
            _ => None,
        };
        events.iter().filter_map(short).collect()
    }

    #[test]
    fn a_tenth_is_told_when_every_worker_has_reported_it() {
        let mut merger = merger(2);
        assert_eq!(merger.push(report(0, 1, 3, part(Some("a"), 2))), []);
        assert_eq!(merger.push(report(0, 2, 3, part(None, 1))), []);
        let told = merger.push(report(1, 1, 4, part(Some("a"), 5)));
        assert_eq!(slices(&told), [(1, 7, 71, vec![("a".into(), 7)])]);
        let LoadEvent::Slice(slice) = &told[0] else { panic!("{told:?}") };
        assert_eq!((&slice.parts[0].slow, &slice.parts[0].latency), (&vec![2], &vec![(100, 2)]));
        let told = merger.push(report(1, 3, 4, part(Some("b"), 1)));
        assert_eq!(slices(&told), [(2, 3, 72, vec![("-".into(), 1)])], "and an empty share of the worker that was late");
        let told = [merger.push(last(0, 4, 6)), merger.push(last(1, 4, 8))].concat();
        assert_eq!(slices(&told), [(3, 4, 73, vec![("b".into(), 1)]), (4, 0, 0, vec![])]);
        let totals = merger.into_totals();
        assert_eq!((totals.len(), totals[0].1.planned), (1, 14));
    }

    #[test]
    fn a_second_of_validity_is_the_sum_of_its_tenths_and_the_worst_worker() {
        let mut merger = merger(2);
        let told: Vec<LoadEvent> = (1..=10)
            .flat_map(|tenth| {
                [merger.push(report(0, tenth, 1, part(None, 1))), merger.push(report(1, tenth, 2, part(None, 1)))].concat()
            })
            .collect();
        let expected = Validity {
            end: At(SECOND),
            planned: 30,
            sent: 30,
            in_flight: 4,
            lag: Lag { p50: 70, p99: 70, max: 70 },
            away: 50,
            cpu: 60,
            ..Validity::default()
        };
        assert_eq!(told.last(), Some(&LoadEvent::Validity(expected)));
    }

    #[test]
    fn our_own_echo_is_part_of_the_condition_and_of_nothing_else() {
        let lanes = [("l".into(), 1, 1), ("echo".into(), 0, 1)];
        let mut merger = Merger::new(lanes, 1, At(0), &histogram().unwrap()).with_control(1);
        let mut told = Vec::new();
        for tenth in 1..=10 {
            let mut echo = part(None, 1);
            echo.counts.add(Outcome::Refused, u64::from(tenth == 3));
            let echo = LaneReport { due: 2, sent: 2, parts: vec![echo], ..LaneReport::default() };
            let mut both = report(0, tenth, 1, part(None, 1));
            both.lanes.push((1, echo));
            told.extend(merger.push(both));
        }
        assert!(told.iter().all(|event| !matches!(event, LoadEvent::Slice(slice) if &*slice.lane == "echo")));
        let Some(LoadEvent::Validity(second)) = told.last() else { panic!("{told:?}") };
        let control = Control { planned: 20, failed: 1, p99: 100, max: 100 };
        assert_eq!((second.planned, second.sent, second.control), (10, 10, Some(control)));
        assert_eq!(merger.into_totals().len(), 1);
    }

    #[test]
    fn what_comes_too_late_is_added_to_the_next_tenth_and_counted() {
        let mut merger = merger(2);
        let mut told = Vec::new();
        for tenth in 1..=105 {
            told.extend(merger.push(report(0, tenth, 1, part(None, 1))));
        }
        assert_eq!(slices(&told).len(), 5, "not more than 100 tenths are held back");
        let late = merger.push(report(1, 3, 9, part(None, 9)));
        assert_eq!(slices(&late), []);
        let told = merger.push(report(1, 110, 0, Part::default()));
        assert_eq!(slices(&told)[0], (6, 10, 76, vec![("-".into(), 10)]));
        let unlisted: u64 = told.iter().map(|e| if let LoadEvent::Validity(v) = e { v.unlisted.slices } else { 0 }).sum();
        assert_eq!(unlisted, 1);
    }

    #[test]
    fn failures_come_first_then_gaps_then_the_slice() {
        let mut merger = merger(1);
        let runs = vec![
            Run { class: Class::Bad, n: 2, from: At(0), to: At(10) },
            Run { class: Class::Good, n: 1, from: At(20), to: At(20) },
        ];
        let lane = LaneReport { runs, ..LaneReport::default() };
        let told = merger.push(Report { lanes: vec![(0, lane)], ..report(0, 1, 0, Part::default()) });
        let gap = Gap { lane: "l".into(), from: At(0), last: At(10), to: Some(At(20)), failed: 2 };
        assert_eq!((told.len(), &told[0], slices(&told).len()), (2, &LoadEvent::Gap(gap), 1));
    }
}

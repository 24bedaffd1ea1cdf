//! Slices summed up: per lane, per pod and per second. Every number shown anywhere comes from here.

mod cells;
mod recent;

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::cells::{Cell, Cells};
use self::recent::Recent;
use super::latency::Latencies;
use super::objective::Ppm;
use super::outcome::{Blame, Counts};
use super::slice::{Gap, Part, SLICE_MICROS, Slice};
use super::time::At;
use super::traffic::{Micros, Name};

/// Pods told apart in a run; what further ones answer counts as unattributed.
const MAX_PODS: usize = 1_000;

/// The sums of one lane in one stretch of the run.
#[derive(Clone, Debug, Default)]
pub struct LaneSums {
    /// Slots whose intended start has come, and those handed over in flight by the stretch before.
    pub due: u64,
    /// From the beginning of the first slice in which slots were due to the end of the last.
    pub span: Option<(At, At)>,
    /// How those that ended did so.
    pub counts: Counts,
    /// Per threshold of the lane: not answered well within it.
    pub slow: Vec<u64>,
    /// Of good answers, from the intended start.
    pub latency: Latencies,
    /// The longest stretch without a good answer that is over.
    pub longest: Option<Gap>,
    /// The stretch without a good answer that is not over.
    pub open: Option<Gap>,
    /// The latest start of a slot after its time.
    pub lag_max: Duration,
}

impl LaneSums {
    fn slice(&mut self, slice: &Slice) {
        self.due += slice.due;
        if slice.due > 0 {
            self.spans(At(slice.end.0.saturating_sub(SLICE_MICROS)), slice.end);
        }
        self.lag_max = self.lag_max.max(Duration::from_micros(slice.lag_max));
        for part in &slice.parts {
            self.counts.merge(&part.counts);
            add_all(&mut self.slow, &part.slow);
            part.latency.iter().for_each(|(micros, n)| self.latency.add(*micros, u64::from(*n)));
        }
    }

    fn spans(&mut self, from: At, to: At) {
        self.span = Some(self.span.map_or((from, to), |(f, t)| (f.min(from), t.max(to))));
    }

    fn gap(&mut self, gap: &Gap) {
        if gap.to.is_none() {
            self.open = Some(gap.clone());
            return;
        }
        self.open = None;
        if self.longest.as_ref().is_none_or(|l| length(l) < length(gap)) {
            self.longest = Some(gap.clone());
        }
    }

    /// Adds another lane's sums, for figures over all lanes. Gaps stay the longest of any one lane.
    pub fn merge(&mut self, other: &Self) {
        self.due += other.due;
        if let Some((from, to)) = other.span {
            self.spans(from, to);
        }
        self.counts.merge(&other.counts);
        self.latency.merge(&other.latency);
        self.lag_max = self.lag_max.max(other.lag_max);
        for gap in other.longest.iter().chain(&other.open) {
            if self.longest.as_ref().is_none_or(|l| length(l) < length(gap)) {
                self.longest = Some(gap.clone());
            }
        }
    }

    /// The longest stretch without a good answer, over or not.
    pub fn worst_gap(&self) -> Option<&Gap> {
        self.longest.iter().chain(&self.open).max_by_key(|g| length(g))
    }

    /// Slots that say nothing about the target.
    pub fn excluded(&self) -> u64 {
        self.counts.of(Blame::Verifier)
    }

    /// Slots that are due and not known yet.
    pub fn in_flight(&self) -> u64 {
        self.due.saturating_sub(self.counts.total())
    }

    /// Good answers among valid ones, in parts per million rounded down; nothing when there were none.
    pub fn availability(&self) -> Option<Ppm> {
        Ppm::of(self.counts.good(), self.counts.valid())
    }
}

fn together<'a>(parts: impl Iterator<Item = &'a LaneSums>) -> LaneSums {
    parts.fold(LaneSums::default(), |mut all, part| {
        all.merge(part);
        all
    })
}

/// From the first bad slot to the next good one; of an open gap, to its last bad slot.
pub fn length(gap: &Gap) -> Duration {
    gap.to.unwrap_or(gap.last).since(gap.from)
}

fn add_all(sums: &mut Vec<u64>, more: &[u64]) {
    if sums.len() < more.len() {
        sums.resize(more.len(), 0);
    }
    sums.iter_mut().zip(more).for_each(|(s, m)| *s += m);
}

/// One lane with its thresholds.
#[derive(Clone, Debug, Default)]
pub struct LaneTally {
    /// The thresholds that `slow` counts by.
    pub thresholds: Vec<Micros>,
    /// Intended slots a second.
    pub rate: f64,
    /// Before the change.
    pub baseline: LaneSums,
    /// From the change to the end: what the objectives are about.
    pub measured: LaneSums,
}

impl LaneTally {
    fn slice(&mut self, slice: &Slice, measured: bool) {
        if measured {
            self.hand_over();
            self.measured.slice(slice);
        } else {
            self.baseline.slice(slice);
        }
    }

    /// A slot counts where it becomes known: what was in flight at the change is part of what is measured.
    fn hand_over(&mut self) {
        let in_flight = self.baseline.in_flight();
        self.baseline.due -= in_flight;
        self.measured.due += in_flight;
    }
}

/// What one pod (as it named itself) answered during the measured stretch.
#[derive(Clone, Debug, Default)]
pub struct PodSums {
    /// Its version, when it said one.
    pub version: Option<Name>,
    /// How its answers were.
    pub counts: Counts,
    /// Of good answers.
    pub latency: Latencies,
    /// The end of the first slice in which it answered.
    pub first: At,
    /// The end of the first slice in which it answered well.
    pub first_good: Option<At>,
    /// The end of the last slice in which it answered.
    pub last: At,
}

/// All sums of a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    lanes: BTreeMap<Name, LaneTally>,
    aside: BTreeMap<Name, LaneTally>,
    pods: BTreeMap<Name, PodSums>,
    measured_from: Option<At>,
    cells: Cells,
    recent: Recent,
}

impl Tally {
    /// Declares a lane.
    pub fn lane(&mut self, name: Name, thresholds: Vec<Micros>, rate: f64) {
        self.lanes.insert(name, LaneTally { thresholds, rate, ..LaneTally::default() });
    }

    /// Declares a lane that counts in nothing but its own figures.
    pub fn lane_aside(&mut self, name: Name, rate: f64) {
        self.aside.insert(name, LaneTally { rate, ..LaneTally::default() });
    }

    /// Whether a lane counts in nothing but its own figures.
    pub fn is_aside(&self, lane: &str) -> bool {
        self.aside.contains_key(lane)
    }

    /// From now on slices count as measured, and no longer as baseline.
    pub fn measure_from(&mut self, at: At) {
        self.measured_from.get_or_insert(at);
    }

    /// When measuring began.
    pub const fn measured_from(&self) -> Option<At> {
        self.measured_from
    }

    /// A slice of one lane.
    pub fn slice(&mut self, slice: &Slice) {
        let measured = self.is_measured(slice);
        if let Some(lane) = self.aside.get_mut(&slice.lane) {
            return lane.slice(slice, measured);
        }
        self.recent.slice(slice);
        self.lanes.entry(slice.lane.clone()).or_default().slice(slice, measured);
        self.cells.slice(slice);
        if measured {
            slice.parts.iter().for_each(|p| self.part(p, slice.end));
        }
    }

    /// Whether a slice counts as measured.
    pub fn is_measured(&self, slice: &Slice) -> bool {
        self.measured_from.is_some_and(|from| slice.end > from)
    }

    fn part(&mut self, part: &Part, end: At) {
        let Some(pod) = &part.pod else { return };
        if self.pods.len() >= MAX_PODS && !self.pods.contains_key(pod) {
            return;
        }
        let sums = self.pods.entry(pod.clone()).or_insert_with(|| PodSums { first: end, ..PodSums::default() });
        sums.last = sums.last.max(end);
        sums.counts.merge(&part.counts);
        sums.first_good = sums.first_good.or_else(|| (part.counts.good() > 0).then_some(end));
        sums.version = sums.version.take().or_else(|| part.version.clone());
        part.latency.iter().for_each(|(micros, n)| sums.latency.add(*micros, u64::from(*n)));
    }

    /// A stretch without a good answer began, grew or ended.
    pub fn gap(&mut self, gap: &Gap) {
        let measured = self.measured_from.is_some_and(|from| gap.to.unwrap_or(gap.last) >= from);
        let lane = match self.aside.get_mut(&gap.lane) {
            Some(lane) => lane,
            None => self.lanes.entry(gap.lane.clone()).or_default(),
        };
        if measured { &mut lane.measured } else { &mut lane.baseline }.gap(gap);
    }

    /// Lanes by name.
    pub const fn lanes(&self) -> &BTreeMap<Name, LaneTally> {
        &self.lanes
    }

    /// Lanes that count in nothing but their own figures, by name.
    pub const fn aside(&self) -> &BTreeMap<Name, LaneTally> {
        &self.aside
    }

    /// Pods by name.
    pub const fn pods(&self) -> &BTreeMap<Name, PodSums> {
        &self.pods
    }

    /// The measured stretch of all lanes together.
    pub fn measured(&self) -> LaneSums {
        together(self.lanes.values().map(|l| &l.measured))
    }

    /// The stretch before the change of all lanes together.
    pub fn baseline(&self) -> LaneSums {
        together(self.lanes.values().map(|l| &l.baseline))
    }

    /// All lanes in the last seconds, up to the latest tenth that all of them have told of.
    pub fn recent(&self) -> LaneSums {
        self.recent.sums()
    }

    /// The time line from the start of the run.
    pub const fn cells(&self) -> &Cells {
        &self.cells
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::outcome::Outcome;

    /// A slice that ends at `tenths`, with good and bad answers of one pod.
    pub(crate) fn slice(lane: &str, tenths: u64, due: u64, good: u64, bad: u64) -> Slice {
        let mut counts = Counts::default();
        counts.add(Outcome::Ok, good);
        counts.add(Outcome::Refused, bad);
        let latency = if good > 0 { vec![(5_000, u32::try_from(good).unwrap())] } else { Vec::new() };
        let part = Part { pod: Some(Name::from("p1")), version: None, counts, slow: vec![bad], latency, pauses: Vec::new() };
        Slice { lane: Name::from(lane), end: At(tenths * SLICE_MICROS), due, parts: vec![part], lag_max: 80 }
    }

    #[test]
    fn slices_before_the_change_are_baseline_and_after_it_measured() {
        let mut tally = Tally::default();
        tally.lane(Name::from("fresh"), vec![500_000], 200.0);
        tally.slice(&slice("fresh", 10, 22, 20, 0));
        tally.measure_from(At(1_050_000));
        tally.slice(&slice("fresh", 11, 18, 15, 4));
        let lane = &tally.lanes()["fresh"];
        assert_eq!((lane.baseline.due, lane.baseline.counts.good()), (20, 20), "two in flight were handed over");
        let m = &lane.measured;
        assert_eq!((m.due, m.counts.good(), m.counts.bad(), m.in_flight(), m.slow[0]), (20, 15, 4, 1, 4));
        assert_eq!(m.availability(), Some(Ppm(789_473)));
        assert_eq!(tally.pods()["p1"].counts.bad(), 4, "pods are counted from the change on");
    }

    #[test]
    fn the_longest_gap_is_kept_and_an_open_one_counts_as_far_as_it_is_known() {
        let gap = |from, last, to: Option<u64>| Gap {
            lane: Name::from("fresh"),
            from: At(from),
            last: At(last),
            to: to.map(At),
            failed: 3,
        };
        let mut tally = Tally::default();
        tally.measure_from(At(0));
        tally.gap(&gap(100, 100, None));
        tally.gap(&gap(100, 900, Some(1_000)));
        tally.gap(&gap(5_000, 5_100, Some(5_200)));
        tally.gap(&gap(9_000, 10_500, None));
        let sums = &tally.lanes()["fresh"].measured;
        assert_eq!(length(sums.longest.as_ref().unwrap()), Duration::from_micros(900));
        assert_eq!(length(sums.open.as_ref().unwrap()), Duration::from_micros(1_500));
        assert_eq!(length(tally.measured().longest.as_ref().unwrap()), Duration::from_micros(1_500));
    }
}

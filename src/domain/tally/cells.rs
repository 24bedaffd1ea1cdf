//! The time line of a run: what became known when, over all lanes and in each, in a bounded number of cells.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::latency::Latencies;
use crate::domain::outcome::Blame;
use crate::domain::slice::{SLICE_MICROS, Slice};
use crate::domain::time::At;
use crate::domain::traffic::Name;

/// Cells of the time line; when they are used up, two become one.
const MAX_CELLS: usize = 600;
/// Slices in a cell at first: a second.
const SLICES: u64 = 10;
/// Binary digits that are kept of a latency here, where a run has hundreds of histograms: it is rounded up by a thirtieth at most.
const DIGITS: u32 = 6;

/// What became known in a stretch of the time line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    /// Good answers that became known in it.
    pub good: u64,
    /// Failures that became known in it.
    pub bad: u64,
    /// Slots that say nothing about the target.
    pub excluded: u64,
}

/// The whole line. All of its rows have a cell for the same stretch at the same place; a lane's row may be shorter.
#[derive(Clone, Debug)]
pub struct Cells {
    slices: u64,
    all: Vec<Cell>,
    latency: Vec<Latencies>,
    lanes: BTreeMap<Name, Vec<Cell>>,
}

impl Default for Cells {
    fn default() -> Self {
        Self { slices: SLICES, all: Vec::new(), latency: Vec::new(), lanes: BTreeMap::new() }
    }
}

impl Cells {
    pub(super) fn slice(&mut self, slice: &Slice) {
        let mut index = self.index(slice.end);
        while index >= MAX_CELLS {
            self.halve();
            index = self.index(slice.end);
        }
        let counts = slice.counts();
        let cell = Cell { good: counts.good(), bad: counts.bad(), excluded: counts.of(Blame::Verifier) };
        at(&mut self.all, index).join(&cell);
        at(self.lanes.entry(slice.lane.clone()).or_default(), index).join(&cell);
        let latency = at(&mut self.latency, index);
        for (micros, n) in slice.parts.iter().flat_map(|p| &p.latency) {
            latency.add(coarse(*micros), u64::from(*n));
        }
    }

    /// The cell that a slice ending at `end` belongs to.
    fn index(&self, end: At) -> usize {
        usize::try_from(end.0.saturating_sub(1) / (SLICE_MICROS * self.slices)).unwrap_or(usize::MAX)
    }

    /// Half as many cells, each twice as long.
    fn halve(&mut self) {
        self.slices *= 2;
        for row in self.lanes.values_mut().chain([&mut self.all]) {
            *row = row.chunks(2).map(|c| c.iter().fold(Cell::default(), Cell::plus)).collect();
        }
        let pairs = self.latency.chunks(2).map(|pair| {
            let mut sum = Latencies::default();
            for half in pair {
                sum.merge(half);
            }
            sum
        });
        self.latency = pairs.collect();
    }

    /// All lanes together, from the start of the run.
    pub fn all(&self) -> &[Cell] {
        &self.all
    }

    /// Latencies of the good answers of all lanes, each rounded up by 5 % at most.
    pub fn latency(&self) -> &[Latencies] {
        &self.latency
    }

    /// Each lane, up to its last slice.
    pub const fn lanes(&self) -> &BTreeMap<Name, Vec<Cell>> {
        &self.lanes
    }

    /// How long a cell is: one second, doubled whenever the line grew too long.
    pub const fn length(&self) -> Duration {
        Duration::from_micros(SLICE_MICROS * self.slices)
    }
}

/// The item at a place that may lie beyond the end.
fn at<T: Clone + Default>(row: &mut Vec<T>, index: usize) -> &mut T {
    if row.len() <= index {
        row.resize(index + 1, T::default());
    }
    &mut row[index]
}

const fn coarse(micros: u64) -> u64 {
    let unit = 1 << (u64::BITS - micros.leading_zeros()).saturating_sub(DIGITS);
    micros.div_ceil(unit).saturating_mul(unit)
}

impl Cell {
    const fn plus(self, other: &Self) -> Self {
        Self { good: self.good + other.good, bad: self.bad + other.bad, excluded: self.excluded + other.excluded }
    }

    const fn join(&mut self, other: &Self) {
        *self = self.plus(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::objective::Ppm;
    use crate::domain::tally::tests::slice;

    #[test]
    fn the_time_line_halves_its_resolution_instead_of_growing() {
        let mut cells = Cells::default();
        for tenths in 1..=20_000 {
            cells.slice(&slice("fresh", tenths, 1, 1, 0));
        }
        assert_eq!(cells.length(), Duration::from_secs(4));
        assert_eq!((cells.all().len(), cells.latency().len()), (500, 500));
        assert!(cells.all().iter().all(|c| *c == Cell { good: 40, bad: 0, excluded: 0 }));
        assert!(cells.latency().iter().all(|l| l.count() == 40));
    }

    #[test]
    fn each_lane_has_a_row_and_all_rows_together_are_the_whole() {
        let mut cells = Cells::default();
        for tenths in 1..=13_000 {
            cells.slice(&slice("fresh", tenths, 3, 2, u64::from(tenths % 7 == 0)));
            if tenths < 9_000 {
                cells.slice(&slice("kept", tenths, 1, 1, 0));
            }
        }
        let mut sum = vec![Cell::default(); cells.all().len()];
        for row in cells.lanes().values() {
            sum.iter_mut().zip(row).for_each(|(s, c)| s.join(c));
        }
        assert_eq!(sum, cells.all());
        assert!(cells.lanes()["kept"].len() < cells.lanes()["fresh"].len());
    }

    #[test]
    fn latencies_are_rounded_up_by_a_twentieth_at_most() {
        for micros in (0..3_000_000).step_by(13) {
            let mut cells = Cells::default();
            let mut one = slice("fresh", 1, 1, 1, 0);
            one.parts[0].latency = vec![(micros, 1)];
            cells.slice(&one);
            let shown = cells.latency()[0].quantile(Ppm(500_000)).unwrap();
            let shown = u64::try_from(shown.as_micros()).unwrap();
            assert!(shown >= micros && shown * 100 <= micros * 105, "{micros} {shown}");
        }
    }
}

//! Failures of each lane and latency of all of them, over time.

use std::fmt::Write as _;

use super::axis::{Axis, LEFT, Px, RIGHT, text_width};
use super::{Chart, label, line, rect, text, title};
use crate::domain::display::{count, moment, span};
use crate::domain::summary::{LaneCell, LaneLine, Millis, Moment, Summary, Timeline};
use crate::domain::tally::Cell;
use crate::domain::time::{At, micros};
use crate::report::html::markup::{Element, classed, el};

/// The height of a lane of failures.
const FAILURES: f64 = 38.0;
/// The height of the bar of a cell in which everything failed; the count stands above it.
const BAR: f64 = 21.0;
/// The height of the latency.
const LATENCY: f64 = 96.0;
/// What can be pointed at is at least so wide.
const POINTED: f64 = 9.0;

/// A lane of failures for each lane of traffic.
pub(super) fn failures(chart: &mut Chart, s: &Summary) {
    if s.timeline.lanes.is_empty() {
        return;
    }
    chart.heading("Failed, as a share of each lane's requests that became known");
    for lane in &s.timeline.lanes {
        let y = chart.take(FAILURES);
        let row = Row { axis: chart.axis, cell: s.timeline.cell_s.0.micros(), y };
        chart.add(row.draw(lane));
    }
}

/// A lane of cells.
#[derive(Clone, Copy)]
struct Row {
    axis: Axis,
    cell: u64,
    y: f64,
}

impl Row {
    fn draw(self, lane: &LaneLine) -> Element {
        let base = self.y + FAILURES - 4.0;
        let all = lane.troubled.iter().fold((0, 0), |(b, e), c| (b + c.answers.bad, e + c.answers.excluded));
        let name = match all {
            (0, 0) => format!("{}: none", lane.lane),
            (bad, 0) => format!("{}: {}", lane.lane, count(bad)),
            (bad, excluded) => format!("{}: {} (+{} not counted)", lane.lane, count(bad), count(excluded)),
        };
        let bars = |class, height: fn(&Cell) -> f64| {
            let mut d = String::new();
            for c in &lane.troubled {
                let (x, width) = self.place(c.cell, 1);
                let height = height(&c.answers);
                if height > 0.0 {
                    // Writing to a string cannot fail.
                    let _ = write!(d, "M{} {}v-{}h{}v{}z", Px(x), Px(base), Px(height), Px(width), Px(height));
                }
            }
            (!d.is_empty()).then(|| classed("path", class).attr("d", d))
        };
        el("g")
            .attr("class", "lane")
            .with(label(name, LEFT - 8.0, base - 6.0))
            .with(line("base", (LEFT, base), (RIGHT, base)))
            .all(bars("excluded", |c| height(c.excluded, c)))
            .all(bars("bad", |c| height(c.bad, c)))
            .all(self.pointed(lane))
    }

    /// Where `n` cells from one on lie.
    fn place(self, cell: usize, n: usize) -> (f64, f64) {
        let from = self.cell * cell as u64;
        let x = self.axis.x(At(from));
        (x, (self.axis.x(At(from + self.cell * n as u64)) - x).max(1.0))
    }

    /// Counts: in letters where there is room for them, and for who points there.
    fn pointed(self, lane: &LaneLine) -> Vec<Element> {
        let width = self.axis.width(self.cell);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some ten at most")]
        let together = (POINTED / width).ceil().max(1.0) as usize;
        let groups = lane.troubled.chunk_by(|a, b| a.cell / together == b.cell / together);
        let draw = |group: &[LaneCell]| {
            let sum = group.iter().fold((0, 0, 0), |(g, b, e), c| (g + c.answers.good, b + c.answers.bad, e + c.answers.excluded));
            let first = group.first().map_or(0, |c| c.cell / together * together);
            let (x, width) = self.place(first, together);
            let (from, to) = (At(self.cell * first as u64), At(self.cell * (first + together) as u64));
            let told = told(sum, from, to);
            let shown = count(sum.1);
            let fits = together == 1 && sum.1 > 0 && text_width(&shown) < width - 2.0;
            let top = group.first().map_or(0.0, |c| height(c.answers.bad.max(c.answers.excluded), &c.answers));
            let letters = fits.then(|| text("count", shown, x + width / 2.0, self.y + FAILURES - 7.0 - top));
            el("g").with(title(told)).with(rect("hover", (x, self.y), (width, FAILURES))).all(letters)
        };
        groups.map(draw).collect()
    }
}

fn told((good, bad, excluded): (u64, u64, u64), from: At, to: At) -> String {
    let mut told = format!("{} to {}: {} of {} failed", moment(from), moment(to), count(bad), count(good + bad));
    if excluded > 0 {
        // Writing to a string cannot fail.
        let _ = write!(told, ", {} not counted", count(excluded));
    }
    told
}

/// A bar's height by its share; what is there is seen.
fn height(part: u64, cell: &Cell) -> f64 {
    if part == 0 {
        return 0.0;
    }
    let share = part as f64 / (cell.good + cell.bad + cell.excluded) as f64;
    2.0 + share * (BAR - 2.0)
}

/// The median and the 99th percentile of all lanes.
pub(super) fn latency(chart: &mut Chart, s: &Summary) {
    let Some(scale) = Scale::of(&s.timeline) else { return };
    chart.heading("Latency of good answers from the moment they were due, all lanes; logarithmic");
    let y = chart.take(LATENCY);
    let mut group = classed("g", "latency").with(title("Median and 99th percentile of latency over time".to_owned()));
    for (value, name) in scale.decades() {
        let at = scale.y(value, y);
        group = group.with(line("grid", (LEFT, at), (RIGHT, at))).with(label(name, LEFT - 8.0, at + 4.0));
    }
    let row = Row { axis: chart.axis, cell: s.timeline.cell_s.0.micros(), y };
    let curve = |class, pick: fn(&Moment) -> Option<Millis>| classed("path", class).attr("d", row.steps(&s.timeline, scale, pick));
    let group = group.with(curve("p99", |m| m.p99_ms)).with(curve("p50", |m| m.p50_ms));
    let last = s.timeline.cells.iter().rev().find_map(|m| m.p50_ms.zip(m.p99_ms));
    let names = last.map(|(p50, p99)| {
        // The higher curve is named above itself, the lower one below.
        let (low, high) = (scale.y(micros(p50.0), y), scale.y(micros(p99.0), y));
        [
            text("p50-name", format!("p50 {}", span(p50.0)), RIGHT, low + 12.0),
            text("p99-name", format!("p99 {}", span(p99.0)), RIGHT, high - 5.0),
        ]
    });
    chart.add(group.all(names.into_iter().flatten()));
}

impl Row {
    /// A stepped line that breaks where nothing was answered well.
    fn steps(self, timeline: &Timeline, scale: Scale, pick: fn(&Moment) -> Option<Millis>) -> String {
        let mut d = String::new();
        let mut drawing = false;
        for (i, moment) in timeline.cells.iter().enumerate() {
            let Some(value) = pick(moment) else {
                drawing = false;
                continue;
            };
            let (x, width) = self.place(i, 1);
            let y = scale.y(micros(value.0), self.y);
            // Writing to a string cannot fail.
            let _ = if drawing {
                write!(d, "V{}H{}", Px(y), Px(x + width))
            } else {
                write!(d, "M{} {}H{}", Px(x), Px(y), Px(x + width))
            };
            drawing = true;
        }
        d
    }
}

/// Latencies to heights, by whole decades.
#[derive(Clone, Copy, Debug)]
struct Scale {
    low: u32,
    high: u32,
}

impl Scale {
    fn of(timeline: &Timeline) -> Option<Self> {
        let all = || timeline.cells.iter().flat_map(|m| m.p50_ms.into_iter().chain(m.p99_ms)).map(|m| micros(m.0).max(10));
        let low = all().min()?.ilog10();
        let high = all().max()?.ilog10() + 1;
        Some(Self { low, high })
    }

    fn y(self, value: u64, top: f64) -> f64 {
        let share = ((value.max(1) as f64).log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        top + 6.0 + (LATENCY - 14.0) * (1.0 - share.clamp(0.0, 1.0))
    }

    fn decades(self) -> impl Iterator<Item = (u64, String)> {
        (self.low..=self.high).map(|power| 10_u64.pow(power)).map(|value| (value, span(std::time::Duration::from_micros(value))))
    }
}

//! The one time axis of the chart: where a moment lies, and which moments are marked.

use std::fmt;

use crate::domain::summary::Seconds;
use crate::domain::time::At;

/// The width of the drawing.
pub(super) const WIDTH: f64 = 1120.0;
/// Where the time axis begins; names stand to the left of it.
pub(super) const LEFT: f64 = 208.0;
/// Where it ends.
pub(super) const RIGHT: f64 = WIDTH - 12.0;
/// What a letter takes at most on average, in the chart's size.
const LETTER: f64 = 6.2;

/// A coordinate, written to a tenth.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Px(pub(super) f64);

impl fmt::Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.1}", self.0);
        f.write_str(text.strip_suffix(".0").unwrap_or(&text))
    }
}

/// About how wide a text is.
pub(super) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// Moments to places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    end: u64,
}

impl Axis {
    /// Of a run that lasted so long.
    pub(super) fn to(end: Seconds) -> Self {
        Self { end: end.0.micros().max(1_000_000) }
    }

    /// The end of the run.
    pub(super) const fn end(self) -> At {
        At(self.end)
    }

    /// Where a moment lies; what is beyond the end lies at the end.
    pub(super) fn x(self, at: At) -> f64 {
        LEFT + (RIGHT - LEFT) * (at.micros().min(self.end) as f64 / self.end as f64)
    }

    /// How wide a stretch is.
    pub(super) fn width(self, micros: u64) -> f64 {
        (RIGHT - LEFT) * (micros as f64 / self.end as f64)
    }

    /// Round moments, at most eleven, with their names.
    pub(super) fn ticks(self) -> Vec<(At, String)> {
        const STEPS: [u64; 16] = [
            100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000,
            3_600_000,
        ];
        let fits = |step: &u64| self.end / (step * 1_000) <= 10;
        let step = 1_000 * STEPS.into_iter().find(fits).unwrap_or_else(|| (self.end / 10_000).next_multiple_of(3_600_000));
        (0..=self.end / step).map(|i| i * step).map(|at| (At(at), name(at, step))).collect()
    }
}

/// `0.5 s`, `40 s`, `2:30`, `1:00:00`.
fn name(at: u64, step: u64) -> String {
    let (tenths, seconds) = (at / 100_000, at / 1_000_000);
    match seconds {
        _ if step < 1_000_000 => format!("{}.{} s", tenths / 10, tenths % 10),
        0..120 if step < 60_000_000 => format!("{seconds} s"),
        0..3_600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_few_and_within_the_run() {
        for end in [1, 900_000, 5_800_000, 25_000_000, 119_000_000, 600_000_000, 86_400_000_000, 900_000_000_000] {
            let axis = Axis::to(Seconds(At(end)));
            let ticks = axis.ticks();
            assert!((2..=11).contains(&ticks.len()), "{end}: {ticks:?}");
            assert!(ticks.iter().all(|(at, _)| at.micros() <= axis.end().micros()));
        }
        let names = |end| Axis::to(Seconds(At(end))).ticks().into_iter().map(|(_, n)| n).collect::<Vec<_>>();
        assert_eq!(names(1_100_000), ["0.0 s", "0.2 s", "0.4 s", "0.6 s", "0.8 s", "1.0 s"]);
        assert_eq!(names(25_000_000), ["0 s", "5 s", "10 s", "15 s", "20 s", "25 s"]);
        assert_eq!(names(600_000_000).last().map(String::as_str), Some("10:00"));
    }

    #[test]
    fn moments_lie_in_order_between_the_ends() {
        let axis = Axis::to(Seconds(At(10_000_000)));
        let places = [0, 1, 5_000_000, 10_000_000, 99_000_000].map(|at| Px(axis.x(At(at))).to_string());
        assert_eq!(places, ["208", "208", "658", "1108", "1108"]);
        assert_eq!(Px(3.25).to_string(), "3.2");
    }
}

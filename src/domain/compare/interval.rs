//! Intervals for what differs between two runs.
//!
//! A run may end early because of what was seen in it (a breach ends it), and failures come in bursts: one pod that ends abruptly fails a
//! hundred requests at once. Intervals that take a fixed number of independent requests for granted, Wilson's and Newcombe's among them, would
//! find differences where there are none. So each run's share and each run's quantile has an interval that holds at all moments at once and
//! whatever the dependence between requests (`judge/confidence.rs`), with half of the allowed error each; the interval of the difference
//! reaches from one end of one to the other end of the other. It is wider than need be, and never narrower.
//!
//! What no interval from two runs can hold is how much runs differ by themselves: another minute, another machine, other neighbours.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::judge::confidence;
use crate::domain::latency::Latencies;

/// All intervals of one comparison together hold with this probability at least: `1 − ERROR`.
pub const ERROR: f64 = 0.05;

/// Bounds of a difference or a ratio. Nothing stands for a side on which there is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Not less than this.
    pub low: Option<f64>,
    /// Not more than this.
    pub high: Option<f64>,
}

impl Interval {
    /// Whether a value lies in it, so that a difference from it cannot be told.
    pub fn holds(&self, value: f64) -> bool {
        self.low.is_none_or(|low| low <= value) && self.high.is_none_or(|high| value <= high)
    }

    /// Rounded outward, so that it still holds what it held.
    pub(super) fn to_four_digits(self) -> Self {
        let rounded = |bound: f64, round: fn(f64) -> f64| {
            let unit = 10f64.powf(3.0 - bound.log10().floor());
            if bound > 0.0 { round(bound * unit) / unit } else { bound }
        };
        Self { low: self.low.map(|low| rounded(low, f64::floor)), high: self.high.map(|high| rounded(high, f64::ceil)) }
    }
}

/// How much larger the share of bad ones is in `b` than in `a` (`bad` of `all` each), as a fraction of one, with an error of at most `alpha`.
pub(super) fn of_shares(a: (u64, u64), b: (u64, u64), alpha: f64) -> (f64, f64) {
    // Four bounds, each of which may err.
    let of = |(bad, all)| confidence::interval(bad, all, alpha / 4.0);
    let ((a_low, a_high), (b_low, b_high)) = (of(a), of(b));
    (b_low - a_high, b_high - a_low)
}

/// How many times as large the `q`-quantile of `b` is as that of `a`, with an error of at most `alpha`. To what counting in buckets of three
/// digits allows.
pub(super) fn of_quantiles(a: &Latencies, b: &Latencies, q: f64, alpha: f64) -> Interval {
    let ((a_low, a_high), (b_low, b_high)) = (quantile(a, q, alpha / 2.0), quantile(b, q, alpha / 2.0));
    let ratio = |above: Option<u64>, below: Option<u64>| Some(above? as f64 / below.filter(|b| *b > 0)? as f64);
    Interval { low: ratio(b_low, a_high), high: ratio(b_high, a_low) }
}

/// Microseconds between which the `q`-quantile lies.
fn quantile(latencies: &Latencies, q: f64, alpha: f64) -> (Option<u64>, Option<u64>) {
    let n = latencies.count();
    let (low, high) = confidence::quantile_ranks(n, q, alpha);
    // The ranks are cut to those there are: at the first and the last there may be no bound.
    let below = (low > 1).then(|| latencies.ranked(low)).flatten().map(lower_edge);
    (below, (high < n).then(|| latencies.ranked(high)).flatten())
}

/// Latencies are rounded up to three digits: one in this bucket is above the bucket before it.
fn lower_edge(micros: u64) -> u64 {
    let unit = |m: u64| 10u64.pow(m.checked_ilog10().unwrap_or(0).saturating_sub(2));
    // The bucket before 1 000 is 999.
    let below = micros.saturating_sub(1);
    if micros == 0 { 0 } else { below / unit(below) * unit(below) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPHA: f64 = 0.01;

    #[test]
    fn an_interval_holds_the_difference_and_shrinks_with_traffic() {
        let (low, high) = of_shares((0, 4_000), (400, 4_000), ALPHA);
        assert!(0.05 < low && low < 0.1 && 0.1 < high && high < 0.15, "{low} {high}");
        let (closer_low, closer_high) = of_shares((0, 40_000), (4_000, 40_000), ALPHA);
        assert!(low < closer_low && closer_high < high);
    }

    #[test]
    fn the_other_way_round_it_is_the_same_interval_mirrored() {
        let (a, b) = ((3, 1_000), (40, 1_500));
        let ((low, high), (back_low, back_high)) = (of_shares(a, b, ALPHA), of_shares(b, a, ALPHA));
        assert!((low + back_high).abs() < 1e-12 && (high + back_low).abs() < 1e-12);
    }

    #[test]
    fn nothing_can_be_told_from_little_or_from_nothing() {
        let holds_zero = |a, b| {
            let (low, high) = of_shares(a, b, ALPHA);
            low <= 0.0 && 0.0 <= high
        };
        assert!(holds_zero((0, 20), (3, 20)));
        assert!(holds_zero((0, 0), (500, 1_000)));
        let none = of_quantiles(&Latencies::default(), &Latencies::default(), 0.5, ALPHA);
        assert_eq!((none, none.holds(1.0)), (Interval { low: None, high: None }, true));
    }

    fn latencies(times: impl Iterator<Item = u64>) -> Latencies {
        let mut all = Latencies::default();
        times.for_each(|micros| all.add(micros, 1));
        all
    }

    #[test]
    fn twice_as_slow_is_told_and_the_ratio_lies_in_its_interval() {
        let a = latencies((0..4_000).map(|i| 5_000 + i));
        let b = latencies((0..4_000).map(|i| 10_000 + 2 * i));
        for q in [0.5, 0.9, 0.99] {
            let ratio = of_quantiles(&a, &b, q, ALPHA);
            assert!(ratio.holds(2.0) && !ratio.holds(1.0), "{q}: {ratio:?}");
        }
        let same = of_quantiles(&a, &a, 0.5, ALPHA);
        assert!(same.holds(1.0) && !same.holds(1.2), "{same:?}");
    }

    #[test]
    fn beyond_the_slowest_answers_there_is_no_bound() {
        let few = latencies((0..300).map(|i| 5_000 + i));
        let ratio = of_quantiles(&few, &few, 0.999, ALPHA);
        assert_eq!((ratio.low, ratio.high), (None, None), "300 answers say little of one in a thousand");
    }

    #[test]
    fn a_ratio_of_any_size_is_rounded_outward_to_four_digits() {
        let rounded = |low, high| {
            let r = Interval { low: Some(low), high: Some(high) }.to_four_digits();
            format!("{} to {}", r.low.unwrap(), r.high.unwrap())
        };
        assert_eq!(rounded(1_422.764, 1_723.01), "1422 to 1724");
        assert_eq!(rounded(1.000_51, 1.000_51), "1 to 1.001");
        assert_eq!(rounded(0.000_580_27, 0.023_457_8), "0.0005802 to 0.02346");
        assert_eq!(rounded(0.0, 0.0), "0 to 0");
    }

    #[test]
    fn a_bucket_begins_where_the_one_before_it_ends() {
        assert_eq!(
            [0, 1, 7, 999, 1_000, 1_010, 99_900, 100_000, 1_240_000].map(lower_edge),
            [0, 0, 6, 998, 999, 1_000, 99_800, 99_900, 1_230_000]
        );
    }
}

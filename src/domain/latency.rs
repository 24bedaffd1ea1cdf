//! A histogram of latencies whose size does not depend on how many it holds.

use std::collections::BTreeMap;
use std::time::Duration;

use super::objective::Ppm;

/// Latencies in buckets of three significant digits (an error of at most 1 %), at most 900 a decade.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    buckets: BTreeMap<u64, u64>,
    count: u64,
}

impl Latencies {
    /// Adds `count` latencies of `micros`.
    pub fn add(&mut self, micros: u64, count: u64) {
        if count > 0 {
            *self.buckets.entry(round_up(micros)).or_default() += count;
            self.count += count;
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        other.buckets.iter().for_each(|(micros, count)| self.add(*micros, *count));
    }

    /// How many there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The smallest bucket that at least `share` of all lie at or below (nearest rank). Nothing when there are none.
    pub fn quantile(&self, share: Ppm) -> Option<Duration> {
        let rank = (u128::from(self.count) * u128::from(share.0)).div_ceil(u128::from(Ppm::ONE));
        self.ranked(u64::try_from(rank).unwrap_or(u64::MAX).max(1))
    }

    /// The one of this rank (from 1) in ascending order. Nothing when there are not so many.
    pub fn ranked(&self, rank: u64) -> Option<Duration> {
        let mut seen = 0;
        self.buckets.iter().find_map(|(micros, count)| {
            seen += *count;
            (seen >= rank).then(|| Duration::from_micros(*micros))
        })
    }

    /// The largest.
    pub fn max(&self) -> Option<Duration> {
        self.buckets.last_key_value().map(|(micros, _)| Duration::from_micros(*micros))
    }

    /// Buckets and counts, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets.iter().map(|(m, c)| (*m, *c))
    }
}

/// Rounds up to three significant digits.
pub fn round_up(micros: u64) -> u64 {
    let unit = 10u64.pow(micros.checked_ilog10().unwrap_or(0).saturating_sub(2));
    micros.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank_to_three_digits() {
        let mut l = Latencies::default();
        assert_eq!(l.quantile(Ppm(500_000)), None);
        (1..=1_000).for_each(|ms| l.add(ms * 1_000, 1));
        let q = |ppm| l.quantile(Ppm(ppm)).unwrap().as_millis();
        assert_eq!([q(500_000), q(990_000), q(999_000), q(1_000_000), q(0)], [500, 990, 999, 1_000, 1]);
        assert_eq!((l.count(), l.max().unwrap()), (1_000, Duration::from_secs(1)));
    }

    #[test]
    fn rounding_keeps_three_digits_and_never_makes_a_latency_smaller() {
        assert_eq!([0, 7, 99, 999, 1_000, 1_001, 1_234_567].map(round_up), [0, 7, 99, 999, 1_000, 1_010, 1_240_000]);
        assert!((0..200_000).step_by(7).all(|m| round_up(m) >= m && round_up(m) as f64 <= m as f64 * 1.01 + 1.0));
    }
}

//! Latencies as sorted sparse counts with three significant digits: the form in which the driver passes them on.

use super::latency::round_up;

/// `(microseconds, count)`, ascending, each value once.
pub type Sparse = Vec<(u64, u32)>;

/// Adds `other` to `into`; both ascending.
pub fn merge(into: &mut Sparse, other: &[(u64, u32)]) {
    if other.is_empty() {
        return;
    }
    if into.last().is_none_or(|(last, _)| *last < other[0].0) {
        into.extend_from_slice(other);
        return;
    }
    let old = std::mem::replace(into, Vec::with_capacity(into.len() + other.len()));
    let (mut a, mut b) = (old.into_iter().peekable(), other.iter().copied().peekable());
    while let (Some(x), Some(y)) = (a.peek().copied(), b.peek().copied()) {
        let next = match x.0.cmp(&y.0) {
            std::cmp::Ordering::Less => x,
            std::cmp::Ordering::Greater => y,
            std::cmp::Ordering::Equal => (x.0, x.1.saturating_add(y.1)),
        };
        if x.0 <= y.0 {
            a.next();
        }
        if y.0 <= x.0 {
            b.next();
        }
        into.push(next);
    }
    into.extend(a);
    into.extend(b);
}

/// The smallest value that at least the share `q` (0 to 1) does not exceed; `None` without values.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are far below 2^52"
)]
pub fn quantile(values: &[(u64, u32)], q: f64) -> Option<u64> {
    let total: u64 = values.iter().map(|(_, n)| u64::from(*n)).sum();
    let rank = ((total as f64 * q).ceil() as u64).max(1);
    let mut seen = 0;
    values.iter().find_map(|(value, n)| {
        seen += u64::from(*n);
        (seen >= rank).then_some(*value)
    })
}

/// Collects values one by one in bounded space.
#[derive(Debug, Default)]
pub struct Tally {
    raw: Vec<u64>,
    sparse: Sparse,
}

impl Tally {
    /// Values kept before they are folded.
    const RAW: usize = 4_096;

    /// Counts one value.
    pub fn record(&mut self, micros: u64) {
        self.raw.push(round_up(micros));
        if self.raw.len() >= Self::RAW {
            self.fold();
        }
    }

    /// All values since the last call.
    pub fn take(&mut self) -> Sparse {
        self.fold();
        std::mem::take(&mut self.sparse)
    }

    fn fold(&mut self) {
        if self.raw.is_empty() {
            return;
        }
        self.raw.sort_unstable();
        let counts: Sparse =
            self.raw.chunk_by(|a, b| a == b).map(|same| (same[0], u32::try_from(same.len()).unwrap_or(u32::MAX))).collect();
        merge(&mut self.sparse, &counts);
        self.raw.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let values = [(10, 98), (20, 1), (700, 1)];
        assert_eq!([0.0, 0.5, 0.98, 0.981, 0.99, 1.0].map(|q| quantile(&values, q)), [10, 10, 10, 20, 20, 700].map(Some));
        assert_eq!(quantile(&[], 0.5), None);
    }

    proptest! {
        #[test]
        fn a_tally_in_any_order_and_any_pieces_counts_each_value_once(pieces in prop::collection::vec(prop::collection::vec(0_u64..100_000, 0..9_000), 0..4)) {
            let mut expected = BTreeMap::new();
            let mut all = Sparse::new();
            let mut tally = Tally::default();
            for piece in &pieces {
                for value in piece {
                    *expected.entry(round_up(*value)).or_insert(0_u32) += 1;
                    tally.record(*value);
                }
                merge(&mut all, &tally.take());
            }
            prop_assert_eq!(all, expected.into_iter().collect::<Sparse>());
        }
    }
}

//! The last few seconds of all lanes together: what goes on now.

use std::collections::VecDeque;

use super::{LaneSums, together};
use crate::domain::slice::Slice;

/// Seconds looked back on, the one that is not over included.
const SECONDS: u64 = 5;

/// The last few seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    seconds: VecDeque<(u64, LaneSums)>,
    /// The latest slices; they join `seconds` when time has gone on and all lanes have theirs.
    latest: Vec<Slice>,
}

impl Recent {
    /// A slice of one lane.
    pub(super) fn slice(&mut self, slice: &Slice) {
        if self.latest.first().is_none_or(|l| l.end < slice.end) {
            let complete = std::mem::take(&mut self.latest);
            for slice in &complete {
                self.join(slice);
            }
        }
        if self.latest.first().is_none_or(|l| l.end == slice.end) {
            self.latest.push(slice.clone());
        }
    }

    fn join(&mut self, slice: &Slice) {
        let second = slice.end.0.saturating_sub(1) / 1_000_000;
        if self.seconds.back().is_none_or(|(last, _)| *last < second) {
            self.seconds.push_back((second, LaneSums::default()));
        }
        while self.seconds.front().is_some_and(|(first, _)| first + SECONDS <= second) {
            self.seconds.pop_front();
        }
        if let Some((_, sums)) = self.seconds.back_mut() {
            sums.slice(slice);
        }
    }

    /// All of it.
    pub(super) fn sums(&self) -> LaneSums {
        together(self.seconds.iter().map(|(_, sums)| sums))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tally::tests::slice;
    use crate::domain::time::At;

    #[test]
    fn what_is_recent_is_forgotten_after_a_few_seconds_and_knows_its_span() {
        let mut recent = Recent::default();
        for tenths in 1..=95 {
            recent.slice(&slice("fresh", tenths, 20, 19, u64::from(tenths < 50)));
            recent.slice(&slice("kept", tenths, 10, 10, 0));
        }
        recent.slice(&slice("fresh", 96, 20, 20, 0));
        let sums = recent.sums();
        assert_eq!((sums.due, sums.counts.good(), sums.counts.bad()), (45 * 30, 45 * 29, 0), "the 96th is not complete");
        assert_eq!(sums.span, Some((At(5_000_000), At(9_500_000))));
        recent.slice(&Slice { due: 0, ..slice("fresh", 200, 0, 0, 1) });
        recent.slice(&Slice { due: 0, ..slice("fresh", 201, 0, 0, 1) });
        assert_eq!((recent.sums().due, recent.sums().span), (0, None), "nothing was due in these seconds");
    }
}

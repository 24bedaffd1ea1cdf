//! Stretches without any good answer, found from slots in the order of their intended starts.

use std::time::Duration;

use super::outcome::{Blame, Outcome};
use super::time::At;

/// A gap this long is reported while it is still open, and again whenever it has grown by as much.
pub const OPEN_AFTER: Duration = Duration::from_millis(100);

/// A stretch of slots that say nothing joins the failures on both sides into one gap only when it is no longer than this:
/// what the verifier could not see is not counted as an outage.
pub const BRIDGE: Duration = Duration::from_secs(1);

/// What a slot says about its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Answered well.
    Good,
    /// Failed, and the target is to blame.
    Bad,
    /// Says nothing about the target.
    Excluded,
}

impl From<Outcome> for Class {
    fn from(outcome: Outcome) -> Self {
        match outcome.blame() {
            Blame::Nobody => Self::Good,
            Blame::Target => Self::Bad,
            Blame::Verifier => Self::Excluded,
        }
    }
}

/// A gap, as it opens or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Intended start of the first bad slot.
    pub from: At,
    /// Intended start of the last bad slot so far.
    pub last: At,
    /// Intended start of the slot that ended it: a good one, or the first of those that say nothing. Open without.
    pub to: Option<At>,
    /// Bad slots so far.
    pub failed: u64,
}

/// Follows one lane. A bad slot opens a gap, a good one ends it.
#[derive(Clone, Copy, Debug, Default)]
pub struct GapTracker {
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    from: At,
    failed: u64,
    /// The first slot since the last bad one that says nothing.
    silent_from: Option<At>,
    last: At,
    /// How far it was reported.
    reported: Option<At>,
}

impl Open {
    fn stretch(&self, to: Option<At>) -> Stretch {
        Stretch { from: self.from, last: self.last, to, failed: self.failed }
    }
}

impl GapTracker {
    /// Takes the next slot; answers the gap that it ended, or that is open and has grown by [`OPEN_AFTER`].
    pub fn slot(&mut self, class: Class, due: At) -> Option<Stretch> {
        match (class, &mut self.open) {
            (Class::Good | Class::Excluded, None) => None,
            (Class::Good, Some(open)) => {
                let ended = open.stretch(Some(open.silent_from.unwrap_or(due)));
                self.open = None;
                Some(ended)
            }
            (Class::Excluded, Some(open)) => {
                open.silent_from.get_or_insert(due);
                None
            }
            (Class::Bad, Some(open)) if open.silent_from.is_none_or(|from| due.since(from) <= BRIDGE) => {
                open.failed += 1;
                open.silent_from = None;
                open.last = due;
                let long = due.since(open.reported.unwrap_or(open.from)) >= OPEN_AFTER;
                if long {
                    open.reported = Some(due);
                }
                long.then(|| open.stretch(None))
            }
            (Class::Bad, _) => {
                let ended = self.open.map(|open| open.stretch(open.silent_from));
                self.open = Some(Open { from: due, failed: 1, silent_from: None, last: due, reported: None });
                ended
            }
        }
    }

    /// The gap that is still open at the end, unless all of it was reported.
    pub fn finish(&mut self) -> Option<Stretch> {
        self.open.take().filter(|open| open.reported != Some(open.last)).map(|open| open.stretch(open.silent_from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slots every 10 ms, one letter each: good, bad, excluded.
    fn gaps(slots: &str) -> Vec<(u64, Option<u64>, u64)> {
        let mut tracker = GapTracker::default();
        let seen = slots.chars().zip((0..).step_by(10)).filter_map(|(c, ms)| {
            let class = match c {
                'g' => Class::Good,
                'b' => Class::Bad,
                _ => Class::Excluded,
            };
            tracker.slot(class, At(ms * 1_000))
        });
        let mut all: Vec<Stretch> = seen.collect();
        all.extend(tracker.finish());
        all.into_iter().map(|s| (s.from.0 / 1_000, s.to.map(|to| to.0 / 1_000), s.failed)).collect()
    }

    #[test]
    fn a_gap_runs_from_the_first_bad_slot_to_the_next_good_one() {
        assert_eq!(gaps("gggg"), []);
        assert_eq!(gaps("ggbbbg"), [(20, Some(50), 3)]);
        assert_eq!(gaps("bgbg"), [(0, Some(10), 1), (20, Some(30), 1)]);
    }

    #[test]
    fn a_long_gap_is_told_as_it_grows_and_when_it_ends() {
        assert_eq!(gaps(&format!("{}g", "b".repeat(25))), [(0, None, 11), (0, None, 21), (0, Some(250), 25)]);
        assert_eq!(gaps(&"b".repeat(15)), [(0, None, 11), (0, None, 15)]);
        assert_eq!(gaps(&"b".repeat(11)), [(0, None, 11)]);
        assert_eq!(gaps("gbb"), [(10, None, 2)]);
    }

    #[test]
    fn what_the_verifier_could_not_see_is_no_outage() {
        assert_eq!(gaps("bbxxg"), [(0, Some(20), 2)], "the silent slots are not part of the gap");
        assert_eq!(gaps("bxxbg"), [(0, Some(40), 2)], "a short silence between failures is");
        let long = format!("b{}bg", "x".repeat(102));
        assert_eq!(gaps(&long), [(0, Some(10), 1), (1_030, Some(1_040), 1)]);
        assert_eq!(gaps("xxgxx"), []);
    }
}

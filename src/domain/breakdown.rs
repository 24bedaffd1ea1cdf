//! What failed, told apart: every slot without a good answer by its outcome, lane, phase of the rollout and pod.

use std::collections::BTreeMap;

use super::outcome::Outcome;
use super::rollout::Phase;
use super::slice::{SLICE_MICROS, Slice};
use super::time::At;
use super::traffic::Name;

/// Kinds told apart by pod; beyond it the pod is left out, so that what remains is bounded by lanes, outcomes and phases.
const MAX_KINDS: usize = 2_000;

/// What failures of one kind have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Whether the change had begun.
    pub measured: bool,
    /// How they ended.
    pub outcome: Outcome,
    /// Their lane.
    pub lane: Name,
    /// The phase in which they became known.
    pub phase: Phase,
    /// The pod that answered, when the answer named it.
    pub pod: Option<Name>,
}

/// How many there were of a kind, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spell {
    /// How many.
    pub count: u64,
    /// The beginning of the slice in which the first became known.
    pub first: At,
    /// The end of the slice in which the last became known.
    pub last: At,
}

/// All kinds that occurred.
#[derive(Clone, Debug, Default)]
pub struct Breakdown {
    kinds: BTreeMap<Kind, Spell>,
}

impl Breakdown {
    /// A slice that became known in `phase`.
    pub fn slice(&mut self, slice: &Slice, measured: bool, phase: Phase) {
        for part in &slice.parts {
            for (outcome, count) in part.counts.iter().filter(|(o, _)| *o != Outcome::Ok) {
                let kind = Kind { measured, outcome, lane: slice.lane.clone(), phase, pod: part.pod.clone() };
                self.add(kind, Spell { count, first: At(slice.end.0.saturating_sub(SLICE_MICROS)), last: slice.end });
            }
        }
    }

    fn add(&mut self, mut kind: Kind, spell: Spell) {
        if self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&kind) {
            kind.pod = None;
        }
        self.kinds.entry(kind).and_modify(|s| *s = s.joined(spell)).or_insert(spell);
    }

    /// Kinds in order, those before the change first.
    pub fn iter(&self) -> impl Iterator<Item = (&Kind, &Spell)> {
        self.kinds.iter()
    }
}

impl Spell {
    /// Both together.
    pub fn joined(self, other: Self) -> Self {
        Self { count: self.count + other.count, first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tally::tests::slice;

    #[test]
    fn failures_of_one_kind_are_one_spell_and_good_answers_none() {
        let mut breakdown = Breakdown::default();
        breakdown.slice(&slice("fresh", 3, 10, 8, 2), true, Phase::Surging);
        breakdown.slice(&slice("fresh", 4, 10, 10, 0), true, Phase::Surging);
        breakdown.slice(&slice("fresh", 5, 10, 9, 1), true, Phase::Surging);
        breakdown.slice(&slice("fresh", 6, 10, 9, 1), true, Phase::Replacing);
        let kind = |phase| Kind {
            measured: true,
            outcome: Outcome::Refused,
            lane: Name::from("fresh"),
            phase,
            pod: Some(Name::from("p1")),
        };
        let expected = [
            (kind(Phase::Surging), Spell { count: 3, first: At(200_000), last: At(500_000) }),
            (kind(Phase::Replacing), Spell { count: 1, first: At(500_000), last: At(600_000) }),
        ];
        assert_eq!(breakdown.iter().map(|(k, s)| (k.clone(), *s)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn more_pods_than_can_be_told_apart_are_still_counted() {
        let mut breakdown = Breakdown::default();
        for i in 0..MAX_KINDS + 10 {
            let mut failed = slice("fresh", 3, 1, 0, 1);
            failed.parts[0].pod = Some(Name::from(format!("p{i}")));
            breakdown.slice(&failed, true, Phase::Surging);
        }
        assert_eq!(breakdown.iter().count(), MAX_KINDS + 1);
        assert_eq!(breakdown.iter().map(|(_, s)| s.count).sum::<u64>(), MAX_KINDS as u64 + 10);
    }
}

//! What pods have answered at the gate: kept for the report, also when they are gone.

use super::RECORDS_MAX;
use crate::domain::outcome::{Blame, Counts, Outcome};
use crate::domain::rollout::state::PodState;
use crate::domain::slice::Part;
use crate::domain::time::At;
use crate::domain::traffic::Name;

/// A pod that was asked at its own address before it was let in or turned away, in all ways of asking together.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// `metadata.uid`
    pub uid: Name,
    /// `metadata.name`
    pub pod: Name,
    /// Its revision.
    pub revision: Name,
    /// Since when its gate was all that kept it from traffic.
    pub from: At,
    /// How the requests ended.
    pub counts: Counts,
    /// What was weighed: answers, and failures that say something about the pod.
    pub answers: u64,
    /// Of these, bad or late.
    pub bad: u64,
    /// The ends of the first and the last tenth of a second with something of it.
    pub span: (At, At),
}

impl Heard {
    /// Failures by how they ended, the commonest first. No connection at all says nothing about the pod.
    pub fn failures(&self) -> Vec<(Outcome, u64)> {
        let counts = |o: &Outcome| *o != Outcome::ConnectTimeout && o.blame() == Blame::Target && self.counts.get(*o) > 0;
        let mut failures: Vec<_> = Outcome::ALL.into_iter().filter(counts).map(|o| (o, self.counts.get(o))).collect();
        failures.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        failures
    }

    /// Bad for nothing but being late.
    pub fn late(&self) -> u64 {
        self.bad.saturating_sub(self.failures().iter().map(|(_, n)| n).sum())
    }
}

/// All of them, the first [`RECORDS_MAX`].
#[derive(Clone, Debug, Default)]
pub(super) struct Book(Vec<Heard>);

impl Book {
    /// A tenth of a second with so many good and bad answers among what is counted in `part`.
    pub(super) fn add(&mut self, pod: &PodState, from: At, part: &Part, (good, bad): (u64, u64), end: At) {
        let unknown = !self.0.iter().any(|heard| heard.uid == pod.uid);
        if unknown && good + bad > 0 && self.0.len() < RECORDS_MAX {
            let (uid, name, revision) = (pod.uid.clone(), pod.name.clone(), pod.revision.clone());
            let counts = Counts::default();
            self.0.push(Heard { uid, pod: name, revision, from, counts, answers: 0, bad: 0, span: (end, end) });
        }
        if let Some(heard) = self.0.iter_mut().rev().find(|heard| heard.uid == pod.uid) {
            heard.counts.merge(&part.counts);
            heard.answers += good + bad;
            heard.bad += bad;
            heard.span.1 = end;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Heard> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::Evidence;
    use super::*;
    use crate::domain::rollout::tests::pod;

    #[test]
    fn what_was_late_is_that_only_until_it_fails_and_counts_once() {
        let (mut book, mut evidence) = (Book::default(), Evidence::default());
        let mut tenth = |end, slow, outcomes: &[(Outcome, u64)]| {
            let mut part = Part::default();
            for (outcome, n) in outcomes {
                part.counts.add(*outcome, *n);
            }
            let weighed = evidence.add(&part.counts, slow, At(end));
            book.add(&pod("n1", "new", false, false), At(50_000), &part, weighed, At(end));
            book.0.first().cloned()
        };
        assert_eq!(tenth(100_000, 0, &[(Outcome::ConnectTimeout, 9)]), None, "it was not heard yet");
        let late = tenth(200_000, 3, &[(Outcome::Ok, 1)]).unwrap();
        assert_eq!((late.answers, late.bad, late.late(), late.failures()), (3, 3, 3, vec![]), "an answer and two that are open");
        let heard = tenth(300_000, 0, &[(Outcome::ResponseTimeout, 2), (Outcome::Ok, 4), (Outcome::ConnectTimeout, 1)]).unwrap();
        assert_eq!((heard.answers, heard.bad, heard.late()), (7, 3, 1));
        assert_eq!(heard.failures(), [(Outcome::ResponseTimeout, 2)]);
        assert_eq!((heard.from, heard.span), (At(50_000), (At(200_000), At(300_000))));
    }
}

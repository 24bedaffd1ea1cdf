//! What a pod's own answers say about it: a sequential test that ends by itself, with a stated error rate.
//!
//! Two suppositions are weighed answer by answer (Wald's sequential probability ratio test): that the version fails as seldom as the
//! availability objective allows, and that it fails five times as often, but at least a quarter of its requests. A pod is let in when the
//! first is [`FOR`] times as likely as the second, after [`ANSWERS`] answers over [`SPAN`] at the earliest; it is turned away when the second
//! is [`AGAINST`] times as likely as the first. So of versions within the objective at most one in a thousand is turned away at each way
//! of asking, and of those that fail a quarter of their requests or more at most one in a hundred is let in, if failures come independently.
//! What lies between is for the judge of the users' traffic.

use std::time::Duration;

use crate::domain::outcome::{Blame, Counts, Outcome};
use crate::domain::time::At;

/// Answers of each way of asking before a pod is let in, and from the first to the last of them.
pub const ANSWERS: u64 = 20;
/// See [`ANSWERS`].
pub const SPAN: Duration = Duration::from_secs(1);
/// The odds that let a pod in.
pub const FOR: f64 = 100.0;
/// The odds that turn a pod away.
pub const AGAINST: f64 = 1_000.0;
/// After so many answers what is likelier decides: versions between the two suppositions must not wait for ever.
const MOST: u64 = 200;
/// So many requests without one that got anywhere: the pod cannot be asked from here.
const UNREACHED: u64 = 20;

/// The suppositions: what share of requests a good version fails at most, and a bad one at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    good: f64,
    bad: f64,
}

impl Shares {
    /// For a share that may fail by the objective.
    pub fn for_loss(loss: f64) -> Self {
        let good = loss.clamp(0.01, 0.1);
        Self { good, bad: (good * 5.0).max(0.25) }
    }

    /// The logarithm of how much likelier a bad version is by these answers.
    fn weigh(self, good: u64, bad: u64) -> f64 {
        bad as f64 * (self.bad / self.good).ln() + good as f64 * ((1.0 - self.bad) / (1.0 - self.good)).ln()
    }
}

/// What a pod has answered to one way of asking.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Evidence {
    pub(super) good: u64,
    pub(super) bad: u64,
    outcomes: Counts,
    /// Requests that were counted as bad for being late, and have not ended.
    late: u64,
    unreached: u64,
    span: Option<(At, At)>,
}

/// What evidence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Good,
    Bad,
    /// Not known yet.
    Open,
    /// Nothing of what was sent got there.
    Unreachable,
}

impl Evidence {
    /// Takes in how requests to the pod ended in a tenth of a second that was over at `end`; `slow` of them beyond the limit. Answers with
    /// how many of them speak for the pod, and how many against it.
    pub(super) fn add(&mut self, counts: &Counts, slow: u64, end: At) -> (u64, u64) {
        // No connection within its time, or none tried: that the network keeps us from the pod is as likely as that the pod is to blame.
        let apart = counts.get(Outcome::ConnectTimeout);
        self.unreached += apart + counts.of(Blame::Verifier);
        // What is known to be late counts at once, and not again when it ends.
        self.late += slow;
        let mut ended = |n: u64| {
            let known = n.min(self.late);
            self.late -= known;
            n - known
        };
        let (bad, good) = (ended(counts.bad() - apart), ended(counts.good()));
        if counts.valid() - apart + slow > 0 {
            self.outcomes.merge(counts);
            self.bad += bad + slow;
            self.good += good;
            self.span = Some(self.span.map_or((end, end), |(from, _)| (from, end)));
        }
        (good, bad + slow)
    }

    pub(super) fn says(&self, shares: Shares) -> Finding {
        let answers = self.good + self.bad;
        if answers == 0 && self.unreached >= UNREACHED {
            return Finding::Unreachable;
        }
        let weight = shares.weigh(self.good, self.bad);
        let long = self.span.is_some_and(|(from, to)| to.since(from) >= SPAN);
        if weight >= AGAINST.ln() || (answers >= MOST && weight > 0.0) {
            Finding::Bad
        } else if answers >= ANSWERS && long && (weight <= -FOR.ln() || answers >= MOST) {
            Finding::Good
        } else {
            Finding::Open
        }
    }

    /// The commonest failure.
    pub(super) fn commonest(&self) -> Option<Outcome> {
        let failures = Outcome::ALL.into_iter().filter(|o| o.blame() == Blame::Target && self.outcomes.get(*o) > 0);
        failures.max_by_key(|o| self.outcomes.get(*o))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(good: u64, bad: u64, seconds: u64) -> Evidence {
        let mut evidence = Evidence::default();
        for (n, end) in [(0, At(0)), (1, At(seconds * 1_000_000))] {
            let mut counts = Counts::default();
            // All but the last answer at once: a long span alone proves nothing.
            let share = |all: u64| if n == 0 { all - all.min(1) } else { all.min(1) };
            counts.add(Outcome::Ok, share(good));
            counts.add(Outcome::AppStatus, share(bad));
            evidence.add(&counts, 0, end);
        }
        evidence
    }

    fn says(good: u64, bad: u64, seconds: u64) -> Finding {
        after(good, bad, seconds).says(Shares::for_loss(0.01))
    }

    #[test]
    fn a_pod_is_good_after_twenty_answers_over_a_second_and_bad_after_three_failures_in_a_row() {
        assert_eq!([says(19, 0, 1), says(20, 0, 0), says(20, 0, 1)], [Finding::Open, Finding::Open, Finding::Good]);
        assert_eq!([says(0, 2, 1), says(0, 3, 0)], [Finding::Open, Finding::Bad]);
        assert_eq!([says(27, 1, 1), says(29, 1, 1)], [Finding::Open, Finding::Good], "one failure is to be outweighed");
        assert_eq!(after(0, 3, 1).commonest(), Some(Outcome::AppStatus));
        assert_eq!([says(190, 10, 9), says(180, 20, 9)], [Finding::Good, Finding::Bad], "what stays open is decided in the end");
    }

    #[test]
    fn answers_that_come_late_count_as_failures_once() {
        let mut evidence = Evidence::default();
        evidence.add(&Counts::default(), 3, At(100_000));
        assert_eq!(
            (evidence.bad, evidence.says(Shares::for_loss(0.01))),
            (3, Finding::Bad),
            "still open requests that are too late"
        );
        let mut counts = Counts::default();
        counts.add(Outcome::Ok, 4);
        let mut evidence = Evidence::default();
        evidence.add(&counts, 1, At(100_000));
        assert_eq!((evidence.good, evidence.bad), (3, 1));
    }

    #[test]
    fn who_cannot_reach_a_pod_knows_nothing_of_it() {
        let mut evidence = Evidence::default();
        let mut counts = Counts::default();
        counts.add(Outcome::ConnectTimeout, 15);
        counts.add(Outcome::NotSent, 4);
        evidence.add(&counts, 0, At(100_000));
        assert_eq!(evidence.says(Shares::for_loss(0.01)), Finding::Open);
        evidence.add(&counts, 0, At(200_000));
        assert_eq!((evidence.bad, evidence.says(Shares::for_loss(0.01))), (0, Finding::Unreachable));
        counts.add(Outcome::Ok, 1);
        evidence.add(&counts, 0, At(300_000));
        assert_eq!(evidence.says(Shares::for_loss(0.01)), Finding::Open, "it can be reached, after all");
    }

    /// The stated error rates, by trying: 20,000 pods of each kind, drawn from a fixed seed.
    #[test]
    fn error_rates_are_as_stated() {
        use rand::{RngExt, SeedableRng};
        let mut draw = rand::rngs::StdRng::seed_from_u64(7);
        let shares = Shares::for_loss(0.01);
        let mut judged = |share: f64| {
            let mut evidence = Evidence::default();
            for tenth in 0.. {
                let mut counts = Counts::default();
                for _ in 0..5 {
                    counts.add(if draw.random_bool(share) { Outcome::AppStatus } else { Outcome::Ok }, 1);
                }
                evidence.add(&counts, 0, At(tenth * 200_000));
                if let finding @ (Finding::Good | Finding::Bad) = evidence.says(shares) {
                    return finding;
                }
            }
            unreachable!("the test has an end")
        };
        let mut wrong = |share, what| (0..20_000).filter(|_| judged(share) == what).count();
        let (turned_away, let_in) = (wrong(0.01, Finding::Bad), wrong(0.25, Finding::Good));
        assert!(turned_away <= 20, "{turned_away} of 20,000 good pods were turned away, at most 1 in 1,000 may be");
        assert!((1..=200).contains(&let_in), "{let_in} of 20,000 bad pods were let in, at most 1 in 100 may be");
    }
}

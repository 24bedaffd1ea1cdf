//! What became known about one lane in one worker since the last report: counts, not records.

use hdrhistogram::{CreationError, Histogram};

use super::slots::Run;
use crate::domain::outcome::{Blame, Counts, Outcome};
use crate::domain::slice::{Closed, Failure, Part};
use crate::domain::sparse::{Sparse, Tally};
use crate::domain::traffic::Name;
use crate::domain::validity::Unlisted;

/// Pods (or versions) told apart in one slice of one lane.
pub(crate) const PARTS_MAX: usize = 64;
/// Failures of one lane that are told one by one.
pub(crate) const FAILURES_MAX: usize = 2_000;
/// Slots of one lane that failed by the verifier's own fault and are told one by one.
pub(crate) const EXCLUDED_MAX: usize = 200;
/// Closed connections of one lane that are told one by one.
pub(crate) const CLOSED_MAX: usize = 1_000;

/// The longest latency that histograms tell apart, in microseconds; timeouts are shorter.
pub(crate) const LATENCY_MAX: u64 = 1_000_000_000;

/// An empty histogram of latencies in microseconds, with three significant digits.
pub(crate) fn histogram() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, LATENCY_MAX, 3)
}

/// Folds one lane.
#[derive(Debug)]
pub(crate) struct LaneFold {
    thresholds: usize,
    due: u64,
    lag_max: u64,
    parts: Vec<FoldedPart>,
    /// Failures that are the target's.
    failures: Listed<Failure>,
    /// Failures that are the verifier's: in a list of their own, so that a starved verifier does not crowd out the target's.
    excluded: Listed<Failure>,
    closed: Listed<Closed>,
    unlisted_pods: u64,
    waited: u64,
    sent: u64,
    lag: Tally,
    totals: Totals,
}

/// One lane over the whole time, of one worker or of all.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    pub(crate) planned: u64,
    pub(crate) counts: Counts,
    /// Latencies of good answers from the intended start, in microseconds.
    pub(crate) latency: Histogram<u64>,
}

/// What a worker reports of one lane.
#[derive(Debug, Default)]
pub(crate) struct LaneReport {
    pub(crate) due: u64,
    pub(crate) lag_max: u64,
    pub(crate) lag: Sparse,
    pub(crate) waited: u64,
    pub(crate) sent: u64,
    pub(crate) parts: Vec<Part>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) closed: Vec<Closed>,
    pub(crate) unlisted: Unlisted,
    pub(crate) runs: Vec<Run>,
}

#[derive(Debug, Default)]
struct FoldedPart {
    pod: Option<Name>,
    version: Option<Name>,
    counts: Counts,
    slow: Vec<u64>,
    latency: Tally,
    pauses: Tally,
    used: bool,
}

/// The first few one by one, the rest as a number.
#[derive(Debug)]
struct Listed<T> {
    list: Vec<T>,
    left: usize,
    unlisted: u64,
}

impl<T> Listed<T> {
    fn push(&mut self, make: impl FnOnce() -> T) {
        if self.left > 0 {
            self.left -= 1;
            self.list.push(make());
        } else {
            self.unlisted += 1;
        }
    }

    fn take(&mut self) -> (Vec<T>, u64) {
        (std::mem::take(&mut self.list), std::mem::take(&mut self.unlisted))
    }
}

impl LaneFold {
    /// For a lane of so many thresholds, in one of `workers` workers. `latency` is an empty histogram.
    pub(crate) fn new(thresholds: usize, workers: usize, latency: Histogram<u64>) -> Self {
        let share = |max: usize| max / workers.max(1);
        Self {
            thresholds,
            due: 0,
            lag_max: 0,
            parts: Vec::new(),
            failures: Listed { list: Vec::new(), left: share(FAILURES_MAX), unlisted: 0 },
            excluded: Listed { list: Vec::new(), left: share(EXCLUDED_MAX), unlisted: 0 },
            closed: Listed { list: Vec::new(), left: share(CLOSED_MAX), unlisted: 0 },
            unlisted_pods: 0,
            waited: 0,
            sent: 0,
            lag: Tally::default(),
            totals: Totals { planned: 0, counts: Counts::default(), latency },
        }
    }

    /// A slot was begun so late.
    pub(crate) fn begun(&mut self, lag: u64) {
        self.lag_max = self.lag_max.max(lag);
        self.lag.record(lag);
    }

    /// A slot was acted on.
    pub(crate) fn sent(&mut self) {
        self.sent += 1;
    }

    /// A slot found all connections busy.
    pub(crate) fn waited(&mut self) {
        self.waited += 1;
    }

    /// So many slots became due.
    pub(crate) fn due(&mut self, n: u64) {
        self.due += n;
        self.totals.planned += n;
    }

    /// A slot ended.
    pub(crate) fn ended(&mut self, outcome: Outcome, by: By<'_>, latency: u64, slow: &[usize]) {
        self.totals.counts.add(outcome, 1);
        if outcome == Outcome::Ok {
            self.totals.latency.saturating_record(latency);
        }
        let part = self.part(by);
        part.counts.add(outcome, 1);
        if outcome == Outcome::Ok {
            part.latency.record(latency);
        }
        for index in slow {
            if let Some(n) = part.slow.get_mut(*index) {
                *n += 1;
            }
        }
    }

    /// An open slot passed the threshold of this index.
    pub(crate) fn slow(&mut self, index: usize) {
        if let Some(n) = self.part((None, None)).slow.get_mut(index) {
            *n += 1;
        }
    }

    /// Nothing had come of a stream for so long.
    pub(crate) fn pause(&mut self, by: By<'_>, pause: u64) {
        self.part(by).pauses.record(pause);
    }

    /// A failure, made only if it will be told.
    pub(crate) fn failure(&mut self, outcome: Outcome, make: impl FnOnce() -> Failure) {
        let ours = outcome.blame() == Blame::Verifier;
        if ours { self.excluded.push(make) } else { self.failures.push(make) }
    }

    /// A kept connection ended outside a request.
    pub(crate) fn closed(&mut self, make: impl FnOnce() -> Closed) {
        self.closed.push(make);
    }

    /// Everything since the last call.
    pub(crate) fn take(&mut self, runs: Vec<Run>) -> LaneReport {
        self.parts.retain(|part| part.used);
        let parts = self.parts.iter_mut().map(FoldedPart::take).collect();
        let ((mut failures, unlisted_failures), (excluded, unlisted_excluded)) = (self.failures.take(), self.excluded.take());
        let (closed, unlisted_closed) = self.closed.take();
        failures.extend(excluded);
        failures.sort_by_key(|failure| failure.known);
        let unlisted = Unlisted {
            failures: unlisted_failures + unlisted_excluded,
            closed: unlisted_closed,
            pods: std::mem::take(&mut self.unlisted_pods),
            ..Unlisted::default()
        };
        LaneReport {
            due: std::mem::take(&mut self.due),
            lag_max: std::mem::take(&mut self.lag_max),
            lag: self.lag.take(),
            waited: std::mem::take(&mut self.waited),
            sent: std::mem::take(&mut self.sent),
            parts,
            failures,
            closed,
            unlisted,
            runs,
        }
    }

    /// The whole time.
    pub(crate) fn into_totals(self) -> Totals {
        self.totals
    }

    fn part(&mut self, mut by: By<'_>) -> &mut FoldedPart {
        // One place is always left for what cannot be told apart.
        if by != (None, None) && self.position(by).is_none() && self.parts.len() >= PARTS_MAX - 1 {
            self.unlisted_pods += 1;
            by = (None, None);
        }
        let index = self.position(by).unwrap_or_else(|| {
            let slow = vec![0; self.thresholds];
            self.parts.push(FoldedPart { pod: by.0.cloned(), version: by.1.cloned(), slow, ..FoldedPart::default() });
            self.parts.len() - 1
        });
        let part = &mut self.parts[index];
        part.used = true;
        part
    }

    fn position(&self, by: By<'_>) -> Option<usize> {
        self.parts.iter().position(|part| (part.pod.as_ref(), part.version.as_ref()) == by)
    }
}

/// Who answered, as far as the answer says.
pub(crate) type By<'a> = (Option<&'a Name>, Option<&'a Name>);

impl FoldedPart {
    /// The slice's part; keeps the buffers for the next slice, in which the same pod most likely answers again.
    fn take(&mut self) -> Part {
        self.used = false;
        let zeros = vec![0; self.slow.len()];
        Part {
            pod: self.pod.clone(),
            version: self.version.clone(),
            counts: std::mem::take(&mut self.counts),
            slow: std::mem::replace(&mut self.slow, zeros),
            latency: self.latency.take(),
            pauses: self.pauses.take(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold() -> LaneFold {
        LaneFold::new(2, 1, Histogram::new_with_bounds(1, 1_000_000, 3).unwrap())
    }

    fn part(pod: Option<&str>, counts: &[(Outcome, u64)], slow: [u64; 2], latency: &[(u64, u32)]) -> Part {
        let mut part = Part { pod: pod.map(Name::from), slow: slow.to_vec(), latency: latency.to_vec(), ..Part::default() };
        for (outcome, n) in counts {
            part.counts.add(*outcome, *n);
        }
        part
    }

    #[test]
    fn a_report_holds_what_came_since_the_last_one_by_pod() {
        let (mut fold, pod) = (fold(), Name::from("a"));
        fold.due(3);
        fold.begun(70);
        fold.begun(50);
        fold.ended(Outcome::Ok, (Some(&pod), None), 1_234, &[0]);
        fold.slow(1);
        fold.ended(Outcome::Refused, (None, None), 9_999, &[]);
        let report = fold.take(vec![]);
        let expected =
            [part(Some("a"), &[(Outcome::Ok, 1)], [1, 0], &[(1_240, 1)]), part(None, &[(Outcome::Refused, 1)], [0, 1], &[])];
        assert_eq!((report.due, report.lag_max, report.lag, report.parts), (3, 70, vec![(50, 1), (70, 1)], expected.to_vec()));
        fold.ended(Outcome::Ok, (Some(&pod), None), 5, &[]);
        let report = fold.take(vec![]);
        assert_eq!(
            (report.due, report.lag_max, report.parts),
            (0, 0, vec![part(Some("a"), &[(Outcome::Ok, 1)], [0, 0], &[(5, 1)])])
        );
        let totals = fold.into_totals();
        assert_eq!((totals.planned, totals.counts.good(), totals.counts.total(), totals.latency.len()), (3, 2, 3, 2));
    }

    #[test]
    fn too_many_pods_and_failures_are_counted_and_not_listed() {
        let mut fold = fold();
        for i in 0..100 {
            fold.ended(Outcome::Ok, (Some(&Name::from(format!("p{i}"))), None), 1, &[]);
        }
        for at in 0..2_100 {
            fold.closed(|| Closed {
                lane: "l".into(),
                at: crate::domain::time::At(at),
                how: crate::domain::slice::Ending::Closed,
                connection: crate::domain::slice::Connection { id: at, local_port: 1, age: 0, served: 0, last_pod: None },
            });
        }
        let report = fold.take(vec![]);
        let all: u64 = report.parts.iter().map(|p| p.counts.total()).sum();
        assert_eq!((report.parts.len(), all), (PARTS_MAX, 100));
        assert_eq!(report.unlisted, Unlisted { pods: 37, closed: 1_100, ..Unlisted::default() });
        assert_eq!(report.closed.len(), CLOSED_MAX);
    }
}

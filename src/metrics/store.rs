//! What is counted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::domain::course::Course;
use crate::domain::event::{Event, What};
use crate::domain::objective::Ppm;
use crate::domain::outcome::{Blame, Counts, Outcome};
use crate::domain::policy::Key;
use crate::domain::policy::budget::Rolling;
use crate::domain::rollout::guard::ActionEnded;
use crate::domain::slice::Slice;
use crate::domain::time::{At, micros};
use crate::domain::traffic::{Micros, Name};
use crate::domain::verdict::VerdictKind;

/// Deployments with series of their own.
const MAX_DEPLOYMENTS: usize = 2_000;
/// Latest probes of a Deployment that are kept one by one.
const RECENT: usize = 600;
/// Edges that every histogram has, in microseconds.
const EDGES: [Micros; 11] = [5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000];

/// All counts.
#[derive(Debug, Default)]
pub struct Store {
    pub(super) deployments: BTreeMap<Key, Series>,
    pub(super) dropped: u64,
    pub(super) intended: f64,
    pub(super) runs: u64,
    pub(super) unsent: u64,
    pub(super) watch_lost: Option<At>,
    pub(super) leading: bool,
    pub(super) calls: BTreeMap<&'static str, u64>,
}

/// The counts of one Deployment.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) lanes: BTreeMap<Name, Counts>,
    pub(super) measured: Counts,
    pub(super) latency: Histogram,
    pub(super) verdicts: BTreeMap<VerdictKind, u64>,
    pub(super) actions: BTreeMap<&'static str, u64>,
    pub(super) phase: Option<&'static str>,
    pub(super) promise: Option<Ppm>,
    /// Of probes alone: they come evenly, so that a rollout's traffic weighs no more than the time it takes.
    pub(super) budget: Rolling,
    pub(super) probes: Counts,
    pub(super) probe_latency: Histogram,
    /// When the latest probes were answered, and whether well.
    recent: VecDeque<(At, bool)>,
    /// It has answered well once.
    served: bool,
    /// The run whose verdict was counted last.
    decided: Option<String>,
    /// The worst 99th percentile of the last second's delays.
    pub(super) lag: Duration,
}

/// Counts by size. Edges are added, and never taken away while the series is there: what was counted before an edge was there lies above it.
#[derive(Debug)]
pub(super) struct Histogram {
    /// Upper edge and what lies between it and the one below; not cumulated.
    pub(super) buckets: BTreeMap<Micros, u64>,
    /// Above the last edge.
    pub(super) above: u64,
    pub(super) sum: u128,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: EDGES.map(|edge| (edge, 0)).into(), above: 0, sum: 0 }
    }
}

impl Histogram {
    fn edge(&mut self, edge: Micros) {
        self.buckets.entry(edge).or_default();
    }

    fn add(&mut self, micros: Micros, count: u64) {
        self.sum += u128::from(micros) * u128::from(count);
        match self.buckets.range_mut(micros..).next() {
            Some((_, bucket)) => *bucket += count,
            None => self.above += count,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.values().sum::<u64>() + self.above
    }
}

impl Store {
    /// An event of a run about this Deployment, after the course has taken it in.
    pub fn event(&mut self, key: &Key, event: &Event, course: &Course) {
        let Some(series) = series(&mut self.deployments, &mut self.dropped, key) else { return };
        match &event.what {
            What::TargetReady(plan) => {
                for threshold in plan.lanes.iter().flat_map(|lane| &lane.thresholds) {
                    series.latency.edge(*threshold);
                }
            }
            What::Slice(slice) if !course.tally.is_aside(&slice.lane) => {
                self.unsent += series.slice(slice, course.tally.is_measured(slice));
            }
            What::Validity(validity) => series.lag = Duration::from_micros(validity.lag.p99),
            // A breach is told again when it has found further reasons; it is one verdict.
            What::Decided(verdict) if course.changed().is_some() => {
                let run = &course.head().run_id;
                if series.decided.as_ref() != Some(run) {
                    series.decided = Some(run.clone());
                    *series.verdicts.entry(verdict.verdict).or_default() += 1;
                }
            }
            What::ActionEnded(ended) => {
                let verb = course.deed().and_then(|deed| deed.action.as_ref()).map(|action| action.verb.label());
                if let (ActionEnded::Accepted { .. }, Some(verb)) = (&**ended, verb) {
                    *series.actions.entry(verb).or_default() += 1;
                }
            }
            _ => {}
        }
        if course.changed().is_some() {
            series.phase = Some(course.rollout.phase().label());
        }
    }
}

impl Store {
    /// What the Deployment's service promises: the share of which its error budget is the rest, and the limits of its latency.
    pub fn promise(&mut self, key: &Key, promise: Ppm, limits: &[Micros]) {
        if let Some(series) = series(&mut self.deployments, &mut self.dropped, key) {
            series.promise = Some(promise);
            for limit in limits {
                series.probe_latency.edge(*limit);
            }
        }
    }

    /// A probe between or beside rollouts. `now` counts from the beginning of the service.
    pub fn probe(&mut self, key: &Key, outcome: Outcome, took: Duration, now: At) {
        let Some(series) = series(&mut self.deployments, &mut self.dropped, key) else { return };
        series.probes.add(outcome, 1);
        let good = match outcome.blame() {
            Blame::Verifier => {
                self.unsent += 1;
                return;
            }
            Blame::Nobody => true,
            Blame::Target => false,
        };
        if good {
            series.probe_latency.add(micros(took), 1);
        }
        // What never worked before is nobody's promise yet.
        series.served |= good;
        if series.served {
            series.budget.add(minute(now), u64::from(good), u64::from(!good));
            series.recent.push_back((now, good));
            if series.recent.len() > RECENT {
                series.recent.pop_front();
            }
        }
    }

    /// Failed probes, and all of them, between `since` and `until`.
    pub fn probed(&self, key: &Key, since: At, until: At) -> (u64, u64) {
        let recent = self.deployments.get(key).into_iter().flat_map(|series| &series.recent);
        let within = recent.filter(|(at, _)| since <= *at && *at <= until);
        within.fold((0, 0), |(bad, all), (_, good)| (bad + u64::from(!good), all + 1))
    }

    /// The run about this Deployment is over.
    pub fn ended(&mut self, key: &Key) {
        if let Some(series) = self.deployments.get_mut(key) {
            (series.phase, series.lag) = (None, Duration::ZERO);
        }
    }

    /// No policy asks for this Deployment any more: its series go.
    pub fn forget(&mut self, key: &Key) {
        self.deployments.remove(key);
    }

    /// Runs that go on, and the requests a second that they are to send.
    pub const fn load(&mut self, runs: u64, intended: f64) {
        (self.runs, self.intended) = (runs, intended);
    }

    /// Whether Deployments can be watched.
    pub fn watch(&mut self, ok: bool, now: At) {
        self.watch_lost = if ok { None } else { self.watch_lost.or(Some(now)) };
    }

    /// This verifier leads. One that does so no more ends.
    pub const fn lead(&mut self) {
        self.leading = true;
    }

    /// A call of the API, by the status of its answer.
    pub fn call(&mut self, code: &'static str) {
        *self.calls.entry(code).or_default() += 1;
    }

    /// What is left of the error budget of a Deployment: a share of it.
    pub fn budget_left(&self, key: &Key, now: At) -> Option<f64> {
        let series = self.deployments.get(key)?;
        series.budget.left(series.promise?, minute(now))
    }
}

impl Series {
    /// Counts a slice, and answers with how many of its slots say nothing about the target.
    fn slice(&mut self, slice: &Slice, measured: bool) -> u64 {
        let counts = slice.counts();
        self.lanes.entry(slice.lane.clone()).or_default().merge(&counts);
        if measured {
            self.measured.merge(&counts);
        }
        for (micros, count) in slice.parts.iter().flat_map(|part| &part.latency) {
            self.latency.add(*micros, u64::from(*count));
        }
        counts.of(Blame::Verifier)
    }
}

/// Minutes since the service began.
pub(super) const fn minute(now: At) -> u64 {
    now.micros() / 60_000_000
}

/// The series of a Deployment, unless there are too many.
fn series<'a>(all: &'a mut BTreeMap<Key, Series>, dropped: &mut u64, key: &Key) -> Option<&'a mut Series> {
    if all.len() >= MAX_DEPLOYMENTS && !all.contains_key(key) {
        *dropped += 1;
        return None;
    }
    Some(all.entry(key.clone()).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::RunStarted;
    use crate::domain::fixtures::{breach, healthy};
    use crate::domain::summary::Summary;
    use crate::metrics::Metrics;

    /// Folds a run into metrics as the service does, and answers with the run.
    fn count(metrics: &Metrics, key: &Key, events: &[Event]) -> Course {
        let What::RunStarted(head) = &events[0].what else { panic!("no head") };
        let counted = metrics.store().deployments.get(key).map_or(0, |series| series.verdicts.values().sum::<u64>());
        let (mut course, _) = Course::begin(RunStarted { run_id: format!("r-{counted}"), ..(**head).clone() });
        for event in events {
            let before = course.verdict().cloned();
            course.apply(event);
            metrics.store().event(key, event, &course);
            if let Some(verdict) = course.verdict().filter(|now| before.as_ref() != Some(*now)).cloned() {
                metrics.store().event(key, &Event { at: event.at, what: What::Decided(verdict) }, &course);
            }
        }
        course
    }

    /// The value of one series.
    #[track_caller]
    fn value(text: &str, series: &str) -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
    }

    #[test]
    fn numbers_are_those_of_the_summary() {
        let (metrics, key) = (Metrics::default(), Key::new("todo", "backend"));
        let mut sums: BTreeMap<(String, &str), u64> = BTreeMap::new();
        let (mut good, mut bad, mut now) = (0, 0, At::ZERO);
        for events in [healthy(), breach()] {
            let course = count(&metrics, &key, &events);
            let summary = Summary::of(&course);
            for lane in &summary.traffic.lanes {
                for (outcome, n) in lane.measured.answers.outcomes.iter().chain(lane.baseline.answers.outcomes.iter()) {
                    *sums.entry((lane.lane.clone(), outcome.label())).or_default() += n;
                }
            }
            good += summary.traffic.measured.answers.good;
            bad += summary.traffic.measured.answers.bad;
            now = course.now();
        }
        let text = metrics.text(now).unwrap();
        for ((lane, outcome), n) in sums.iter().filter(|(_, n)| **n > 0) {
            let series = format!(
                "verifier_requests_total{{deployment=\"backend\",lane=\"{lane}\",namespace=\"todo\",outcome=\"{outcome}\"}}"
            );
            assert_eq!(value(&text, &series), *n, "{series}");
        }
        let measured = |outcome: &str| {
            value(
                &text,
                &format!("verifier_rollout_requests_total{{deployment=\"backend\",namespace=\"todo\",outcome=\"{outcome}\"}}"),
            )
        };
        assert_eq!(measured("ok"), good);
        assert!(bad > 0 && text.contains("verifier_rollout_requests_total"));
        for (verdict, n) in [("pass", 1), ("breach", 1)] {
            let series = format!("verifier_verdicts_total{{deployment=\"backend\",namespace=\"todo\",verdict=\"{verdict}\"}}");
            assert_eq!(value(&text, &series), n);
        }
    }

    #[test]
    fn an_edge_lies_on_each_objective_and_the_whole_is_the_number_of_good_answers() {
        let (metrics, key) = (Metrics::default(), Key::new("todo", "backend"));
        let events = healthy();
        let course = count(&metrics, &key, &events);
        let limit = course.traffic().unwrap().lanes[0].thresholds[0];
        let text = metrics.text(course.now()).unwrap();
        let labels = "deployment=\"backend\",namespace=\"todo\"";
        let total = value(&text, &format!("verifier_request_duration_seconds_count{{{labels}}}"));
        assert_eq!(total, course.tally.measured().counts.good() + course.tally.baseline().counts.good());
        let edge = format!("verifier_request_duration_seconds_bucket{{{labels},le=\"{}\"}}", limit as f64 / 1e6);
        assert!(value(&text, &edge) <= total, "{edge}");
    }

    #[test]
    fn series_go_with_their_object_and_never_come_without_end() {
        let metrics = Metrics::default();
        for n in 0..MAX_DEPLOYMENTS + 3 {
            metrics.store().promise(&Key::new("n", &n.to_string()), Ppm(990_000), &[]);
        }
        assert_eq!(metrics.store().deployments.len(), MAX_DEPLOYMENTS);
        assert_eq!(value(&metrics.text(At::ZERO).unwrap(), "verifier_series_dropped_total"), 3);
        let (metrics, key) = (Metrics::default(), Key::new("todo", "backend"));
        count(&metrics, &key, &healthy());
        assert!(metrics.text(At::ZERO).unwrap().contains("namespace=\"todo\""));
        metrics.store().forget(&key);
        assert!(!metrics.text(At::ZERO).unwrap().contains("namespace"));
    }

    #[test]
    fn a_budget_begins_with_the_first_good_answer_and_is_of_probes_alone() {
        let (metrics, key) = (Metrics::default(), Key::new("todo", "backend"));
        metrics.store().promise(&key, Ppm(990_000), &[300_000]);
        let probe = |outcome, second: u64| {
            metrics.store().probe(&key, outcome, Duration::from_millis(2), At(second * 1_000_000));
        };
        probe(Outcome::Refused, 1);
        assert_eq!(metrics.store().budget_left(&key, At::ZERO), None, "it never worked");
        probe(Outcome::Ok, 2);
        probe(Outcome::NotSent, 3);
        probe(Outcome::AppStatus, 4);
        count(&metrics, &key, &breach());
        let left = metrics.store().budget_left(&key, At(4_000_000)).unwrap();
        assert!((left - (1.0 - 0.5 / 0.01)).abs() < 1e-6, "{left}");
        let at = |second: u64| At(second * 1_000_000);
        assert_eq!(metrics.store().probed(&key, at(2), at(4)), (1, 2));
        assert_eq!(metrics.store().probed(&key, at(2), at(3)), (0, 1));
        let text = metrics.text(at(5)).unwrap();
        for (outcome, n) in [("ok", 1), ("refused", 1), ("not_sent", 1)] {
            let series = format!("verifier_probes_total{{deployment=\"backend\",namespace=\"todo\",outcome=\"{outcome}\"}}");
            assert_eq!(value(&text, &series), n, "but every probe is counted");
        }
        let edge = "verifier_probe_duration_seconds_bucket{deployment=\"backend\",namespace=\"todo\",le=\"0.3\"}";
        assert_eq!(value(&text, edge), 1, "an edge lies on the limit");
    }

    #[test]
    fn the_watch_ages_from_its_first_failure_on() {
        let metrics = Metrics::default();
        let age = |seconds: u64| value(&metrics.text(At(seconds * 1_000_000)).unwrap(), "verifier_watch_age_seconds");
        assert_eq!(age(5), 0);
        metrics.store().watch(false, At(5_000_000));
        metrics.store().watch(false, At(6_000_000));
        assert_eq!(age(9), 4);
        metrics.store().watch(true, At(9_000_000));
        assert_eq!(age(10), 0);
    }
}

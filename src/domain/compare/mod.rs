//! What differs between two runs, and what can be told from chance. Published as JSON; [`Schema`] names its version.
//!
//! Shares and latencies come with intervals (`interval`). The longest outage and the time to deploy are one observation each: they are shown
//! side by side, and nothing is said to differ on their account.

mod form;
mod interval;
#[cfg(test)]
pub(crate) mod tests;
mod warnings;

use std::collections::BTreeMap;

pub use form::{Change, Comparison, Failures, Finding, Lane, Pair, Quantile, Schema, Share, Which};
pub use interval::{ERROR, Interval};
pub use warnings::Warning;

use super::display::{points, span};
use super::latency::Latencies;
use super::objective::Ppm;
use super::outcome::{Blame, Outcome};
use super::recording::{End, Replayed};
use super::summary::{Answers, Figures, Millis, Quantiles, Summary};
use super::verdict::VerdictKind;

/// A run that is compared, with all that is known of it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The file.
    pub source: String,
    /// What it comes to.
    pub summary: Summary,
    /// Latencies of the measured stretch by lane; a summary has none, so its quantiles have no intervals.
    pub latency: Option<BTreeMap<String, Latencies>>,
    /// Whether the run is known to its end.
    pub whole: bool,
}

impl Subject {
    /// A recorded run.
    pub fn of(source: String, replayed: &Replayed) -> Self {
        let lanes = replayed.course.tally.lanes().iter();
        let latency = lanes.map(|(name, lane)| (super::display::clean(name), lane.measured.latency.clone())).collect();
        Self { source, summary: replayed.summary(), latency: Some(latency), whole: replayed.end == End::Whole }
    }
}

type Pick = fn(&Quantiles) -> Millis;

/// What is compared of latencies: shares of one, names, and where a summary keeps them.
const QUANTILES: [(f64, &str, Pick); 4] =
    [(0.5, "p50", |q| q.p50_ms), (0.9, "p90", |q| q.p90_ms), (0.99, "p99", |q| q.p99_ms), (0.999, "p99.9", |q| q.p99_9_ms)];

impl Comparison {
    /// Compares `b` with `a`.
    pub fn of(a: &Subject, b: &Subject) -> Self {
        let names = shared_lanes(a, b);
        let outcomes = outcomes(a, b);
        let rows = names.len() + usize::from(names.len() > 1);
        let intervals = rows * (1 + if both(a, b).is_some() { QUANTILES.len() } else { 0 }) + outcomes.len();
        let alpha = ERROR / intervals.max(1) as f64;
        let mut comparison = Self {
            schema: Schema::V1,
            a: Which::of(a),
            b: Which::of(b),
            warnings: warnings::of(a, b),
            differences: Vec::new(),
            confidence: 1.0 - ERROR,
            all: (names.len() > 1).then(|| Lane::all(a, b, alpha)),
            lanes: names.iter().filter_map(|name| Lane::of(name, a, b, alpha)).collect(),
            failures: outcomes.into_iter().map(|outcome| Failures::of(outcome, a, b, alpha)).collect(),
            deployed_after_s: Pair { a: a.summary.rollout.deployed_after_s, b: b.summary.rollout.deployed_after_s },
            findings: findings(a, b),
        };
        comparison.differences = comparison.sentences();
        comparison
    }

    /// All that can be told, the weightiest first.
    fn sentences(&self) -> Vec<String> {
        let word = |v: Option<VerdictKind>| v.map_or("none", VerdictKind::label);
        let verdict = (self.a.verdict != self.b.verdict)
            .then(|| format!("the verdict is {} in A and {} in B", word(self.a.verdict), word(self.b.verdict)));
        let lanes = || self.all.iter().chain(&self.lanes);
        verdict
            .into_iter()
            .chain(self.findings.iter().filter_map(Finding::sentence))
            .chain(lanes().filter_map(|l| Some(format!("{}: availability is {}", l.lane, l.availability.sentence()?))))
            .chain(
                self.failures
                    .iter()
                    .filter_map(|f| Some(format!("{}: its share of requests is {}", f.outcome.label(), f.share.sentence()?))),
            )
            .chain(lanes().flat_map(|l| l.latency.iter().filter_map(|q| q.sentence(&l.lane))))
            .collect()
    }
}

impl Which {
    fn of(subject: &Subject) -> Self {
        let run = &subject.summary.run;
        Self {
            source: super::display::clean(&subject.source),
            run: run.id.clone(),
            scenario: run.scenario.clone(),
            started: run.started.clone(),
            verdict: subject.summary.verdict.verdict,
        }
    }
}

/// The lanes of both runs, by name.
fn shared_lanes(a: &Subject, b: &Subject) -> Vec<String> {
    let of_b = |name: &str| b.summary.traffic.lanes.iter().any(|l| l.lane == name);
    a.summary.traffic.lanes.iter().map(|l| l.lane.clone()).filter(|name| of_b(name)).collect()
}

/// The outcomes that are the target's failures in either run.
fn outcomes(a: &Subject, b: &Subject) -> Vec<Outcome> {
    let count = |s: &Subject, outcome| s.summary.traffic.measured.answers.outcomes.get(outcome);
    let occurs = |o: &Outcome| o.blame() == Blame::Target && count(a, *o) + count(b, *o) > 0;
    Outcome::ALL.into_iter().filter(occurs).collect()
}

type ByLane = BTreeMap<String, Latencies>;

fn both<'s>(a: &'s Subject, b: &'s Subject) -> Option<(&'s ByLane, &'s ByLane)> {
    a.latency.as_ref().zip(b.latency.as_ref())
}

impl Lane {
    fn all(a: &Subject, b: &Subject, alpha: f64) -> Self {
        let merged = |lanes: &ByLane| {
            lanes.values().fold(Latencies::default(), |mut all, lane| {
                all.merge(lane);
                all
            })
        };
        let latencies = both(a, b).map(|(a, b)| (merged(a), merged(b)));
        let figures = (&a.summary.traffic.measured, &b.summary.traffic.measured);
        Self::from("all lanes", figures, latencies.as_ref().map(|(a, b)| (a, b)), alpha)
    }

    fn of(name: &str, a: &Subject, b: &Subject, alpha: f64) -> Option<Self> {
        let figures = |s: &'_ Subject| s.summary.traffic.lanes.iter().position(|l| l.lane == name);
        let (of_a, of_b) = (&a.summary.traffic.lanes[figures(a)?], &b.summary.traffic.lanes[figures(b)?]);
        let latencies = both(a, b).and_then(|(a, b)| a.get(name).zip(b.get(name)));
        Some(Self::from(name, (&of_a.measured, &of_b.measured), latencies, alpha))
    }

    fn from(lane: &str, (a, b): (&Figures, &Figures), latencies: Option<(&Latencies, &Latencies)>, alpha: f64) -> Self {
        let outage = |f: &Figures| f.longest_outage.as_ref().map_or(Millis::default(), |o| o.length_ms);
        let good = |answers: &Answers| (answers.good, answers.valid);
        let quantile = |(q, name, pick): (f64, &str, Pick)| {
            let ratio = latencies.map(|(a, b)| interval::of_quantiles(a, b, q, alpha));
            let of = |f: &Figures| f.answers.latency.as_ref().map(pick);
            Quantile::of(name, of(a), of(b), ratio)
        };
        Self {
            lane: lane.to_owned(),
            availability: Share::of(good(&a.answers), good(&b.answers), alpha),
            latency: QUANTILES.into_iter().map(quantile).collect(),
            longest_outage_ms: Pair { a: outage(a), b: outage(b) },
        }
    }
}

impl Share {
    /// Of `(part, whole)` in each run.
    #[expect(clippy::cast_possible_truncation, reason = "between minus one million and one million")]
    fn of(a: (u64, u64), b: (u64, u64), alpha: f64) -> Self {
        // The evidence is about rare events: of a share near one, about what is missing from it.
        let rare = |(part, whole): (u64, u64)| part * 2 <= whole;
        let (low, high) = if rare(a) && rare(b) {
            interval::of_shares(a, b, alpha)
        } else {
            let missing = |(part, whole): (u64, u64)| (whole - part.min(whole), whole);
            let (low, high) = interval::of_shares(missing(a), missing(b), alpha);
            (-high, -low)
        };
        let (low_ppm, high_ppm) = ((low * 1e6).floor() as i64, (high * 1e6).ceil() as i64);
        let ppm = |(part, whole): (u64, u64)| Ppm::of(part, whole).map(|p| p.0);
        let change = match (low_ppm, high_ppm) {
            (1.., _) => Change::Higher,
            (_, ..=-1) => Change::Lower,
            _ => Change::Untold,
        };
        Self { a_ppm: ppm(a), b_ppm: ppm(b), low_ppm, high_ppm, change }
    }

    fn sentence(&self) -> Option<String> {
        let (least, most, word) = match self.change {
            Change::Untold => return None,
            Change::Higher => (self.low_ppm, self.high_ppm, "higher"),
            Change::Lower => (-self.high_ppm, -self.low_ppm, "lower"),
        };
        Some(format!("{} to {} percentage points {word}", points(least), points(most)))
    }
}

impl Quantile {
    fn of(name: &str, a_ms: Option<Millis>, b_ms: Option<Millis>, ratio: Option<Interval>) -> Self {
        let change = match ratio {
            Some(Interval { low: Some(low), .. }) if low > 1.0 => Change::Higher,
            Some(Interval { high: Some(high), .. }) if high < 1.0 => Change::Lower,
            _ => Change::Untold,
        };
        Self { quantile: name.to_owned(), a_ms, b_ms, ratio: ratio.map(Interval::to_four_digits), change }
    }

    fn sentence(&self, lane: &str) -> Option<String> {
        let ratio = self.ratio.filter(|_| self.change != Change::Untold)?;
        let bounds = match (ratio.low, ratio.high) {
            (Some(low), Some(high)) => format!("{low} to {high} times"),
            (Some(low), None) => format!("at least {low} times"),
            (None, Some(high)) => format!("at most {high} times"),
            (None, None) => return None,
        };
        let (a, b) = (span(self.a_ms?.0), span(self.b_ms?.0));
        Some(format!("{lane}: {} in B is {bounds} that in A ({a}, {b})", self.quantile))
    }
}

impl Failures {
    fn of(outcome: Outcome, a: &Subject, b: &Subject, alpha: f64) -> Self {
        let of = |s: &Subject| {
            let answers = &s.summary.traffic.measured.answers;
            (answers.outcomes.get(outcome), answers.valid)
        };
        let (a, b) = (of(a), of(b));
        Self { outcome, count: Pair { a: a.0, b: b.0 }, share: Share::of(a, b, alpha) }
    }
}

/// The causes of either run, those of A first.
fn findings(a: &Subject, b: &Subject) -> Vec<Finding> {
    let mut found: BTreeMap<&str, Finding> = BTreeMap::new();
    for (of_b, finding) in a.summary.findings.iter().map(|f| (false, f)).chain(b.summary.findings.iter().map(|f| (true, f))) {
        let none = || Finding { code: finding.code.clone(), title: String::new(), failures: Pair { a: None, b: None } };
        let entry = found.entry(&finding.code).or_insert_with(none);
        entry.title.clone_from(&finding.title);
        let count = if of_b { &mut entry.failures.b } else { &mut entry.failures.a };
        *count = Some(count.unwrap_or(0) + finding.failures);
    }
    found.into_values().collect()
}

impl Finding {
    fn sentence(&self) -> Option<String> {
        match (self.failures.a, self.failures.b) {
            (None, Some(_)) => Some(format!("{} is found in B and not in A: {}", self.code, self.title)),
            (Some(_), None) => Some(format!("{} is found in A and not in B: {}", self.code, self.title)),
            _ => None,
        }
    }
}

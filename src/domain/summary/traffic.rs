//! What was sent and how it was answered: in all, per lane, per revision and per pod.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rollout::{Side, side_of};
use super::{Interval, Millis, Seconds};
use crate::domain::course::Course;
use crate::domain::display::{clean, percent};
use crate::domain::latency::Latencies;
use crate::domain::objective::Ppm;
use crate::domain::outcome::{Blame, Counts, Outcome};
use crate::domain::scenario::LaneMode;
use crate::domain::slice::Gap;
use crate::domain::tally::{LaneSums, LaneTally, PodSums, length};
use crate::domain::traffic::Name;

/// Pods listed one by one, those with most failures first; the others are only in the revisions' figures.
const MAX_PODS: usize = 200;

/// All traffic of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// When measuring began: with the first step of the change.
    pub measured_from_s: Option<Seconds>,
    /// Requests a second that were intended, all lanes together.
    pub intended_per_s: f64,
    /// All lanes, from the change on: what the objectives are about.
    pub measured: Figures,
    /// Where the availability behind it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_interval: Option<Interval>,
    /// All lanes, before the change.
    pub baseline: Figures,
    /// Each lane by itself.
    pub lanes: Vec<Lane>,
    /// From the change on, by the revision of the pod that answered; who did not say which pod it was is `unknown`.
    pub revisions: Vec<RevisionTraffic>,
    /// From the change on, by the pod that answered; at most 200, those with most failures first.
    pub pods: Vec<PodTraffic>,
}

/// One way of sending.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lane {
    /// Its name.
    pub lane: String,
    /// What happens to its connections.
    pub mode: Option<LaneMode>,
    /// Requests a second that were intended.
    pub intended_per_s: f64,
    /// From the change on.
    pub measured: Figures,
    /// Before the change.
    pub baseline: Figures,
}

/// The figures of one stretch of traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// Requests whose intended start has come; one in flight at the change belongs to what is measured.
    pub due: u64,
    /// Those that were attempted. The others are among the excluded.
    pub sent: u64,
    /// Attempted requests a second, from the first to the last that was due.
    pub achieved_per_s: Option<f64>,
    /// Begun, and not known how they ended.
    pub in_flight: u64,
    /// How those that ended did so.
    #[serde(flatten)]
    pub answers: Answers,
    /// The longest stretch of any one lane without a good answer.
    pub longest_outage: Option<Outage>,
    /// The latest start of a request after its time.
    pub lag_max_ms: Millis,
}

/// How requests ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answers {
    /// Good and bad: those that say something about the target.
    pub valid: u64,
    /// Answered well and in time.
    pub good: u64,
    /// Failed, and the target is to blame.
    pub bad: u64,
    /// Failed (or not sent) for the verifier's own reasons: neither good nor bad.
    pub excluded: u64,
    /// Good of valid in parts per million, rounded down.
    pub availability_ppm: Option<u32>,
    /// The same as people write it, rounded down.
    pub availability: Option<String>,
    /// Of good answers, from the intended start to the last byte.
    pub latency: Option<Quantiles>,
    /// How many ended in each outcome.
    #[schemars(with = "BTreeMap<String, u64>")]
    pub outcomes: Counts,
}

/// Latencies, rounded up to three digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quantiles {
    /// Half of the answers took at most so long.
    pub p50_ms: Millis,
    /// 90 % of them.
    pub p90_ms: Millis,
    /// 99 % of them.
    pub p99_ms: Millis,
    /// 99.9 % of them.
    pub p99_9_ms: Millis,
    /// All of them.
    pub max_ms: Millis,
}

/// A stretch of a lane without a good answer, by intended starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outage {
    /// The lane.
    pub lane: String,
    /// The first request that failed.
    pub from_s: Seconds,
    /// The next one answered well; nothing when none was.
    pub to_s: Option<Seconds>,
    /// How long it was, as far as it is known.
    pub length_ms: Millis,
    /// Requests that failed in it.
    pub failed: u64,
}

/// What the pods of one revision answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionTraffic {
    /// The pod-template-hash; nothing for answers that name no known pod.
    pub revision: Option<String>,
    /// Which side of the change it is on.
    pub side: Side,
    /// Its part of all valid requests, in parts per million.
    pub traffic_ppm: u32,
    /// Its part of all failures, in parts per million.
    pub errors_ppm: u32,
    /// How they ended.
    #[serde(flatten)]
    pub answers: Answers,
}

/// What one pod answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodTraffic {
    /// As it named itself.
    pub pod: String,
    /// Its version, when it said one.
    pub version: Option<String>,
    /// Its revision, when the cluster knows the pod.
    pub revision: Option<String>,
    /// Which side of the change it is on.
    pub side: Side,
    /// Its part of all valid requests, in parts per million.
    pub traffic_ppm: u32,
    /// Its part of all failures, in parts per million.
    pub errors_ppm: u32,
    /// How they ended.
    #[serde(flatten)]
    pub answers: Answers,
}

impl Traffic {
    /// All traffic so far.
    pub fn of(course: &Course) -> Self {
        let tally = &course.tally;
        let measured = tally.measured();
        Self {
            measured_from_s: tally.measured_from().map(Seconds),
            intended_per_s: Self::intended(course),
            measured: Figures::of(&measured),
            measured_interval: Interval::of_share(measured.counts.bad(), measured.counts.valid()),
            baseline: Figures::of(&tally.baseline()),
            lanes: Lane::all(course),
            revisions: revisions(course, &measured),
            pods: pods(course, &measured),
        }
    }

    /// Requests a second that were intended, all lanes together.
    pub fn intended(course: &Course) -> f64 {
        course.tally.lanes().values().fold(0.0, |all, lane| all + lane.rate)
    }
}

impl Lane {
    /// All lanes, by name.
    pub fn all(course: &Course) -> Vec<Self> {
        let plan = |name: &str| course.traffic().and_then(|t| t.lanes.iter().find(|l| &*l.name == name));
        let lane = |(name, tally): (&Name, &LaneTally)| Self {
            lane: clean(name),
            mode: plan(name).map(LaneMode::of),
            intended_per_s: tally.rate,
            measured: Figures::of(&tally.measured),
            baseline: Figures::of(&tally.baseline),
        };
        course.tally.lanes().iter().map(lane).collect()
    }
}

impl Figures {
    /// The figures of some sums.
    pub fn of(sums: &LaneSums) -> Self {
        let unsent: u64 = sums.counts.iter().filter(|(o, _)| !was_attempted(*o)).map(|(_, n)| n).sum();
        let sent = sums.due.saturating_sub(unsent);
        let seconds = sums.span.map(|(from, to)| to.since(from).as_secs_f64()).filter(|s| *s > 0.0);
        Self {
            due: sums.due,
            sent,
            achieved_per_s: seconds.map(|s| rounded(sent as f64 / s)),
            in_flight: sums.in_flight(),
            answers: Answers::of(&sums.counts, &sums.latency),
            longest_outage: sums.worst_gap().map(Outage::of),
            lag_max_ms: Millis(sums.lag_max),
        }
    }
}

const fn was_attempted(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::NoPort | Outcome::NoDescriptor | Outcome::NotSent)
}

/// To a tenth: further digits of a rate say nothing.
fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

impl Answers {
    fn of(counts: &Counts, latency: &Latencies) -> Self {
        let availability = Ppm::of(counts.good(), counts.valid());
        Self {
            valid: counts.valid(),
            good: counts.good(),
            bad: counts.bad(),
            excluded: counts.of(Blame::Verifier),
            availability_ppm: availability.map(|a| a.0),
            availability: availability.map(percent),
            latency: Quantiles::of(latency),
            outcomes: *counts,
        }
    }
}

impl Quantiles {
    fn of(latency: &Latencies) -> Option<Self> {
        let at = |ppm| latency.quantile(Ppm(ppm)).map(Millis);
        Some(Self {
            p50_ms: at(500_000)?,
            p90_ms: at(900_000)?,
            p99_ms: at(990_000)?,
            p99_9_ms: at(999_000)?,
            max_ms: latency.max().map(Millis)?,
        })
    }
}

impl Outage {
    fn of(gap: &Gap) -> Self {
        let (from, to) = (Seconds(gap.from), gap.to.map(Seconds));
        Self { lane: clean(&gap.lane), from_s: from, to_s: to, length_ms: Millis(length(gap)), failed: gap.failed }
    }
}

fn part_of(part: u64, whole: u64) -> u32 {
    Ppm::of(part, whole).map_or(0, |p| p.0)
}

fn pods(course: &Course, all: &LaneSums) -> Vec<PodTraffic> {
    let pod = |(name, sums): (&Name, &PodSums)| {
        let revision = course.revision_of(name);
        let answers = Answers::of(&sums.counts, &sums.latency);
        PodTraffic {
            pod: clean(name),
            version: sums.version.as_deref().map(clean),
            revision: revision.map(|r| clean(r)),
            side: side_of(course, revision),
            traffic_ppm: part_of(answers.valid, all.counts.valid()),
            errors_ppm: part_of(answers.bad, all.counts.bad()),
            answers,
        }
    };
    let mut pods: Vec<_> = course.tally.pods().iter().map(pod).collect();
    pods.sort_by_key(|p| std::cmp::Reverse(p.answers.bad));
    pods.truncate(MAX_PODS);
    pods
}

fn revisions(course: &Course, all: &LaneSums) -> Vec<RevisionTraffic> {
    let mut sums: BTreeMap<(Side, Option<&str>), (Counts, Latencies)> = BTreeMap::new();
    let mut named = Counts::default();
    for (pod, of_pod) in course.tally.pods() {
        let revision = course.revision_of(pod);
        let (counts, latency) = sums.entry((side_of(course, revision), revision.map(|r| &**r))).or_default();
        counts.merge(&of_pod.counts);
        latency.merge(&of_pod.latency);
        named.merge(&of_pod.counts);
    }
    let unnamed = all.counts.without(&named);
    if unnamed.total() > 0 {
        sums.entry((Side::Unknown, None)).or_default().0.merge(&unnamed);
    }
    sums.into_iter()
        .map(|((side, revision), (counts, latency))| RevisionTraffic {
            revision: revision.map(clean),
            side,
            traffic_ppm: part_of(counts.valid(), all.counts.valid()),
            errors_ppm: part_of(counts.bad(), all.counts.bad()),
            answers: Answers::of(&counts, &latency),
        })
        .collect()
}

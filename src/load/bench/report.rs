//! What came of a load: a fold over the driver's events, and its form for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use super::Bench;
use crate::domain::latency::Latencies;
use crate::domain::objective::Ppm;
use crate::domain::outcome::{Blame, Counts, Outcome};
use crate::domain::slice::{LoadEvent, SLICE_MICROS, Slice};
use crate::domain::time::{At, micros};
use crate::domain::traffic::{Name, ProtocolChoice};
use crate::domain::validity::{Doubt, Limits, Record, Recorder, Validity};

/// What came of a load. Only the time after the warm-up is counted.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LoadReport {
    /// Version of this form.
    pub format: u32,
    /// Where the requests went.
    pub url: String,
    /// What was asked to be spoken; `auto` left it to the server.
    pub protocol: ProtocolChoice,
    /// Names the run: it was sent with each request.
    pub run_id: String,
    /// Seed of random arrivals and think times.
    pub seed: u64,
    /// Threads that sent.
    pub workers: usize,
    /// Length of the warm-up in seconds.
    pub warm_up_s: f64,
    /// Seconds that were counted.
    pub duration_s: f64,
    /// It was called off before its time.
    pub interrupted: bool,
    /// Any lane followed the answers (a closed loop): its latencies are those of a target that was asked only when it had answered, and say
    /// nothing about what users who come on their own would have waited.
    pub closed: bool,
    /// Requests that ended in the counted time, per second; those that the verifier could not send or see are not among them.
    pub achieved_rate: f64,
    /// Of good answers, from the intended start, in milliseconds; all lanes together.
    pub latency_ms: LatencyMs,
    /// How the slots ended, all lanes together.
    #[schemars(with = "BTreeMap<Outcome, u64>")]
    pub outcomes: Counts,
    /// Slots that had not ended when the run was called off.
    pub unfinished: u64,
    /// Somebody was there: at least one connection stood.
    pub reached: bool,
    /// Lane by lane, in the order of the plan.
    pub lanes: Vec<LaneReport>,
    /// Whether the measurement can be believed.
    pub validity: ValidityReport,
}

impl LoadReport {
    /// The report as a JSON document with its line end.
    pub fn document(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// The JSON Schema (draft 2020-12) of what [`Self::document`] writes.
    pub fn schema() -> serde_json::Value {
        SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Self>().to_value()
    }
}

/// What came of one lane.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LaneReport {
    /// The lane.
    #[schemars(with = "String")]
    pub name: Name,
    /// It followed the answers.
    pub closed: bool,
    /// Slots a second that were asked for at the peak; on a closed lane the most there may be.
    pub target_rate: f64,
    /// Slots that became due.
    pub planned: u64,
    /// As for the whole.
    pub achieved_rate: f64,
    /// As for the whole.
    pub latency_ms: LatencyMs,
    /// As for the whole.
    #[schemars(with = "BTreeMap<Outcome, u64>")]
    pub outcomes: Counts,
}

/// Quantiles in milliseconds, each rounded up to three digits; nothing where there was no good answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct LatencyMs {
    /// The median.
    pub p50: Option<f64>,
    /// 90 % took this long at most.
    pub p90: Option<f64>,
    /// 99 % took this long at most.
    pub p99: Option<f64>,
    /// 99.9 % took this long at most.
    pub p999: Option<f64>,
    /// The slowest.
    pub max: Option<f64>,
}

/// Whether the measurement can be believed, why not, and the verifier's own condition.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ValidityReport {
    /// It can.
    pub valid: bool,
    /// Why not.
    pub doubts: Vec<Doubt>,
    /// The verifier's own condition.
    #[serde(flatten)]
    pub record: Record,
}

/// One second, as it is told while the run goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// When it began.
    pub from: At,
    /// When it ended.
    pub to: At,
    /// It belongs to the warm-up.
    pub warm_up: bool,
    /// Slots begun and not ended at its end.
    pub in_flight: u64,
    /// In the order of the plan.
    pub lanes: Vec<LaneInterval>,
}

/// One lane in one second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaneInterval {
    /// How slots ended.
    pub counts: Counts,
    /// Latencies of good answers.
    pub latency: Latencies,
}

/// Folds a load's events.
pub(super) struct Fold {
    head: LoadReport,
    limits: Limits,
    lanes: Vec<FoldedLane>,
    from: At,
    to: Option<At>,
    recorder: Recorder,
    current: Interval,
}

struct FoldedLane {
    name: Name,
    closed: bool,
    target_rate: f64,
    planned: u64,
    counts: Counts,
    /// Ended within the counted time.
    in_time: u64,
    latency: Latencies,
}

/// The version of the report's form.
const FORMAT: u32 = 1;

impl Fold {
    pub(super) fn new(bench: &Bench<'_>, from: At) -> Self {
        let plan = bench.plan;
        let lane = |lane: &crate::domain::traffic::LanePlan| FoldedLane {
            name: lane.name.clone(),
            closed: lane.schedule.is_closed(),
            target_rate: lane.schedule.peak(lane.rate),
            planned: 0,
            counts: Counts::default(),
            in_time: 0,
            latency: Latencies::default(),
        };
        let head = LoadReport {
            format: FORMAT,
            url: plan.lanes.first().map(|lane| lane.request.url.clone()).unwrap_or_default(),
            protocol: plan.lanes.first().map(|lane| lane.request.protocol).unwrap_or_default(),
            run_id: plan.run_id.clone(),
            seed: plan.seed,
            workers: bench.workers,
            warm_up_s: from.seconds(),
            duration_s: 0.0,
            interrupted: false,
            closed: plan.lanes.iter().any(|lane| lane.schedule.is_closed()),
            achieved_rate: 0.0,
            latency_ms: LatencyMs::default(),
            outcomes: Counts::default(),
            unfinished: 0,
            reached: false,
            lanes: Vec::new(),
            validity: ValidityReport { valid: false, doubts: Vec::new(), record: Record::default() },
        };
        let lanes: Vec<FoldedLane> = plan.lanes.iter().map(lane).collect();
        let current = Interval { lanes: vec![LaneInterval::default(); lanes.len()], ..Interval::default() };
        Self { head, limits: Limits::of(&plan.lanes), lanes, from, to: None, recorder: Recorder::default(), current }
    }

    /// Takes an event; answers the second that is complete by it.
    pub(super) fn event(&mut self, event: LoadEvent) -> Option<Interval> {
        match event {
            LoadEvent::Slice(slice) => {
                self.slice(&slice);
                None
            }
            LoadEvent::Validity(second) => Some(self.second(&second)),
            LoadEvent::Failure(_) | LoadEvent::Gap(_) | LoadEvent::Closed(_) => None,
        }
    }

    /// Nothing after `to` counts towards rates.
    pub(super) fn close(&mut self, to: At, interrupted: bool) {
        self.to = Some(to);
        self.head.interrupted = interrupted;
    }

    fn slice(&mut self, slice: &Slice) {
        let Some(index) = self.lanes.iter().position(|lane| lane.name == slice.lane) else {
            return;
        };
        let counted = slice.end.0 >= self.from.0 + SLICE_MICROS;
        let in_time = self.to.is_none_or(|to| slice.end <= to);
        let counts = slice.counts();
        if let Some(current) = self.current.lanes.get_mut(index) {
            current.counts.merge(&counts);
            slice.parts.iter().flat_map(|part| &part.latency).for_each(|(micros, n)| current.latency.add(*micros, u64::from(*n)));
        }
        if let Some(lane) = self.lanes.get_mut(index).filter(|_| counted) {
            self.recorder.slice(slice);
            lane.planned += slice.due;
            lane.counts.merge(&counts);
            lane.in_time += if in_time { counts.total() - counts.of(Blame::Verifier) } else { 0 };
            slice.parts.iter().flat_map(|part| &part.latency).for_each(|(micros, n)| lane.latency.add(*micros, u64::from(*n)));
        }
    }

    fn second(&mut self, second: &Validity) -> Interval {
        if second.end > self.from {
            self.recorder.second(second);
        }
        let empty = Interval { from: second.end, lanes: vec![LaneInterval::default(); self.lanes.len()], ..Interval::default() };
        let told = std::mem::replace(&mut self.current, empty);
        Interval { to: second.end, warm_up: second.end <= self.from, in_flight: second.in_flight, ..told }
    }

    pub(super) fn report(self) -> LoadReport {
        let time = self.to.map_or(Duration::ZERO, |to| to.since(self.from));
        let rate = |n: u64| if time.is_zero() { 0.0 } else { n as f64 / time.as_secs_f64() };
        let mut all = (Counts::default(), Latencies::default());
        for lane in &self.lanes {
            all.0.merge(&lane.counts);
            all.1.merge(&lane.latency);
        }
        let record = self.recorder.record().clone();
        let doubts = record.doubts(&self.limits);
        let planned: u64 = self.lanes.iter().map(|lane| lane.planned).sum();
        let in_time = self.lanes.iter().map(|lane| lane.in_time).sum();
        let lane = |lane: FoldedLane| LaneReport {
            name: lane.name,
            closed: lane.closed,
            target_rate: lane.target_rate,
            planned: lane.planned,
            achieved_rate: rate(lane.in_time),
            latency_ms: LatencyMs::of(&lane.latency),
            outcomes: lane.counts,
        };
        LoadReport {
            duration_s: time.as_secs_f64(),
            achieved_rate: rate(in_time),
            latency_ms: LatencyMs::of(&all.1),
            outcomes: all.0,
            // What began in the warm-up may have ended in the counted time: then more ended than were due.
            unfinished: planned.saturating_sub(all.0.total()),
            reached: all.0.iter().any(|(outcome, _)| answers(outcome)),
            lanes: self.lanes.into_iter().map(lane).collect(),
            validity: ValidityReport { valid: doubts.is_empty(), doubts, record },
            ..self.head
        }
    }
}

/// Whether the outcome shows that a connection stood.
const fn answers(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Ok
        | Outcome::AppStatus
        | Outcome::GatewayStatus
        | Outcome::ResetBeforeSend
        | Outcome::ResetAfterSend
        | Outcome::Truncated
        | Outcome::WrongBody
        | Outcome::Tls
        | Outcome::ResponseTimeout
        | Outcome::Protocol
        | Outcome::TooLarge
        | Outcome::Throttled
        | Outcome::Unseen => true,
        Outcome::Refused | Outcome::ConnectTimeout | Outcome::Dns | Outcome::NoPort | Outcome::NoDescriptor | Outcome::NotSent => {
            false
        }
    }
}

impl LatencyMs {
    fn of(latency: &Latencies) -> Self {
        let ms = |time: Duration| micros(time) as f64 / 1_000.0;
        let at = |ppm| latency.quantile(Ppm(ppm)).map(ms);
        Self { p50: at(500_000), p90: at(900_000), p99: at(990_000), p999: at(999_000), max: latency.max().map(ms) }
    }
}

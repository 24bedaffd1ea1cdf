//! What the panel's word means for a run: its settings, the reason for an early breach, and what a PASS still lacks.

use super::hearing::Hearing;
use super::panel::{Alarm, Armed, Panel, Settings};
use crate::domain::display::{count, percent};
use crate::domain::objective::{Goal, Objective, Ppm};
use crate::domain::scenario::{Compare, Judge, Scenario};
use crate::domain::slice::SLICE_MICROS;
use crate::domain::time::micros;
use crate::domain::traffic::{Micros, TrafficPlan};
use crate::domain::verdict::Reason;

/// Judged by when nothing is promised of availability: only the burst that is tolerated follows from it.
const DEFAULT_AVAILABILITY: Ppm = Ppm(990_000);
/// See [`limit_of_nearly_all`].
const NEARLY_ALL: Ppm = Ppm(950_000);
/// The burst tolerance of the new version is this part of the whole one: terminations hit the old version.
const NEW_SHARE: f64 = 0.4;

/// The objectives over all lanes that the panel judges: of availability, and of latency. The strictest of each.
pub fn judged(objectives: &[Objective]) -> (Option<&Objective>, Option<&Objective>) {
    let all = || objectives.iter().filter(|o| o.lane.is_none());
    let availability = all().filter(|o| matches!(o.goal, Goal::Availability(_))).max_by_key(|o| share(o));
    let latency = all().filter(|o| matches!(o.goal, Goal::Latency { .. })).max_by_key(|o| share(o));
    (availability, latency)
}

/// The share that must be good.
fn share(objective: &Objective) -> Option<Ppm> {
    match objective.goal {
        Goal::Availability(share) | Goal::Latency { share, .. } => Some(share),
        Goal::LongestOutage(_) | Goal::DeployedWithin(_) => None,
    }
}

/// What may go wrong: one minus the share, and never nothing, for which no evidence could be weighed.
fn loss(share: Ppm) -> f64 {
    (f64::from(Ppm::ONE - share.0.min(Ppm::ONE)) / f64::from(Ppm::ONE)).max(1e-6)
}

/// How the panel is set up for a scenario.
pub fn settings(scenario: &Scenario) -> Settings {
    let Judge { burst_tolerance, compare_errors, compare_latency } = scenario.judge;
    let (availability, latency) = judged(&scenario.then);
    let p0 = loss(availability.and_then(share).unwrap_or(DEFAULT_AVAILABILITY));
    let usual = Settings::for_share(p0, (micros(scenario.deadline) / SLICE_MICROS).max(1));
    let tau_all = burst_tolerance.map_or(usual.tau_all, |burst| burst.as_secs_f64());
    Settings {
        p_slow: latency.and_then(share).map(loss),
        tau_all,
        tau_new: tau_all * NEW_SHARE,
        armed: Armed {
            availability: availability.is_some(),
            compare_errors: availability.is_some() && compare_errors == Compare::Breach,
            compare_latency: compare_latency == Compare::Breach,
        },
        ..usual
    }
}

/// What share of requests may fail by the objectives.
pub fn loss_allowed(scenario: &Scenario) -> f64 {
    loss(judged(&scenario.then).0.and_then(share).unwrap_or(DEFAULT_AVAILABILITY))
}

/// The latency limit that nearly all answers must keep, in microseconds: beyond it single answers are rare enough to count as failures.
pub fn limit_of_nearly_all(scenario: &Scenario) -> Option<Micros> {
    judged(&scenario.then).1.and_then(|o| match o.goal {
        Goal::Latency { limit, share } if share >= NEARLY_ALL => Some(micros(limit)),
        Goal::Latency { .. } | Goal::Availability(_) | Goal::LongestOutage(_) | Goal::DeployedWithin(_) => None,
    })
}

/// Listens to the lanes of a plan that speak for users: not to those that ask pods at their own addresses.
pub fn hearing(scenario: &Scenario, plan: &TrafficPlan) -> Hearing {
    let limit = judged(&scenario.then).1.and_then(|o| match o.goal {
        Goal::Latency { limit, .. } => Some(limit),
        Goal::Availability(_) | Goal::LongestOutage(_) | Goal::DeployedWithin(_) => None,
    });
    Hearing::new(settings(scenario), plan.lanes.iter().filter(|lane| !lane.asks_pods()), limit)
}

/// Why the run is a breach, for each alarm that was raised, the first one first.
pub fn reasons(panel: &Panel, objectives: &[Objective], new: Option<&str>) -> Vec<Reason> {
    let mut alarms: Vec<(Alarm, u64)> = panel.alarms().collect();
    alarms.sort_by_key(|(_, slice)| *slice);
    alarms.into_iter().map(|(alarm, _)| reason(panel, alarm, objectives, new)).collect()
}

fn reason(panel: &Panel, alarm: Alarm, objectives: &[Objective], new: Option<&str>) -> Reason {
    let (bad, trials) = panel.counted(alarm);
    let (availability, latency) = judged(objectives);
    let who = new.map_or_else(|| "the new version".to_owned(), |hash| format!("the new version ({hash})"));
    let (bad, trials) = (count(bad), count(trials));
    let says = |o: Option<&Objective>| o.map(ToString::to_string).unwrap_or_default();
    let what = match alarm {
        Alarm::AvailabilityAll => format!("{bad} of {trials} requests failed, too many too soon for {}", says(availability)),
        Alarm::AvailabilityNew => format!("{who} failed {bad} of {trials} requests, too many for {}", says(availability)),
        Alarm::LatencyAll => format!("{bad} of {trials} requests were too slow, too many too soon for {}", says(latency)),
        Alarm::LatencyNew => format!("{bad} of {trials} answers of {who} were too slow for {}", says(latency)),
        Alarm::CompareErrors => format!("{who} made {bad} of {trials} failures while both versions served, more than its share"),
        Alarm::CompareLatency => {
            format!("{who} gave {bad} of {trials} slow answers while both versions served, more than its share")
        }
    };
    Reason::new(code(alarm, latency), format!("{what} ({})", odds(panel, alarm)))
}

/// The objective's word and whom the monitor heard: `availability.new`, `p99.all`; of comparisons their own.
fn code(alarm: Alarm, latency: Option<&Objective>) -> String {
    let of_latency = |who: &str| format!("{}.{who}", latency.map_or_else(|| "latency".to_owned(), |o| o.goal.metric()));
    match alarm {
        Alarm::LatencyAll => of_latency("all"),
        Alarm::LatencyNew => of_latency("new"),
        Alarm::AvailabilityAll | Alarm::AvailabilityNew | Alarm::CompareErrors | Alarm::CompareLatency => alarm.label().to_owned(),
    }
}

/// How strong the evidence is, and how strong it had to be.
fn odds(panel: &Panel, alarm: Alarm) -> String {
    let needed = panel.settings().threshold().exp();
    let strength = panel.log_w(alarm).max(panel.settings().threshold()).exp().min(1e12);
    format!("evidence {} to 1, {} to 1 decides", whole(strength), whole(needed))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and at most 1e12")]
fn whole(number: f64) -> String {
    count(number.round() as u64)
}

/// What a PASS lacks: how many more good requests would certify it, of all traffic and of the new version, if what is in flight ends well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// Of all traffic.
    pub all: u64,
    /// Of the new version.
    pub new: u64,
}

impl Lacking {
    /// Nothing, and a PASS is certified.
    pub fn of(panel: &Panel) -> Option<Self> {
        let (all, new) = panel.missing(0);
        (all > 0 || new > 0).then_some(Self { all, new })
    }

    /// Requests in all: those of the new version come with its traffic, which after a rollout is all there is.
    pub fn most(self) -> u64 {
        self.all.max(self.new)
    }

    /// Says so when a PASS will take longer than the soak at this rate, because the new version's answers must be enough.
    pub fn too_long(self, rate: f64, soak: std::time::Duration) -> Option<String> {
        let seconds = self.most() as f64 / rate;
        let length = std::time::Duration::try_from_secs_f64(seconds.ceil()).ok().filter(|length| *length > soak)?;
        let (more, length) = (count(self.most()), humantime::format_duration(length));
        Some(format!("a PASS needs {more} good answers of the new version: at this rate it is measured for {length} or longer"))
    }

    /// For people.
    pub fn sentence(self, panel: &Panel) -> String {
        let good = percent(Ppm(Ppm::ONE - ppm(panel.settings().beta)));
        let more = if self.most() > u64::from(u32::MAX) { "no number of".to_owned() } else { count(self.most()) };
        let whose = if self.new > self.all { " of the new version" } else { "" };
        let slack = "so that a service at the edge of the objectives would not look as good";
        format!("{more} more good requests{whose} are needed to say PASS with {good} certainty, {slack}")
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of one")]
fn ppm(share: f64) -> u32 {
    (share.clamp(0.0, 1.0) * f64::from(Ppm::ONE)).round() as u32
}

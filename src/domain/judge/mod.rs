//! The judge. Three questions, asked in this order:
//!
//! 1. `budget`: is an objective's budget spent? Integers, no statistics.
//! 2. `panel`: is the evidence against the rollout decisive? Six monitors share one error probability; `hearing` tells them what came,
//!    `early` says what their word means for a run.
//! 3. `confidence`: is a PASS certified? Never "no alarm so far".
//!
//! `evidence` is the one statistical primitive behind 2 and 3, `monitor` collects it in constant memory, `bounds` says how quick any
//! test could be.

pub mod bounds;
mod budget;
pub mod confidence;
pub mod early;
pub mod evidence;
pub mod hearing;
pub mod monitor;
pub mod panel;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod reference;

use std::time::Duration;

use super::display;
use super::objective::{Goal, Objective};
use super::slice::SLICE_MICROS;
use super::tally::{LaneSums, LaneTally, Tally, length};
use super::time::At;
use super::verdict::Reason;
use budget::Budget;

/// How one objective stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// What it demands.
    pub objective: Objective,
    /// What was measured, for people: `99.62 %`, `41 ms`, `0 s`.
    pub measured: Option<String>,
    /// Bad and allowed, for objectives that have a budget.
    pub budget: Option<(u64, u64)>,
    /// Is it met?
    pub state: State,
}

/// Is an objective met?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Yes, whatever is still in flight or was excluded.
    Met,
    /// No, and it cannot be any more.
    Missed(Reason),
    /// It cannot be said, and why.
    Open(String),
}

/// What was promised before the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The planned length of the measured stretch; budgets are at least those of the traffic planned for it.
    pub window: Duration,
    /// The change began.
    pub changed: Option<At>,
    /// The rollout was complete.
    pub deployed: Option<At>,
    /// No more slices come, so what is missing by now stays missing.
    pub closed: bool,
    /// The longest stretch in which a lane had no slot that says anything about the target, because of the verifier.
    pub silent: Duration,
}

/// How each objective stands at `now`.
pub fn standings(objectives: &[Objective], tally: &Tally, plan: &Plan, now: At) -> Vec<Standing> {
    objectives.iter().map(|o| standing(o, tally, plan, now)).collect()
}

/// The first objective that is missed for good, with its reason.
pub fn first_missed(standings: &[Standing]) -> Option<&Reason> {
    standings.iter().find_map(|s| match &s.state {
        State::Missed(reason) => Some(reason),
        State::Met | State::Open(_) => None,
    })
}

fn standing(objective: &Objective, tally: &Tally, plan: &Plan, now: At) -> Standing {
    let lanes = lanes_of(objective, tally);
    match objective.goal {
        Goal::Availability(share) => {
            let sums = merged(&lanes, |l| &l.measured);
            let budget = Budget::of(&lanes, share, plan, sums.counts.bad());
            let measured = sums.availability().map(display::percent);
            let state = budget.state("availability", || {
                format!(
                    "{} of {} requests failed, {} are allowed by {objective}{}",
                    sums.counts.bad(),
                    sums.counts.valid(),
                    budget.allowed,
                    kinds(&sums)
                )
            });
            Standing { objective: objective.clone(), measured, budget: Some((budget.bad, budget.allowed)), state }
        }
        Goal::Latency { share, limit } => {
            let sums = merged(&lanes, |l| &l.measured);
            let slow = lanes.iter().map(|l| slow_beyond(l, limit)).sum();
            let budget = Budget::of(&lanes, share, plan, slow);
            let state = budget.state(&objective.goal.metric(), || {
                format!(
                    "{slow} of {} requests had no answer within {}, {} are allowed by {objective}",
                    sums.counts.valid(),
                    humantime::format_duration(limit),
                    budget.allowed
                )
            });
            let measured = sums.latency.quantile(share).map(display::span);
            Standing { objective: objective.clone(), measured, budget: Some((budget.bad, budget.allowed)), state }
        }
        Goal::LongestOutage(limit) => outage(objective, tally, &lanes, limit, plan),
        Goal::DeployedWithin(limit) => deployed(objective, plan, limit, now),
    }
}

/// How long it takes until what could not be sent or seen so far is little enough to leave no doubt, if nothing is added to it and nothing
/// more fails. Nothing when it is so by now, or when no time would help.
pub fn doubt_lasts(objectives: &[Objective], tally: &Tally) -> Option<Duration> {
    objectives.iter().filter_map(|o| doubt_of(o, tally)).max()
}

fn doubt_of(objective: &Objective, tally: &Tally) -> Option<Duration> {
    let lanes = lanes_of(objective, tally);
    let sum = |of: fn(&LaneSums) -> u64| lanes.iter().map(|l| of(&l.measured)).sum::<u64>();
    let (share, bad) = match objective.goal {
        Goal::Availability(share) => (share, sum(|s| s.counts.bad())),
        Goal::Latency { share, limit } => (share, lanes.iter().map(|l| slow_beyond(l, limit)).sum()),
        Goal::LongestOutage(_) | Goal::DeployedWithin(_) => return None,
    };
    let (due, excluded) = (sum(|s| s.due), sum(LaneSums::excluded));
    let doubtful = bad + excluded;
    if excluded == 0 || doubtful <= share.allowed(due) {
        return None;
    }
    let rate: f64 = lanes.iter().map(|l| l.rate).sum();
    let needed = doubtful as f64 / (1.0 - share.fraction()) - due as f64;
    Duration::try_from_secs_f64(needed / rate).ok()
}

/// Between which two values the true one lies, of what an objective is about, for people. See [`confidence`].
pub fn interval(objective: &Objective, tally: &Tally) -> Option<(String, String)> {
    let sums = merged(&lanes_of(objective, tally), |l| &l.measured);
    match objective.goal {
        Goal::Availability(_) => confidence::availability(sums.counts.bad(), sums.counts.valid()).map(confidence::shares),
        Goal::Latency { share, .. } => confidence::latency(&sums.latency, share).map(confidence::spans),
        Goal::LongestOutage(_) | Goal::DeployedWithin(_) => None,
    }
}

fn lanes_of<'a>(objective: &Objective, tally: &'a Tally) -> Vec<&'a LaneTally> {
    tally.lanes().iter().filter(|(name, _)| objective.lane.as_ref().is_none_or(|l| l == *name)).map(|(_, lane)| lane).collect()
}

fn merged<'a>(lanes: &[&'a LaneTally], part: impl Fn(&'a LaneTally) -> &'a LaneSums) -> LaneSums {
    lanes.iter().fold(LaneSums::default(), |mut all, lane| {
        all.merge(part(lane));
        all
    })
}

/// Slots of a lane that had no good answer within `limit`, those that failed faster left out: these are availability's business. The
/// driver counts by thresholds that it was told before the start.
fn slow_beyond(lane: &LaneTally, limit: Duration) -> u64 {
    let limit = super::time::micros(limit);
    let index = lane.thresholds.iter().position(|t| *t == limit);
    index.and_then(|i| lane.measured.slow.get(i)).copied().unwrap_or(0)
}

/// The kinds of failures, most frequent first.
fn kinds(sums: &LaneSums) -> String {
    let mut kinds: Vec<_> = sums.counts.iter().filter(|(o, _)| o.blame() == super::outcome::Blame::Target).collect();
    kinds.sort_by_key(|(outcome, n)| (std::cmp::Reverse(*n), *outcome));
    let list: Vec<String> = kinds.iter().map(|(outcome, n)| format!("{n} {}", outcome.label())).collect();
    if list.is_empty() { String::new() } else { format!(" ({})", list.join(", ")) }
}

fn outage(objective: &Objective, tally: &Tally, lanes: &[&LaneTally], limit: Duration, plan: &Plan) -> Standing {
    let worst = lanes.iter().filter_map(|l| l.measured.worst_gap()).max_by_key(|g| length(g));
    let longest = worst.map_or(Duration::ZERO, length);
    let answered = merged(lanes, |l| &l.measured).counts.good() > 0;
    let state = match worst {
        Some(gap) if longest >= limit => State::Missed(Reason::new(
            "longest_outage",
            format!(
                "lane {} had no good answer for {} from {} on ({} failed requests), {objective}",
                gap.lane,
                humantime::format_duration(longest),
                gap.from,
                gap.failed
            ),
        )),
        _ if plan.closed && answered && longest + hidden(lanes, longest, plan.silent) < limit => State::Met,
        _ if plan.closed => State::Open("too few requests could be sent to see every outage".into()),
        _ => State::Open("measuring".into()),
    };
    let measured = tally.measured_from().map(|_| display::span(longest));
    Standing { objective: objective.clone(), measured, budget: None, state }
}

/// By how much an outage can be longer than what was seen of it: by the longest silence, on both sides of failures. Silence is known in whole
/// slices, so it may have begun and ended one earlier and later.
fn hidden(lanes: &[&LaneTally], seen: Duration, silent: Duration) -> Duration {
    if lanes.iter().all(|l| l.measured.excluded() == 0) {
        return Duration::ZERO;
    }
    (silent + 2 * Duration::from_micros(SLICE_MICROS)) * if seen.is_zero() { 1 } else { 2 }
}

fn deployed(objective: &Objective, plan: &Plan, limit: Duration, now: At) -> Standing {
    let took = plan.changed.map(|c| plan.deployed.unwrap_or(now).since(c));
    let state = match (plan.changed, plan.deployed, took) {
        (Some(_), deployed, Some(took)) if took > limit => {
            let how = if deployed.is_some() { "was complete only after" } else { "is not complete after" };
            State::Missed(Reason::new(
                "deployed_within",
                format!("the rollout {how} {}, {objective}", humantime::format_duration(whole_ms(took))),
            ))
        }
        (Some(_), Some(_), _) => State::Met,
        _ => State::Open("the rollout is not complete".into()),
    };
    let measured = plan.deployed.and(took).map(display::span);
    Standing { objective: objective.clone(), measured, budget: None, state }
}

fn whole_ms(d: Duration) -> Duration {
    Duration::from_millis(u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

//! Latency limits that the driver did not count by: how many were slower is counted anew, from what was recorded of each answer.
//!
//! Latencies of good answers are recorded to three digits, rounded up; so for a limit of at most three digits it is exact which of them were
//! above it. Failures are recorded one by one with the time that they took. Only when a lane had so many that some are known by number
//! alone is there nothing to count from, and then nothing is said. Two things differ from a count made during the run: a slow answer counts
//! when it has come instead of when the limit has passed, so a breach may be found a little later; and the verifier's own absences, which
//! the driver leaves out, are in it.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use crate::domain::event::What;
use crate::domain::latency::round_up;
use crate::domain::outcome::Blame;
use crate::domain::scenario::Scenario;
use crate::domain::slice::{Failure, Part, Slice};
use crate::domain::traffic::{Micros, Mode, Name, TrafficPlan};

/// Why it cannot be said how many were slower than a limit.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CannotRecount {
    /// The limit lies between two of the values that are recorded.
    #[error(
        "how many took longer than {} cannot be told: latencies are recorded to three digits; take {} or {}",
        time(*.limit), time(*.below), time(*.above)
    )]
    TooFine {
        /// The limit in microseconds.
        limit: Micros,
        /// The next one below for which it can.
        below: Micros,
        /// The next one above.
        above: Micros,
    },
    /// Failures are known by number alone.
    #[error(
        "how many took longer than {} cannot be told: of {failed} failures of lane {lane}, only {listed} are recorded one by one",
        time(*.limit)
    )]
    Unlisted {
        /// The limit in microseconds.
        limit: Micros,
        /// The lane.
        lane: Name,
        /// Its failures.
        failed: u64,
        /// Those recorded one by one.
        listed: u64,
    },
}

fn time(micros: Micros) -> String {
    humantime::format_duration(Duration::from_micros(micros)).to_string()
}

/// Counts by the limits that the driver was not told.
#[derive(Debug, Default)]
pub(super) struct Recount {
    lanes: BTreeMap<Name, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    /// The new limits, ascending, and the places that they take among all limits of the lane.
    limits: Vec<(usize, Micros)>,
    /// Its slots are streams: what counts is the first byte.
    streams: bool,
    failed: u64,
    listed: u64,
    /// Failures that are told of and not yet in a slice: the pod, and how long it took.
    waiting: Vec<(Option<Name>, u64)>,
}

impl Recount {
    /// The event as the driver would have told it under this scenario.
    pub(super) fn event(&mut self, what: &mut What, scenario: &Scenario) -> Result<(), CannotRecount> {
        match what {
            What::TargetReady(plan) => self.plan(plan, scenario)?,
            What::Failure(failure) => self.failure(failure),
            What::Slice(slice) => self.slice(slice),
            _ => {}
        }
        Ok(())
    }

    fn plan(&mut self, plan: &mut TrafficPlan, scenario: &Scenario) -> Result<(), CannotRecount> {
        for lane in &mut plan.lanes {
            let new: Vec<Micros> = scenario.thresholds(&lane.name).into_iter().filter(|l| !lane.thresholds.contains(l)).collect();
            if new.is_empty() {
                continue;
            }
            new.iter().try_for_each(|limit| is_recorded(*limit))?;
            lane.thresholds.extend(&new);
            lane.thresholds.sort_unstable();
            let place = |limit: Micros| (lane.thresholds.partition_point(|t| *t < limit), limit);
            let streams = matches!(lane.mode, Mode::Stream { .. });
            self.lanes.insert(lane.name.clone(), Lane { limits: new.into_iter().map(place).collect(), streams, ..Lane::default() });
        }
        Ok(())
    }

    fn failure(&mut self, failure: &Failure) {
        let Some(lane) = self.lanes.get_mut(&failure.lane).filter(|_| failure.outcome.blame() == Blame::Target) else { return };
        let until = failure.phases.first_byte.filter(|_| lane.streams).unwrap_or(failure.known);
        lane.listed += 1;
        lane.waiting.push((failure.pod.clone(), until.micros().saturating_sub(failure.due.micros())));
    }

    fn slice(&mut self, slice: &mut Slice) {
        let Some(lane) = self.lanes.get_mut(&slice.lane) else { return };
        for part in &mut slice.parts {
            lane.failed += part.counts.bad();
            for (place, limit) in &lane.limits {
                let slow = part.latency.iter().filter(|(micros, _)| micros > limit).map(|(_, n)| u64::from(*n)).sum();
                part.slow.insert((*place).min(part.slow.len()), slow);
            }
        }
        for (pod, took) in lane.waiting.drain(..) {
            let found = slice.parts.iter().position(|p| p.pod == pod).unwrap_or_else(|| {
                slice.parts.push(Part { pod, ..Part::default() });
                slice.parts.len() - 1
            });
            let slow = &mut slice.parts[found].slow;
            for (place, _) in lane.limits.iter().filter(|(_, limit)| took > *limit) {
                slow.resize(slow.len().max(place + 1), 0);
                slow[*place] += 1;
            }
        }
    }

    /// The limits that were counted anew, once all events are in.
    pub(super) fn finish(self) -> Result<Vec<Micros>, CannotRecount> {
        let mut limits = Vec::new();
        for (name, lane) in self.lanes {
            let (failed, listed) = (lane.failed, lane.listed);
            limits.extend(lane.limits.iter().map(|(_, limit)| *limit));
            if let Some((_, limit)) = lane.limits.first().filter(|_| listed < failed) {
                return Err(CannotRecount::Unlisted { limit: *limit, lane: name, failed, listed });
            }
        }
        limits.sort_unstable();
        limits.dedup();
        Ok(limits)
    }
}

fn is_recorded(limit: Micros) -> Result<(), CannotRecount> {
    let above = round_up(limit);
    if above == limit {
        return Ok(());
    }
    let unit = 10u64.pow(limit.checked_ilog10().unwrap_or(0).saturating_sub(2));
    Err(CannotRecount::TooFine { limit, below: limit / unit * unit, above })
}

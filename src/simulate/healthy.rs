//! How often is a healthy rollout stopped?

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::proportion::{at_least, at_most};
use super::rollout::{Ended, Verdict, play};
use super::spread::Spread;
use super::trace::{Fleet, Trace};
use super::world::World;
use super::{MAX_SLICES, MAY_FAIL, SLICE, derive};
use crate::domain::judge::panel::Settings;
use crate::sandbox::model::virtual_cluster::Stuck;

/// Of what the counts prove.
pub const CONFIDENCE: f64 = 0.95;

/// Rollouts of one kind of Deployment, to be used again and again.
#[derive(Clone, Debug, Default)]
pub struct Library {
    traces: BTreeMap<Fleet, Vec<Trace>>,
}

impl Library {
    /// Has `n` rollouts of a fleet; records those that are missing.
    pub fn of(&mut self, fleet: Fleet, n: usize, seed: u64) -> Result<&[Trace], Stuck> {
        let traces = self.traces.entry(fleet).or_default();
        for i in traces.len()..n {
            traces.push(Trace::record(fleet, derive(seed, &format!("{fleet:?}"), i as u64))?);
        }
        Ok(&traces[..n])
    }

    /// How many were recorded.
    pub fn recorded(&self) -> usize {
        self.traces.values().map(Vec::len).sum()
    }
}

/// What came of many rollouts of one world.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct HealthyRow {
    /// The world.
    pub name: String,
    /// What it is, for people.
    pub about: String,
    /// Rollouts.
    pub rollouts: u64,
    /// Of these, those whose expected failures stayed within what is tolerated until their end: the healthy ones.
    pub healthy: u64,
    /// Healthy ones that were stopped by evidence.
    pub false_stops: u64,
    /// The probability of such a stop is at most this, by the exact binomial bound, with 95 % confidence.
    pub false_stops_at_most: f64,
    /// What was promised of it.
    pub promised: f64,
    /// Others that were stopped by evidence: they left the tolerance before.
    pub other_stops: u64,
    /// More requests failed than the objective allows.
    pub over_budget: u64,
    /// Passed.
    pub passed: u64,
    /// Neither, until the deadline.
    pub open: u64,
    /// Seconds from the change to a pass.
    pub pass_after: Spread,
    /// Requests that were judged.
    pub requests: u64,
    /// Slices that were judged.
    pub slices: u64,
}

impl HealthyRow {
    /// Plays `rollouts` rollouts of a world, each with one of the traces and traffic of its own.
    pub fn play(world: &World, traces: &[Trace], rollouts: u64, seed: u64) -> Self {
        let mut row = Self {
            name: world.name.into(),
            about: world.about.into(),
            rollouts: 0,
            healthy: 0,
            false_stops: 0,
            false_stops_at_most: 1.0,
            promised: Settings::for_share(MAY_FAIL, MAX_SLICES).alpha,
            other_stops: 0,
            over_budget: 0,
            passed: 0,
            open: 0,
            pass_after: Spread::default(),
            requests: 0,
            slices: 0,
        };
        let mut passes = Vec::new();
        for (n, trace) in (0..rollouts).zip(traces.iter().cycle()) {
            let ended = play(world, trace, derive(seed, world.name, n));
            row.count(&ended);
            if ended.verdict == Verdict::Pass {
                passes.push(ended.slices as f64 * SLICE);
            }
        }
        row.pass_after = Spread::of(passes);
        row.false_stops_at_most = at_most(row.false_stops, row.healthy, CONFIDENCE);
        row
    }

    fn count(&mut self, ended: &Ended) {
        self.rollouts += 1;
        self.requests += ended.requests;
        self.slices += ended.slices;
        self.healthy += u64::from(ended.healthy);
        *match (ended.verdict, ended.healthy) {
            (Verdict::Alarm(_), true) => &mut self.false_stops,
            (Verdict::Alarm(_), false) => &mut self.other_stops,
            (Verdict::Budget, _) => &mut self.over_budget,
            (Verdict::Pass, _) => &mut self.passed,
            (Verdict::Open, _) => &mut self.open,
        } += 1;
    }

    /// Healthy rollouts were stopped more often than promised, beyond what chance explains.
    pub(super) fn broken_promise(&self) -> Option<String> {
        let proved = at_least(self.false_stops, self.healthy, 0.999);
        (proved > self.promised).then(|| {
            format!(
                "{}: {} of {} healthy rollouts were stopped, which proves a probability above {}",
                self.name, self.false_stops, self.healthy, self.promised
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::world::HEALTHY;

    #[test]
    fn a_library_records_a_rollout_once_and_a_row_adds_up() {
        let mut library = Library::default();
        let world = HEALTHY.iter().find(|w| w.name == "pod-ends-4").unwrap();
        library.of(world.fleet, 2, 5).unwrap();
        let traces = library.of(world.fleet, 3, 5).unwrap().to_vec();
        assert_eq!((traces.len(), library.recorded()), (3, 3));
        let row = HealthyRow::play(world, &traces, 20, 5);
        assert_eq!(row.false_stops + row.other_stops + row.over_budget + row.passed + row.open, 20, "{row:?}");
        assert_eq!((row.rollouts, row.healthy, row.false_stops, row.broken_promise()), (20, 20, 0, None), "{row:?}");
        assert_eq!(row, HealthyRow::play(world, &traces, 20, 5), "a seed makes it again");
    }

    #[test]
    fn too_many_stops_break_the_promise_and_chance_does_not() {
        let world = &HEALTHY[0];
        let traces = [Trace { replicas: 1, serving: Vec::new(), ends: Vec::new() }];
        let row = HealthyRow { healthy: 10_000, ..HealthyRow::play(world, &traces, 0, 1) };
        assert_eq!(HealthyRow { false_stops: 12, ..row.clone() }.broken_promise(), None, "10 were promised");
        assert!(HealthyRow { false_stops: 40, ..row }.broken_promise().is_some_and(|text| text.contains("40 of 10000")));
    }
}

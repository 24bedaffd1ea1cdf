//! One rollout from the change to its verdict.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::trace::Trace;
use super::traffic::Traffic;
use super::world::World;
use super::{AVAILABILITY, MAX_SLICES, MAY_FAIL};
use crate::domain::judge::panel::{Alarm, Panel, Settings};

/// Slices after the completion before a PASS.
const SOAK: u64 = 100;
/// The certificate is asked for so many slices apart; a rollout that could pass in between goes on for that much longer.
const ASKED_EVERY: u64 = 10;
/// Seconds that a rollout is planned for: the budget is at least that of their traffic.
const PLANNED: u64 = 120;

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Certified.
    Pass,
    /// More requests failed than may.
    Budget,
    /// Stopped before that, by evidence.
    Alarm(Alarm),
    /// Neither, until the deadline.
    Open,
}

/// What came of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub verdict: Verdict,
    /// Slices till then.
    pub slices: u64,
    /// Requests till then.
    pub requests: u64,
    /// What was to be expected of it fitted into the bucket till then: to stop it by evidence is an error.
    pub healthy: bool,
}

/// Plays a rollout of a world.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are bounded far below 2^53")]
pub fn play(world: &World, trace: &Trace, seed: u64) -> Ended {
    let settings = Settings::for_share(MAY_FAIL, MAX_SLICES);
    let mut rng = StdRng::seed_from_u64(seed);
    let fate = world.fate(trace, &mut rng);
    let mut traffic = Traffic::new(world.manner, &settings, super::derive(seed, "requests", 0));
    let mut panel = Panel::new(settings);
    let planned = world.manner.rate as u64 * PLANNED;
    let (mut due, mut failed) = (0, 0);
    for slice in 0..MAX_SLICES {
        let heard = traffic.slice(&world.moment(&fate, slice, trace.at(slice)));
        due += heard.due;
        failed += heard.failed;
        let alarm = panel.hear(&heard);
        let soaked = slice >= trace.length() + SOAK && slice % ASKED_EVERY == 0;
        let verdict = if failed > AVAILABILITY.allowed(due.max(planned)) {
            Verdict::Budget
        } else if let Some(alarm) = alarm {
            Verdict::Alarm(alarm)
        } else if soaked && failed + panel.in_flight() <= AVAILABILITY.allowed(due) && panel.is_certified() {
            Verdict::Pass
        } else {
            continue;
        };
        return Ended { verdict, slices: slice + 1, requests: due, healthy: traffic.all.holds && traffic.new.holds };
    }
    Ended { verdict: Verdict::Open, slices: MAX_SLICES, requests: due, healthy: traffic.all.holds && traffic.new.holds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::trace::{Fleet, Serving};
    use crate::simulate::world::{HEALTHY, Trouble};

    /// Ten pods that are replaced one by one, a second each.
    fn trace() -> Trace {
        let serving = (0..=100_u32).map(|tenth| Serving { old: 10 - tenth / 10, new: tenth / 10 }).collect();
        Trace { replicas: 10, serving, ends: (1..=10).map(|n| n * 10).collect() }
    }

    fn world() -> World {
        World { fleet: Fleet::OneByOne(10), ..HEALTHY[0] }
    }

    #[test]
    fn a_quiet_rollout_passes_as_soon_as_it_has_soaked() {
        let ended = play(&world(), &trace(), 1);
        assert_eq!((ended.verdict, ended.healthy), (Verdict::Pass, true));
        assert_eq!((ended.slices, ended.requests), (211, 4_220), "the first tenth second in which it is asked");
    }

    #[test]
    fn an_outage_beyond_the_tolerance_is_stopped_and_known_not_to_be_healthy() {
        let outage = World { trouble: Trouble::Outages { every: 9.0, lasts: 3.0, share: 1.0 }, ..world() };
        let ended = play(&outage, &trace(), 1);
        assert!(matches!(ended.verdict, Verdict::Alarm(_)) && !ended.healthy, "{ended:?}");
    }

    #[test]
    fn a_service_at_the_edge_is_not_let_pass_and_not_stopped_by_evidence() {
        let edge = World { base: 0.01, ..world() };
        for seed in 0..3 {
            let ended = play(&edge, &trace(), seed);
            assert!(matches!(ended.verdict, Verdict::Open | Verdict::Budget) && ended.healthy, "seed {seed}: {ended:?}");
        }
    }
}

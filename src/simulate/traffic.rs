//! Requests, drawn one by one: which are due says the pacing, whom each meets and how it ends says the moment.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::SLICE;
use crate::domain::judge::panel::{Arm, Heard, Settings};
use crate::domain::pacing::Pacer;
use crate::domain::slice::SLICE_MICROS;
use crate::domain::time::At;

/// What requests meet in a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// Share of the ready pods that are new.
    pub share: f64,
    /// Probability that a request goes to a pod that has ended.
    pub lost: f64,
    /// Probability that an old pod fails.
    pub old: f64,
    /// Probability that a new pod fails.
    pub new: f64,
}

/// Failures that come in runs (Gilbert and Elliott): in a run every request fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Runs {
    /// Share of requests that fail in the long run.
    pub share: f64,
    /// Requests of a run, on average.
    pub mean: f64,
}

/// How requests are sent and known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Manner {
    /// Requests a second, evenly spaced.
    pub rate: f64,
    /// Seconds until a good answer is known.
    pub answers: f64,
    /// Seconds until a failure is known.
    pub fails: f64,
    /// Probability that a failure of a pod names its version. A pod that has ended names nobody.
    pub named: f64,
    /// Failures in runs, beside those of the moment.
    pub runs: Option<Runs>,
}

/// A stream of requests, and how far it has strayed from health.
#[derive(Debug)]
pub struct Traffic {
    manner: Manner,
    pacer: Option<Pacer>,
    rng: StdRng,
    slices: u64,
    sent: u64,
    in_run: bool,
    /// What will be known in this slice and the next ones.
    known: VecDeque<Heard>,
    /// Of all requests.
    pub all: Bucket,
    /// Of those that the new version answers.
    pub new: Bucket,
}

/// The expected failures of a stream beyond what health allows it by the request, at their worst so far. While they fit into the burst
/// that is tolerated, the stream is healthy, whatever really failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    rate: f64,
    tau: f64,
    burst: f64,
    level: f64,
    /// Have they fitted so far?
    pub holds: bool,
}

impl Bucket {
    fn new(rate: f64, tau: f64) -> Self {
        Self { rate, tau, burst: 1.0, level: 0.0, holds: true }
    }

    fn tolerate(&mut self, rate: f64) {
        self.burst = self.burst.max(Settings::burst(self.tau, rate));
    }

    /// A request that fails with this probability, given all that was before it.
    fn add(&mut self, p: f64) {
        self.level = (self.level + p - self.rate).max(0.0);
        self.holds &= self.level <= self.burst;
    }
}

/// Who answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Old,
    New,
    Nobody,
}

impl Traffic {
    /// Nothing is sent yet. Health is what the judge is set to.
    pub fn new(manner: Manner, settings: &Settings, seed: u64) -> Self {
        Self {
            manner,
            pacer: Pacer::constant(At::ZERO, manner.rate),
            rng: StdRng::seed_from_u64(seed),
            slices: 0,
            sent: 0,
            in_run: false,
            known: VecDeque::new(),
            all: Bucket::new(settings.p0, settings.tau_all),
            new: Bucket::new(settings.p0, settings.tau_new),
        }
    }

    /// Sends what is due in the next slice, and tells what became known in it.
    pub fn slice(&mut self, moment: &Moment) -> Heard {
        self.slices += 1;
        let due_by = self.pacer.as_mut().map_or(0, |p| p.due_by(At(self.slices * SLICE_MICROS - 1)));
        let due = due_by - self.sent;
        self.sent = due_by;
        let rate_new = self.manner.rate * moment.share;
        self.all.tolerate(self.manner.rate);
        self.new.tolerate(rate_new);
        for i in 0..due {
            let (who, failed) = self.request(moment);
            let after = if failed { self.manner.fails } else { self.manner.answers };
            self.book((i as f64 + 0.5) / due as f64 + after / SLICE, who, failed);
        }
        let known = self.known.pop_front().unwrap_or_default();
        Heard { due, rate: self.manner.rate, rate_new, ..known }
    }

    fn request(&mut self, moment: &Moment) -> (Who, bool) {
        let run = self.manner.runs.map(|runs| {
            let begins = runs.share / (runs.mean * (1.0 - runs.share));
            if self.in_run { 1.0 - 1.0 / runs.mean } else { begins }
        });
        let either = |p: f64| run.map_or(p, |run| p + (1.0 - p) * run);
        let (old, new) = (either(moment.old), either(moment.new));
        let served = 1.0 - moment.lost;
        self.all.add(moment.lost + served * (moment.share * new + (1.0 - moment.share) * old));
        let place: f64 = self.rng.random();
        if place < moment.lost {
            return (Who::Nobody, true);
        }
        let is_new = place < moment.lost + served * moment.share;
        if is_new {
            self.new.add(new);
        }
        if let Some(run) = run {
            self.in_run = self.happens(run);
        }
        let failed = self.in_run || self.happens(if is_new { moment.new } else { moment.old });
        let who = if failed && !self.happens(self.manner.named) {
            Who::Nobody
        } else if is_new {
            Who::New
        } else {
            Who::Old
        };
        (who, failed)
    }

    fn happens(&mut self, p: f64) -> bool {
        p >= 1.0 || (p > 0.0 && self.rng.random::<f64>() < p)
    }

    /// Known so many slices after the beginning of this one.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds until an answer, in tenths")]
    fn book(&mut self, slices: f64, who: Who, failed: bool) {
        let index = slices as usize;
        if self.known.len() <= index {
            self.known.resize(index + 1, Heard::default());
        }
        let heard = &mut self.known[index];
        let one = Arm { resolved: 1, failed: u64::from(failed), ..Arm::default() };
        heard.resolved += 1;
        heard.failed += one.failed;
        let arm = match who {
            Who::Old => &mut heard.old,
            Who::New => &mut heard.new,
            Who::Nobody => return,
        };
        arm.resolved += 1;
        arm.failed += one.failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Manner = Manner { rate: 200.0, answers: 0.0, fails: 0.0, named: 1.0, runs: None };

    fn settings() -> Settings {
        Settings::for_share(0.01, 6_000)
    }

    /// Sums over some slices of one moment.
    fn sums(manner: Manner, moment: Moment, slices: u64) -> (Heard, Traffic) {
        let mut traffic = Traffic::new(manner, &settings(), 1);
        let mut all = Heard::default();
        for _ in 0..slices {
            let heard = traffic.slice(&moment);
            all.due += heard.due;
            all.resolved += heard.resolved;
            all.failed += heard.failed;
            for (sum, arm) in [(&mut all.new, heard.new), (&mut all.old, heard.old)] {
                sum.resolved += arm.resolved;
                sum.failed += arm.failed;
            }
        }
        (all, traffic)
    }

    /// Within five standard deviations.
    #[track_caller]
    fn about(got: u64, n: u64, p: f64) {
        let (mean, deviation) = (n as f64 * p, (n as f64 * p * (1.0 - p)).sqrt());
        assert!((got as f64 - mean).abs() < 5.0 * deviation, "{got} of {n}, want a share of {p}");
    }

    #[test]
    fn each_version_gets_its_share_and_fails_at_its_rate() {
        let moment = Moment { share: 0.25, lost: 0.1, old: 0.02, new: 0.3 };
        let (all, _) = sums(PLAIN, moment, 5_000);
        assert_eq!((all.due, all.resolved), (100_000, 100_000));
        about(all.resolved - all.new.resolved - all.old.resolved, all.due, 0.1);
        about(all.new.resolved, all.new.resolved + all.old.resolved, 0.25);
        about(all.new.failed, all.new.resolved, 0.3);
        about(all.old.failed, all.old.resolved, 0.02);
    }

    #[test]
    fn failures_that_name_nobody_are_known_but_not_attributed() {
        let moment = Moment { share: 0.5, new: 1.0, ..Moment::default() };
        let (all, _) = sums(Manner { named: 0.0, ..PLAIN }, moment, 1_000);
        assert_eq!((all.new.resolved, all.new.failed, all.old.failed), (0, 0, 0));
        about(all.failed, all.due, 0.5);
    }

    #[test]
    fn answers_and_failures_are_known_when_their_time_has_come() {
        let manner = Manner { answers: 0.05, fails: 1.0, ..PLAIN };
        let (all, _) = sums(manner, Moment { old: 1.0, ..Moment::default() }, 12);
        assert_eq!((all.due, all.failed), (240, 40), "those of the first two slices");
        let (all, _) = sums(manner, Moment::default(), 12);
        assert_eq!((all.due, all.resolved), (240, 230), "half of a slice is still under way");
    }

    #[test]
    fn runs_have_their_share_and_their_length() {
        let (all, _) = sums(Manner { runs: Some(Runs { share: 0.05, mean: 5.0 }), ..PLAIN }, Moment::default(), 20_000);
        // Runs make the count some nine times as wide as that of single failures.
        let share = all.failed as f64 / all.due as f64;
        assert!((share - 0.05).abs() < 0.005, "{share}");
    }

    #[test]
    fn the_bucket_holds_until_expected_failures_outgrow_the_burst() {
        let outage = Moment { old: 1.0, ..Moment::default() };
        let (_, traffic) = sums(PLAIN, outage, 3);
        assert!(traffic.all.holds && traffic.new.holds, "60 at once are tolerated");
        let (_, traffic) = sums(PLAIN, outage, 4);
        assert!(!traffic.all.holds && traffic.new.holds, "80 are not; and of the new version there was none");
        let (_, traffic) = sums(PLAIN, Moment { share: 1.0, new: 0.01, ..Moment::default() }, 6_000);
        assert!(traffic.all.holds && traffic.new.holds, "what is allowed by the request fills no bucket");
    }
}

//! How a run ends: breaches while it goes on, and the last word when all outcomes are in.

use std::time::Duration;

use super::Course;
use crate::domain::judge::early::{self, Lacking};
use crate::domain::judge::{self, State};
use crate::domain::outcome::Blame;
use crate::domain::time::At;
use crate::domain::verdict::{Reason, VerdictKind};

/// A soak goes on for so much longer at most to outweigh what the verifier itself could not send or see.
const PATIENCE_WITH_US: Duration = Duration::from_secs(30);

impl Course {
    /// Looks for what can no longer be made good: a missed objective, a stuck rollout, a lost target.
    pub(super) fn look_for_breach(&mut self) {
        if self.verdict.is_some() || self.changed.is_none() {
            return;
        }
        if self.rollout.is_lost() {
            let message = "the Deployment was deleted or replaced while it was being measured";
            return self.decide(VerdictKind::Superseded, vec![Reason::new("target", message)]);
        }
        // While a step is carried out, its own template is newer than what the run knows of.
        if let Some(by) = self.rollout.superseded().filter(|_| !self.step_runs) {
            let message = format!("somebody else changed the template while it was being measured: revision {by} is wanted now");
            return self.decide(VerdictKind::Superseded, vec![Reason::new("template", message)]);
        }
        self.look_for_stuck();
        let standings = self.standings();
        if judge::first_missed(&standings).is_some() {
            let missed = standings.into_iter().filter_map(|s| match s.state {
                State::Missed(reason) => Some(reason),
                State::Met | State::Open(_) => None,
            });
            self.decide(VerdictKind::Breach, missed.collect());
        }
        let early = self.early_reasons();
        if !early.is_empty() {
            self.decide(VerdictKind::Breach, early);
        }
    }

    /// Looks for what keeps the target from coming up before the change.
    pub(super) fn look_for_broken_target(&mut self) {
        match self.rollout.stuck(self.now) {
            Ok(stuck) => self.decide(VerdictKind::Inconclusive, vec![Reason::new("target", stuck.sentence())]),
            Err(Some(at)) => self.wake_at(at),
            Err(None) => {}
        }
    }

    /// Looks for what keeps the rollout from completing. What was seen before the API went away may have got better since.
    pub(super) fn look_for_stuck(&mut self) {
        if self.watch_lost.is_some() {
            return;
        }
        match self.rollout.stuck(self.now) {
            Ok(stuck) => {
                self.decide(VerdictKind::Breach, vec![Reason::new("stuck", stuck.sentence())]);
                self.stuck = Some(stuck);
            }
            Err(Some(at)) => self.wake_at(at),
            Err(None) => {}
        }
    }

    /// What the monitors have raised their alarms for.
    fn early_reasons(&self) -> Vec<Reason> {
        let new = self.rollout.new_revision();
        self.panel().map(|panel| early::reasons(panel, &self.head.scenario.then, new.map(|n| &**n))).unwrap_or_default()
    }

    /// What was wrong before anything was changed; then nothing that follows could be blamed on the change.
    pub(super) fn baseline_fault(&self) -> Option<Reason> {
        for (name, lane) in self.tally.lanes() {
            let sums = &lane.baseline;
            let (good, bad, excluded) = (sums.counts.good(), sums.counts.bad(), sums.counts.of(Blame::Verifier));
            if good + bad == 0 {
                return Some(Reason::new(
                    "baseline",
                    format!("lane {name} had no answer before the change ({excluded} requests could not be sent)"),
                ));
            }
            if bad * 100 > good + bad {
                let valid = good + bad;
                return Some(Reason::new(
                    "baseline",
                    format!("lane {name} was unhealthy before the change: {bad} of {valid} requests failed"),
                ));
            }
        }
        None
    }

    /// A PASS is not certified yet, or what we failed to send leaves it in doubt, and there is time for the requests that it lacks.
    pub(super) fn is_worth_waiting(&self) -> bool {
        let left = self.deadline().since(self.now);
        let lacking = self.hearing.as_ref().and_then(|h| Some((Lacking::of(h.panel())?, h.rate())));
        let certified_in_time = lacking.is_some_and(|(lacking, rate)| lacking.most() as f64 <= left.as_secs_f64() * rate);
        let patience = (self.entered + self.head.scenario.soak + PATIENCE_WITH_US).since(self.now).min(left);
        certified_in_time || judge::doubt_lasts(&self.head.scenario.then, &self.tally).is_some_and(|span| span <= patience)
    }

    /// When the run must be over.
    fn deadline(&self) -> At {
        At::ZERO + self.head.scenario.deadline
    }

    pub(super) fn is_overdue(&mut self) -> bool {
        let deadline = self.deadline();
        let overdue = self.now >= deadline;
        if overdue {
            let waiting = self.waiting_for().map(|what| format!(": {what}")).unwrap_or_default();
            let after = humantime::format_duration(self.head.scenario.deadline);
            let message = format!("the run was not over after {after}{waiting}");
            self.decide(VerdictKind::Inconclusive, vec![Reason::new("deadline", message)]);
        } else {
            self.wake_at(deadline);
        }
        overdue
    }

    /// No more events will ever come, though the course would go on. What is decided stands; of the rest nothing can be said any more.
    pub fn cut_short(&mut self, why: &str) {
        self.decide(VerdictKind::Inconclusive, vec![Reason::new("interrupted", why)]);
    }

    /// The last word. A breach that was found stays; more reasons for it may have come in meanwhile.
    pub(super) fn conclude(&mut self) {
        let standings = self.standings();
        if let Some(verdict) = &mut self.verdict {
            if verdict.verdict == VerdictKind::Breach {
                for standing in standings {
                    if let State::Missed(reason) = standing.state {
                        match verdict.reasons.iter_mut().find(|r| r.code == reason.code) {
                            Some(earlier) => *earlier = reason,
                            None => verdict.reasons.push(reason),
                        }
                    }
                }
            }
            return;
        }
        let reasons = |wanted: fn(&State) -> Option<Reason>| standings.iter().filter_map(|s| wanted(&s.state)).collect::<Vec<_>>();
        let missed = reasons(|s| if let State::Missed(r) = s { Some(r.clone()) } else { None });
        let open = reasons(|s| if let State::Open(why) = s { Some(Reason::new("validity", why.clone())) } else { None });
        if !missed.is_empty() {
            self.decide(VerdictKind::Breach, missed);
        } else if !open.is_empty() {
            self.decide(VerdictKind::Inconclusive, open);
        } else if let Some((lacking, panel)) = self.panel().and_then(|p| Some((Lacking::of(p)?, p))) {
            let reason = Reason::new("sample", lacking.sentence(panel));
            self.decide(VerdictKind::Inconclusive, vec![reason]);
        } else if let Some(since) = self.watch_lost {
            let message = format!("the cluster has not been seen since {since}");
            self.decide(VerdictKind::Inconclusive, vec![Reason::new("watch", message)]);
        } else {
            self.decide(VerdictKind::Pass, vec![Reason::new("met", format!("all {} objectives were met", standings.len()))]);
        }
    }
}

//! Observing: the rollout is somebody else's. One that is under way is followed from here on; when there is none, the next one is waited for,
//! or the one that ended last is judged by what its version does now.

use std::time::Duration;

use super::{Command, Course, Stage, keep};
use crate::domain::display::percent;
use crate::domain::rollout::Progress;
use crate::domain::scenario::Ruling;
use crate::domain::traffic::Name;
use crate::domain::verdict::{Reason, VerdictKind};

/// A first version, with nothing before it that served, may need this long after it is available until its first good answer: the way
/// there must learn of it.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// What an observer remembers.
#[derive(Clone, Debug, Default)]
pub(super) struct Watching {
    /// All that there is was told once.
    pub(super) listed: bool,
    /// The revision at rest, from which the next rollout is told.
    resting: Option<Name>,
}

impl Course {
    /// Before there is any traffic: what cannot be judged at all, and what is lost already.
    pub(super) fn foresee(&mut self, commands: &mut Vec<Command>) {
        if self.watching.listed && !self.is_endless() && self.is_fit() && self.rollout.progress() == Progress::UnderWay {
            self.look_for_stuck();
            if self.verdict.is_some() {
                self.judge_from_here(commands);
            }
        }
    }

    fn is_endless(&self) -> bool {
        self.head.scenario.observe.is_some_and(|o| o.endless)
    }

    /// Can this Deployment be judged?
    fn is_fit(&mut self) -> bool {
        let reason = match self.rollout.progress() {
            _ if self.rollout.is_lost() => {
                let message = "the Deployment was deleted or replaced while it was being watched";
                self.decide(VerdictKind::Superseded, vec![Reason::new("target", message)]);
                return false;
            }
            Progress::Paused => Reason::new("paused", "the Deployment is paused: no rollout of it begins, and none completes"),
            Progress::Empty => Reason::new("replicas", "the Deployment wants no pods: there is nothing to judge"),
            Progress::Unknown | Progress::UnderWay | Progress::Complete => return true,
        };
        self.decide(VerdictKind::Inconclusive, vec![reason]);
        false
    }

    pub(super) fn while_watching(&mut self, commands: &mut Vec<Command>) {
        if self.watching.listed && !self.is_endless() {
            self.watch(commands);
        }
        if self.stage == Stage::Watching {
            self.leaves_early();
        }
    }

    fn watch(&mut self, commands: &mut Vec<Command>) {
        if !self.is_fit() {
            return;
        }
        let wait = self.head.scenario.observe.is_some_and(|o| o.wait);
        match self.rollout.progress() {
            Progress::Unknown | Progress::Paused | Progress::Empty => {}
            Progress::UnderWay | Progress::Complete if self.watching.resting.is_some() => self.watch_for_the_next(commands),
            Progress::UnderWay => {
                self.look_for_stuck();
                if self.verdict.is_some() || !self.is_awaited() {
                    self.begin_to_follow(commands);
                }
            }
            Progress::Complete if wait => {
                self.watching.resting = self.rollout.current().map(|s| s.hash.clone());
            }
            Progress::Complete if self.is_awaited() => {}
            Progress::Complete => {
                let hash = self.rollout.current().map(|s| s.hash.to_string()).unwrap_or_default();
                let soak = humantime::format_duration(self.head.scenario.soak);
                let text = format!("no rollout is under way: version {hash}, rolled out before, is measured for {soak}");
                keep(&mut self.notices, (self.now, text));
                self.begin_to_follow(commands);
            }
        }
    }

    /// The very first version has not answered well yet: what failed so far never worked before.
    fn is_awaited(&mut self) -> bool {
        if !self.rollout.is_first() || self.tally.baseline().counts.good() > 0 {
            return false;
        }
        let available = self.rollout.progress() == Progress::Complete;
        !(available && self.lasted(self.entered, FIRST_ANSWER))
    }

    fn watch_for_the_next(&mut self, commands: &mut Vec<Command>) {
        let current = self.rollout.current().map(|s| s.hash.clone());
        if current == self.watching.resting {
            return;
        }
        let demanded = self.head.scenario.given.healthy_for;
        if !demanded.is_zero() && self.traffic_began.is_some_and(|began| self.now < began + demanded) {
            let span = humantime::format_duration(demanded);
            keep(&mut self.notices, (self.now, format!("the rollout began before the service was seen healthy for {span}")));
        } else if !demanded.is_zero()
            && let Some(reason) = self.baseline_fault()
        {
            return self.decide(VerdictKind::Inconclusive, vec![reason]);
        }
        self.begin_to_follow(commands);
    }

    fn begin_to_follow(&mut self, commands: &mut Vec<Command>) {
        self.judge_from_here(commands);
        self.enter(Stage::RollingOut);
    }

    pub(super) fn judge_from_here(&mut self, commands: &mut Vec<Command>) {
        self.rollout.begin_late(self.watching.resting.as_ref());
        self.begin_measuring(commands);
        match self.head.scenario.observe.and_then(|o| o.ruling) {
            Some(Ruling::BudgetSpent { left, least }) => {
                let left = left as f64 / 1e4;
                let message =
                    format!("rollouts are frozen: {left:.1}% of the error budget is left, and {} must be", percent(least));
                self.decide(VerdictKind::Breach, vec![Reason::new("budget", message)]);
            }
            Some(Ruling::Unhealthy { bad, valid }) => {
                let message = format!("the service was unhealthy before the rollout: {bad} of {valid} requests failed");
                self.decide(VerdictKind::Inconclusive, vec![Reason::new("baseline", message)]);
            }
            None => {}
        }
    }

    /// What an observer still waits for.
    pub(super) fn waiting_for(&self) -> Option<&'static str> {
        self.head.scenario.observe.filter(|o| !o.endless)?;
        let paused = self.rollout.target().is_some_and(|d| d.paused);
        match self.stage {
            Stage::Watching if !self.watching.listed => Some("not everything about the Deployment could be listed"),
            Stage::Watching if self.rollout.progress() == Progress::Unknown => Some("the Deployment's controller did not answer"),
            Stage::Watching => Some("no rollout began"),
            Stage::RollingOut if paused => Some("the Deployment was paused in the midst of its rollout"),
            Stage::RollingOut => Some("the rollout did not complete"),
            _ => None,
        }
    }
}

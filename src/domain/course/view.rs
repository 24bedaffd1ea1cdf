//! Looking at a run: what every report reads.

use std::time::Duration;

use super::{Course, Stage};
use crate::domain::breakdown::Breakdown;
use crate::domain::event::{PutBack, RunStarted};
use crate::domain::judge::hearing::Hearing;
use crate::domain::judge::{self, Plan, Standing};
use crate::domain::rollout::state::KubeEvent;
use crate::domain::rollout::{Phase, Stuck};
use crate::domain::slice::Failure;
use crate::domain::time::At;
use crate::domain::traffic::{Name, TrafficPlan};
use crate::domain::validity::Record;
use crate::domain::verdict::Verdict;

impl Course {
    /// The head of the recording.
    pub const fn head(&self) -> &RunStarted {
        &self.head
    }

    /// The present stage and when it was entered.
    pub const fn stage(&self) -> (Stage, At) {
        (self.stage, self.entered)
    }

    /// The time of the latest event.
    pub const fn now(&self) -> At {
        self.now
    }

    /// When a `Tick` is wanted if nothing else happens.
    pub const fn wake(&self) -> Option<At> {
        self.wake
    }

    /// The verdict, once it has fallen.
    pub const fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// The signal that ended the run early.
    pub const fn signal(&self) -> Option<i32> {
        self.signal
    }

    /// Why the rollout could not complete.
    pub const fn stuck(&self) -> Option<&Stuck> {
        self.stuck.as_ref()
    }

    /// What was put back in the end.
    pub const fn put_back(&self) -> Option<&PutBack> {
        self.put_back.as_ref()
    }

    /// The traffic that was planned.
    pub const fn traffic(&self) -> Option<&TrafficPlan> {
        self.traffic.as_ref()
    }

    /// The change began.
    pub const fn changed(&self) -> Option<At> {
        self.changed
    }

    /// The rollout was complete.
    pub const fn deployed(&self) -> Option<At> {
        self.deployed
    }

    /// Phases in order, with their beginnings.
    pub fn phases(&self) -> &[(At, Phase)] {
        &self.phases
    }

    /// All that failed, by kind: exact, however many there were.
    pub const fn breakdown(&self) -> &Breakdown {
        &self.breakdown
    }

    /// What the verifier itself did and could not do.
    pub const fn validity(&self) -> &Record {
        self.validity.record()
    }

    /// Failures in the order they became known, and how many more there were.
    pub fn failures(&self) -> (impl Iterator<Item = &Failure>, u64) {
        (self.failures.iter(), self.failures_unlisted)
    }

    /// What failed on lanes that count in no objective, and the target is to blame for; the first few thousand.
    pub fn failures_aside(&self) -> impl Iterator<Item = &Failure> {
        self.failures_aside.iter()
    }

    /// Which phase of the rollout a moment fell into.
    pub fn phase_at(&self, at: At) -> Phase {
        self.phases.iter().rev().find(|(from, _)| *from <= at).map_or(Phase::Baseline, |(_, phase)| *phase)
    }

    /// Which phase it was when something happened that itself may have begun another one.
    pub fn phase_before(&self, at: At) -> Phase {
        self.phase_at(at - Duration::from_micros(1))
    }

    /// When each step began and ended.
    pub fn steps(&self) -> impl Iterator<Item = (usize, At, Option<At>)> + '_ {
        self.steps.iter().map(|(step, (began, ended))| (*step, *began, *ended))
    }

    /// Kubernetes Events, oldest first.
    pub fn kube_events(&self) -> impl Iterator<Item = &(At, KubeEvent)> {
        self.kube.iter()
    }

    /// Notices, oldest first.
    pub fn notices(&self) -> impl Iterator<Item = &(At, String)> {
        self.notices.iter()
    }

    /// How each objective stands now.
    pub fn standings(&self) -> Vec<Standing> {
        judge::standings(&self.head.scenario.then, &self.tally, &self.plan(), self.now)
    }

    /// The judge's panel, once the traffic is planned.
    pub fn panel(&self) -> Option<&judge::panel::Panel> {
        self.hearing.as_ref().map(Hearing::panel)
    }

    /// The revision of a pod, by its name.
    pub fn revision_of(&self, pod: &str) -> Option<&Name> {
        self.rollout.pod_named(pod).map(|p| &p.state.revision)
    }

    fn plan(&self) -> Plan {
        Plan {
            window: self.head.scenario.window,
            changed: self.changed,
            deployed: self.deployed,
            closed: self.traffic_ended,
            silent: Duration::from_micros(self.validity.record().longest_excluded),
        }
    }
}

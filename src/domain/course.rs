//! The course of a run: which stage it is in, what to do next, and how it ends. A pure fold over events; the dispatcher carries out its
//! commands, and a replay folds the same events to the same end.

mod ending;
mod observing;
mod view;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::breakdown::Breakdown;
use super::event::{Event, PutBack, RunStarted, StepEnded, WatchState, What};
use super::judge::early::{self, Lacking};
use super::judge::hearing::Hearing;
use super::outcome::Blame;
use super::rollout::{Phase, Rollout, Stuck};
use super::scenario::{Step, Wait};
use super::slice::Failure;
use super::tally::Tally;
use super::time::At;
use super::traffic::TrafficPlan;
use super::validity::Recorder;
use super::verdict::{Reason, Verdict, VerdictKind};

/// Failures kept one by one for the report; later ones are counted only.
const MAX_FAILURES: usize = 4_000;
/// Kubernetes Events and notices kept for the report.
const MAX_NOTES: usize = 200;

/// Which part of the run this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The target is deployed and reached for the first time.
    Preparing,
    /// Traffic before the change.
    Baseline,
    /// Waiting for a rollout that somebody else makes.
    Watching,
    /// The steps of the change.
    Changing,
    /// Waiting for the rollout's completion.
    RollingOut,
    /// Measuring on after it.
    Soaking,
    /// Measuring on after a breach, to see its cause whole.
    Aftermath,
    /// No more slots; waiting for the outcomes of those in flight.
    Draining,
    /// What the run changed is put back.
    PuttingBack,
    /// Over.
    Done,
}

/// What the dispatcher shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Deploy the target and reach it; answers with `TargetReady` or `TargetUnready`.
    Prepare,
    /// Send traffic by the plan; answers with `TrafficStarted`.
    StartTraffic,
    /// Carry out a step of the change; answers with `StepStarted` and `StepEnded`.
    RunStep(usize),
    /// Send no more; answers with `TrafficStopped` when all outcomes are in.
    StopTraffic,
    /// Put back what the run changed; answers with `PutBack`.
    PutBack,
    /// End the run.
    Finish,
}

/// The fold.
#[derive(Clone, Debug)]
pub struct Course {
    head: RunStarted,
    stage: Stage,
    entered: At,
    now: At,
    next_step: usize,
    step_runs: bool,
    wait_since: At,
    traffic: Option<TrafficPlan>,
    traffic_began: Option<At>,
    traffic_ended: bool,
    changed: Option<At>,
    deployed: Option<At>,
    phases: Vec<(At, Phase)>,
    /// The cluster as seen.
    pub rollout: Rollout,
    /// The traffic as seen.
    pub tally: Tally,
    breakdown: Breakdown,
    hearing: Option<Hearing>,
    validity: Recorder,
    failures: VecDeque<Failure>,
    failures_unlisted: u64,
    failures_aside: VecDeque<Failure>,
    steps: BTreeMap<usize, (At, Option<At>)>,
    kube: VecDeque<(At, super::rollout::state::KubeEvent)>,
    notices: VecDeque<(At, String)>,
    watch_lost: Option<At>,
    signal: Option<i32>,
    stuck: Option<Stuck>,
    watching: observing::Watching,
    put_back: Option<PutBack>,
    verdict: Option<Verdict>,
    wake: Option<At>,
}

impl Course {
    /// A run that has just begun, and its first command.
    pub fn begin(head: RunStarted) -> (Self, Vec<Command>) {
        let course = Self {
            head,
            stage: Stage::Preparing,
            entered: At::ZERO,
            now: At::ZERO,
            next_step: 0,
            step_runs: false,
            wait_since: At::ZERO,
            traffic: None,
            traffic_began: None,
            traffic_ended: false,
            changed: None,
            deployed: None,
            phases: vec![(At::ZERO, Phase::Baseline)],
            rollout: Rollout::default(),
            tally: Tally::default(),
            breakdown: Breakdown::default(),
            hearing: None,
            validity: Recorder::default(),
            failures: VecDeque::new(),
            failures_unlisted: 0,
            failures_aside: VecDeque::new(),
            steps: BTreeMap::new(),
            kube: VecDeque::new(),
            notices: VecDeque::new(),
            watch_lost: None,
            signal: None,
            stuck: None,
            watching: observing::Watching::default(),
            put_back: None,
            verdict: None,
            wake: None,
        };
        (course, vec![Command::Prepare])
    }

    /// Takes one event in and answers with what to do about it.
    pub fn apply(&mut self, event: &Event) -> Vec<Command> {
        self.now = self.now.max(event.at);
        self.wake = None;
        let mut commands = Vec::new();
        self.take_in(event, &mut commands);
        self.note_phase();
        self.advance(&mut commands);
        commands
    }

    fn take_in(&mut self, event: &Event, commands: &mut Vec<Command>) {
        let at = event.at;
        match &event.what {
            What::TargetReady(plan) => {
                for lane in &plan.lanes {
                    if lane.asks_pods() {
                        self.tally.lane_aside(lane.name.clone(), lane.rate);
                    } else {
                        self.tally.lane(lane.name.clone(), lane.thresholds.clone(), lane.rate);
                    }
                }
                let hearing = early::hearing(&self.head.scenario, plan);
                let slow = Lacking::of(hearing.panel()).and_then(|l| l.too_long(hearing.rate(), self.head.scenario.soak));
                if let Some(text) = slow {
                    keep(&mut self.notices, (at, text));
                }
                self.hearing = Some(hearing);
                self.traffic = Some(TrafficPlan::clone(plan));
                commands.push(Command::StartTraffic);
            }
            What::TargetUnready(why) => self.decide(VerdictKind::Inconclusive, vec![Reason::new("target", why.clone())]),
            What::TrafficStarted => {
                self.traffic_began = Some(at);
                self.enter(if self.head.scenario.observe.is_some() { Stage::Watching } else { Stage::Baseline });
            }
            What::TrafficStopped => self.traffic_ended = true,
            What::StepStarted(step) => {
                self.steps.insert(*step, (at, None));
            }
            What::StepEnded(ended) => self.step_ended(ended, at),
            What::Slice(slice) => {
                self.tally.slice(slice);
                self.validity.slice(slice);
                if let Some(hearing) = &mut self.hearing {
                    hearing.slice(slice, &self.rollout);
                }
                if !self.tally.is_aside(&slice.lane) {
                    let phase = self.phases.last().map_or(Phase::Baseline, |(_, phase)| *phase);
                    self.breakdown.slice(slice, self.tally.is_measured(slice), phase);
                }
            }
            What::Gap(gap) => self.tally.gap(gap),
            What::Failure(failure) if self.tally.is_aside(&failure.lane) => {
                if self.failures_aside.len() < MAX_FAILURES && failure.outcome.blame() == Blame::Target {
                    self.failures_aside.push_back(failure.clone());
                }
            }
            What::Failure(failure) => {
                if self.failures.len() < MAX_FAILURES {
                    self.failures.push_back(failure.clone());
                } else {
                    self.failures_unlisted += 1;
                }
            }
            What::Listed => self.watching.listed = true,
            What::Deployment(state) => self.rollout.deployment(state, at),
            What::DeploymentGone => self.rollout.deployment_gone(),
            What::ReplicaSet(state) => self.rollout.replica_set(state, at),
            What::ReplicaSetGone(uid) => self.rollout.replica_set_gone(uid),
            What::Pod(state) => self.rollout.pod(state, at),
            What::PodGone(uid) => self.rollout.pod_gone(uid, at),
            What::EndpointSlice(state) => self.rollout.endpoint_slice(state, at),
            What::EndpointSliceGone(name) => self.rollout.endpoint_slice_gone(name, at),
            What::Kube(event) => keep(&mut self.kube, (at, event.clone())),
            What::Watch(state) => {
                self.watch_lost = match state {
                    WatchState::Lost => self.watch_lost.or(Some(at)),
                    WatchState::Restored => None,
                }
            }
            What::PutBack(put_back) => {
                self.put_back = Some(put_back.clone());
                if self.stage == Stage::PuttingBack {
                    self.enter(Stage::Done);
                    commands.push(Command::Finish);
                }
            }
            What::Interrupted(_) if self.stage == Stage::PuttingBack => {
                // Asked for twice: what is left of it stays as it is.
                let left = vec!["a signal ended it before it was done".to_owned()];
                self.put_back = Some(PutBack { left, ..PutBack::default() });
                self.enter(Stage::Done);
                commands.push(Command::Finish);
            }
            What::Notice(text) => keep(&mut self.notices, (at, text.clone())),
            What::Interrupted(signal) => {
                self.signal = self.signal.or(Some(*signal));
                self.decide(VerdictKind::Aborted, vec![Reason::new("signal", format!("ended by signal {signal}"))]);
            }
            What::Validity(second) => self.validity.second(second),
            What::RunStarted(_) | What::Closed(_) | What::Tick | What::Decided(_) | What::RunEnded => {}
        }
    }

    fn step_ended(&mut self, ended: &StepEnded, at: At) {
        self.step_runs = false;
        if let Some(step) = self.steps.get_mut(&ended.step) {
            step.1 = Some(at);
        }
        if let Some(generation) = ended.generation {
            self.rollout.wanted(generation);
        }
        if let Some(error) = &ended.error {
            let message = format!("step {} of the change failed: {error}", ended.step + 1);
            self.decide(VerdictKind::Inconclusive, vec![Reason::new("step", message)]);
        }
    }

    fn note_phase(&mut self) {
        let phase = self.rollout.phase();
        if self.phases.last().is_none_or(|(_, p)| *p != phase) && self.phases.len() < MAX_NOTES {
            self.phases.push((self.now, phase));
        }
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.entered = self.now;
    }

    /// The first decision stands.
    fn decide(&mut self, verdict: VerdictKind, reasons: Vec<Reason>) {
        if self.verdict.is_none() {
            self.verdict = Some(Verdict { verdict, at: self.now, reasons });
        }
    }

    /// Asks for a `Tick` at `at` unless something happens earlier.
    fn wake_at(&mut self, at: At) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }

    /// Has this stage lasted `span`? If not, asks to be woken then.
    fn lasted(&mut self, since: At, span: std::time::Duration) -> bool {
        let until = since + span;
        if self.now < until {
            self.wake_at(until);
        }
        self.now >= until
    }

    /// Moves through the stages as far as what is known allows.
    fn advance(&mut self, commands: &mut Vec<Command>) {
        loop {
            let before = self.stage;
            // A rollout may also complete while the cause of a breach is being watched.
            let changing = matches!(self.stage, Stage::RollingOut | Stage::Soaking | Stage::Aftermath | Stage::Draining);
            if changing && self.deployed.is_none() && self.rollout.is_available() {
                self.deployed = Some(self.now);
            }
            match self.stage {
                Stage::Preparing => self.while_preparing(),
                Stage::Baseline => self.while_baseline(),
                Stage::Watching => self.while_watching(),
                Stage::Changing => self.while_changing(commands),
                Stage::RollingOut => self.while_rolling_out(),
                Stage::Soaking => self.while_soaking(),
                Stage::Aftermath => {
                    if self.lasted(self.entered, self.head.scenario.aftermath) {
                        self.drain();
                    }
                }
                Stage::Draining => {
                    if self.traffic_ended {
                        self.conclude();
                        self.close();
                    }
                }
                Stage::PuttingBack | Stage::Done => {}
            }
            if self.stage == before {
                return;
            }
            match self.stage {
                Stage::Draining => commands.push(Command::StopTraffic),
                Stage::PuttingBack => commands.push(Command::PutBack),
                Stage::Done => commands.push(Command::Finish),
                _ => {}
            }
        }
    }

    fn while_preparing(&mut self) {
        if self.head.scenario.observe.is_some() {
            self.foresee();
        } else {
            self.look_for_broken_target();
        }
        if self.verdict.is_some() || self.is_overdue() {
            if self.traffic.is_some() { self.drain() } else { self.close() }
        }
    }

    fn look_for_broken_target(&mut self) {
        match self.rollout.stuck(self.now) {
            Ok(stuck) => self.decide(VerdictKind::Inconclusive, vec![Reason::new("target", stuck.sentence())]),
            Err(Some(at)) => self.wake_at(at),
            Err(None) => {}
        }
    }

    fn while_baseline(&mut self) {
        let span = self.head.scenario.given.healthy_for;
        if self.leaves_early() {
            return;
        }
        if self.lasted(self.entered, span) {
            if let Some(reason) = self.baseline_fault() {
                self.decide(VerdictKind::Inconclusive, vec![reason]);
                return self.drain();
            }
            self.rollout.begin();
            self.enter(Stage::Changing);
        }
    }

    fn while_changing(&mut self, commands: &mut Vec<Command>) {
        if self.leaves_early() || self.step_runs {
            return;
        }
        let Some(step) = self.head.scenario.when.get(self.next_step) else { return self.enter(Stage::RollingOut) };
        match step {
            Step::Wait(Wait::For(span)) => {
                let span = *span;
                if !self.lasted(self.wait_since, span) {
                    return;
                }
            }
            Step::Wait(Wait::Rollout) => {
                if !self.rollout.is_settled() {
                    return;
                }
            }
            _ => {
                self.begin_measuring();
                self.step_runs = true;
                commands.push(Command::RunStep(self.next_step));
            }
        }
        self.next_step += 1;
        self.wait_since = self.now;
        if !self.step_runs {
            self.while_changing(commands);
        }
    }

    /// What comes from now on is what the objectives are about.
    fn begin_measuring(&mut self) {
        if self.changed.is_none() {
            self.changed = Some(self.now);
            self.tally.measure_from(self.now);
            self.hearing.iter_mut().for_each(Hearing::begin);
        }
    }

    fn while_rolling_out(&mut self) {
        if !self.leaves_early() && self.rollout.is_settled() {
            self.enter(Stage::Soaking);
        }
    }

    fn while_soaking(&mut self) {
        if !self.leaves_early() && self.lasted(self.entered, self.head.scenario.soak) && !self.is_worth_waiting() {
            self.drain();
        }
    }

    /// A PASS is not certified yet, and there is time for the requests that it lacks.
    fn is_worth_waiting(&self) -> bool {
        let left = (At::ZERO + self.head.scenario.deadline).since(self.now);
        let lacking = self.hearing.as_ref().and_then(|h| Some((Lacking::of(h.panel())?, h.rate())));
        lacking.is_some_and(|(lacking, rate)| lacking.most() as f64 <= left.as_secs_f64() * rate)
    }

    /// Nothing more is measured.
    fn close(&mut self) {
        self.enter(if self.head.put_back { Stage::PuttingBack } else { Stage::Done });
    }

    fn drain(&mut self) {
        self.enter(Stage::Draining);
    }

    /// Is there a reason to leave the normal course? Then leaves it.
    fn leaves_early(&mut self) -> bool {
        self.look_for_breach();
        match self.verdict.as_ref().map(|v| v.verdict) {
            Some(VerdictKind::Breach) => self.enter(Stage::Aftermath),
            Some(_) => self.drain(),
            None if self.is_overdue() => self.drain(),
            None => return false,
        }
        true
    }

    fn is_overdue(&mut self) -> bool {
        let deadline = self.head.scenario.deadline;
        let overdue = self.lasted(At::ZERO, deadline);
        if overdue {
            let waiting = self.waiting_for().map(|what| format!(": {what}")).unwrap_or_default();
            let message = format!("the run was not over after {}{waiting}", humantime::format_duration(deadline));
            self.decide(VerdictKind::Inconclusive, vec![Reason::new("deadline", message)]);
        }
        overdue
    }
}

fn keep<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == MAX_NOTES {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests;

//! What each event tells the course.

use super::{Command, Course, MAX_FAILURES, Stage, keep};
use crate::domain::event::{Event, PutBack, StepEnded, WatchState, What};
use crate::domain::judge::early::{self, Lacking};
use crate::domain::outcome::Blame;
use crate::domain::rollout::Phase;
use crate::domain::slice::{Failure, Slice};
use crate::domain::time::At;
use crate::domain::traffic::TrafficPlan;
use crate::domain::verdict::{Reason, VerdictKind};

impl Course {
    pub(super) fn take_in(&mut self, event: &Event, commands: &mut Vec<Command>) {
        let at = event.at;
        match &event.what {
            What::TargetReady(plan) => {
                self.target_ready(plan, at);
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
            What::Slice(slice) => self.slice(slice),
            What::Gap(gap) => self.tally.gap(gap),
            What::Failure(failure) => self.failure(failure),
            What::Listed => self.watching.listed = true,
            What::Deployment(state) => {
                self.rollout.deployment(state, at);
                self.remember(commands);
            }
            What::DeploymentGone => self.rollout.deployment_gone(),
            What::ReplicaSet(state) => {
                self.rollout.replica_set(state, at);
                self.remember(commands);
            }
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
            What::PutBack(put_back) => self.end_putting_back(put_back.clone(), commands),
            What::Interrupted(_) if self.stage == Stage::PuttingBack => {
                // Asked for twice: what is left of it stays as it is.
                let left = vec!["a signal ended it before it was done".to_owned()];
                self.end_putting_back(PutBack { left, ..PutBack::default() }, commands);
            }
            What::Notice(text) => keep(&mut self.notices, (at, text.clone())),
            What::ActionStarted(action) => self.action_started(action, at),
            What::ActionEnded(ended) => self.action_ended(ended),
            What::AdmissionStarted(permit) => self.admission.started(permit, at),
            What::AdmissionEnded(ended) => self.admission_ended(ended),
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

    fn target_ready(&mut self, plan: &TrafficPlan, at: At) {
        for lane in &plan.lanes {
            if lane.asks_pods() {
                self.tally.lane_aside(lane.name.clone(), lane.rate);
            } else {
                self.tally.lane(lane.name.clone(), lane.thresholds.clone(), lane.rate);
            }
        }
        self.plan_admission(plan);
        let hearing = early::hearing(&self.head.scenario, plan);
        let slow = Lacking::of(hearing.panel()).and_then(|l| l.too_long(hearing.rate(), self.head.scenario.soak));
        if let Some(text) = slow {
            keep(&mut self.notices, (at, text));
        }
        self.hearing = Some(hearing);
        self.traffic = Some(plan.clone());
    }

    fn slice(&mut self, slice: &Slice) {
        self.tally.slice(slice);
        self.validity.slice(slice);
        self.admission.slice(slice, &self.rollout);
        if let Some(hearing) = &mut self.hearing {
            hearing.slice(slice, &self.rollout);
        }
        if !self.tally.is_aside(&slice.lane) {
            let phase = self.phases.last().map_or(Phase::Baseline, |(_, phase)| *phase);
            self.breakdown.slice(slice, self.tally.is_measured(slice), phase);
        }
    }

    fn failure(&mut self, failure: &Failure) {
        if self.tally.is_aside(&failure.lane) {
            if self.failures_aside.len() < MAX_FAILURES && failure.outcome.blame() == Blame::Target {
                self.failures_aside.push_back(failure.clone());
            }
        } else if self.failures.len() < MAX_FAILURES {
            self.failures.push_back(failure.clone());
        } else {
            self.failures_unlisted += 1;
        }
    }

    fn end_putting_back(&mut self, put_back: PutBack, commands: &mut Vec<Command>) {
        self.put_back = Some(put_back);
        if self.stage == Stage::PuttingBack {
            self.enter(Stage::Done);
            commands.push(Command::Finish);
        }
    }
}

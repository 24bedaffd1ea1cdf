//! A pod's life on its node, as a state machine: it is told what happened and says what to do. Facts about the kubelet that it
//! follows: probes of a terminating pod stop, but for readiness; preStop is part of the grace period; liveness restarts count as
//! crashes; a pod object is removed only after its terminal phase was seen in the store.

use std::net::Ipv4Addr;

use super::conditions::Conditions;
use super::container::{Container, Ended, State};
use super::io::{Action, Exit, HookKind, Input, Run, Settings, Signal};
use super::plan::{Handler, PodPlan, Role};
use super::stop::{Next, Stop};
use crate::sandbox::model::object::{self, Key, Now, Object, resource};
use crate::sandbox::model::write::{EventType, Write};

/// The API takes no longer messages in events, in bytes.
const EVENT_LIMIT: usize = 1024;

/// The state machine of one pod.
#[derive(Debug)]
pub struct Machine {
    pub(super) object: Object,
    pub(super) plan: PodPlan,
    pub(super) settings: Settings,
    pub(super) ip: Ipv4Addr,
    pub(super) start_time: Now,
    pub(super) containers: Vec<Container>,
    pub(super) conditions: Conditions,
    /// The grace period of its termination, once that has begun.
    ending: Option<i64>,
    removed: bool,
    pub(super) finished: bool,
    /// It had ended before it came to us, so its status is not ours to tell.
    ended_before: bool,
    delete_sent: bool,
    pub(super) sent: Option<super::status::Sent>,
    pub(super) out: Vec<Action>,
}

impl Machine {
    /// A pod that has come to this node, with the address it was given. Nothing happens before the first [`Machine::handle`].
    pub fn new(object: Object, plan: PodPlan, ip: Ipv4Addr, settings: Settings, now: Now) -> Self {
        let containers = plan.containers.iter().map(|c| Container::new(c.clone(), settings.backoff)).collect();
        let start_time = object::parse_time(&object["status"]["startTime"]).unwrap_or(now);
        let conditions = Conditions::read(&object);
        let finished = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        Self {
            object,
            plan,
            settings,
            ip,
            start_time,
            containers,
            conditions,
            ending: None,
            removed: false,
            finished,
            ended_before: finished,
            delete_sent: false,
            sent: None,
            out: Vec::new(),
        }
    }

    /// Takes in what happened and answers with what to do, in order.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Action> {
        self.note(input, now);
        self.run_hooks_out(now);
        if self.ending.is_some() {
            self.stop_all(now);
        } else if !self.finished {
            self.stop_the_failing(now);
            if self.has_nothing_to_run() {
                self.stop_all(now);
            } else {
                self.start_next(now);
            }
        }
        self.advance_stops(now);
        self.start_probes(now);
        if !self.finished && self.is_over() {
            self.finished = true;
            self.out.push(Action::ReleaseAddress);
        }
        if !self.removed {
            if !self.ended_before {
                self.write_status(now);
            }
            self.delete_when_done();
        }
        std::mem::take(&mut self.out)
    }

    /// When to call [`Machine::handle`] with [`Input::Tick`] even if nothing happens.
    pub fn wake(&mut self) -> Option<Now> {
        let waits = self.ending.is_none() && !self.finished && !self.containers.iter().any(Container::is_starting);
        let retries = if waits { self.next_retry() } else { None };
        self.containers.iter_mut().filter_map(|c| c.process_mut()?.wake()).chain(retries).min()
    }

    /// Is the pod gone, with all that belonged to it? Then this machine can be dropped.
    pub fn is_gone(&self) -> bool {
        self.removed && self.finished
    }

    /// The pod's object, as it was last told.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// What the pod's spec asks for.
    pub fn plan(&self) -> &PodPlan {
        &self.plan
    }

    /// The pod's address.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The runs whose processes are up.
    pub fn running(&self) -> impl Iterator<Item = Run> {
        let up = self.containers.iter().enumerate().filter(|(_, c)| c.process().is_some());
        up.map(|(container, c)| Run { container, attempt: c.created.saturating_sub(1) })
    }

    fn note(&mut self, input: Input, now: Now) {
        match input {
            Input::Changed(object) => {
                self.object = object;
                self.conditions.keep_foreign(&self.object);
                if object::is_deleting(&self.object) && self.ending.is_none() {
                    let grace = self.object["metadata"]["deletionGracePeriodSeconds"].as_i64();
                    self.begin_ending(grace.unwrap_or(self.plan.grace), now);
                }
            }
            Input::Removed => {
                self.removed = true;
                if self.ending.is_none() {
                    self.begin_ending(self.plan.grace, now);
                }
            }
            Input::Pulled(container, pull) => self.pulled(container, pull, now),
            Input::Started(run) => self.started(run, now),
            Input::StartFailed(run, error) => self.start_failed(run, error, now),
            Input::Exited(run, exit) => self.exited(run, exit, now),
            Input::Probed(run, kind, result) => self.probed(run, kind, &result, now),
            Input::HookDone(run, kind, result) => self.hook_done(run, kind, result, now),
            Input::Tick => {}
        }
    }

    fn begin_ending(&mut self, grace: i64, now: Now) {
        let grace = grace.max(1);
        self.ending = Some(grace);
        for container in &mut self.containers {
            if matches!(container.state, State::Pulling) {
                container.state = State::Idle;
            }
            // What ran before is what is told now; what never ran keeps its reason.
            if container.ended.is_some() {
                container.waiting = None;
            }
            if let Some(process) = container.process_mut() {
                process.end_restarting_probes();
                if let Some(stop) = &mut process.stop {
                    stop.restart_grace(grace, now);
                }
            }
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    fn exited(&mut self, run: Run, exit: Exit, now: Now) {
        let Some(container) = self.containers.get_mut(run.container) else { return };
        if container.process_of(run.attempt).is_some()
            && let Some(ended) = container.ended_by(exit, now)
        {
            container.end(ended);
        }
    }

    pub(super) fn ended_at_start(&mut self, index: usize, message: String, now: Now) {
        let Some(container) = self.containers.get_mut(index) else { return };
        let attempt = container.created;
        container.created += 1;
        let started_at = Now::UNIX_EPOCH;
        container.end(Ended { attempt, code: 128, reason: "StartError", message, started_at, finished_at: now });
    }

    /// Stops every process that is not being stopped yet. Sidecars of a pod whose work is done go the same way.
    fn stop_all(&mut self, now: Now) {
        let grace = self.ending.unwrap_or(self.plan.grace);
        for index in 0..self.containers.len() {
            let message = format!("Stopping container {}", self.containers[index].name());
            self.stop(index, grace, message, now);
        }
    }

    /// Begins to stop one container, unless that has begun already.
    pub(super) fn stop(&mut self, index: usize, grace: i64, message: String, now: Now) {
        let Some(container) = self.containers.get_mut(index) else { return };
        let attempt = container.created.saturating_sub(1);
        let hook = container.plan.pre_stop.clone();
        let Some(process) = container.process_mut().filter(|p| p.stop.is_none()) else { return };
        let stop = Stop::begin(grace.max(0), hook.is_some(), now);
        process.stop = Some(stop);
        process.hook = None;
        process.hook_until = None;
        process.end_restarting_probes();
        if let Some(handler) = hook.filter(|_| stop.in_pre_stop()) {
            process.begin_hook(HookKind::PreStop, &handler, now);
            if !matches!(handler, Handler::Sleep(_)) {
                self.out.push(Action::Hook(Run { container: index, attempt }, HookKind::PreStop));
            }
        }
        self.event(EventType::Normal, "Killing", message);
    }

    fn advance_stops(&mut self, now: Now) {
        for index in 0..self.containers.len() {
            let turn = self.may_terminate(index);
            let container = &mut self.containers[index];
            let run = Run { container: index, attempt: container.created.saturating_sub(1) };
            let Some(stop) = container.process_mut().and_then(|p| p.stop.as_mut()) else { continue };
            // Two steps may be due at once when a wake-up came late.
            for _ in 0..2 {
                match stop.advance(turn, now) {
                    Next::Nothing => break,
                    Next::Term => self.out.push(Action::Signal(run, Signal::Term)),
                    Next::Kill => self.out.push(Action::Signal(run, Signal::Kill)),
                }
            }
        }
    }

    /// A sidecar of a pod that ends waits for the ordinary containers and for the sidecars after it.
    fn may_terminate(&self, index: usize) -> bool {
        let alone = self.ending.is_none() && !self.has_nothing_to_run();
        alone
            || self.containers[index].plan.role != Role::Sidecar
            || self.containers[index + 1..].iter().all(|c| c.plan.role == Role::Init || c.is_idle())
    }

    fn hook_done(&mut self, run: Run, kind: HookKind, result: Result<(), String>, now: Now) {
        let Some(process) = self.containers.get_mut(run.container).and_then(|c| c.process_of(run.attempt)) else { return };
        if process.hook != Some(kind) {
            return;
        }
        process.hook = None;
        process.hook_until = None;
        match (kind, result) {
            (HookKind::PreStop, result) => {
                if let Some(stop) = &mut process.stop {
                    stop.pre_stop_done(now);
                }
                if result.is_err() {
                    self.event(EventType::Warning, "FailedPreStopHook", "PreStopHook failed".to_owned());
                }
            }
            (HookKind::PostStart, Ok(())) => process.open(now),
            (HookKind::PostStart, Err(why)) => self.post_start_failed(run.container, why, now),
        }
    }

    /// Ends the hooks that only slept.
    fn run_hooks_out(&mut self, now: Now) {
        for index in 0..self.containers.len() {
            let container = &self.containers[index];
            let attempt = container.created.saturating_sub(1);
            let due = container.process().and_then(|p| p.hook.filter(|_| p.hook_until.is_some_and(|t| t <= now)));
            if let Some(kind) = due {
                self.hook_done(Run { container: index, attempt }, kind, Ok(()), now);
            }
        }
    }

    /// Nothing runs, and nothing will.
    fn is_over(&self) -> bool {
        (self.ending.is_some() || self.has_nothing_to_run()) && self.containers.iter().all(Container::is_idle)
    }

    fn delete_when_done(&mut self) {
        let terminal = matches!(self.object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        if self.finished && terminal && object::is_deleting(&self.object) && !self.delete_sent {
            self.delete_sent = true;
            let uid = Some(object::uid(&self.object).to_owned());
            self.out.push(Action::Write(Write::Delete { key: self.key(), uid, grace: Some(0) }));
        }
    }

    pub(super) fn key(&self) -> Key {
        Key::of(resource::PODS, &self.object)
    }

    pub(super) fn event(&mut self, kind: EventType, reason: &'static str, mut message: String) {
        message.truncate(message.floor_char_boundary(EVENT_LIMIT));
        self.out.push(Action::Write(Write::Event { about: self.key(), kind, reason, message, by: "kubelet" }));
    }
}

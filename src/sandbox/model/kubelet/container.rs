//! One container: the process it has now, how the last ones ended, and when the next may start.

use super::backoff::{Backoff, BackoffSettings};
use super::io::{Exit, HookKind, ProbeKind};
use super::plan::{ContainerPlan, Handler, RestartPolicy, Role};
use super::prober::Prober;
use super::stop::Stop;
use crate::sandbox::model::object::Now;

/// A container of a pod on this node.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) plan: ContainerPlan,
    pub(super) state: State,
    /// How many times a container was created; the latest one's number is one less.
    pub(super) created: u32,
    pub(super) ended: Option<Ended>,
    pub(super) previous: Option<Ended>,
    /// Why it is not running, once there is more to say than that it is about to.
    pub(super) waiting: Option<Waiting>,
    pub(super) retry_at: Option<Now>,
    pub(super) restarts: Backoff,
    pub(super) pulls: Backoff,
    /// Was the restart after `ended` counted in `restarts`?
    pub(super) counted: bool,
}

/// What there is of a container now.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Nothing.
    Idle,
    /// The image is looked for.
    Pulling,
    /// The process is being started.
    Starting,
    /// The process runs.
    Up(Box<Process>),
}

/// A running process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) started_at: Now,
    /// The hook under way.
    pub(super) hook: Option<HookKind>,
    /// When a hook that only sleeps is over.
    pub(super) hook_until: Option<Now>,
    pub(super) startup: Option<Prober>,
    pub(super) readiness: Option<Prober>,
    pub(super) liveness: Option<Prober>,
    pub(super) stop: Option<Stop>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) attempt: u32,
    pub(super) code: i32,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) started_at: Now,
    pub(super) finished_at: Now,
}

/// The `waiting` state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Container {
    pub(super) fn new(plan: ContainerPlan, backoff: BackoffSettings) -> Self {
        Self {
            plan,
            state: State::Idle,
            created: 0,
            ended: None,
            previous: None,
            waiting: None,
            retry_at: None,
            restarts: Backoff::new(backoff),
            pulls: Backoff::new(backoff),
            counted: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.plan.spec.name
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// On the way to run: nothing else of the pod is started meanwhile.
    pub(super) fn is_starting(&self) -> bool {
        match &self.state {
            State::Idle => false,
            State::Pulling | State::Starting => true,
            State::Up(process) => process.hook == Some(HookKind::PostStart) && process.stop.is_none(),
        }
    }

    pub(super) fn process(&self) -> Option<&Process> {
        if let State::Up(process) = &self.state { Some(process) } else { None }
    }

    pub(super) fn process_mut(&mut self) -> Option<&mut Process> {
        if let State::Up(process) = &mut self.state { Some(process) } else { None }
    }

    /// The process that is this very attempt.
    pub(super) fn process_of(&mut self, attempt: u32) -> Option<&mut Process> {
        if self.created == attempt + 1 { self.process_mut() } else { None }
    }

    /// Does the status show it as running? Not before its postStart hook is over.
    pub(super) fn shown_running(&self) -> Option<Now> {
        let process = self.process()?;
        (process.hook != Some(HookKind::PostStart)).then_some(process.started_at)
    }

    pub(super) fn started(&self) -> bool {
        self.shown_running().is_some() && self.process().is_some_and(Process::startup_passed)
    }

    pub(super) fn ready(&self) -> bool {
        if self.plan.role == Role::Init {
            return self.succeeded();
        }
        self.started() && self.process().is_some_and(|p| p.readiness.as_ref().is_none_or(|r| r.verdict() == Some(true)))
    }

    /// Did the last run end well, and is there no other?
    pub(super) fn succeeded(&self) -> bool {
        self.is_idle() && self.ended.as_ref().is_some_and(|e| e.code == 0)
    }

    /// Is there, by its kind and the pod's policy, another run to come after the last one?
    pub(super) fn runs_again(&self, policy: RestartPolicy) -> bool {
        let Some(ended) = &self.ended else { return true };
        match (self.plan.role, policy) {
            (Role::Sidecar, _) | (Role::App, RestartPolicy::Always) => true,
            (_, RestartPolicy::Never) => false,
            (Role::Init | Role::App, _) => ended.code != 0,
        }
    }

    /// The process has started.
    pub(super) fn start(&mut self, now: Now) {
        self.created += 1;
        self.counted = false;
        self.retry_at = None;
        let probe = |plan: &Option<_>| plan.as_ref().map(|p| Prober::new(p, now));
        self.state = State::Up(Box::new(Process {
            started_at: now,
            hook: None,
            hook_until: None,
            startup: probe(&self.plan.startup),
            readiness: probe(&self.plan.readiness),
            liveness: probe(&self.plan.liveness),
            stop: None,
        }));
    }

    /// The run is over.
    pub(super) fn end(&mut self, ended: Ended) {
        self.state = State::Idle;
        self.previous = self.ended.replace(ended);
        self.retry_at = None;
        self.counted = false;
    }

    /// The end of the running process.
    pub(super) fn ended_by(&self, exit: Exit, now: Now) -> Option<Ended> {
        let started_at = self.process()?.started_at;
        let attempt = self.created.saturating_sub(1);
        let (code, reason) = (exit.code(), exit.reason());
        Some(Ended { attempt, code, reason, message: String::new(), started_at, finished_at: now })
    }
}

impl Process {
    pub(super) fn startup_passed(&self) -> bool {
        self.startup.as_ref().is_none_or(|s| s.verdict() == Some(true))
    }

    pub(super) fn prober(&mut self, kind: ProbeKind) -> Option<&mut Prober> {
        match kind {
            ProbeKind::Startup => self.startup.as_mut(),
            ProbeKind::Readiness => self.readiness.as_mut(),
            ProbeKind::Liveness => self.liveness.as_mut(),
        }
    }

    /// The probes that may run now: until the startup probe has passed, only that one; none during a postStart hook.
    pub(super) fn open_probers(&mut self) -> impl Iterator<Item = (ProbeKind, &mut Prober)> {
        let held = self.hook == Some(HookKind::PostStart);
        let passed = self.startup_passed();
        let startup = self.startup.as_mut().filter(|_| !held && !passed).map(|p| (ProbeKind::Startup, p));
        let readiness = self.readiness.as_mut().filter(|_| !held && passed).map(|p| (ProbeKind::Readiness, p));
        let liveness = self.liveness.as_mut().filter(|_| !held && passed).map(|p| (ProbeKind::Liveness, p));
        [startup, readiness, liveness].into_iter().flatten()
    }

    /// The gate is open: the container has started, as far as its startup probe goes.
    pub(super) fn open(&mut self, now: Now) {
        if let Some(readiness) = &mut self.readiness {
            readiness.open(now, true);
        }
        if let Some(liveness) = &mut self.liveness {
            liveness.open(now, false);
        }
    }

    /// A termination ends the probes that could restart the container; readiness goes on.
    pub(super) fn end_restarting_probes(&mut self) {
        for prober in [&mut self.startup, &mut self.liveness].into_iter().flatten() {
            prober.end();
        }
    }

    /// Begins a hook; one that only sleeps ends by itself.
    pub(super) fn begin_hook(&mut self, kind: HookKind, handler: &Handler, now: Now) {
        self.hook = Some(kind);
        self.hook_until = match handler {
            Handler::Sleep(seconds) => Some(now + chrono::TimeDelta::seconds(*seconds)),
            _ => None,
        };
    }

    /// When something is due by time alone.
    pub(super) fn wake(&mut self) -> Option<Now> {
        let probes = self.open_probers().filter_map(|(_, p)| p.due()).min();
        let stop = self.stop.as_ref().and_then(Stop::wake);
        [probes, stop, self.hook_until].into_iter().flatten().min()
    }
}

//! The course of a run: which stage it is in, what to do next, and how it ends. A pure fold over events; the dispatcher carries out its
//! commands, and a replay folds the same events to the same end.

mod admitting;
mod ending;
mod guarding;
mod intake;
mod observing;
mod view;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::admission::{Admission, Permit};
use super::breakdown::Breakdown;
use super::event::{Event, PutBack, RunStarted};
use super::judge::hearing::Hearing;
use super::rollout::guard::Action;
use super::rollout::state::Writer;
use super::rollout::{Phase, Rollout, Stuck};
use super::scenario::{Step, Wait};
use super::slice::Failure;
use super::tally::Tally;
use super::time::At;
use super::traffic::TrafficPlan;
use super::validity::Recorder;
use super::verdict::{Reason, Verdict, VerdictKind};

pub use self::guarding::{ActionOutcome, Deed, Undone};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Deploy the target and reach it; answers with `TargetReady` or `TargetUnready`.
    Prepare,
    /// Send traffic by the plan; answers with `TrafficStarted`.
    StartTraffic,
    /// Carry out a step of the change; answers with `StepStarted` and `StepEnded`.
    RunStep(usize),
    /// Send no more; answers with `TrafficStopped` when all outcomes are in.
    StopTraffic,
    /// Stop the rollout; answers with `ActionStarted` and `ActionEnded`.
    Act(Box<Action>),
    /// Let a pod in; answers with `AdmissionStarted` and `AdmissionEnded`.
    Admit(Box<Permit>),
    /// Tell the reader; answers with `Notice`.
    Say(String),
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
    admission: Admission,
    /// That a pod at the gate is not asked was told.
    told_unasked: bool,
    /// Whom others had let in was told.
    told_earlier: bool,
    verdict: Option<Verdict>,
    deed: Option<Deed>,
    /// Who had written the target's specification last when the guard's action ended.
    writer_before: Option<Writer>,
    /// What an earlier run did to the target was told.
    remembered: bool,
    wake: Option<At>,
}

impl Course {
    /// A run that has just begun, and its first command.
    pub fn begin(head: RunStarted) -> (Self, Vec<Command>) {
        let admission = admitting::admission(&head.scenario);
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
            admission,
            told_unasked: false,
            told_earlier: false,
            verdict: None,
            deed: None,
            writer_before: None,
            remembered: false,
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
        if event.what.moves_pods() {
            self.admit(&mut commands);
        }
        self.advance(&mut commands);
        commands
    }

    fn note_phase(&mut self) {
        if self.is_stopped() {
            return;
        }
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
            self.note_deployed();
            match self.stage {
                Stage::Preparing => self.while_preparing(commands),
                Stage::Baseline => self.while_baseline(),
                Stage::Watching => self.while_watching(commands),
                Stage::Changing => self.while_changing(commands),
                Stage::RollingOut => self.while_rolling_out(),
                Stage::Soaking => self.while_soaking(),
                Stage::Aftermath => self.in_the_aftermath(commands),
                Stage::Draining => self.while_draining(commands),
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

    /// Remembers when what was asked for was there, and not what somebody else wanted instead. A rollout may also complete while the cause of
    /// a breach is being watched.
    fn note_deployed(&mut self) {
        let changing = matches!(self.stage, Stage::RollingOut | Stage::Soaking | Stage::Aftermath | Stage::Draining);
        let open = changing && self.deployed.is_none() && !self.is_stopped();
        if open && self.rollout.is_available() && self.rollout.superseded().is_none() {
            self.deployed = Some(self.now);
        }
    }

    fn while_preparing(&mut self, commands: &mut Vec<Command>) {
        if self.head.scenario.observe.is_some() {
            self.foresee(commands);
        } else {
            self.look_for_broken_target();
        }
        if self.verdict.is_some() || self.is_overdue() {
            // A guard has its say when all is over.
            let breach = self.verdict.as_ref().is_some_and(|v| v.verdict == VerdictKind::Breach);
            if self.traffic.is_some() || breach { self.drain() } else { self.close() }
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
                self.begin_measuring(commands);
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
    fn begin_measuring(&mut self, commands: &mut Vec<Command>) {
        if self.changed.is_none() {
            self.changed = Some(self.now);
            self.tally.measure_from(self.now);
            self.hearing.iter_mut().for_each(Hearing::begin);
            self.forewarn(commands);
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

    /// Goes on until the cause was seen whole, and until the guard's action has its effect.
    fn in_the_aftermath(&mut self, commands: &mut Vec<Command>) {
        self.guard(commands);
        let (seen, done) = (self.lasted(self.entered, self.head.scenario.aftermath), self.is_guard_done());
        if done && (seen || self.signal.is_some()) {
            self.drain();
        }
    }

    /// A breach may also be found when all is over; the guard then acts without traffic.
    fn while_draining(&mut self, commands: &mut Vec<Command>) {
        if self.traffic_ended {
            self.conclude();
            self.guard(commands);
            if self.is_guard_done() {
                self.close();
            }
        }
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
}

fn keep<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == MAX_NOTES {
        list.pop_front();
    }
    list.push_back(item);
}

#[cfg(test)]
mod tests;

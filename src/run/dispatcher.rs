//! The one loop that owns a run. Everything that happens becomes an event here: stamped, recorded, folded, shown, and answered with the
//! course's commands.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::executor::{Executor, Permit};
use super::keeper::{Keeper, PutBackWhat};
use super::recorder::Recorder;
use crate::clock::Clock;
use crate::cluster::connect::Connection;
use crate::cluster::discover::Entry;
use crate::domain::admission;
use crate::domain::course::{Command, Course};
use crate::domain::event::{Event, FORMAT, RunStarted, What};
use crate::domain::scenario::Scenario;
use crate::domain::slice::LoadEvent;
use crate::domain::summary::Summary;
use crate::domain::traffic::PodTarget;
use crate::domain::traffic::RequestPlan;
use crate::load::Driver;
use crate::report::Reporter;

/// Events of the cluster and the executor that wait for the loop.
const QUEUE: usize = 1_024;
/// Events of the driver that wait for the loop.
const LOAD_QUEUE: usize = 4_096;
/// The course looks at the clock at least this often.
const BEAT: Duration = Duration::from_secs(1);
/// How long requests in flight may take to end after the last slot; their own deadlines are far shorter.
const PATIENCE: Duration = Duration::from_mins(2);
/// The same when a signal has called the run off.
const HURRY: Duration = Duration::from_millis(300);

/// What a run is made from.
pub struct Options {
    /// What to do.
    pub scenario: Scenario,
    /// Where.
    pub connection: Connection,
    /// What is asked, but for the URL: secrets and certificates in hand.
    pub request: RequestPlan,
    /// Where requests enter, when that is known already.
    pub entry: Option<Entry>,
    /// Manifests of `given`, overlaid.
    pub given: Vec<Value>,
    /// Manifests of each `apply` step, by step.
    pub applies: Vec<(usize, Vec<Value>)>,
    /// Whether what the run changes is put back before it ends.
    pub put_back: PutBackWhat,
    /// Seeds every random choice.
    pub seed: u64,
    /// The command that makes this run again.
    pub command: String,
    /// Writes the recording.
    pub recorder: Option<Recorder>,
    /// Shows it.
    pub reporters: Vec<Box<dyn Reporter>>,
    /// Asked before the guard acts; without one it always may.
    pub permit: Option<Permit>,
}

/// Runs to the end and answers with the course, which knows everything. SIGINT and SIGTERM call it off.
pub async fn dispatch(options: Options) -> std::io::Result<Course> {
    let (stop, stopped) = mpsc::channel(1);
    let signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        course = Box::pin(carry_out(options, stopped)) => Ok(course),
        never = pass_on(signals, stop) => match never {},
    }
}

/// Passes signals on for as long as it is asked to.
async fn pass_on((mut interrupt, mut terminate): (Signal, Signal), stop: mpsc::Sender<i32>) -> Infallible {
    loop {
        let number = caught(&mut interrupt, &mut terminate).await;
        // The run takes what comes until it is over, and this is over with it.
        let _ = stop.send(number).await;
    }
}

/// The same for one run of many in a process: what comes through `stop` calls it off, as the signal of that number would.
pub async fn carry_out(options: Options, stop: mpsc::Receiver<i32>) -> Course {
    let clock = Clock::start();
    let run_id = run_id(&clock, options.seed);
    let head = RunStarted {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        run_id: run_id.clone(),
        started: clock.wall_start().to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        scenario: options.scenario.clone(),
        cluster: options.connection.name.clone(),
        seed: options.seed,
        command: options.command,
        put_back: options.put_back != PutBackWhat::Nothing,
    };
    let executor = Executor {
        keeper: Keeper::new(options.put_back),
        connection: options.connection,
        scenario: options.scenario,
        request: options.request,
        entry: options.entry,
        given: options.given,
        applies: options.applies,
        clock,
        seed: options.seed,
        run_id,
        permit: options.permit,
    };
    let (news, inbox) = mpsc::channel(QUEUE);
    let (load, load_inbox) = mpsc::channel(LOAD_QUEUE);
    let (course, commands) = Course::begin(head.clone());
    let mut run = Run {
        clock,
        course,
        executor: Arc::new(executor),
        news,
        load,
        tasks: JoinSet::new(),
        driver: None,
        targets: Vec::new(),
        newcomers: Vec::new(),
        recorder: options.recorder,
        reporters: options.reporters,
        finished: false,
    };
    run.happened(What::RunStarted(Box::new(head)));
    run.obey(commands);
    run.until_the_end(inbox, load_inbox, stop).await;
    run.close()
}

/// `r-` and eight hex digits: enough to tell runs apart in a log, drawn from start time and seed.
fn run_id(clock: &Clock, seed: u64) -> String {
    let mixed = (clock.wall_start().timestamp_micros().unsigned_abs() ^ seed.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("r-{:08x}", mixed >> 32)
}

struct Run {
    clock: Clock,
    course: Course,
    executor: Arc<Executor>,
    news: mpsc::Sender<What>,
    load: mpsc::Sender<LoadEvent>,
    tasks: JoinSet<()>,
    driver: Option<Driver>,
    /// The pods that lanes of their own were told of.
    targets: Vec<PodTarget>,
    /// The pods that are asked before they are let in.
    newcomers: Vec<PodTarget>,
    recorder: Option<Recorder>,
    reporters: Vec<Box<dyn Reporter>>,
    finished: bool,
}

impl Run {
    async fn until_the_end(
        &mut self,
        mut inbox: mpsc::Receiver<What>,
        mut load_inbox: mpsc::Receiver<LoadEvent>,
        mut stop: mpsc::Receiver<i32>,
    ) {
        while !self.finished {
            let beat = self.clock.now() + BEAT;
            let wake = self.clock.instant(self.course.wake().map_or(beat, |at| at.min(beat)));
            let what = tokio::select! {
                biased;
                Some(number) = stop.recv() => What::Interrupted(number),
                // News of the cluster is rare. A loop that is starved never comes to the end of the traffic's.
                Some(what) = inbox.recv() => what,
                Some(event) = load_inbox.recv() => event.into(),
                () = tokio::time::sleep_until(wake.into()) => What::Tick,
            };
            if what == What::TrafficStopped {
                // It overtook what the traffic still had to say.
                while let Ok(event) = load_inbox.try_recv() {
                    let commands = self.happened(event.into());
                    self.obey(commands);
                }
            }
            let commands = self.happened(what);
            self.obey(commands);
        }
    }

    /// Stamps, records, folds and shows one event; and the verdict, when that is new or has found further reasons.
    fn happened(&mut self, what: What) -> Vec<Command> {
        let before = self.course.verdict().cloned();
        let event = Event { at: self.clock.now(), what };
        let commands = self.take(&event);
        if matches!(event.what, What::Pod(_) | What::PodGone(_) | What::EndpointSlice(_) | What::EndpointSliceGone(_)) {
            self.aim();
        }
        if event.what.moves_pods() {
            self.ask_newcomers();
        }
        if let Some(verdict) = self.course.verdict().filter(|now| before.as_ref() != Some(*now)).cloned() {
            self.take(&Event { at: event.at, what: What::Decided(verdict) });
        }
        commands
    }

    fn take(&mut self, event: &Event) -> Vec<Command> {
        let trouble = self.recorder.as_mut().and_then(|r| r.record(event));
        let commands = self.course.apply(event);
        for reporter in &mut self.reporters {
            reporter.event(event, &self.course);
        }
        if let Some(notice) = trouble {
            self.recorder = None;
            self.take(&Event { at: event.at, what: What::Notice(notice) });
        }
        commands
    }

    fn obey(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Prepare => {
                    self.tasks.spawn(Arc::clone(&self.executor).prepare(self.news.clone()));
                }
                Command::StartTraffic => self.start_traffic(),
                Command::RunStep(step) => {
                    self.tasks.spawn(Arc::clone(&self.executor).step(step, self.news.clone()));
                }
                Command::StopTraffic => self.stop_traffic(),
                Command::Act(action) => {
                    // Recorded before anything is sent.
                    let commands = self.happened(What::ActionStarted(action.clone()));
                    self.tasks.spawn(Arc::clone(&self.executor).act(action, self.news.clone()));
                    self.obey(commands);
                }
                Command::Admit(permit) => {
                    let commands = self.happened(What::AdmissionStarted(permit.clone()));
                    self.tasks.spawn(Arc::clone(&self.executor).admit(permit, self.news.clone()));
                    self.obey(commands);
                }
                Command::Say(text) => {
                    let commands = self.happened(What::Notice(text));
                    self.obey(commands);
                }
                Command::PutBack => self.put_back(),
                Command::Finish => self.finished = true,
            }
        }
    }

    fn start_traffic(&mut self) {
        let Some(plan) = self.course.traffic().cloned() else { return };
        let what = match Driver::start(&plan, self.clock, self.load.clone()) {
            Ok(driver) => {
                self.driver = Some(driver);
                self.aim();
                What::TrafficStarted
            }
            Err(error) => What::TargetUnready(format!("could not start the traffic: {error}")),
        };
        let commands = self.happened(what);
        self.obey(commands);
    }

    /// Tells lanes that ask pods which pods there are.
    fn aim(&mut self) {
        let (Some(driver), Some(plan)) = (&self.driver, self.course.traffic()) else { return };
        let targets = self.course.rollout.targets();
        if targets == self.targets {
            return;
        }
        for lane in plan.lanes.iter().filter(|lane| lane.asks_pods() && !lane.judges_admission()) {
            // The driver knows every lane of the plan that it was started with.
            let _ = driver.set_targets(&lane.name, targets.clone());
        }
        self.targets = targets;
    }

    /// Tells lanes that ask pods before they are let in which these are. With none of them such a lane rests.
    fn ask_newcomers(&mut self) {
        let (Some(driver), Some(plan)) = (&mut self.driver, self.course.traffic()) else { return };
        let newcomers = self.course.newcomers();
        if newcomers == self.newcomers {
            return;
        }
        for lane in plan.lanes.iter().filter(|lane| lane.judges_admission()) {
            // Known lanes, and rates far below what a process can send.
            if !newcomers.is_empty() {
                let _ = driver.set_targets(&lane.name, newcomers.clone());
            }
            let _ = driver.set_rate(&lane.name, admission::RATE * newcomers.len() as f64);
        }
        self.newcomers = newcomers;
    }

    /// Ends what still runs, so that nothing is changed any more and what follows is not told of, and puts back.
    fn put_back(&mut self) {
        let mut ending = std::mem::take(&mut self.tasks);
        let (executor, news) = (Arc::clone(&self.executor), self.news.clone());
        self.tasks.spawn(async move {
            ending.shutdown().await;
            executor.put_back(news).await;
        });
    }

    /// No more slots; the traffic has stopped when all outcomes are in, or, for who called the run off, a moment later.
    fn stop_traffic(&mut self) {
        let Some(driver) = self.driver.take() else {
            let commands = self.happened(What::TrafficStopped);
            return self.obey(commands);
        };
        let patience = if self.course.signal().is_some() { HURRY } else { PATIENCE };
        let news = self.news.clone();
        self.tasks.spawn(async move {
            let trouble = match tokio::time::timeout(patience, driver.join()).await {
                Ok(Ok(summary)) if summary.undelivered == 0 => None,
                Ok(Ok(summary)) => {
                    Some(format!("{} events of the load driver were lost: the counts are too low", summary.undelivered))
                }
                Ok(Err(error)) => Some(format!("the load driver came to no orderly end: {error}")),
                Err(_) => Some("requests in flight were left without an outcome".into()),
            };
            if let Some(trouble) = trouble {
                // The loop is gone only when the run is.
                drop(news.send(What::Notice(trouble)).await);
            }
            drop(news.send(What::TrafficStopped).await);
        });
    }

    /// Ends what still runs, and gives the reporters their last word.
    fn close(mut self) -> Course {
        self.tasks.abort_all();
        self.happened(What::RunEnded);
        if let Some(mut recorder) = self.recorder.take()
            && let Err(error) = recorder.finish()
        {
            let path = recorder.path().display().to_string();
            self.happened(What::Notice(format!("recording to {path} ended early: {error}")));
        }
        let summary = Summary::of(&self.course);
        self.reporters.iter_mut().for_each(|r| r.finish(&summary));
        self.course
    }
}

async fn caught(interrupt: &mut Signal, terminate: &mut Signal) -> i32 {
    let number = tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
    };
    number.as_raw_value()
}

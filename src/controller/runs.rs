//! One run of the service, from its start to its end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::News;
use super::board::Board;
use super::scribe;
use super::teller::Teller;
use crate::clock::Clock;
use crate::cluster::connect::Connection;
use crate::cluster::discover::Entry;
use crate::cluster::verification::{Found, Subject};
use crate::domain::course::Course;
use crate::domain::policy::Key;
use crate::domain::policy::spec::PolicySpec;
use crate::domain::rollout::guard::Guard;
use crate::domain::scenario::Ruling;
use crate::domain::time::At;
use crate::domain::traffic::{Name, RequestPlan};
use crate::metrics::Metrics;
use crate::run::{self, Options, Permit, PutBackWhat, Recorder};

/// What is to be done.
pub(super) struct Order {
    pub(super) key: Key,
    pub(super) uid: String,
    pub(super) policy: PolicySpec,
    pub(super) template: Name,
    pub(super) entry: Entry,
    /// What decides it before it begins.
    pub(super) ruling: Option<Ruling>,
    /// Another verifier has left it open.
    pub(super) left: Option<Found>,
    pub(super) seed: u64,
    pub(super) command: String,
}

/// What all runs have in common.
pub(super) struct Shared {
    pub(super) connection: Connection,
    pub(super) clock: Clock,
    pub(super) board: Board,
    pub(super) metrics: Metrics,
    pub(super) news: mpsc::Sender<(Key, News)>,
    pub(super) permit: Permit,
    pub(super) recordings: Option<PathBuf>,
}

/// What came of it.
pub(super) struct Ended {
    /// No rollout was judged, and why.
    pub(super) nothing: Option<String>,
    /// How long it took.
    pub(super) lasted: Duration,
    /// The verification that it was to go on with, and did not come to.
    pub(super) left: Option<Found>,
}

/// Runs to the end.
pub(super) async fn go(order: Order, shared: Shared, stop: mpsc::Receiver<i32>) -> (Key, Ended) {
    let Order { key, uid, policy, template, entry, ruling, left, seed, command } = order;
    let mut scenario = match policy.scenario(&key.namespace, &key.name) {
        Ok(scenario) => scenario,
        Err(why) => return (key, Ended { nothing: Some(why), lasted: Duration::ZERO, left }),
    };
    if let Some(observe) = &mut scenario.observe {
        observe.ruling = ruling;
    }
    if matches!(ruling, Some(Ruling::BudgetSpent { .. })) {
        // A freeze says that nothing goes on, whatever the guard does about a bad version.
        scenario.guard = Guard::Pause;
    }
    let subject = Subject { key: key.clone(), uid, policy };
    let (statuses, told) = watch::channel(None);
    let name = left.as_ref().map(|left| left.name.clone());
    let scribe = tokio::spawn(scribe::write(shared.connection.writer.clone(), shared.clock, subject, name, told));
    let recorder = shared.recordings.as_ref().and_then(|folder| record(folder, &key, seed));
    let path = recorder.as_ref().map(|recorder| recorder.path().to_owned());
    let board = shared.board.clone();
    let teller = Teller::new(key.clone(), &template, left.as_ref(), &shared, statuses);
    let options = Options {
        scenario,
        connection: shared.connection,
        request: RequestPlan::default(),
        entry: Some(entry),
        given: Vec::new(),
        applies: Vec::new(),
        put_back: PutBackWhat::Nothing,
        seed,
        command,
        recorder,
        reporters: vec![Box::new(teller)],
        permit: Some(shared.permit),
    };
    let course = run::carry_out(options, stop).await;
    // The verdict is written before the next run begins; its reporter is gone, and with it what the scribe waits for.
    if let Err(error) = scribe.await {
        tracing::error!(%error, "writing down a verification has failed");
    }
    if let Some(path) = path {
        keep(&board, &course, path);
    }
    let reason = course.verdict().and_then(|v| v.reasons.first()).map(|r| r.message.clone()).unwrap_or_default();
    let judged = course.changed().is_some();
    let ended =
        Ended { nothing: (!judged).then_some(reason), lasted: course.now().since(At::ZERO), left: left.filter(|_| !judged) };
    (key, ended)
}

/// Begins a recording. A run without one is judged as well.
fn record(folder: &Path, key: &Key, seed: u64) -> Option<Recorder> {
    let path = folder.join(format!("{}.{}.{seed:016x}.ndjson", key.namespace, key.name));
    let created = Recorder::create(&path);
    created.inspect_err(|error| tracing::warn!(path = %path.display(), %error, "a run is not recorded")).ok()
}

/// Offers a recording of a rollout; of a run that judged none nothing is left. Removes those that are too many.
fn keep(board: &Board, course: &Course, path: PathBuf) {
    let gone = if course.changed().is_some() { board.recording(&course.head().run_id, path) } else { vec![path] };
    for path in gone {
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "an old recording stays");
        }
    }
}

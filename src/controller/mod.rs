//! The service's one loop: it sees which Deployments a policy asks for, has them probed all day, and starts a run for each of their rollouts.
//! What there is to do is decided in `domain/policy`; here it is done.
//!
//! Between rollouts there is one watch of each kind for all Deployments together, and a request to each now and then. A run watches its own
//! Deployment, ReplicaSets, pods and endpoints, for as long as its rollout takes.

mod board;
mod feed;
pub mod leader;
mod live;
mod past;
mod porter;
mod prober;
mod runs;
mod scribe;
mod starting;
mod teller;
mod views;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::board::Board;
pub use self::feed::{Feed, Follower};
use self::past::Past;
use self::porter::Porter;
use self::prober::Probers;
use self::runs::Ended;
pub use self::views::{PolicyView, VerificationView};
use crate::clock::Clock;
use crate::cluster::connect::Connection;
use crate::cluster::fleet::{self, Sighting};
use crate::cluster::ways::Ways;
use crate::cluster::{chain, verification};
use crate::domain::policy::Key;
use crate::domain::policy::plan::{self, Book, Do, Watched};
use crate::domain::time::{At, micros};
use crate::domain::verdict::VerdictKind;
use crate::load::StartError;
use crate::metrics::Metrics;

/// News of watches and runs that wait for the loop.
const QUEUE: usize = 1_024;
/// The loop looks at the clock at least this often.
const BEAT: Duration = Duration::from_secs(30);
/// How long runs may take to end when the service does.
const FAREWELL: Duration = Duration::from_secs(8);
/// Verifications that are being deleted or listed never hold the loop up for longer.
const CALL: Duration = Duration::from_secs(15);
/// A run that ends sooner, and judged nothing, is not simply begun again.
const TOO_SOON: Duration = Duration::from_secs(30);

/// How the service is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Only Deployments of this namespace; all when there is none.
    pub namespace: Option<String>,
    /// Requests a second of all runs together, at most.
    pub ceiling: f64,
    /// Actions of the guards within an hour, at most.
    pub max_actions: usize,
    /// Verifications that are kept of each Deployment.
    pub keep: usize,
    /// Verifications are kept for so long.
    pub keep_for: Duration,
    /// Runs are recorded in this folder.
    pub recordings: Option<PathBuf>,
    /// Seeds every random choice.
    pub seed: u64,
    /// The command that was typed.
    pub command: String,
}

/// What a run tells the loop.
#[derive(Clone, Debug)]
enum News {
    /// A rollout began, and is being judged.
    Began,
    /// Its verdict has fallen.
    Decided(VerdictKind),
}

/// The service.
pub struct Controller {
    connection: Connection,
    settings: Settings,
    clock: Clock,
    board: Board,
    metrics: Metrics,
    watched: BTreeMap<Key, Watched>,
    books: BTreeMap<Key, Book>,
    stops: BTreeMap<Key, mpsc::Sender<i32>>,
    runs: JoinSet<(Key, Ended)>,
    chores: JoinSet<()>,
    news: mpsc::Sender<(Key, News)>,
    actions: Arc<Mutex<Vec<At>>>,
    probers: Probers,
    /// Services and Ingresses were listed once.
    ways_known: bool,
    porter: Porter,
    past: Past,
    started: u64,
}

impl Controller {
    /// Works until `stop`, and then ends what runs. The clock is the service's: its metrics count minutes by it.
    pub async fn run(
        connection: Connection,
        settings: Settings,
        clock: Clock,
        board: Board,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Result<(), StartError> {
        let (news, inbox) = mpsc::channel(QUEUE);
        let (sightings, fleet) = mpsc::channel(QUEUE);
        let (ways, watching) = Ways::watch(&connection.reader, settings.namespace.as_deref());
        let mut watches = JoinSet::new();
        watches.spawn(watching);
        let (reader, writer) = (connection.reader.clone(), connection.writer.clone());
        watches.spawn(fleet::follow(reader, writer, settings.namespace.clone(), sightings));
        let name = format!("probe-{:08x}", settings.seed & 0xffff_ffff);
        let probers = Probers::new(ways, clock, board.clone(), metrics.clone(), name)?;
        let porter = Porter::new(connection.clone(), clock);
        let mut controller = Self {
            connection,
            settings,
            clock,
            board,
            metrics,
            watched: BTreeMap::new(),
            books: BTreeMap::new(),
            stops: BTreeMap::new(),
            runs: JoinSet::new(),
            chores: JoinSet::new(),
            news,
            actions: Arc::default(),
            probers,
            ways_known: false,
            porter,
            past: Past::default(),
            started: 0,
        };
        controller.remember().await;
        controller.work(inbox, fleet, stop).await;
        drop(watches);
        controller.close().await;
        Ok(())
    }

    async fn work(&mut self, mut inbox: mpsc::Receiver<(Key, News)>, mut fleet: mpsc::Receiver<Sighting>, stop: CancellationToken) {
        let listed = self.probers.ready();
        tokio::pin!(listed);
        loop {
            let wake = self.reconcile();
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some((key, news)) = inbox.recv() => self.told(&key, &news),
                Some((key, ended)) = joined(&mut self.runs) => self.ended(&key, ended),
                Some(sighting) = fleet.recv() => self.saw(sighting),
                Some(()) = joined(&mut self.chores) => {}
                () = &mut listed, if !self.ways_known => self.ways_known = true,
                () = tokio::time::sleep_until(self.clock.instant(wake).into()) => {}
            }
        }
    }

    /// What earlier processes have left: the history that is shown, and what they were at.
    async fn remember(&mut self) {
        let list = verification::list(&self.connection.reader, self.settings.namespace.as_deref());
        match tokio::time::timeout(CALL, list).await {
            Ok(Ok(found)) => self.past = Past::of(found),
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "verifications are not kept as objects: are the CRDs installed?");
            }
            Err(_) => tracing::warn!("the API did not list verifications in time"),
        }
        self.board.remember(self.past.judged());
        for one in self.past.latest() {
            self.books.entry(one.key.clone()).or_default().judge(VerdictKind::Inconclusive, &one.template);
        }
    }

    /// All Deployments are known: what was left open is taken up, or ended where its rollout is past.
    fn take_up(&mut self) {
        self.settle();
        for key in self.past.open() {
            tracing::info!(deployment = %key, "a rollout that another verifier was judging is taken up");
            self.books.entry(key.clone()).or_default().resume();
        }
    }

    /// Ends what was left open and will not be judged any more.
    fn settle(&mut self) {
        if self.past.is_settled() {
            return;
        }
        for one in self.past.settle(&self.watched) {
            tracing::warn!(verification = one.name, "it was interrupted, and its rollout is past");
            let (client, clock, board) = (self.connection.writer.clone(), self.clock, self.board.clone());
            let watched = self.watched.contains_key(&one.key);
            self.chores.spawn(async move {
                let one = past::close(&client, clock, one, watched).await;
                board.remember(std::slice::from_ref(&one));
                let written = verification::write(&client, &one.key.namespace, &one.name, &one.status);
                if !matches!(tokio::time::timeout(CALL, written).await, Ok(Ok(()))) {
                    tracing::warn!(verification = one.name, "it stays open, and no process is at it");
                }
            });
        }
    }

    fn saw(&mut self, sighting: Sighting) {
        match sighting {
            Sighting::Seen(key, watched) => {
                if let Ok(policy) = &watched.policy {
                    let limits: Vec<_> = policy.then.iter().filter_map(|o| o.goal.limit()).map(micros).collect();
                    self.metrics.store().promise(&key, policy.promise(), &limits);
                }
                if !self.watched.contains_key(&key) {
                    tracing::info!(deployment = %key, "a policy asks for this Deployment");
                }
                self.books.entry(key.clone()).or_default().see(&watched, self.clock.now());
                self.watched.insert(key, *watched);
            }
            Sighting::Gone(key) => {
                tracing::info!(deployment = %key, "no policy asks for this Deployment any more");
                self.watched.remove(&key);
            }
            Sighting::Listed if !self.board.is_ready() => {
                self.board.ready();
                self.take_up();
            }
            Sighting::Listed => {}
            Sighting::Lost(error) => {
                tracing::warn!(error, "Deployments cannot be watched");
                self.metrics.store().watch(false, self.clock.now());
            }
            Sighting::Restored => {
                tracing::info!("Deployments are watched again");
                self.metrics.store().watch(true, self.clock.now());
            }
        }
        if self.board.is_ready() {
            self.settle();
        }
    }

    fn told(&mut self, key: &Key, news: &News) {
        let Some(book) = self.books.get_mut(key) else { return };
        match news {
            News::Began => tracing::info!(deployment = %key, "a rollout is judged"),
            News::Decided(verdict) => {
                tracing::info!(deployment = %key, %verdict, "the verdict has fallen");
                if let Some(template) = book.running.as_ref().map(|running| running.template.clone()) {
                    book.judge(*verdict, &template);
                }
            }
        }
    }

    fn ended(&mut self, key: &Key, ended: Ended) {
        let now = self.clock.now();
        self.stops.remove(key);
        if let Some(left) = ended.left {
            self.past.give_back(left);
        }
        if let Some(book) = self.books.get_mut(key) {
            // One that we called off says nothing about the target.
            let stopping = book.running.as_ref().is_some_and(|running| running.stopping);
            let lost = ended.nothing.filter(|_| !stopping && ended.lasted < TOO_SOON);
            if let Some(why) = &lost {
                tracing::warn!(deployment = %key, why, "the run came to nothing");
            }
            book.end(lost, now);
            if let Some(watched) = self.watched.get(key) {
                book.see(watched, now);
            }
        }
        self.board.ended(key);
        self.metrics.store().ended(key);
        self.forget();
    }

    /// Does what is to be done now, and answers with when to look again.
    fn reconcile(&mut self) -> At {
        let now = self.clock.now();
        if !self.board.is_ready() || !self.ways_known {
            // What there is is not known whole: a rollout that another verifier has judged must not be judged again, and a way that is not known
            // yet is not missing.
            return now + BEAT;
        }
        // What cannot be started is planned anew: it is to be tried later, and others may have its place.
        let plan = loop {
            let mut plan = plan::plan(&self.watched, &self.books, self.settings.ceiling, now);
            if plan.todo.is_empty() {
                break plan;
            }
            for (key, what) in std::mem::take(&mut plan.todo) {
                match what {
                    Do::Start => self.start(&key),
                    Do::Stop => self.stop(&key),
                }
            }
        };
        let unused: Vec<Key> = self
            .books
            .iter()
            .filter(|(key, book)| book.running.is_none() && !self.watched.contains_key(*key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in unused {
            self.books.remove(&key);
            self.metrics.store().forget(&key);
        }
        let running = self.books.values().filter_map(|book| book.running.as_ref());
        let (runs, rate) = running.fold((0, 0.0), |(runs, rate), running| (runs + 1, rate + running.rate));
        self.metrics.store().load(runs, rate);
        self.board.policies(&self.watched, &self.books, &plan.idle);
        self.probers.follow(&self.watched);
        self.porter.follow(&self.watched, &self.books);
        plan.wake.map_or(now + BEAT, |wake| wake.min(now + BEAT))
    }

    /// Deletes verifications that are too many or too old.
    fn forget(&mut self) {
        let now = self.clock.wall_now();
        let forgotten = plan::forgotten(&self.board.ages(now), self.settings.keep, self.settings.keep_for);
        for (namespace, name) in forgotten {
            self.board.forget(&namespace, &name);
            let client = self.connection.writer.clone();
            self.chores.spawn(async move {
                match tokio::time::timeout(CALL, verification::delete(&client, &namespace, &name)).await {
                    Ok(Ok(())) | Err(_) => {}
                    Ok(Err(error)) => tracing::warn!(error = %chain(&error), "an old verification stays"),
                }
            });
        }
    }

    /// Calls everything off, and waits until it is.
    async fn close(mut self) {
        let keys: Vec<Key> = self.stops.keys().cloned().collect();
        for key in &keys {
            self.stop(key);
        }
        let ending = async { while joined(&mut self.runs).await.is_some() {} };
        if tokio::time::timeout(FAREWELL, ending).await.is_err() {
            tracing::warn!("not every run has come to its end");
        }
    }
}

/// The next task that ends; waits without an end when there is none. One that panicked is passed over.
async fn joined<T: 'static>(tasks: &mut JoinSet<T>) -> Option<T> {
    match tasks.join_next().await {
        Some(Ok(done)) => Some(done),
        Some(Err(error)) => {
            tracing::error!(%error, "a task of the service has failed");
            None
        }
        None => None,
    }
}

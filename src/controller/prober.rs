//! Probing between rollouts, and beside them: one request now and then to each Deployment, on a connection of its own, all day. Error budgets
//! are made of its answers alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::board::Board;
use super::views::Probing;
use crate::clock::Clock;
use crate::cluster::chain;
use crate::cluster::discover::Entry;
use crate::cluster::ways::{Edition, Ways};
use crate::domain::outcome::Blame;
use crate::domain::policy::plan::{Watched, probed};
use crate::domain::policy::{Key, Way};
use crate::domain::time::At;
use crate::domain::traffic::{Expect, LanePlan, Mode, RequestPlan, Schedule};
use crate::load::{Asker, Question, StartError};
use crate::metrics::Metrics;

/// Probes under way at once, of all Deployments: each holds a descriptor for as long as it takes.
const AT_ONCE: usize = 512;
/// An answer that takes longer is none.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that takes longer is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks for a way that is not there yet.
const LOOK: Duration = Duration::from_secs(2);

/// What is asked of one Deployment, and how often.
#[derive(Clone, Debug, PartialEq)]
struct Errand {
    path: String,
    way: Way,
    every: Duration,
    labels: BTreeMap<String, String>,
}

/// What all probers have in common.
#[derive(Clone)]
struct Shared {
    ways: Ways,
    asker: Arc<Asker>,
    clock: Clock,
    board: Board,
    metrics: Metrics,
    /// Sent with each request.
    name: String,
    turns: Arc<Semaphore>,
}

/// All of them.
pub(super) struct Probers {
    shared: Shared,
    tasks: BTreeMap<Key, (Errand, JoinSet<()>)>,
}

impl Probers {
    /// Nothing is probed yet. `name` is sent with each request.
    pub(super) fn new(ways: Ways, clock: Clock, board: Board, metrics: Metrics, name: String) -> Result<Self, StartError> {
        let asker = Arc::new(Asker::start(clock)?);
        let shared = Shared { ways, asker, clock, board, metrics, name, turns: Arc::new(Semaphore::new(AT_ONCE)) };
        Ok(Self { shared, tasks: BTreeMap::new() })
    }

    /// Waits until the ways to all Deployments are known.
    pub(super) fn ready(&self) -> impl Future<Output = ()> + use<> {
        let ways = self.shared.ways.clone();
        async move { ways.ready().await }
    }

    /// Probes what is watched, as it is asked for now.
    pub(super) fn follow(&mut self, watched: &BTreeMap<Key, Watched>) {
        self.tasks.retain(|key, _| watched.get(key).is_some_and(|w| probed(w).is_ok()));
        for (key, watched) in watched {
            let Ok(policy) = probed(watched) else {
                self.shared.board.probing(key, None);
                continue;
            };
            let errand = Errand {
                path: policy.path.clone(),
                way: policy.way(),
                every: policy.probing.every,
                labels: watched.labels.clone(),
            };
            if self.tasks.get(key).is_some_and(|(known, _)| *known == errand) {
                continue;
            }
            let mut task = JoinSet::new();
            task.spawn(Prober { key: key.clone(), errand: errand.clone(), shared: self.shared.clone() }.go());
            self.tasks.insert(key.clone(), (errand, task));
        }
    }

    /// Where requests to a Deployment enter now.
    pub(super) fn entry(&self, key: &Key, watched: &Watched) -> Result<Entry, String> {
        let policy = watched.policy.as_ref().map_err(Clone::clone)?;
        self.shared.ways.find(key, &watched.labels, &policy.way())
    }
}

/// One of them, at work until it is dropped.
struct Prober {
    key: Key,
    errand: Errand,
    shared: Shared,
}

impl Prober {
    async fn go(self) {
        let Shared { ways, clock, board, .. } = &self.shared;
        ways.ready().await;
        let mut told = Probing { every: self.errand.every.as_secs_f64(), ..Probing::default() };
        // Those of one second do not all come at once, nor the first of all of them.
        let mut next = clock.now() + phase(&self.key, self.errand.every.min(LOOK));
        let mut known: Option<(Edition, Question)> = None;
        loop {
            tokio::time::sleep_until(clock.instant(next).into()).await;
            let edition = ways.edition();
            if known.as_ref().is_none_or(|(of, _)| *of != edition) {
                match self.question() {
                    Ok(question) => known = Some((edition, question)),
                    Err(why) => {
                        (known, told.reached, told.why) = (None, false, Some(why));
                        next = clock.now() + LOOK;
                    }
                }
            }
            if let Some((_, question)) = &known {
                self.ask(question, &mut told).await;
                next = following(next, self.errand.every, clock.now());
            }
            board.probing(&self.key, Some(told.clone()));
        }
    }

    /// What is to be sent, as the ways are now.
    fn question(&self) -> Result<Question, String> {
        let entry = self.shared.ways.find(&self.key, &self.errand.labels, &self.errand.way)?;
        Question::new(&lane(&entry, &self.errand.path), &self.shared.name).map_err(|error| chain(&error))
    }

    async fn ask(&self, question: &Question, told: &mut Probing) {
        // Closed only with the service.
        let Shared { asker, clock, board, metrics, turns, .. } = &self.shared;
        let Ok(_turn) = turns.acquire().await else { return };
        match asker.ask(question).await {
            Ok(report) => {
                let took = Duration::from_micros(report.phases.total);
                let now = clock.now();
                metrics.store().probe(&self.key, report.outcome, took, now);
                board.budget(&self.key, metrics.store().budget_left(&self.key, now));
                (told.reached, told.why, told.last) = (true, None, Some(report.outcome));
                *(if report.outcome.blame() == Blame::Nobody { &mut told.good } else { &mut told.bad }) += 1;
            }
            Err(error) => {
                (told.reached, told.why) = (false, Some(chain(&error)));
                board.went_blind();
            }
        }
    }
}

/// The next time on the beat that is not past: what was missed is not made up for.
fn following(last: At, every: Duration, now: At) -> At {
    let next = last + every;
    if next >= now { next } else { now + every }
}

/// Where in a span a Deployment has its beat: the same each time, and spread evenly over all of them.
fn phase(key: &Key, span: Duration) -> Duration {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (&*key.namespace, &*key.name).hash(&mut hasher);
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(hasher.finish() % millis)
}

/// One request through this entry. Who did not say what to ask for asks for what the Ingress leads here.
fn lane(entry: &Entry, path: &str) -> LanePlan {
    LanePlan {
        name: "probe".into(),
        mode: Mode::Fresh,
        start: At::ZERO,
        rate: 1.0,
        max_in_flight: 1,
        schedule: Schedule::default(),
        request: RequestPlan {
            url: entry.url((path != "/").then_some(path)),
            connect_to: entry.connect_to.clone(),
            ..RequestPlan::default()
        },
        expect: Expect::default(),
        timeout: TIMEOUT,
        connect_timeout: CONNECT_TIMEOUT,
        thresholds: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_that_was_missed_is_not_made_up_for() {
        let every = Duration::from_secs(10);
        assert_eq!(following(At(5), every, At(6)), At(10_000_005));
        assert_eq!(following(At(5), every, At(40_000_000)), At(50_000_000));
    }

    #[test]
    fn deployments_are_spread_over_a_beat() {
        let phases: Vec<Duration> = (0..500).map(|n| phase(&Key::new("todo", &format!("d{n}")), Duration::from_secs(2))).collect();
        let early = phases.iter().filter(|p| **p < Duration::from_secs(1)).count();
        assert!((200..300).contains(&early) && phases.iter().all(|p| *p < Duration::from_secs(2)), "{early}");
    }

    #[test]
    fn what_the_policy_does_not_say_the_ingress_says() {
        let entry = Entry { base: "http://todo.example".into(), path: "/api".into(), connect_to: Some("10.0.0.1:80".into()) };
        assert_eq!(lane(&entry, "/").request.url, "http://todo.example/api");
        assert_eq!(lane(&entry, "/api/todos").request.url, "http://todo.example/api/todos");
    }
}

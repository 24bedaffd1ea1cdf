//! Carries out what the course commands: deploys and reaches the target, makes the change step by step. Answers with events.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::admission;
use super::keeper::Keeper;
use crate::clock::Clock;
use crate::cluster::act::guard::{self, Place};
use crate::cluster::connect::Connection;
use crate::cluster::discover::{self, Entry};
use crate::cluster::{ClusterError, act, chain, watch};
use crate::domain::event::{StepEnded, What};
use crate::domain::outcome::Outcome;
use crate::domain::rollout::guard::{Action, ActionEnded};
use crate::domain::scenario::{Entry as LaneEntry, Scenario, Step};
use crate::domain::traffic::{Expect, LanePlan, Mode, PODS, RequestPlan, TrafficPlan};
use crate::load;

/// Bytes of a stream that are read at most; none of them is kept.
const STREAM_MAX: usize = 1 << 30;
/// Between two tries to reach the target for the first time.
const RETRY: Duration = Duration::from_millis(100);

/// What a run needs to act.
pub(super) struct Executor {
    pub(super) connection: Connection,
    pub(super) scenario: Scenario,
    /// What is asked, but for the URL: secrets and certificates in hand.
    pub(super) request: RequestPlan,
    /// Where requests enter, when that is known already.
    pub(super) entry: Option<Entry>,
    /// Manifests of `given`, overlaid, and of each `apply` step, by step.
    pub(super) given: Vec<Value>,
    pub(super) applies: Vec<(usize, Vec<Value>)>,
    pub(super) clock: Clock,
    pub(super) seed: u64,
    pub(super) run_id: String,
    /// Knows what is to be put back.
    pub(super) keeper: Keeper,
    /// Says whether the guard may act.
    pub(super) permit: Option<Permit>,
}

/// Takes one action of the guard out of what may be done, or says why nothing is left.
pub type Permit = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

impl Executor {
    /// Deploys the target, starts watching it, and reaches it for the first time. Goes on watching until it is dropped.
    pub(super) async fn prepare(self: Arc<Self>, out: mpsc::Sender<What>) {
        let mut watches = JoinSet::new();
        let mut doing = "the API was asked".to_owned();
        let prepared = self.try_prepare(&out, &mut watches, &mut doing);
        let answer = tokio::time::timeout(self.scenario.given.ready_within, prepared).await;
        let what = match answer {
            Ok(Ok(plan)) => What::TargetReady(Box::new(plan)),
            Ok(Err(why)) => What::TargetUnready(why),
            Err(_) => What::TargetUnready(format!(
                "the target was not ready within {}: {doing}",
                humantime::format_duration(self.scenario.given.ready_within)
            )),
        };
        if out.send(what).await.is_ok() {
            while watches.join_next().await.is_some() {}
        }
    }

    /// `doing` says what is waited for.
    async fn try_prepare(
        &self,
        out: &mpsc::Sender<What>,
        watches: &mut JoinSet<()>,
        doing: &mut String,
    ) -> Result<TrafficPlan, String> {
        let target = &self.scenario.target;
        let said = |e: ClusterError| chain(&e);
        self.keeper.before_apply(&self.connection, &self.given, &target.namespace).await.map_err(said)?;
        act::apply(&self.connection.writer, &self.given, &target.namespace).await.map_err(said)?;
        self.keeper.before_change(&self.connection, target).await.map_err(said)?;
        let subject = discover::subject(&self.connection.reader, &target.namespace, &target.deployment).await.map_err(said)?;
        watches.spawn(watch::watch(self.connection.reader.clone(), subject.clone(), self.clock, out.clone()));
        let observing = self.scenario.observe.is_some();
        if observing {
            discover::readable(&self.connection.reader, &target.namespace).await.map_err(said)?;
        }
        if !observing {
            "the Deployment is not complete".clone_into(doing);
            let api: Api<Deployment> = Api::namespaced(self.connection.reader.clone(), &target.namespace);
            let complete = kube::runtime::wait::await_condition(api, &target.deployment, complete);
            complete.await.map_err(|e| format!("could not wait for the deployment: {}", chain(&e)))?;
        }
        "its Ingress has no address".clone_into(doing);
        let mut entry = match &self.entry {
            Some(entry) => Some(entry.clone()),
            None => discover::entry(&self.connection.reader, &subject).await.map_err(said)?,
        };
        while self.scenario.traffic.url.is_none() && self.entry.is_none() && entry.as_ref().is_none_or(|e| e.connect_to.is_none()) {
            if entry.is_none() && self.given.is_empty() {
                return Err(format!(
                    "no Ingress leads to deployment {}/{}, and no URL is given (`--url`, or `traffic.url` in a scenario)",
                    target.namespace, target.deployment
                ));
            }
            tokio::time::sleep(RETRY).await;
            entry = discover::entry(&self.connection.reader, &subject).await.map_err(said)?;
        }
        let asks_service = self.scenario.traffic.lanes.values().any(|lane| lane.entry == LaneEntry::Service);
        let of_service =
            if asks_service { discover::service(&self.connection.reader, &subject).await.map_err(said)? } else { None };
        let mut plan = self.plan(entry, of_service.as_deref())?;
        let said = |e: ClusterError| chain(&e);
        let gated = subject.gated || self.scenario.admission.is_some();
        if gated || discover::are_pods_gated(&self.connection.reader, &subject).await.map_err(said)? {
            admission::add_lanes(&mut plan.lanes)?;
        }
        // A stream may never end: whether one begins is for the run to see. Pods are asked as they come.
        // An entry that is known has answered before: that it does not now is what is to be judged.
        let asked = |lane: &&LanePlan| self.entry.is_none() && !matches!(lane.mode, Mode::Stream { .. }) && !lane.asks_pods();
        for lane in plan.lanes.iter().filter(asked) {
            self.reach(lane, observing, doing).await?;
        }
        Ok(plan)
    }

    /// Tries until one request is answered well; who observes takes any answer, because whether it is good is what is judged. The caller's time
    /// limit ends it.
    async fn reach(&self, lane: &LanePlan, any: bool, doing: &mut String) -> Result<(), String> {
        loop {
            let answer = load::once(lane, &self.run_id, self.clock).await.map_err(|e| chain(&e))?;
            if answer.outcome == Outcome::Ok {
                return Ok(());
            }
            if let Some(status) = answer.status.filter(|_| any) {
                // Nobody said what to ask for, and the target knows of no such thing: its answers would say nothing about it.
                if self.guesses_path() && (400..500).contains(&status) {
                    let url = &lane.request.url;
                    return Err(format!("{url} is answered with {status}: say what to ask for with --path or --url"));
                }
                return Ok(());
            }
            let status = answer.status.map(|s| format!(" {s}")).unwrap_or_default();
            let note = Some(answer.note).filter(|n| !n.is_empty()).map(|n| format!(" ({n})")).unwrap_or_default();
            *doing = format!("{} was asked, and the answer was {}{status}{note}", lane.request.url, answer.outcome.label());
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Who observes and did not say what to ask for.
    fn guesses_path(&self) -> bool {
        let traffic = &self.scenario.traffic;
        self.scenario.observe.is_some() && traffic.url.is_none() && traffic.path == "/"
    }

    /// The traffic that the scenario asks for, through the entries that were found.
    fn plan(&self, entry: Option<Entry>, service: Option<&str>) -> Result<TrafficPlan, String> {
        let traffic = &self.scenario.traffic;
        let (url, connect_to) = match (&traffic.url, entry) {
            (Some(url), _) => (url.clone(), None),
            // Who did not say what to ask for asks for what the Ingress leads here.
            (None, Some(entry)) => (entry.url((!self.guesses_path()).then_some(&*traffic.path)), entry.connect_to),
            (None, None) => (String::new(), None),
        };
        let lane = |(name, lane): (&crate::domain::traffic::Name, &crate::domain::scenario::Lane)| {
            let (mode, schedule) = (lane.connection_mode(name), lane.schedule());
            let timeout = if lane.timeout.is_zero() { traffic.timeout } else { lane.timeout };
            let url = lane.path.as_ref().map_or_else(|| url.clone(), |path| with_path(&url, path));
            let (url, connect_to) = match lane.entry {
                LaneEntry::Ingress => (url, connect_to.clone()),
                LaneEntry::Service => {
                    let address =
                        service.ok_or_else(|| format!("lane {name}: no Service with a cluster address leads to the target"))?;
                    (without_tls(&url), Some(address.to_owned()))
                }
                LaneEntry::Pods => (without_tls(&url), Some(PODS.to_owned())),
            };
            let (lasts, max_body) = match mode {
                Mode::Stream { length, .. } => (timeout + length, STREAM_MAX),
                Mode::Fresh | Mode::Kept { .. } => (timeout, Expect::default().max_body),
            };
            Ok(LanePlan {
                name: name.clone(),
                mode,
                start: self.clock.now(),
                rate: lane.rate,
                max_in_flight: in_flight(schedule.peak(lane.rate), lasts),
                schedule,
                request: RequestPlan { url, connect_to, protocol: lane.protocol, ..self.request.clone() },
                expect: Expect { max_body, pod_headers: traffic.pod_headers.clone(), ..traffic.expect.expect() },
                timeout,
                connect_timeout: traffic.connect_timeout,
                thresholds: self.scenario.thresholds(name),
            })
        };
        let lanes = traffic.lanes.iter().map(lane).collect::<Result<_, String>>()?;
        Ok(TrafficPlan { lanes, seed: self.seed, run_id: self.run_id.clone() })
    }

    /// Carries out one step of the change.
    pub(super) async fn step(self: Arc<Self>, step: usize, out: mpsc::Sender<What>) {
        if out.send(What::StepStarted(step)).await.is_err() {
            return;
        }
        let (generation, error) = match self.try_step(step).await {
            Ok(generation) => (generation, None),
            Err(error) => (None, Some(chain(&error))),
        };
        drop(out.send(What::StepEnded(StepEnded { step, generation, error })).await);
    }

    async fn try_step(&self, step: usize) -> Result<Option<i64>, ClusterError> {
        let (writer, target) = (&self.connection.writer, &self.scenario.target);
        let (ns, name) = (target.namespace.as_str(), target.deployment.as_str());
        let patch = match self.scenario.when.get(step) {
            Some(Step::Apply(_)) => {
                let objects = self.applies.iter().find(|(s, _)| *s == step).map(|(_, o)| o.as_slice()).unwrap_or_default();
                self.keeper.before_apply(&self.connection, objects, ns).await?;
                act::apply(writer, objects, ns).await?;
                return self.generation().await.map(Some);
            }
            Some(Step::Set(set)) => {
                let container = match &set.container {
                    Some(container) => container.clone(),
                    None => act::first_container(writer, ns, name).await?,
                };
                act::set_patch(&container, set.image.as_deref(), &set.env)
            }
            Some(Step::Patch(patch)) => patch.clone(),
            Some(Step::Restart) => act::restart_patch(self.clock.wall_now()),
            Some(Step::Scale(replicas)) => serde_json::json!({"spec": {"replicas": replicas}}),
            Some(Step::DeletePods(count)) => {
                let subject = discover::subject(&self.connection.reader, ns, name).await?;
                act::delete_pods(writer, ns, &subject.selector, *count as usize).await?;
                return Ok(None);
            }
            Some(Step::Wait(_)) | None => return Ok(None),
        };
        let generation = act::patch_deployment(writer, ns, name, &patch).await?;
        self.keeper.after_change(&self.connection, target).await?;
        Ok(Some(generation))
    }

    /// Puts back what the run changed.
    pub(super) async fn put_back(self: Arc<Self>, out: mpsc::Sender<What>) {
        let scales = self.scenario.when.iter().any(|step| matches!(step, Step::Scale(_)));
        let limit = self.scenario.given.ready_within;
        let done = self.keeper.put_back(&self.connection, &self.scenario.target, scales, limit).await;
        // The loop is gone only when the run is.
        drop(out.send(What::PutBack(done)).await);
    }

    /// Carries out the guard's action, and leaves a Kubernetes Event about one that the API accepted.
    pub(super) async fn act(self: Arc<Self>, action: Box<Action>, out: mpsc::Sender<What>) {
        let (writer, target) = (&self.connection.writer, &self.scenario.target);
        let place = Place { namespace: &target.namespace, deployment: &target.deployment, run: &self.run_id };
        let ended = match self.permit.as_ref().map_or(Ok(()), |permit| permit()) {
            Ok(()) => guard::carry_out(writer, self.clock, place, &action).await,
            Err(why) => ActionEnded::Failed { why, paused: None },
        };
        let accepted = matches!(ended, ActionEnded::Accepted { .. } | ActionEnded::Failed { paused: Some(_), .. });
        if out.send(What::ActionEnded(Box::new(ended))).await.is_err() || !accepted {
            return;
        }
        if let Err(error) = guard::tell(writer, self.clock, place, &action).await {
            drop(out.send(What::Notice(format!("no Kubernetes Event could be left about the action: {error}"))).await);
        }
    }

    /// Lets a pod in.
    pub(super) async fn admit(self: Arc<Self>, permit: Box<crate::domain::admission::Permit>, out: mpsc::Sender<What>) {
        let namespace = &self.scenario.target.namespace;
        let ended = act::admission::open(&self.connection.writer, self.clock, namespace, &self.run_id, &permit).await;
        // The loop is gone only when the run is.
        drop(out.send(What::AdmissionEnded(Box::new(ended))).await);
    }

    async fn generation(&self) -> Result<i64, ClusterError> {
        let target = &self.scenario.target;
        act::generation(&self.connection.writer, &target.namespace, &target.deployment).await
    }
}

/// Everything in flight at once that a timeout can hold, with room for a burst.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are bounded by the scenario's check")]
pub(super) fn in_flight(rate: f64, timeout: Duration) -> usize {
    ((rate * timeout.as_secs_f64() * 1.5) as usize).clamp(64, 20_000)
}

/// Another path on the same host.
fn with_path(url: &str, path: &str) -> String {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    format!("{}{path}", &url[..end])
}

/// TLS ends at the Ingress: behind it the same is asked in the clear.
pub(super) fn without_tls(url: &str) -> String {
    url.strip_prefix("https://").map_or_else(|| url.to_owned(), |rest| format!("http://{rest}"))
}

/// The Deployment's status is up to date, and everything is available.
pub(super) fn complete(d: Option<&Deployment>) -> bool {
    d.is_some_and(|d| {
        let status = d.status.clone().unwrap_or_default();
        let wanted = d.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
        let all = [status.replicas, status.updated_replicas, status.available_replicas].map(|n| n.unwrap_or(0) == wanted);
        status.observed_generation >= d.metadata.generation && all == [true; 3]
    })
}

//! Watching the target: its Deployment, ReplicaSets, pods, EndpointSlices and Events become domain events.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Event as ApiEvent, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::convert;
use crate::clock::Clock;
use crate::domain::event::{WatchState, What};
use crate::domain::traffic::Name;

/// Retries of a broken watch are at most this far apart: an outage of the API must not outlive itself by much.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// What to watch.
#[derive(Clone, Debug)]
pub struct Subject {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name` of the Deployment.
    pub deployment: String,
    /// Its pod selector, as a label selector string.
    pub selector: String,
    /// The Services in front of it.
    pub services: Vec<String>,
    /// Its pods have the readiness gate of admission.
    pub gated: bool,
}

/// Watches until the receiver is gone or the future is dropped. Never ends by itself: what breaks is retried. Says [`What::Listed`] when all
/// that there is was told once, Events left out.
pub async fn watch(client: Client, subject: Subject, clock: Clock, out: mpsc::Sender<What>) {
    let ns = subject.namespace.as_str();
    let by_labels = watcher::Config::default().labels(&subject.selector);
    let by_name = watcher::Config::default().fields(&format!("metadata.name={}", subject.deployment));
    let of_services = format!("kubernetes.io/service-name in ({})", subject.services.join(","));
    let owner = subject.deployment.clone();
    let owned =
        move |rs: &ReplicaSet| rs.metadata.owner_references.iter().flatten().any(|o| o.kind == "Deployment" && o.name == owner);

    let out = Teller { out, unlisted: AtomicUsize::new(if subject.services.is_empty() { 3 } else { 4 }) };
    let deployments = follow(
        Api::<Deployment>::namespaced(client.clone(), ns),
        by_name,
        |d| Some(What::Deployment(Box::new(convert::deployment(d)))),
        |_| What::DeploymentGone,
        &out,
    );
    let sets = follow(
        Api::<ReplicaSet>::namespaced(client.clone(), ns),
        by_labels.clone(),
        move |rs| owned(rs).then(|| What::ReplicaSet(Box::new(convert::replica_set(rs)))),
        |key| What::ReplicaSetGone(key.uid),
        &out,
    );
    let pods = follow(
        Api::<Pod>::namespaced(client.clone(), ns),
        by_labels,
        |pod| Some(What::Pod(Box::new(convert::pod(pod, &clock)))),
        |key| What::PodGone(key.uid),
        &out,
    );
    let slices = async {
        if !subject.services.is_empty() {
            follow(
                Api::<EndpointSlice>::namespaced(client.clone(), ns),
                watcher::Config::default().labels(&of_services),
                |slice| Some(What::EndpointSlice(Box::new(convert::endpoints(slice)))),
                |key| What::EndpointSliceGone(key.name),
                &out,
            )
            .await;
        }
    };
    let events = follow_events(Api::namespaced(client.clone(), ns), &subject.deployment, &clock, &out.out);
    tokio::join!(deployments, sets, pods, slices, events);
}

/// Tells of what is seen.
struct Teller {
    out: mpsc::Sender<What>,
    /// Kinds whose first list is not whole yet.
    unlisted: AtomicUsize,
}

impl Teller {
    /// A kind was listed for the first time; of the last one that is told.
    fn listed(&self) -> Option<What> {
        (self.unlisted.fetch_sub(1, Ordering::Relaxed) == 1).then_some(What::Listed)
    }
}

/// What is left of an object that is gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Gone {
    name: Name,
    uid: Name,
}

fn gone<K: Resource>(object: &K) -> Gone {
    let text = |t: Option<&String>| Name::from(t.map_or("", String::as_str));
    Gone { name: text(object.meta().name.as_ref()), uid: text(object.meta().uid.as_ref()) }
}

pub(super) fn stream<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(api, config).backoff(Patience::default()).into_stream()
}

/// Follows one kind. Objects that are missing after a relist are reported gone.
async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    seen: impl Fn(&K) -> Option<What>,
    lost: impl Fn(Gone) -> What,
    out: &Teller,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut known: BTreeSet<Gone> = BTreeSet::new();
    let mut listed: BTreeSet<Gone> = BTreeSet::new();
    let (mut broken, mut new) = (false, true);
    let mut stream = std::pin::pin!(stream(api, config));
    while let Some(item) = stream.next().await {
        let mut news = Vec::new();
        if broken != item.is_err() {
            broken = item.is_err();
            news.push(What::Watch(if broken { WatchState::Lost } else { WatchState::Restored }));
        }
        match item {
            Err(error) if broken && !news.is_empty() => {
                news.push(What::Notice(format!(
                    "watching {} failed: {}",
                    std::any::type_name::<K>().rsplit("::").next().unwrap_or_default(),
                    super::chain(&error)
                )));
            }
            Err(_) => {}
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                if let Some(what) = seen(&object) {
                    listed.insert(gone(&object));
                    known.insert(gone(&object));
                    news.push(what);
                }
            }
            Ok(watcher::Event::InitDone) => {
                let missing: Vec<Gone> = known.difference(&listed).cloned().collect();
                known.retain(|g| listed.contains(g));
                news.extend(missing.into_iter().map(&lost));
                if std::mem::take(&mut new) {
                    news.extend(out.listed());
                }
            }
            Ok(watcher::Event::Delete(object)) => {
                if known.remove(&gone(&object)) {
                    news.push(lost(gone(&object)));
                }
            }
        }
        for what in news {
            if out.out.send(what).await.is_err() {
                return;
            }
        }
    }
}

/// Kubernetes Events about the target and what belongs to it, from now on.
async fn follow_events(api: Api<ApiEvent>, deployment: &str, clock: &Clock, out: &mpsc::Sender<What>) {
    let prefix = format!("{deployment}-");
    let start = clock.wall_start().timestamp();
    let mut stream = std::pin::pin!(stream(api, watcher::Config::default()).applied_objects());
    loop {
        match stream.try_next().await {
            Ok(Some(event)) => {
                let about = event.involved_object.name.as_deref().unwrap_or_default();
                let last =
                    event.last_timestamp.as_ref().map(|t| t.0.as_second()).or(event.event_time.as_ref().map(|t| t.0.as_second()));
                let recent = last.is_none_or(|t| t >= start);
                // An autoscaler is named as its owner likes. What it did to the target is told from the target's own size.
                let rescaled = event.involved_object.kind.as_deref() == Some("HorizontalPodAutoscaler")
                    && event.reason.as_deref() == Some("SuccessfulRescale");
                if recent
                    && (about == deployment || about.starts_with(&prefix) || rescaled)
                    && out.send(What::Kube(convert::kube_event(&event))).await.is_err()
                {
                    return;
                }
            }
            Ok(None) => return,
            Err(_) => {}
        }
    }
}

/// Waits 50 ms after the first failure, then twice as long each time, up to [`MAX_BACKOFF`].
#[derive(Default)]
struct Patience {
    failures: u32,
}

impl Iterator for Patience {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        let wait = Duration::from_millis(50).saturating_mul(1 << self.failures.min(6)).min(MAX_BACKOFF);
        self.failures += 1;
        Some(wait)
    }
}

impl kube::runtime::utils::Backoff for Patience {
    fn reset(&mut self) {
        self.failures = 0;
    }
}

//! What the sandbox claims about controllers, nodes and the API: one body for each behaviour, played here by the sandbox and in `tests/real` by a
//! real cluster. A few play at a time, each in a namespace of its own.

#![expect(clippy::disallowed_methods, reason = "these tests time a cluster from outside")]

mod api;
mod nodes;
mod rollouts;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, stream};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::sandbox;
use crate::program::{DEADLINE, LOOK};

type Body = fn(Stage) -> Pin<Box<dyn Future<Output = ()>>>;

/// So many at a time: they mostly wait, but their pods have to start.
const AT_A_TIME: usize = 4;

macro_rules! bodies {
    ($($module:ident::$name:ident)*) => {
        const BODIES: &[(&str, Body)] = &[$((stringify!($name), |stage| Box::pin($module::$name(stage)))),*];
    };
}

bodies! {
    rollouts::rolling_update_arithmetic
    rollouts::min_ready_seconds
    rollouts::progress_deadline
    rollouts::pause_and_proportional_scaling
    rollouts::rollback_takes_the_old_replica_set_again
    rollouts::quota_is_told_and_tried_again
    nodes::readiness_gates
    nodes::endpoints_of_a_pod_that_ends
    nodes::pre_stop_and_grace
    nodes::probe_timing
    nodes::eviction_against_a_budget
    api::a_watch_resumes
    api::a_watch_from_too_long_ago_is_gone
    api::patch_types
    api::field_ownership
    api::a_stale_write_is_a_conflict
}

/// Where a body plays: a namespace of its own.
#[derive(Clone)]
struct Stage {
    client: Client,
    namespace: String,
}

impl Stage {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api::<K>().create(&PostParams::default(), &object).await.unwrap()
    }

    /// A Deployment `web` of the workload, with this laid over its spec; lists of named things merge by name.
    async fn web(&self, replicas: i32, spec: Value) {
        let probe = json!({"httpGet": {"path": "/readyz", "port": 8000}, "periodSeconds": 1});
        let host = json!({"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}});
        let container = json!({"name": "web", "image": "todo/backend:v1", "env": [host, {"name": "DRAIN", "value": "abrupt"}], "readinessProbe": probe});
        self.create::<Deployment>(json!({"metadata": {"name": "web"}, "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}}}))
            .await;
        self.patch(spec).await;
        self.patch(json!({"replicas": replicas})).await;
    }

    /// A strategic merge patch of the Deployment's spec.
    async fn patch(&self, spec: Value) -> Deployment {
        let patch = Patch::Strategic(json!({"spec": spec}));
        self.api::<Deployment>().patch("web", &PatchParams::default(), &patch).await.unwrap()
    }

    async fn deployment(&self) -> Deployment {
        self.api().get("web").await.unwrap()
    }

    async fn pods(&self) -> Vec<Pod> {
        self.api().list(&ListParams::default()).await.unwrap().items
    }

    /// The ReplicaSets, by revision.
    async fn sets(&self) -> Vec<ReplicaSet> {
        let mut sets = self.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap().items;
        sets.sort_by_key(|set| set.annotations()["deployment.kubernetes.io/revision"].parse::<u32>().unwrap());
        sets
    }

    /// How many pods each ReplicaSet is to have, by revision.
    async fn wanted(&self) -> Vec<i32> {
        self.sets().await.iter().map(|set| set.spec.as_ref().unwrap().replicas.unwrap_or(1)).collect()
    }

    /// Waits until the rollout is complete.
    async fn complete(&self) -> Deployment {
        until("a complete rollout", async || {
            let deployment = self.deployment().await;
            let (spec, status) = (deployment.spec.as_ref().unwrap(), deployment.status.clone().unwrap_or_default());
            let all = [status.replicas, status.updated_replicas, status.available_replicas];
            let is = status.observed_generation >= deployment.metadata.generation
                && all.iter().all(|n| n.unwrap_or(0) == spec.replicas.unwrap_or(1));
            if is { Ok(deployment) } else { Err(format!("{status:?}")) }
        })
        .await
    }
}

/// What a Deployment's condition says: status and reason.
fn condition(deployment: &Deployment, kind: &str) -> Option<(String, String)> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == kind).map(|c| (c.status.clone(), c.reason.clone().unwrap_or_default()))
}

/// A variable for the container.
fn env(name: &str, value: &str) -> Value {
    json!({"template": {"spec": {"containers": [{"name": "web", "env": [{"name": name, "value": value}]}]}}})
}

/// Looks again and again until it is so; tells at the deadline how it was last.
async fn until<T>(what: &str, look: impl AsyncFn() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(last) => assert!(start.elapsed() < DEADLINE / 2, "no {what}: {last}"),
        }
        tokio::time::sleep(LOOK * 2).await;
    }
}

/// Plays one body in a namespace of its own, and takes that away.
async fn play(client: Client, name: &'static str, body: Body) -> Result<(), String> {
    let namespace = format!("conformance-{}", name.replace('_', "-"));
    let all: Api<Namespace> = Api::all(client.clone());
    let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
    all.create(&PostParams::default(), &object).await.map_err(|e| format!("{name}: {e}"))?;
    let played = AssertUnwindSafe(body(Stage { client, namespace: namespace.clone() })).catch_unwind().await;
    let removed = all.delete(&namespace, &DeleteParams::background()).await;
    if let Err(panic) = played {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        return Err(format!("{name}: {}", text.unwrap_or_default()));
    }
    removed.map_err(|e| format!("{name}: {e}"))?;
    until("end of the namespace", async || match all.get_opt(&namespace).await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "how long each took is for people to read")]
pub(crate) async fn play_all(mut config: Config) {
    // A refusal is what the bodies want to see, also one that asks to be tried again.
    config.default_retry = false;
    let client = Client::try_from(config).unwrap();
    let playing = BODIES.iter().map(async |(name, body)| {
        let start = Instant::now();
        let played = play(client.clone(), name, *body).await;
        let how = if played.is_ok() { "as it has to be" } else { "DIFFERENT" };
        println!("{name}: {how} after {:.1} s", start.elapsed().as_secs_f64());
        played
    });
    let played: Vec<Result<(), String>> = stream::iter(playing).buffer_unordered(AT_A_TIME).collect().await;
    let wrong: Vec<String> = played.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_behaves_as_is_said_here() {
    let sandbox = sandbox(Duration::from_millis(300)).await;
    play_all(sandbox.config().unwrap()).await;
    sandbox.stop().await.unwrap();
}

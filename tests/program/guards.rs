//! Guards: a version that answers every request with an error is stopped, in each way; and what stands in the way of that.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, block_in_place};
use verifier::sandbox::Sandbox;

use super::{DEADLINE, Ended, LOOK, Program, verifier};
use crate::api::sandbox;

/// Two pods, and a change to a version of which every answer is an error.
pub(crate) const SCENARIO: &str = r#"
name: every-answer-an-error
about: The new version answers every request with an error, and is Ready all the same.
target: {deployment: backend, namespace: todo}
given:
  apply: [k8s/todo/backend]
  overlay: [{apiVersion: apps/v1, kind: Deployment, metadata: {name: backend, namespace: todo}, spec: {replicas: 2, paused: false}}]
  healthy_for: 1s
traffic: {path: /api/todos, lanes: {fresh: {rate: 200}}}
when: [set: {image: "todo/backend:v2", env: {ERROR_RATIO: "1"}}]
then: [availability >= 99%]
aftermath: 1s
"#;

/// What happens to a write of the guard on its way to the API.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meddle {
    /// Nothing.
    Pass,
    /// The API refuses it.
    Refuse,
    /// The verifier is killed before it gets there.
    KillBefore,
    /// The same, but not before it has written down that the rollout is a breach.
    KillTold,
    /// The verifier is killed when it has been done, and never learns of it.
    KillAfter,
}

#[derive(Default)]
struct Road {
    meddles: VecDeque<Meddle>,
    /// Writes of guards that the API accepted: the resource of each.
    accepted: Vec<String>,
    verifier: Option<Pid>,
}

/// A sandbox, and a way to it on which the guard's writes can be meddled with.
pub(super) struct Cluster {
    sandbox: Option<Sandbox>,
    pub(super) client: Client,
    road: Arc<Mutex<Road>>,
    proxy: JoinHandle<()>,
    pub(super) kubeconfig: String,
    folder: tempfile::TempDir,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        let sandbox = sandbox(Duration::from_millis(300)).await;
        let mut config = sandbox.config().unwrap();
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let road: Arc<Mutex<Road>> = Arc::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(forward).with_state((client.clone(), road.clone()));
        let proxy = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "road",
            "clusters": [{"name": "road", "cluster": {"server": server}}], "users": [{"name": "road", "user": {}}],
            "contexts": [{"name": "road", "context": {"cluster": "road", "user": "road"}}]});
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        Self { sandbox: Some(sandbox), client, road, proxy, kubeconfig: path.display().to_string(), folder }
    }

    pub(super) fn meddle(&self, meddles: impl IntoIterator<Item = Meddle>) {
        self.road.lock().unwrap().meddles.extend(meddles);
    }

    /// A run of [`SCENARIO`] under a guard, to its end.
    fn run(&self, guard: &str, more: &[&str]) -> Ended {
        self.run_of(SCENARIO, guard, more)
    }

    fn run_of(&self, scenario: &str, guard: &str, more: &[&str]) -> Ended {
        let write = |folder: &Path, _: &mut std::process::Command| std::fs::write(folder.join("s.yaml"), scenario).unwrap();
        let args =
            ["run", "--scenario", "s.yaml", "--kubeconfig", &self.kubeconfig, "--yes", "--keep", "--guard", guard, "-o", "json"];
        let args: Vec<&str> = args.into_iter().chain(more.iter().copied()).collect();
        let program = Program::start_with(&args, write);
        self.meet(program.pid());
        block_in_place(|| program.end())
    }

    /// It is this verifier that may be killed.
    pub(super) fn meet(&self, verifier: Pid) {
        self.road.lock().unwrap().verifier = Some(verifier);
    }

    /// Writes of guards that the API has accepted so far.
    pub(super) fn accepted(&self) -> Vec<String> {
        self.road.lock().unwrap().accepted.clone()
    }

    pub(super) async fn deployment(&self) -> Deployment {
        Api::namespaced(self.client.clone(), "todo").get("backend").await.unwrap()
    }

    /// How many pods are wanted of the version before and of the bad one.
    pub(super) async fn wanted(&self) -> (i32, i32) {
        let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), "todo");
        let of = |bad: bool| move |set: &ReplicaSet| serde_json::to_string(set).unwrap().contains("ERROR_RATIO") == bad;
        let sets = api.list(&ListParams::default()).await.unwrap().items;
        let sum = |bad| sets.iter().filter(|s| of(bad)(s)).map(|s| s.spec.as_ref().unwrap().replicas.unwrap_or(1)).sum();
        (sum(false), sum(true))
    }

    pub(super) async fn events(&self, reason: &str) -> usize {
        let api: Api<Event> = Api::namespaced(self.client.clone(), "todo");
        api.list(&ListParams::default()).await.unwrap().items.iter().filter(|e| e.reason.as_deref() == Some(reason)).count()
    }

    /// Takes back what a run changed, as its user would: a variable that a step set belongs to no manifest.
    async fn restore(&self) {
        let env = json!([{"name": "ERROR_RATIO", "$patch": "delete"}]);
        let containers = json!([{"name": "backend", "image": "todo/backend:v1", "env": env}]);
        let patch = json!({"spec": {"paused": false, "template": {"spec": {"containers": containers}}}});
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), "todo");
        api.patch("backend", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "todo");
        let back = async {
            loop {
                let found = pods.list(&ListParams::default()).await.unwrap().items;
                if found.len() == 2 && !serde_json::to_string(&found).unwrap().contains("ERROR_RATIO") {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(DEADLINE, back).await.expect("the version before is back alone");
    }

    pub(super) async fn stop(mut self) {
        self.proxy.abort();
        self.sandbox.take().unwrap().stop().await.unwrap();
    }
}

/// Hands a request on to the sandbox.
async fn forward(State((client, road)): State<(Client, Arc<Mutex<Road>>)>, request: Request) -> Response {
    let guard = request.uri().query().is_some_and(|q| q.contains("fieldManager=verifier-guard")) && request.method() == "PATCH";
    let resource = request.uri().path().split('/').nth(6).unwrap_or_default().to_owned();
    let meddle = if guard { road.lock().unwrap().meddles.pop_front() } else { None };
    match meddle {
        Some(Meddle::Refuse) => {
            let status = json!({"kind": "Status", "status": "Failure", "message": "not yours", "reason": "Forbidden", "code": 403});
            return Response::builder().status(403).body(Body::from(status.to_string())).unwrap();
        }
        Some(Meddle::KillTold) => {
            // On its own: who is killed may have given this request up before.
            let told = tokio::spawn(async move {
                told(&client).await;
                kill(&road);
            });
            told.await.unwrap();
            return Response::builder().status(502).body(Body::empty()).unwrap();
        }
        Some(Meddle::KillBefore) => {
            kill(&road);
            return Response::builder().status(502).body(Body::empty()).unwrap();
        }
        Some(Meddle::Pass | Meddle::KillAfter) | None => {}
    }
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(http::header::HOST);
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let request = http::Request::from_parts(parts, kube::client::Body::from(body));
    // What is on its way gets there, whatever becomes of who has sent it.
    let on = road.clone();
    let sent = tokio::spawn(async move {
        let answer = client.send(request).await;
        if guard && answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
            on.lock().unwrap().accepted.push(resource);
        }
        answer
    });
    let answer = match sent.await.unwrap() {
        Ok(answer) => answer,
        Err(error) => return Response::builder().status(502).body(Body::from(error.to_string())).unwrap(),
    };
    if matches!(meddle, Some(Meddle::KillAfter)) {
        kill(&road);
    }
    answer.map(Body::new)
}

/// Until a verification that goes on says that it is a breach.
async fn told(client: &Client) {
    let path = "/apis/verifier.dev/v1alpha1/namespaces/todo/rolloutverifications";
    let is_told = |one: &Value| one["status"]["verdict"] == "breach" && one["status"]["phase"] != "done";
    let look = async {
        loop {
            let list: Value = client.request(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap();
            if list["items"].as_array().unwrap().iter().any(is_told) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(DEADLINE, look).await.expect("a breach that is written down");
}

fn kill(road: &Mutex<Road>) {
    let pid = road.lock().unwrap().verifier.unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

/// Seconds from the first failed request to the effect, and from decision to acceptance.
#[track_caller]
pub(crate) fn times(summary: &Value) -> (f64, f64) {
    let action = &summary["action"];
    let of = |key: &str| action[key].as_f64().unwrap_or_else(|| panic!("no {key} in {action:#}"));
    let groups = summary["failures"]["groups"].as_array().unwrap();
    let first = groups.iter().filter(|g| g["measured"] == true).map(|g| g["first_s"].as_f64().unwrap()).fold(f64::MAX, f64::min);
    (of("effective_s") - first, of("accepted_s") - of("decided_s"))
}

/// The run was a breach that its guard stopped, as quickly as a busy machine lets it; and a replay says the same.
#[track_caller]
#[expect(clippy::print_stdout, reason = "how long it took is for people to read")]
fn stopped(cluster: &Cluster, guard: &str) -> Value {
    let recording = cluster.folder.path().join("run.jsonl").display().to_string();
    let ended = cluster.run(guard, &["--record", &recording]);
    let summary = ended.summary();
    let action = &summary["action"];
    assert_eq!((ended.code(), &action["outcome"], &action["verb"]), (1, &"effective".into(), &guard.into()), "{}", ended.stderr);
    let (to_effect, to_acceptance) = times(&summary);
    println!("{guard}: accepted {to_acceptance:.3} s after the decision, effective {to_effect:.3} s after the first bad answer");
    assert!(to_acceptance < 2.0 && to_effect < 20.0, "{action:#}");
    let again = block_in_place(|| verifier(&["replay", &recording, "-o", "json"]));
    assert_eq!((again.code(), again.stdout == ended.stdout), (1, true), "{}", again.stderr);
    summary
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_stops_a_bad_version_where_it_is() {
    let cluster = Cluster::start().await;
    let summary = stopped(&cluster, "pause");
    let now = cluster.deployment().await;
    assert_eq!(now.spec.as_ref().unwrap().paused, Some(true));
    assert_eq!(now.annotations()["verifier.dev/run"], summary["run"]["id"].as_str().unwrap());
    assert!(cluster.wanted().await.0 > 0, "old pods serve on");
    assert_eq!((cluster.accepted(), cluster.events("RolloutPaused").await), (vec!["deployments".to_owned()], 1));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_brings_the_old_version_back_and_leaves_the_template_as_it_was_applied() {
    let cluster = Cluster::start().await;
    stopped(&cluster, "hold");
    let now = cluster.deployment().await;
    assert_eq!((now.spec.as_ref().unwrap().paused, cluster.wanted().await), (Some(true), (2, 0)));
    assert!(serde_json::to_string(&now.spec).unwrap().contains("ERROR_RATIO"));
    assert_eq!((cluster.accepted(), cluster.events("RolloutHeld").await), (vec!["deployments".into(), "replicasets".into()], 1));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_brings_the_old_version_and_its_template_back() {
    let cluster = Cluster::start().await;
    stopped(&cluster, "undo");
    let now = cluster.deployment().await;
    assert_eq!((now.spec.as_ref().unwrap().paused.unwrap_or(false), cluster.wanted().await), (false, (2, 0)));
    assert!(!serde_json::to_string(&now.spec).unwrap().contains("ERROR_RATIO"));
    assert_eq!((cluster.accepted(), cluster.events("RolloutUndone").await), (vec!["deployments".to_owned()], 1));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_was_acted_on_is_not_acted_on_again_and_the_next_run_says_by_whom() {
    let cluster = Cluster::start().await;
    let first = stopped(&cluster, "pause");
    cluster.restore().await;
    let ended = cluster.run("undo", &[]);
    let summary = ended.summary();
    assert_eq!((ended.code(), &summary["action"]["outcome"]), (1, &"already_done".into()), "{}", ended.stderr);
    let said = format!("run {} paused revision", first["run"]["id"].as_str().unwrap());
    assert!(summary["action"]["what"].as_str().unwrap().contains(&said), "{:#}", summary["action"]);
    let notices = summary["notices"].as_array().unwrap();
    assert!(notices.iter().any(|n| n["text"].as_str().unwrap().starts_with(&said)), "{notices:#?}");
    assert_eq!(cluster.accepted().len(), 1);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breach_that_the_api_or_the_strategy_keeps_from_being_stopped_has_its_own_exit_code() {
    let cluster = Cluster::start().await;
    cluster.meddle([Meddle::Refuse]);
    let ended = cluster.run("hold", &[]);
    let summary = ended.summary();
    assert_eq!((ended.code(), &summary["action"]["outcome"]), (5, &"failed".into()), "{}", ended.stderr);
    assert!(summary["action"]["what"].as_str().unwrap().contains("not yours (403)"), "{:#}", summary["action"]);
    assert_eq!(cluster.accepted(), Vec::<String>::new());

    cluster.restore().await;
    let recreate = SCENARIO.replace("replicas: 2,", "replicas: 2, strategy: {type: Recreate, rollingUpdate: null},");
    let ended = cluster.run_of(&recreate, "hold", &[]);
    let summary = ended.summary();
    assert_eq!((ended.code(), &summary["action"]["outcome"]), (5, &"impossible".into()), "{}", ended.stderr);
    assert!(ended.stderr.contains("guard hold: with strategy Recreate"), "it is said before the change:\n{}", ended.stderr);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_that_is_killed_between_decision_and_result_leaves_one_action_at_most() {
    let cluster = Cluster::start().await;
    cluster.meddle([Meddle::KillBefore]);
    assert_eq!(cluster.run("undo", &[]).status.code(), None);
    assert_eq!(cluster.accepted(), Vec::<String>::new());

    cluster.restore().await;
    cluster.meddle([Meddle::KillAfter]);
    assert_eq!(cluster.run("hold", &[]).status.code(), None, "nothing had been done for the revision: it is acted on");
    assert_eq!(cluster.accepted(), ["deployments"], "half a hold");

    cluster.restore().await;
    let ended = cluster.run("hold", &[]);
    let summary = ended.summary();
    assert_eq!((ended.code(), &summary["action"]["outcome"]), (1, &"already_done".into()), "{}", ended.stderr);
    assert!(ended.stderr.contains("held revision"), "{}", ended.stderr);
    assert_eq!(cluster.accepted(), ["deployments"], "no second action");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_takes_an_action_back_is_named_and_not_fought() {
    let cluster = Cluster::start().await;
    let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), "todo");
    // It makes what it manages as it is in its source again, as soon as it sees a difference.
    let tool = tokio::spawn(async move {
        loop {
            let paused = api.get_opt("backend").await.ok().flatten().and_then(|d| d.spec?.paused) == Some(true);
            if paused {
                let wanted = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"paused": false}});
                let params = PatchParams::apply("gitops-tool").force();
                api.patch("backend", &params, &Patch::Apply(&wanted)).await.unwrap();
            }
            tokio::time::sleep(LOOK * 10).await;
        }
    });
    let ended = cluster.run("pause", &[]);
    tool.abort();
    let summary = ended.summary();
    let action = &summary["action"];
    assert_eq!(
        (ended.code(), &action["outcome"], &action["undone_by"]),
        (5, &"taken_back".into(), &"gitops-tool".into()),
        "{action:#}"
    );
    assert_eq!(cluster.accepted().len(), 1, "it is not paused again");
    cluster.stop().await;
}

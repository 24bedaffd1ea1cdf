//! `verifier gate` on a cluster of its own: what it says and ends with, for each way in which a rollout of somebody else's can end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::ListParams;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use verifier::cluster::act;
use verifier::cluster::connect::{Choice, Connection, configure, connect};

use super::{DEADLINE, Ended, LOOK, Program, verifier};

/// A cluster with the Todo backend: a sandbox in a process of its own, or one that is there.
pub(crate) struct Cluster {
    /// Killed with all of its cluster when this is dropped.
    _sandbox: Option<Program>,
    kubeconfig: PathBuf,
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) connection: Connection,
}

impl Cluster {
    /// Starts one and waits until the backend is complete.
    pub(crate) fn start() -> Self {
        let mut program = Program::start(&["sandbox", "-f", "k8s/todo/backend"]);
        program.wait_for("stdout", "ingress     http://127.");
        let ingress = program.said("stdout").split("http://").nth(1).unwrap().trim().to_owned();
        let cluster = Self::of(program);
        cluster.is_served_by(&ingress);
        cluster
    }

    /// Waits until the backend is complete and the ingress leads to it.
    pub(crate) fn is_served_by(&self, ingress: &str) {
        self.until("a complete backend", |d| is_complete(d, 4));
        // The ingress learns of it a little later.
        let start = Instant::now();
        let probe = ["probe", "http://todo.example/api/todos", "--once", "--connect-to", ingress];
        while verifier(&probe).code() != 0 {
            assert!(start.elapsed() < DEADLINE, "the ingress does not lead to the backend");
            std::thread::sleep(LOOK);
        }
    }

    /// One that has started.
    pub(crate) fn of(program: Program) -> Self {
        let kubeconfig = program.path("sandbox.kubeconfig");
        Self { _sandbox: Some(program), ..Self::at(kubeconfig) }
    }

    /// One that is there.
    pub(crate) fn at(kubeconfig: PathBuf) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let file = Some(kubeconfig.clone());
        let (config, name) = runtime.block_on(configure(&Choice::Kubeconfig { file, context: None })).unwrap();
        let connection = runtime.block_on(async { connect(config, name) }).unwrap();
        Self { _sandbox: None, kubeconfig, runtime, connection }
    }

    pub(crate) fn namespaces(&self) -> Vec<String> {
        let api: Api<Namespace> = Api::all(self.connection.reader.clone());
        let mut names: Vec<String> = self
            .runtime
            .block_on(api.list(&ListParams::default()))
            .unwrap()
            .items
            .into_iter()
            .filter_map(|n| n.metadata.name)
            .collect();
        names.sort();
        names
    }

    /// The kinds that the service keeps what it knows in.
    pub(crate) fn install_kinds(&self) {
        let manifests = verifier(&["manifests"]);
        assert_eq!(manifests.code(), 0, "{}", manifests.stderr);
        let kinds: Vec<Value> = manifests.stdout.split("\n---\n").map(|text| serde_saphyr::from_str(text).unwrap()).collect();
        self.apply(&kinds);
    }

    pub(crate) fn create_namespace(&self, name: &str) {
        self.apply(&[json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})]);
    }

    /// What the API answers to a read.
    pub(super) fn get(&self, path: &str) -> Value {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        self.runtime.block_on(self.connection.reader.request(request)).unwrap()
    }

    pub(super) fn client(&self) -> kube::Client {
        self.connection.reader.clone()
    }

    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    pub(crate) fn apply(&self, objects: &[Value]) {
        self.runtime.block_on(act::apply(&self.connection.writer, objects, "default")).unwrap();
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    pub(crate) fn deployment(&self) -> Deployment {
        let api: Api<Deployment> = Api::namespaced(self.connection.reader.clone(), "todo");
        self.runtime.block_on(api.get("backend")).unwrap()
    }

    pub(crate) fn until(&self, what: &str, is: impl Fn(&Deployment) -> bool) {
        let start = Instant::now();
        loop {
            let deployment = self.deployment();
            if is(&deployment) {
                return;
            }
            assert!(start.elapsed() < DEADLINE, "no {what}: {:#?}", deployment.status);
            std::thread::sleep(LOOK);
        }
    }

    pub(crate) fn patch(&self, patch: &Value) {
        self.runtime.block_on(act::patch_deployment(&self.connection.writer, "todo", "backend", patch)).unwrap();
    }

    /// Rolls out another version with these variables.
    pub(crate) fn roll(&self, image: &str, env: &[(&str, &str)]) {
        let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let container = json!({"name": "backend", "image": image, "env": env});
        self.patch(&json!({"spec": {"template": {"spec": {"containers": [container]}}}}));
    }

    /// Starts the gate of the backend.
    pub(crate) fn gate(&self, args: &[&str]) -> Program {
        self.gate_with(args, &[])
    }

    fn gate_with(&self, args: &[&str], env: &[(&str, &str)]) -> Program {
        let kubeconfig = self.kubeconfig().display().to_string();
        let usual = ["gate", "deploy/backend", "-n", "todo", "--kubeconfig", &kubeconfig, "--path", "/api/todos"];
        Program::start_with(&[&usual, args].concat(), |_, command| {
            command.env_remove("GITHUB_ACTIONS").envs(env.iter().copied());
        })
    }
}

pub(crate) fn is_complete(d: &Deployment, replicas: i32) -> bool {
    let status = d.status.clone().unwrap_or_default();
    let all = [status.replicas, status.updated_replicas, status.available_replicas];
    status.observed_generation >= d.metadata.generation && all == [Some(replicas); 3]
}

#[track_caller]
pub(crate) fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code(), code, "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is not said in:\n{}", ended.stderr);
    }
}

#[test]
fn a_version_that_cannot_come_up_is_named_with_its_cause_and_the_next_command_within_ten_seconds() {
    names_what_cannot_come_up(&Cluster::start());
}

/// A crash loop and an image that is not there, on a cluster with a healthy backend.
#[track_caller]
pub(crate) fn names_what_cannot_come_up(cluster: &Cluster) {
    cluster.roll("todo/backend:v2", &[("CRASH_AFTER", "500ms"), ("CRASH_CODE", "3")]);
    let ended = cluster.gate(&[]).end();
    says(&ended, 1, &["CrashLoopBackOff", "exited with code 3", "Next: kubectl logs -n todo backend-", " --previous", "V301"]);
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);

    cluster.roll("todo/backnd:v2", &[]);
    let ended = cluster.gate(&["-o", "json"]).end();
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
    says(&ended, 1, &["Next: kubectl describe pod -n todo backend-", "V302"]);
    let summary = ended.summary();
    assert_eq!(summary["verdict"]["reasons"][0]["code"], "stuck");
    assert!(summary["verdict"]["reasons"][0]["message"].as_str().unwrap().contains("todo/backnd:v2"), "{:#}", summary["verdict"]);
}

#[test]
fn a_healthy_rollout_of_ten_replicas_passes_and_leaves_its_reports() {
    let cluster = Cluster::start();
    let recording = passes_ten_replicas(&cluster);
    let kubeconfig = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let token = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("token: ")).expect("the sandbox's users have a token");
    assert!(!recording.contains(token.trim_matches('"')), "a recording holds no secret");
}

/// Ten replicas are rolled out under the gate's eyes, well; its recording.
#[track_caller]
pub(crate) fn passes_ten_replicas(cluster: &Cluster) -> String {
    cluster.patch(&json!({"spec": {"replicas": 10, "strategy": {"rollingUpdate": {"maxSurge": 5}}}}));
    cluster.until("ten replicas", |d| is_complete(d, 10));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let outs = format!("junit={},md={},json={},html={}", path("junit.xml"), path("run.md"), path("run.json"), path("run.html"));
    let (summary, outputs, record) = (path("summary"), path("outputs"), path("run.jsonl"));
    let env = [("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", &*summary), ("GITHUB_OUTPUT", &*outputs)];
    let args = ["--wait", "--baseline", "1s", "--soak", "3s", "--rate", "200", "--out", &outs, "--record", &record];
    let mut gate = cluster.gate_with(&args, &env);
    gate.wait_for("stderr", "waiting for a rollout");
    gate.until("a second of traffic", |g| g.said("stderr").contains("before the change").then_some(()));
    cluster.roll("todo/backend:v2", &[]);
    let ended = gate.end();
    says(&ended, 0, &["PASS", "rolling out"]);

    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let json: Value = serde_json::from_str(&read("run.json")).unwrap();
    assert_eq!((&json["verdict"]["verdict"], &json["traffic"]["measured"]["bad"]), (&json!("pass"), &json!(0)));
    assert_eq!(json["rollout"]["new"]["images"]["backend"], "todo/backend:v2");
    assert_eq!(json["rollout"]["old"]["images"]["backend"], "todo/backend:v1");
    assert!(
        read("junit.xml").contains("<testcase classname=\"verifier.gate\" name=\"availability &gt;= 99%\""),
        "{}",
        read("junit.xml")
    );
    assert!(read("run.md").starts_with("## PASS: "));
    assert!(read("summary").starts_with("## PASS: "), "the step's summary is the report");
    let run = json["run"]["id"].as_str().unwrap();
    assert_eq!(read("outputs"), format!("verdict=pass\navailability=1.000000\nfindings=\nrun-id={run}\n"));

    let replayed = verifier(&["replay", &record, "-o", "json"]);
    assert_eq!((replayed.code(), &replayed.stdout), (0, &read("run.json")), "{}", replayed.stderr);

    // Nothing is under way any more: what was rolled out is judged as it is.
    let ended = cluster.gate(&["--soak", "2s", "--rate", "400"]).end();
    says(&ended, 0, &["no rollout is under way: version ", "is measured for 2s"]);
    read("run.jsonl")
}

#[test]
fn a_version_with_errors_is_a_breach_whether_its_rollout_goes_on_or_is_over() {
    let cluster = Cluster::start();
    cluster.roll("todo/backend:v2", &[("ERROR_RATIO", "0.5")]);
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs").display().to_string();
    let env = [("GITHUB_ACTIONS", "true"), ("GITHUB_OUTPUT", &*outputs)];
    let ended = cluster.gate_with(&["--rate", "200"], &env).end();
    says(&ended, 1, &["BREACH", "V401", "::error title=BREACH deploy/backend::", "::error title=V401::"]);
    assert!(std::fs::read_to_string(outputs).unwrap().starts_with("verdict=breach\navailability=0."));
    cluster.until("the whole rollout", |d| is_complete(d, 4));
    let ended = cluster.gate(&["--rate", "200"]).end();
    says(&ended, 1, &["BREACH", "no rollout is under way"]);
}

#[test]
fn what_cannot_be_judged_has_its_own_exit_codes() {
    let cluster = Cluster::start();
    says(&cluster.gate(&["--wait", "--timeout", "2s"]).end(), 3, &["INCONCLUSIVE", "no rollout began"]);
    cluster.patch(&json!({"spec": {"paused": true}}));
    says(&cluster.gate(&[]).end(), 3, &["the Deployment is paused"]);
    cluster.patch(&json!({"spec": {"paused": false}}));

    let kubeconfig = cluster.kubeconfig().display().to_string();
    let missing = verifier(&["gate", "deploy/nothing", "-n", "todo", "--kubeconfig", &kubeconfig]);
    says(&missing, 4, &["could not read deployment todo/nothing", "not found"]);
    let guessed = verifier(&["gate", "deploy/backend", "-n", "todo", "--kubeconfig", &kubeconfig]);
    says(&guessed, 4, &["is answered with 404", "--path or --url"]);
    let nobody = verifier(&["gate", "deploy/backend", "-n", "todo", "--kubeconfig", &kubeconfig, "--url", "http://127.0.0.1:1/"]);
    says(&nobody, 4, &["http://127.0.0.1:1/ was asked, and the answer was refused"]);

    let mut superseded = cluster.gate(&["--wait"]);
    superseded.wait_for("stderr", "waiting for a rollout");
    cluster.roll("todo/backend:v2", &[]);
    superseded.wait_for("stderr", "rolling out");
    cluster.roll("todo/backend:v3", &[]);
    says(&superseded.end(), 6, &["SUPERSEDED", "another template"]);

    // The rollout that came in between is under way: this one follows it.
    let mut interrupted = cluster.gate(&["--wait"]);
    interrupted.wait_for("stderr", "rolling out");
    kill_process(interrupted.pid(), Signal::INT).unwrap();
    says(&interrupted.end(), 130, &["ABORTED"]);
}

#[test]
fn a_gate_never_starts_a_cluster_by_itself_and_is_a_plugin_of_kubectl() {
    says(&verifier(&["gate", "deploy/backend"]), 2, &["no cluster was named", "--context or --kubeconfig"]);
    says(&verifier(&["gate", "backend", "--kubeconfig", "x"]), 2, &["expected deploy/NAME"]);
    says(&verifier(&["gate", "deploy/backend", "--kubeconfig", "nowhere.yaml"]), 4, &["nowhere.yaml"]);
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-verify_rollout");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_verifier"), &plugin).unwrap();
    let said = std::process::Command::new(plugin).arg("deploy/backend").env_remove("KUBERNETES_SERVICE_HOST").output().unwrap();
    assert_eq!(said.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&said.stderr).contains("no cluster was named"));
}

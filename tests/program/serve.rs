//! `verifier serve` on a cluster: rollouts are judged, and bad ones held, without any command.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::gate::{Cluster, is_complete, says};
use super::{DEADLINE, LOOK, Program, verifier};

/// A rollout must be noticed within this time of the template's change.
const NOTICED: Duration = Duration::from_secs(2);

/// The service, and where it answers.
pub(super) struct Service {
    pub(super) program: Program,
    pub(super) address: String,
}

/// An answer: status, head and body.
pub(super) struct Said {
    pub(super) status: u16,
    head: String,
    body: String,
}

impl Service {
    pub(super) fn start(args: &[&str]) -> Self {
        Self::start_with(args, |_| {})
    }

    /// The same, after something was changed in the command.
    pub(super) fn start_with(args: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let args = [&["serve", "--listen", "127.0.0.1:0"], args].concat();
        let mut program = Program::start_with(&args, |_, command| prepare(command));
        program.wait_for("stdout", "metrics     http://127.");
        let address = program.said("stdout").split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        Self { program, address }
    }

    fn connect(&self, path: &str, host: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        stream
    }

    pub(super) fn ask(&self, path: &str, host: &str) -> Said {
        let mut text = String::new();
        self.connect(path, host).read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Said { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    #[track_caller]
    pub(super) fn get(&self, path: &str) -> String {
        let said = self.ask(path, &self.address);
        assert_eq!(said.status, 200, "{path}: {}", said.body);
        said.body
    }

    pub(super) fn items(&self, path: &str) -> Vec<Value> {
        let body: Value = serde_json::from_str(&self.get(path)).unwrap();
        body["items"].as_array().unwrap().clone()
    }

    /// Waits until `look` finds something.
    #[track_caller]
    pub(super) fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let seen = || (self.items("/api/v1/policies"), self.items("/api/v1/verifications"), self.program.said("stderr"));
            assert!(start.elapsed() < DEADLINE, "no {what}: {:#?}", seen());
            std::thread::sleep(LOOK);
        }
    }

    /// The only policy.
    pub(super) fn policy(&self) -> Option<Value> {
        self.items("/api/v1/policies").pop()
    }

    pub(super) fn until_probing(&self) {
        self.until("probing", |s| s.policy().filter(|p| p["run"].is_null() && p["probing"]["last"] == "ok"));
    }

    /// The verification number `n` in its end.
    pub(super) fn ended(&self, n: usize) -> Value {
        self.until("end of a verification", |s| s.items("/api/v1/verifications").get(n).filter(|v| v["ended"].is_string()).cloned())
    }

    /// A gauge without labels.
    pub(super) fn gauge(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    }

    /// The sum of a metric's series with this label.
    fn metric(&self, name: &str, label: &str) -> u64 {
        let text = self.get("/metrics");
        let of = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
        of.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

/// A Todo backend whose annotation asks for it, and the service beside it.
pub(super) fn annotated(policy: &Value) -> (Cluster, Service) {
    let cluster = Cluster::start();
    cluster.install_kinds();
    let service = Service::start(&["--kubeconfig", &cluster.kubeconfig().display().to_string()]);
    service.until("list of Deployments", |s| (s.ask("/readyz", "anybody").status == 200).then_some(()));
    assert!(service.policy().is_none(), "nobody has asked yet");
    cluster.patch(&json!({"metadata": {"annotations": {"verifier.dev/policy": policy.to_string()}}}));
    service.until_probing();
    (cluster, service)
}

/// The object of a verification.
pub(super) fn object(cluster: &Cluster, verification: &Value) -> Value {
    let name = verification["name"].as_str().unwrap();
    cluster.get(&format!("/apis/verifier.dev/v1alpha1/namespaces/todo/rolloutverifications/{name}"))
}

/// Waits until the object says how it ended.
fn verified(cluster: &Cluster, service: &Service, verification: &Value, status: &str) -> Value {
    service.until(&format!("Verified={status}"), |_| {
        let object = object(cluster, verification);
        let conditions = object["status"]["conditions"].as_array()?.clone();
        let verified = conditions.iter().find(|c| c["type"] == "Verified")?;
        (verified["status"] == status && object["status"]["phase"] == "done").then_some(object)
    })
}

pub(super) fn policy(guard: &str) -> Value {
    json!({"path": "/api/todos", "guard": guard, "soak": "3s", "probing": {"every": "1s"}, "lanes": {"fresh": {"rate": 60}, "kept": {"rate": 60}}})
}

#[test]
fn a_good_rollout_is_verified_and_a_bad_one_held_without_any_command() {
    let (cluster, service) = annotated(&policy("hold"));

    let start = Instant::now();
    cluster.roll("todo/backend:v2", &[]);
    service.until("rollout that is judged", |s| s.policy().filter(|p| p["run"]["judging"] == true));
    let noticed = start.elapsed();
    assert!(noticed < NOTICED, "noticed after {noticed:?}");
    let good = service.ended(0);
    assert_eq!((&good["verdict"], &good["errors"]), (&json!("pass"), &json!(0)), "{good:#}");
    let good = verified(&cluster, &service, &good, "True");
    assert_eq!(good["spec"]["targetRef"], json!({"kind": "Deployment", "name": "backend"}));
    assert_eq!(good["metadata"]["ownerReferences"][0]["uid"], json!(cluster.deployment().metadata.uid));

    service.until_probing();
    cluster.roll("todo/backend:v3", &[("ERROR_RATIO", "0.5")]);
    let bad = service.ended(1);
    assert_eq!((&bad["verdict"], &bad["action"]), (&json!("breach"), &json!("hold")), "{bad:#}");
    let bad = verified(&cluster, &service, &bad, "False");
    assert_eq!(cluster.deployment().spec.unwrap().paused, Some(true), "the Deployment is held");
    let events = cluster.get("/api/v1/namespaces/todo/events");
    let reasons: Vec<&str> = events["items"].as_array().unwrap().iter().filter_map(|e| e["reason"].as_str()).collect();
    for reason in ["RolloutVerified", "RolloutHeld", "RolloutBreached"] {
        assert!(reasons.contains(&reason), "{reason} is not among {reasons:?}");
    }

    // A held rollout is not judged again; its service is probed on.
    service.until_probing();
    assert_eq!(service.items("/api/v1/verifications").len(), 2);
    let of = |object: &Value, field: &str| object["status"][field].as_u64().unwrap();
    let (ok, all) = (
        service.metric("verifier_rollout_requests_total", "outcome=\"ok\""),
        service.metric("verifier_rollout_requests_total", "outcome=\""),
    );
    assert_eq!(ok, of(&good, "requests") + of(&bad, "requests") - of(&good, "errors") - of(&bad, "errors"), "to the request");
    assert_eq!(all, of(&good, "requests") + of(&bad, "requests") + of(&good, "excluded") + of(&bad, "excluded"), "to the request");
    assert!(of(&bad, "errors") > 0);
    for (label, n) in [("verdict=\"pass\"", 1), ("verdict=\"breach\"", 1), ("verdict=\"inconclusive\"", 0)] {
        assert_eq!(service.metric("verifier_verdicts_total", label), n, "{label}");
    }
    assert_eq!(service.metric("verifier_actions_total", "action=\"hold\""), 1);

    // Who repairs it and lets it go on is judged again.
    let container = json!({"name": "backend", "image": "todo/backend:v4", "env": [{"name": "ERROR_RATIO", "value": "0"}]});
    cluster.patch(&json!({"spec": {"paused": false, "template": {"spec": {"containers": [container]}}}}));
    assert_eq!(service.ended(2)["verdict"], "pass");
    kill_process(service.program.pid(), Signal::TERM).unwrap();
    let ended = service.program.end();
    assert_eq!(ended.code(), 143, "{}", ended.stderr);
}

#[test]
fn every_route_answers_and_nothing_is_asked_of_another_place() {
    let (cluster, service) = annotated(&policy("none"));
    for path in ["/", "/page.js", "/page.css"] {
        let said = service.ask(path, &service.address);
        assert_eq!(said.status, 200);
        assert!(said.head.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{}", said.head);
        assert!(!said.body.contains("http:") && !said.body.contains("https:"), "{path} names another place");
    }
    assert_eq!((service.get("/livez"), service.get("/readyz")), ("ok\n".into(), "ok\n".into()));
    assert_eq!(service.ask("/metrics", "another.example").status, 403, "a page from elsewhere is not answered");
    let metrics = service.get("/metrics");
    for name in ["verifier_build_info{", "verifier_probes_total{", "verifier_error_budget_left_ratio{", "verifier_api_calls_total{"]
    {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    cluster.roll("todo/backend:v2", &[]);
    let judging = service.until("rollout that is judged", |s| s.policy().filter(|p| p["run"]["judging"] == true));
    let run = judging["run"]["runId"].as_str().unwrap().to_owned();
    let report = service.ask(&format!("/api/v1/runs/{run}/report"), &service.address);
    assert_eq!(report.status, 200, "the report of a run that goes on");
    assert!(report.head.contains("refresh: 2") && report.body.contains("<svg"), "{}", report.head);
    assert_eq!(service.ask("/api/v1/runs/r-0/events", &service.address).status, 404);

    let mut stream = service.connect(&format!("/api/v1/runs/{run}/events"), &service.address);
    let mut said = String::new();
    let mut piece = [0; 4_096];
    while !(said.contains("\"event\":\"run_started\"") && said.contains("\"event\":\"slice\"")) {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "the stream ended with\n{said}");
        said.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    assert!(said.to_lowercase().contains("content-type: text/event-stream"), "{said}");
    service.ended(0);
    let report = service.ask(&format!("/api/v1/runs/{run}/report"), &service.address);
    assert!(report.status == 200 && !report.head.contains("refresh:"), "the report of one that is over: {}", report.head);
}

#[test]
#[cfg_attr(not(has_chromium), ignore = "chromium is not installed")]
fn the_page_shows_the_deployment_in_a_browser_and_asks_this_service_only() {
    let (_cluster, service) = annotated(&policy("none"));
    let url = format!("http://{}/", service.address);
    let seen = crate::page::served(&url);
    assert_eq!(seen.console, Vec::<String>::new(), "{}", seen.document);
    assert!(seen.document.contains("todo/backend") && seen.document.contains("error budget left: 100.0 %"), "{}", seen.document);
    assert!(seen.requests.iter().any(|r| r.ends_with("/api/v1/policies")), "{:?}", seen.requests);
    let elsewhere: Vec<&String> = seen.requests.iter().filter(|r| !r.starts_with(&url)).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
#[cfg_attr(not(has_promtool), ignore = "promtool is not installed")]
fn promtool_has_nothing_to_say_about_the_metrics() {
    let (_cluster, service) = annotated(&policy("none"));
    let mut command = Command::new("promtool");
    let mut promtool =
        command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(service.get("/metrics").as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && text.trim().is_empty(), "{text}");
}

#[test]
fn what_cannot_be_done_is_said_where_it_was_asked_for() {
    let (cluster, service) = annotated(&policy("none"));
    let idle = |reason: &'static str| {
        service.until(reason, |s| s.policy().filter(|p| p["reason"] == reason && p["run"].is_null()));
    };
    cluster.patch(&json!({"metadata": {"annotations": {"verifier.dev/policy": "guard: pray"}}}));
    idle("InvalidPolicy");
    cluster.patch(&json!({"metadata": {"annotations": {"verifier.dev/policy": policy("none").to_string()}}}));
    service.until_probing();
    cluster.patch(&json!({"spec": {"replicas": 0}}));
    idle("NoReplicas");
    cluster.patch(&json!({"metadata": {"annotations": {"verifier.dev/policy": null}}}));
    service.until("end of it", |s| s.policy().is_none().then_some(()));
    service.until("end of its series", |s| (!s.get("/metrics").contains("namespace=\"todo\"")).then_some(()));
}

#[test]
fn the_service_says_what_it_needs() {
    says(&verifier(&["serve"]), 2, &["no cluster was named", "--sandbox"]);
    says(&verifier(&["serve", "--sandbox", "--context", "x"]), 2, &["cannot be used with"]);
    says(&verifier(&["serve", "--listen", "nowhere"]), 2, &["--listen"]);
    says(&verifier(&["serve", "--sandbox", "--keep", "0"]), 2, &["a number from 1 to 100"]);
}

#[test]
fn a_spent_budget_freezes_rollouts_until_somebody_takes_it_upon_himself() {
    let frozen = json!({"path": "/api/todos", "soak": "2s", "probing": {"every": "1s"}, "freezeWhen": "budget < 50%",
        "lanes": {"fresh": {"rate": 30}}});
    let (cluster, service) = annotated(&frozen);
    let asked = |path: &str| {
        let mut policy = frozen.clone();
        policy["path"] = path.into();
        cluster.patch(&json!({"metadata": {"annotations": {"verifier.dev/policy": policy.to_string()}}}));
    };
    asked("/nowhere");
    service.until("spent budget", |s| s.policy().filter(|p| p["errorBudgetLeft"].as_f64().is_some_and(|left| left < 0.5)));
    asked("/api/todos");
    cluster.roll("todo/backend:v2", &[]);
    let stopped = service.ended(0);
    assert_eq!((&stopped["verdict"], &stopped["action"]), (&json!("breach"), &json!("pause")), "{stopped:#}");
    assert!(stopped["message"].as_str().unwrap().contains("rollouts are frozen"), "{stopped:#}");
    assert_eq!(cluster.deployment().spec.unwrap().paused, Some(true));
    let annotations = json!({"verifier.dev/ignore-budget": "true"});
    cluster.patch(&json!({"metadata": {"annotations": annotations}, "spec": {"paused": false}}));
    cluster.roll("todo/backend:v3", &[]);
    assert_eq!(service.ended(1)["verdict"], "pass", "{:#}", service.ended(1));
}

#[test]
fn between_rollouts_pods_of_the_version_that_is_there_are_let_in_by_their_gate() {
    let cluster = Cluster::start();
    let container = json!({"name": "backend", "image": "todo/backend:v2"});
    let gates = json!([{"conditionType": "verifier.dev/verified"}]);
    cluster.patch(&json!({"spec": {"template": {"spec": {"readinessGates": gates, "containers": [container]}}}}));
    let ended = cluster.gate(&["--soak", "1s"]).end();
    says(&ended, 0, &["its revision is verified"]);
    let annotations = json!({"verifier.dev/policy": policy("none").to_string()});
    cluster.patch(&json!({"metadata": {"annotations": annotations}, "spec": {"replicas": 6}}));
    let made = |d: &Deployment| {
        d.status.as_ref().is_some_and(|s| s.updated_replicas == Some(6) && s.observed_generation == d.metadata.generation)
    };
    cluster.until("two pods more", made);
    let service = Service::start(&["--kubeconfig", &cluster.kubeconfig().display().to_string()]);
    cluster.until("all of them available", |d| is_complete(d, 6));
    assert!(service.items("/api/v1/verifications").is_empty(), "no rollout was judged");
}

#[test]
fn a_service_that_begins_in_the_midst_of_a_rollout_goes_on_where_the_last_one_ended() {
    let (cluster, service) = annotated(&policy("none"));
    cluster.roll("todo/backend:v2", &[("START_DELAY", "4s")]);
    let begun =
        service.until("verification", |s| s.items("/api/v1/verifications").pop().filter(|v| v["requests"].as_u64() > Some(100)));
    service.until("its object", |_| object(&cluster, &begun)["status"]["requests"].as_u64().filter(|n| *n > 0));
    kill_process(service.program.pid(), Signal::KILL).unwrap();
    let service = Service::start(&["--kubeconfig", &cluster.kubeconfig().display().to_string()]);
    let ended = service.ended(0);
    assert_eq!((&ended["verdict"], &ended["name"]), (&json!("pass"), &begun["name"]), "{ended:#}");
    assert_eq!(ended["gap"]["times"], 1, "{ended:#}");
    assert!(ended["message"].as_str().unwrap().contains("nobody measured from"), "{ended:#}");
    let all = ended["requests"].as_u64().unwrap();
    assert!(all > ended["gap"]["requests"].as_u64().unwrap() + 100, "{ended:#}");
    assert_eq!(service.items("/api/v1/verifications").len(), 1, "it is one verification");
}

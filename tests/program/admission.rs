//! Admission: what a bad version costs when nobody is sent to it before it was asked, and what a good one waits for.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::findings::finding;
use super::gate::{Cluster, is_complete, says};
use super::scenarios::as_expected;
use super::{DEADLINE, LOOK, Program, turn, verifier};

const GATE: &str = "verifier.dev/verified";
/// A batch of pods of a good version waits no longer than this, in seconds.
const DELAY: f64 = 3.0;

/// Users asked ten thousand times and more since the change, and none of them met the version that was turned away.
#[track_caller]
#[expect(clippy::print_stdout, reason = "what it cost is for people to read")]
fn costs_nobody_anything(scenario: &str) {
    let _turn = turn();
    let summary = as_expected(scenario, 1, &["admission"]);
    let measured = &summary["traffic"]["measured"];
    let (asked, bad) = (measured["valid"].as_u64().unwrap(), measured["bad"].as_u64().unwrap());
    println!("{scenario}: {bad} of {asked} requests of users failed");
    assert!(bad == 0 && asked >= 10_000, "{measured:#}");
    let pods = summary["rollout"]["pods"].as_array().unwrap().iter();
    let (new, old): (Vec<&Value>, Vec<&Value>) = pods.partition(|p| p["side"] == "new");
    let finding = finding(&summary, "V403", "new");
    assert!(finding["title"].as_str().unwrap().ends_with("and none of a user's got to it"), "{finding:#}");
    assert!(!new.is_empty() && new.iter().all(|p| p["ready_s"].is_null()), "{new:#?}");
    assert!(old.len() == 2 && old.iter().all(|p| p["terminating_s"].is_null()), "the old pods serve on: {old:#?}");
}

#[test]
fn a_version_that_answers_with_errors_costs_nobody_a_request() {
    costs_nobody_anything("admission-bad-version");
}

#[test]
fn a_version_that_hangs_costs_nobody_a_request() {
    costs_nobody_anything("admission-hangs");
}

#[test]
fn a_version_that_lies_about_its_readiness_costs_nobody_a_request() {
    costs_nobody_anything("admission-liar");
}

/// How long each pod of the new version waited, in seconds, with why it was let in; in order.
#[track_caller]
fn waits(summary: &Value) -> Vec<(String, f64, f64)> {
    let new = &summary["rollout"]["new"]["revision"];
    let all = summary["admission"].as_array().unwrap().iter().filter(|a| a["revision"] == *new);
    let of = |a: &Value, key: &str| a[key].as_f64().unwrap_or_else(|| panic!("no {key} in {a:#}"));
    all.map(|a| (a["basis"].as_str().unwrap().to_owned(), of(a, "containers_ready_s"), of(a, "opened_s"))).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "what it cost is for people to read")]
fn a_good_version_waits_for_its_first_answers_and_not_for_more() {
    let _turn = turn();
    let summary = as_expected("admission-good", 0, &[]);
    let waits = waits(&summary);
    for (basis, from, opened) in &waits {
        println!("{basis}: let in {:.2} s after its containers were ready", opened - from);
    }
    assert_eq!(waits.iter().map(|w| &*w.0).collect::<Vec<_>>(), ["evidence", "verified"]);
    assert!(waits.iter().all(|(_, from, opened)| opened - from < DELAY), "{waits:?}");
    assert_eq!(summary["traffic"]["measured"]["bad"], 0);
    assert_eq!(summary["findings"], json!([]), "nobody was turned away");
}

#[test]
fn a_first_pod_serves_alone_until_its_time_is_over() {
    let _turn = turn();
    let summary = as_expected("admission-one-box", 0, &[]);
    let waits = waits(&summary);
    assert_eq!(waits.iter().map(|w| &*w.0).collect::<Vec<_>>(), ["one_box", "verified"]);
    assert!(waits[1].2 - waits[0].2 >= 5.0, "{waits:?}");
}

/// The pods that have the gate and whose containers are ready.
pub(crate) fn at_the_gate(cluster: &Cluster) -> Vec<Pod> {
    let api: Api<Pod> = Api::namespaced(cluster.client(), "todo");
    let pods = cluster.block_on(api.list(&ListParams::default())).unwrap().items;
    let gated = |p: &Pod| p.spec.as_ref().is_some_and(|s| s.readiness_gates.is_some());
    pods.into_iter().filter(|p| gated(p) && condition(p, "ContainersReady").is_some_and(|c| c.0 == "True")).collect()
}

/// Status and reason of a pod's condition.
fn condition(pod: &Pod, kind: &str) -> Option<(String, String)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == kind).map(|c| (c.status.clone(), c.reason.clone().unwrap_or_default()))
}

/// Names of the pods behind the Service that get requests.
pub(crate) fn serving(cluster: &Cluster) -> Vec<String> {
    let api: Api<EndpointSlice> = Api::namespaced(cluster.client(), "todo");
    let slices = cluster.block_on(api.list(&ListParams::default())).unwrap().items;
    let ready =
        slices.into_iter().flat_map(|s| s.endpoints).filter(|e| e.conditions.as_ref().is_some_and(|c| c.ready == Some(true)));
    ready.filter_map(|e| e.target_ref?.name).collect()
}

#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = std::time::Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) => assert!(start.elapsed() < DEADLINE, "no {what}: {last}"),
        }
        std::thread::sleep(LOOK);
    }
}

fn roll_gated(cluster: &Cluster, env: &Value) {
    let container = json!({"name": "backend", "image": "todo/backend:v2", "env": env});
    let spec = json!({"readinessGates": [{"conditionType": GATE}], "containers": [container]});
    cluster.patch(&json!({"spec": {"template": {"spec": spec}}}));
}

#[test]
fn with_nobody_there_no_new_pod_gets_requests_until_somebody_opens_its_gate_by_hand() {
    let cluster = Cluster::start();
    let old = serving(&cluster);
    assert_eq!(old.len(), 4);
    roll_gated(&cluster, &json!([]));
    let pod = eventually("new pod at the gate", || at_the_gate(&cluster).pop().ok_or_else(|| "none".to_owned()));
    assert_eq!(condition(&pod, "Ready"), Some(("False".into(), "ReadinessGatesNotReady".into())));
    assert_eq!(serving(&cluster), old, "the old pods serve on");
    assert_eq!(at_the_gate(&cluster).len(), 1, "the rollout stands still: no second pod comes");

    // What docs/admission.md says to type in an emergency.
    let api: Api<Pod> = Api::namespaced(cluster.client(), "todo");
    let patch = json!({"status": {"conditions": [{"type": GATE, "status": "True"}]}});
    cluster.block_on(api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch))).unwrap();
    eventually("endpoint of the opened pod", || {
        let now = serving(&cluster);
        if now.contains(&pod.name_any()) { Ok(()) } else { Err(format!("{now:?}")) }
    });
    eventually("next pod at the gate", || {
        let waiting = at_the_gate(&cluster).into_iter().filter(|p| condition(p, GATE).is_none()).count();
        if waiting == 1 { Ok(()) } else { Err(format!("{waiting} wait")) }
    });
}

#[test]
fn the_gate_command_lets_a_good_rollout_of_somebody_elses_through_and_keeps_a_bad_one_out() {
    let cluster = Cluster::start();
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("gate.jsonl").display().to_string();
    roll_gated(&cluster, &json!([]));
    eventually("new pod at the gate", || at_the_gate(&cluster).pop().ok_or_else(|| "none".to_owned()));
    let ended = cluster.gate(&["--soak", "1s", "-o", "json", "--record", &record]).end();
    says(&ended, 0, &["asked at its own address, all", "its revision is verified"]);
    cluster.until("the new version, complete", |d| is_complete(d, 4));
    let replayed = verifier(&["replay", &record, "-o", "json"]);
    assert_eq!((replayed.code(), replayed.stdout == ended.stdout), (0, true), "{}", replayed.stderr);

    let good = serving(&cluster);
    roll_gated(&cluster, &json!([{"name": "ERROR_RATIO", "value": "1"}]));
    eventually("bad pod at the gate", || {
        let waiting = at_the_gate(&cluster).into_iter().find(|p| condition(p, GATE).is_none());
        waiting.ok_or_else(|| "none".to_owned())
    });
    let ended = cluster.gate(&["-o", "json", "--record", &record]).end();
    says(&ended, 1, &["is not let in: pod backend-"]);
    assert_eq!(serving(&cluster), good, "no pod of it ever served");
    let replayed = verifier(&["replay", &record, "-o", "json"]);
    assert_eq!((replayed.code(), replayed.stdout == ended.stdout), (1, true), "{}", replayed.stderr);
}

/// Why each pod was let in, and by which run.
fn let_in(cluster: &Cluster) -> Vec<(String, String, String)> {
    let of = |pod: Pod| {
        let condition = pod.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == GATE)?;
        Some((pod.name_any(), condition.reason.clone()?, condition.message.clone()?))
    };
    at_the_gate(cluster).into_iter().filter_map(of).collect()
}

#[test]
fn a_verifier_that_is_killed_at_the_gate_leaves_the_rest_to_the_next_one_that_says_what_it_found() {
    let cluster = Cluster::start();
    roll_gated(&cluster, &json!([]));
    let mut first = cluster.gate(&[]);
    // It is writing about the second pod; whether that is heard is a matter of luck.
    first.wait_for("stderr", " is let in: its revision is verified");
    kill_process(first.pid(), Signal::KILL).unwrap();
    drop(first);

    let ended = cluster.gate(&["--soak", "1s", "-o", "json"]).end();
    says(&ended, 0, &["had been let in before: "]);
    cluster.until("the new version, complete", |d| is_complete(d, 4));
    let summary = ended.summary();
    let run = summary["run"]["id"].as_str().unwrap();
    let (ours, found): (Vec<_>, Vec<_>) = let_in(&cluster).into_iter().partition(|(_, _, message)| message.contains(run));
    assert!((1..=2).contains(&found.len()) && ours.len() + found.len() == 4, "{ours:?} {found:?}");
    assert_eq!(found.iter().filter(|(_, reason, _)| reason == "AnsweredWell").count(), 1, "{found:?}");
    for (pod, reason, _) in &found {
        assert!(ended.stderr.contains(&format!("{pod} ({reason})")), "{pod} was found:\n{}", ended.stderr);
    }
    let told = summary["admission"].as_array().unwrap();
    assert!(told.iter().all(|a| a["basis"] == "verified" && a["opened_s"].is_number()), "{told:#?}");
    let mut told: Vec<&str> = told.iter().filter_map(|a| a["pod"].as_str()).collect();
    let mut ours: Vec<&str> = ours.iter().map(|(pod, _, _)| pod.as_str()).collect();
    told.sort_unstable();
    ours.sort_unstable();
    assert_eq!(told, ours, "each is let in once");
}

#[test]
fn a_name_of_the_verifiers_own_lanes_is_refused() {
    let scenario =
        include_str!("../../scenarios/admission-good.yaml").replace("fresh:", "admission-x: {rate: 1, mode: fresh}\n    fresh:");
    let write = |folder: &std::path::Path, _: &mut std::process::Command| std::fs::write(folder.join("s.yaml"), scenario).unwrap();
    let ended = Program::start_with(&["run", "--scenario", "s.yaml"], write).end();
    says(&ended, 2, &["`admission-x`"]);
}

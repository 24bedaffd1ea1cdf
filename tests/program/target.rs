//! `verifier run` on a cluster that is there: `--target` changes one Deployment, and what a run has changed or deployed is put back.

use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use super::findings::finding;
use super::gate::{Cluster, is_complete, says};
use super::{Ended, Program, verifier};

fn image(cluster: &Cluster) -> String {
    let spec = cluster.deployment().spec.unwrap().template.spec.unwrap();
    spec.containers[0].image.clone().unwrap()
}

/// Runs on that cluster, to the end.
fn on(cluster: &Cluster, args: &[&str]) -> Ended {
    start(cluster, args).end()
}

/// Begins a run on that cluster.
fn start(cluster: &Cluster, args: &[&str]) -> Program {
    let kubeconfig = cluster.kubeconfig().display().to_string();
    // Several clusters share the machine: what cannot be sent would be inconclusive.
    let gentle = ["--set", "traffic.lanes.fresh.rate=100", "--set", "traffic.lanes.kept.rate=100"];
    Program::start(&[&["run", "--kubeconfig", &kubeconfig, "--yes"], &gentle[..], args].concat())
}

#[test]
fn a_scenarios_change_is_made_to_a_deployment_that_is_there_and_taken_back() {
    changes_and_restores(&Cluster::start());
}

/// With `--restore` and without, on a cluster with a healthy backend.
#[track_caller]
pub(crate) fn changes_and_restores(cluster: &Cluster) {
    let before = cluster.deployment().spec.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (record, json) = (folder.path().join("run.jsonl"), folder.path().join("run.json"));
    let out = format!("json={}", json.display());
    let record = record.display().to_string();
    let target = ["--scenario", "rolling-update", "--target", "deploy/backend", "-n", "todo", "--set", "soak=1s"];
    let ended = on(cluster, &[&target[..], &["--restore", "--record", &record, "--out", &out]].concat());
    says(
        &ended,
        0,
        &["gives the Deployment back the spec that it had", "Put back", "deployment todo/backend has the spec that it had"],
    );
    assert!(!ended.stderr.contains("apply Deployment"), "nothing of the scenario is deployed:\n{}", ended.stderr);
    assert_eq!(cluster.deployment().spec.unwrap(), before);
    cluster.until("the old version, complete", |d| is_complete(d, 4));
    let replayed = verifier(&["replay", &record, "-o", "json"]);
    assert_eq!((replayed.code(), replayed.stdout), (0, std::fs::read_to_string(json).unwrap()), "{}", replayed.stderr);

    // Without --restore the change stays.
    let ended = on(cluster, &target);
    says(&ended, 0, &["and leaves it so"]);
    assert_eq!(image(cluster), "todo/backend:v2");
}

#[test]
fn a_deployment_that_somebody_else_changed_meanwhile_is_left_alone() {
    let cluster = Cluster::start();
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let target = ["run", "--scenario", "rolling-update", "--target", "deploy/backend", "-n", "todo", "--kubeconfig", &kubeconfig];
    let mut run = Program::start(&[&target[..], &["--yes", "--restore", "--set", "soak=5s"]].concat());
    run.wait_for("stderr", "measuring after the rollout");
    cluster.roll("todo/backend:v3", &[]);
    let ended = run.end();
    let words = "deployment todo/backend was given another template by somebody else: it was left alone";
    assert!(ended.stderr.contains("NOT PUT BACK") && ended.stderr.contains(words), "{}", ended.stderr);
    assert_eq!(image(&cluster), "todo/backend:v3");
}

#[test]
fn a_change_of_somebody_elses_in_the_midst_of_a_rollout_is_the_finding_and_no_verdict() {
    let cluster = Cluster::start();
    // The version from before is no new revision, another version is one.
    for image in ["todo/backend:v1", "todo/backend:v3"] {
        is_superseded_by(&cluster, image);
        cluster.until("what somebody else wanted, complete", |d| is_complete(d, 4));
    }
}

/// A rollout under way is given this image by another client.
#[track_caller]
fn is_superseded_by(cluster: &Cluster, image: &str) {
    let mut run = start(cluster, &["--scenario", "rolling-update", "--target", "deploy/backend", "-n", "todo", "-o", "json"]);
    run.wait_for("stderr", "rolling out");
    let begun = |d: &Deployment| d.status.as_ref().unwrap().updated_replicas.is_some_and(|n| (1..4).contains(&n));
    cluster.until("a pod of the new version beside old ones", begun);
    cluster.roll(image, &[]);
    let ended = run.end();
    says(&ended, 6, &["SUPERSEDED", "V503"]);
    let summary = ended.summary();
    let (verdict, changed) = (&summary["verdict"], "somebody else changed the template while it was being measured");
    assert_eq!((&verdict["verdict"], &verdict["reasons"][0]["code"]), (&json!("superseded"), &json!("template")), "{verdict:#}");
    let found = finding(&summary, "V503", "none");
    assert_eq!(found["evidence"], json!([format!("{changed}: revision {} is wanted now", wanted(cluster))]), "{found:#}");
    assert!(["surging", "replacing"].contains(&found["phase"].as_str().unwrap()), "{found:#}");
    assert_eq!(summary["rollout"]["deployed_after_s"], Value::Null, "what somebody else wanted is not what was to be deployed");
}

/// The hash of the ReplicaSet that the Deployment wants.
fn wanted(cluster: &Cluster) -> String {
    const REVISION: &str = "deployment.kubernetes.io/revision";
    let revision = cluster.deployment().metadata.annotations.unwrap()[REVISION].clone();
    let sets = cluster.get("/apis/apps/v1/namespaces/todo/replicasets");
    let set = sets["items"].as_array().unwrap().iter().find(|set| set["metadata"]["annotations"][REVISION] == *revision);
    set.unwrap()["metadata"]["labels"]["pod-template-hash"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_run_deploys_on_a_cluster_is_removed_at_its_end_and_what_was_there_is_not() {
    let mut program = Program::start(&["sandbox"]);
    program.wait_for("stdout", "ingress     http://127.");
    let cluster = Cluster::of(program);
    cluster.create_namespace("other");
    let ended = on(&cluster, &["--scenario", "rolling-update", "--set", "soak=1s"]);
    says(&ended, 0, &["removes at the end what it has created", "removed deployment backend", "removed namespace todo"]);
    assert_eq!(cluster.namespaces(), ["default", "kube-node-lease", "kube-public", "kube-system", "other"]);
    let ended = on(&cluster, &["--scenario", "rolling-update", "--set", "soak=1s", "--keep"]);
    says(&ended, 0, &["and leaves it so"]);
    assert_eq!(image(&cluster), "todo/backend:v2");
    // It is all there now, so nothing of it is the next run's own.
    let ended = on(&cluster, &["--scenario", "bad-image"]);
    assert!(ended.code() == 1 && !ended.stderr.contains("removed "), "{}", ended.stderr);
    cluster.deployment();
}

#[test]
fn a_target_that_makes_no_sense_is_refused_before_anything_is_touched() {
    says(&verifier(&["run", "--scenario", "rolling-update", "--target", "deploy/b"]), 2, &["say --context or --kubeconfig"]);
    says(&verifier(&["run", "--scenario", "rolling-update", "--restore"]), 2, &["--target"]);
    let applies = "name: a\nabout: A.\ntarget: {deployment: d}\ntraffic: {lanes: {fresh: {rate: 1}}}\nwhen: [apply: [k8s/todo/quota]]\nthen: [availability >= 99%]\n";
    let write = |folder: &Path, _: &mut std::process::Command| std::fs::write(folder.join("a.yaml"), applies).unwrap();
    let args = ["run", "--scenario", "a.yaml", "--target", "deploy/b", "--kubeconfig", "x", "--yes"];
    says(&Program::start_with(&args, write).end(), 2, &["applies manifests of its own"]);
}

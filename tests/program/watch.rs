//! `verifier watch` and `verifier init` on a cluster that is there.

use rustix::process::{Signal, kill_process};

use super::gate::{Cluster, says};
use super::{Program, verifier};

#[test]
fn a_rollout_is_seen_as_a_tree_of_revisions_and_pods_until_a_signal() {
    let cluster = Cluster::start();
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let args = ["watch", "deploy/backend", "-n", "todo", "--kubeconfig", &kubeconfig, "--path", "/api/todos", "--rate", "100"];
    let mut watch = Program::start(&args);
    watch.wait_for("stderr", "4 wanted, 4 up to date, 4 ready, 4 available, complete");
    watch.wait_for("stderr", "25.");
    cluster.roll("todo/backend:v2", &[("ERROR_RATIO", "1")]);
    watch.wait_for("stderr", "#2 todo/backend:v2");
    watch.wait_for("stderr", " failed");
    kill_process(watch.pid(), Signal::INT).unwrap();
    let ended = watch.end();
    says(&ended, 130, &["├─ ", "└─ ", "#1 todo/backend:v1", "% of answers", "rolling out", "ABORTED"]);
}

#[test]
fn a_scenario_is_drafted_from_what_is_there_and_runs() {
    let cluster = Cluster::start();
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let draft = verifier(&["init", "deploy/backend", "-n", "todo", "--kubeconfig", &kubeconfig]);
    assert_eq!(draft.code(), 0, "{}", draft.stderr);
    assert!(draft.stdout.contains("path: \"/api\""), "{}", draft.stdout);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.yaml");
    std::fs::write(&file, draft.stdout.replace("\"/api\"", "/api/todos")).unwrap();
    let file = file.display().to_string();
    let args = ["run", "--scenario", &file, "--target", "deploy/backend", "-n", "todo", "--kubeconfig", &kubeconfig, "--yes"];
    says(&verifier(&args), 0, &["PASS", "and leaves it so"]);
    says(&verifier(&["init", "deploy/nothing", "--kubeconfig", &kubeconfig]), 4, &["could not read deployment default/nothing"]);
}

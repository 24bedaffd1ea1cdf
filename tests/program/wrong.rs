//! Wrong input is answered with what is wrong, where, and what was perhaps meant; never with a run.

use std::net::TcpListener;

use super::{Ended, Program, verifier};

/// Ended with this code, and said all of this.
#[track_caller]
fn says(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code(), code, "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is not said in:\n{}", ended.stderr);
    }
    assert!(ended.took.as_secs() < 20, "{:?}", ended.took);
}

/// Runs a scenario file with this text.
fn with_file(text: &str) -> Ended {
    let write = |folder: &std::path::Path, _: &mut std::process::Command| std::fs::write(folder.join("mine.yaml"), text).unwrap();
    Program::start_with(&["run", "--scenario", "mine.yaml"], write).end()
}

const SOUND: &str = "\
name: mine
about: A scenario.
target: {deployment: backend, namespace: todo}
given:
  apply: [k8s/todo/backend]
traffic:
  path: /api/todos
  lanes:
    fresh: {rate: 50}
when:
  - set: {image: \"todo/backend:v2\"}
then:
  - availability >= 99%
";

#[test]
fn an_unknown_scenario_is_answered_with_the_nearest_one_and_the_list() {
    let ended = verifier(&["run", "--scenario", "roling-update"]);
    says(&ended, 2, &["there is no scenario `roling-update`, did you mean `rolling-update`?", "bad-image, crash-loop"]);
}

#[test]
fn a_missing_file_is_named() {
    says(&verifier(&["run", "--scenario", "nowhere/mine.yaml"]), 2, &["nowhere/mine.yaml"]);
}

#[test]
fn a_misspelt_field_is_named_with_its_line_and_the_nearest_one() {
    let ended = with_file(&SOUND.replace("rate: 50", "rat: 50"));
    says(&ended, 2, &["mine.yaml:9", "rat", "`rate`"]);
}

#[test]
fn text_that_is_no_yaml_is_answered_with_its_line() {
    says(&with_file("name: mine\ntarget: {deployment: [\n"), 2, &["mine.yaml:"]);
}

#[test]
fn an_objective_that_makes_no_sense_is_quoted() {
    says(
        &with_file(&SOUND.replace("availability >= 99%", "availabilty >= 99%")),
        2,
        &["mine.yaml:13", "availabilty", "`availability`"],
    );
}

#[test]
fn a_field_set_on_the_command_line_is_checked_like_one_of_the_file() {
    let ended = verifier(&["run", "--scenario", "rolling-update", "--set", "traffic.lanes.fresh.rte=1"]);
    says(&ended, 2, &["--set", "rte", "`rate`"]);
}

#[test]
fn an_unknown_argument_is_answered_with_the_nearest_one() {
    says(&verifier(&["run", "--scenaro", "rolling-update"]), 2, &["--scenaro", "--scenario"]);
}

#[test]
fn a_kubeconfig_that_is_not_there_is_named() {
    let ended = verifier(&["run", "--scenario", "rolling-update", "--kubeconfig", "nowhere.yaml", "--yes"]);
    says(&ended, 4, &["nowhere.yaml"]);
}

#[test]
fn a_cluster_that_does_not_answer_is_unreachable() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: 'http://{gone}'}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    let write = |folder: &std::path::Path, _: &mut std::process::Command| std::fs::write(folder.join("config"), config).unwrap();
    let args = ["run", "--scenario", "rolling-update", "--kubeconfig", "config", "--yes"];
    says(&Program::start_with(&args, write).end(), 4, &["Connection refused"]);
}

#[test]
fn a_real_cluster_is_not_changed_without_being_agreed_to() {
    let config = "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n\
                  contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n";
    let write = |folder: &std::path::Path, _: &mut std::process::Command| std::fs::write(folder.join("config"), config).unwrap();
    let args = ["run", "--scenario", "rolling-update", "--kubeconfig", "config"];
    says(&Program::start_with(&args, write).end(), 2, &["this changes the cluster `c`", "apply Deployment backend", "--yes"]);
}

/// Replays or compares a file with this text.
fn with_recording(args: &[&str], text: &str) -> Ended {
    let write = |folder: &std::path::Path, _: &mut std::process::Command| std::fs::write(folder.join("x.jsonl"), text).unwrap();
    Program::start_with(args, write).end()
}

#[test]
fn a_file_that_is_no_recording_is_refused_for_what_is_wrong_with_it() {
    let replay = |text: &str| with_recording(&["replay", "x.jsonl"], text);
    says(&verifier(&["replay", "nowhere.jsonl"]), 2, &["nowhere.jsonl"]);
    says(&replay(""), 2, &["x.jsonl: it is empty"]);
    says(&replay("{\n}\n"), 2, &["x.jsonl: it is no recording"]);
    let newer = "{\"at\":0,\"event\":\"run_started\",\"of\":{\"format\":7,\"version\":\"9.0.0\"}}\n";
    says(&replay(newer), 2, &["a recording of format 7, written by verifier 9.0.0", "reads format 1"]);
    says(
        &with_recording(&["compare", "x.jsonl", "x.jsonl"], "{\n}\n"),
        2,
        &["x.jsonl: it is neither a recording", "nor a summary"],
    );
    says(&with_recording(&["replay", "x.jsonl", "--then", "availabilty >= 9%"], ""), 2, &["did you mean `availability`?"]);
}

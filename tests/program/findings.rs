//! Each bad twin yields its finding by code, with the right pods; and what the finding prescribes, laid over the twin's own manifests, makes
//! it pass without a finding.

use std::path::Path;

use serde_json::Value;

use super::scenarios::as_expected;
use super::{Ended, Program, verifier};
use verifier::domain::findings::CATALOGUE;
use verifier::domain::scenario::{Expectation, Scenario, parse};
use verifier::domain::verdict::VerdictKind;

/// Runs of a mended twin until one says something.
const RUNS: usize = 3;

/// The finding of a run, its pods all on this side of the change.
#[track_caller]
pub(crate) fn finding<'a>(summary: &'a Value, code: &str, side: &str) -> &'a Value {
    let findings = summary["findings"].as_array().unwrap();
    let finding = findings.iter().find(|f| f["code"] == code).unwrap_or_else(|| panic!("no {code} in {findings:#?}"));
    let pods = summary["rollout"]["pods"].as_array().unwrap();
    for pod in finding["pods"].as_array().unwrap() {
        let of_run = pods.iter().find(|p| p["pod"] == *pod).unwrap_or_else(|| panic!("{pod} is no pod of the run"));
        assert_eq!(of_run["side"], side, "{finding:#}");
    }
    assert!(side == "none" || !finding["pods"].as_array().unwrap().is_empty(), "{finding:#}");
    finding
}

/// A scenario of the repository.
pub(crate) fn scenario(name: &str) -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name).with_extension("yaml");
    parse(name, &std::fs::read_to_string(path).unwrap(), &[]).unwrap()
}

/// Runs the scenario with the finding's patch among its overlays.
#[track_caller]
fn with_patch(finding: &Value, name: &str, expect: &Expectation) -> Ended {
    let patch = finding["prescription"]["patch"].clone();
    assert!(patch.is_object(), "{finding:#}");
    let mut mended = scenario(name);
    mended.given.overlay.push(patch);
    mended.expect = Some(expect.clone());
    let text = serde_json::to_string(&mended).unwrap();
    let run = || {
        let write = |folder: &Path, _: &mut std::process::Command| std::fs::write(folder.join("mended.yaml"), &text).unwrap();
        Program::start_with(&["run", "--scenario", "mended.yaml", "-o", "json"], write).end()
    };
    says_something(run)
}

/// A run that says nothing proves nothing: another one is made, and the last one counts.
pub(crate) fn says_something(run: impl Fn() -> Ended) -> Ended {
    (1..RUNS).map(|_| run()).find(|ended| !says_nothing(ended)).unwrap_or_else(run)
}

/// The run of a twin yielded this finding, and what it prescribes makes the twin pass: the summary of that.
#[track_caller]
pub(super) fn cured(summary: &Value, name: &str, code: &str, side: &str) -> Value {
    let finding = finding(summary, code, side);
    let expect = Expectation { verdict: VerdictKind::Pass, because: Vec::new(), findings: Vec::new() };
    let ended = with_patch(finding, name, &expect);
    assert_eq!((ended.summary()["as_expected"].as_bool(), ended.code()), (Some(true), 0), "{finding:#}\n{}", ended.stderr);
    ended.summary()
}

/// Whether a machine too busy to send and see what was planned left a run without anything to say, for or against.
fn says_nothing(ended: &Ended) -> bool {
    let (summary, inconclusive) = (ended.summary(), ended.code() == 3);
    let reasons = summary["verdict"]["reasons"].as_array().unwrap();
    let at_fault = summary["findings"].as_array().unwrap().iter().any(|f| f["code"] == "V502");
    let doubtful = inconclusive && reasons.iter().all(|r| r["code"] == "validity");
    (doubtful || at_fault) && summary["traffic"]["measured"]["bad"] == 0
}

/// Runs a twin, and then the twin with what its finding prescribes.
#[track_caller]
fn twin(name: &str, because: &str, code: &str, side: &str) {
    cured(&as_expected(name, 1, &[because]), name, code, side);
}

#[test]
fn a_pre_stop_that_is_too_short_is_measured_and_the_measured_one_is_enough() {
    let summary = as_expected("short-prestop", 1, &["availability"]);
    let aside = &summary["traffic"]["aside"][0];
    assert_eq!((&aside["lane"], &summary["traffic"]["lanes"][1]["lane"]), (&"pods".into(), &"kept".into()));
    assert!(aside["baseline"]["good"].as_u64().unwrap() > 0, "each pod was asked: {aside:#}");
    let last = summary["propagation"]["slowest_last_request_ms"].as_f64().unwrap();
    assert!((1_000.0..6_000.0).contains(&last), "the ingress learns after two seconds: {last}");
    cured(&summary, "short-prestop", "V102", "old");
}

#[test]
fn requests_that_outlast_the_grace_period_are_finished_when_it_is_longer() {
    twin("short-grace", "availability", "V103", "old");
}

#[test]
fn connections_that_are_closed_as_users_come_back_are_told_from_pods_in_trouble() {
    finding(&as_expected("keep-alive-race", 1, &["availability"]), "V104", "new");
}

#[test]
fn readiness_that_flaps_is_forgiven_when_the_probe_is_patient() {
    twin("flapping-readiness", "availability", "V202", "new");
}

#[test]
fn a_liveness_probe_that_kills_busy_pods_lets_them_live_when_it_judges_slowly() {
    twin("liveness-kill", "availability", "V203", "new");
}

#[test]
fn a_slow_start_is_waited_for_by_a_startup_probe() {
    twin("slow-start", "stuck", "V204", "new");
}

#[test]
fn a_pod_that_no_node_takes_is_named() {
    finding(&as_expected("unschedulable", 1, &["stuck"]), "V303", "new");
}

#[test]
fn a_quota_that_holds_both_versions_lets_the_rollout_go_on() {
    twin("quota", "stuck", "V304", "none");
}

#[test]
fn a_version_that_needs_more_memory_starts_when_it_may_have_it() {
    twin("out-of-memory", "stuck", "V305", "new");
}

#[test]
fn a_service_that_was_sick_before_is_no_rollouts_fault() {
    finding(&as_expected("sick-before", 3, &["baseline"]), "V501", "none");
}

#[test]
fn the_only_pod_stays_until_the_next_one_is_available() {
    twin("single-replica", "availability", "V601", "old");
}

/// How many pods of the new version there were.
fn new_pods(summary: &Value) -> usize {
    summary["rollout"]["pods"].as_array().unwrap().iter().filter(|pod| pod["side"] == "new").count()
}

#[test]
fn what_pods_use_to_warm_up_is_no_load_to_an_autoscaler_that_waits() {
    let summary = as_expected("autoscaler-surge", 0, &[]);
    let inflated = finding(&summary, "V603", "none");
    assert_eq!(inflated["title"], "autoscaler inflated by the rollout: from 2 to 4 replicas under traffic that did not change");
    let evidence = inflated["evidence"][0].as_str().unwrap();
    assert!(
        evidence.starts_with("HorizontalPodAutoscaler by-cpu raised the target ") && evidence.ends_with(" after the change began")
    );
    assert_eq!((&inflated["phase"], &inflated["failures"], new_pods(&summary)), (&"settled".into(), &0.into(), 4));
    let mended = cured(&summary, "autoscaler-surge", "V603", "none");
    assert_eq!(new_pods(&mended), 2, "two are enough for the same traffic: {:#}", mended["rollout"]["pods"]);
}

#[test]
fn a_deadline_that_is_late_is_said_beside_what_it_hides_and_no_more_when_it_is_early() {
    let summary = as_expected("late-deadline", 1, &["stuck"]);
    let late = finding(&summary, "V604", "none");
    let expect = Expectation { verdict: VerdictKind::Breach, because: vec!["stuck".into()], findings: vec!["V302".into()] };
    let ended = with_patch(late, "late-deadline", &expect);
    let summary = ended.summary();
    assert_eq!(summary["as_expected"], true, "{}", ended.stderr);
    assert!(summary["findings"].as_array().unwrap().iter().all(|f| f["code"] != "V604"));
}

/// What a change can cost although its users get all that was promised them: more pods.
const COSTS: [&str; 1] = ["V603"];

#[test]
fn every_scenario_that_must_not_pass_names_a_finding_of_the_catalogue_and_others_name_costs_only() {
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")).unwrap() {
        let path = file.unwrap().path();
        let scenario = scenario(path.file_stem().unwrap().to_str().unwrap());
        let expect = scenario.expect.unwrap();
        let named = |code: &String| COSTS.contains(&code.as_str());
        let fits =
            if expect.verdict == VerdictKind::Pass { expect.findings.iter().all(named) } else { !expect.findings.is_empty() };
        assert!(fits, "{} must end in {} and with {:?}", scenario.name, expect.verdict, expect.findings);
        assert!(expect.findings.iter().all(|code| CATALOGUE.iter().any(|e| e.code == code)), "{}", scenario.name);
    }
}

#[test]
fn a_finding_is_explained_by_its_code_and_all_of_them_are_listed() {
    let page = verifier(&["explain", "v101"]);
    assert_eq!((page.code(), page.stdout.lines().next()), (0, Some("# V101 No drain on SIGTERM")));
    assert_eq!(verifier(&["explain"]).stdout.lines().count(), CATALOGUE.len());
    let unknown = verifier(&["explain", "V110"]);
    assert_eq!(unknown.code(), 2);
    assert!(unknown.stderr.contains("there is no finding `V110`"), "{}", unknown.stderr);
}

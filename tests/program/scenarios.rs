//! Each scenario on the embedded sandbox: the healthy ones pass without one failed request, and each bad twin is caught for its reason.

use serde_json::Value;

use super::findings::{cured, finding};
use super::{Ended, Program, turn, verifier};

pub(super) fn run(scenario: &str) -> (Ended, Value) {
    let ended = verifier(&["run", "--scenario", scenario, "-o", "json"]);
    let summary = ended.summary();
    (ended, summary)
}

/// Ran as its file says it must, with the exit code that goes with it.
#[track_caller]
pub(super) fn as_expected(scenario: &str, code: i32, because: &[&str]) -> Value {
    let (ended, summary) = run(scenario);
    assert_eq!((summary["as_expected"].as_bool(), ended.code()), (Some(true), code), "{}", ended.stderr);
    let reasons: Vec<&str> = summary["verdict"]["reasons"].as_array().unwrap().iter().filter_map(|r| r["code"].as_str()).collect();
    let given = |word: &str| reasons.iter().any(|code| *code == word || code.starts_with(&format!("{word}.")));
    assert!(because.iter().all(|word| given(word)), "{reasons:?} are the reasons\n{}", ended.stderr);
    summary
}

/// Both lanes were sent as planned, and nobody was let down.
#[track_caller]
fn without_loss(summary: &Value) {
    let measured = &summary["traffic"]["measured"];
    assert_eq!(measured["bad"], 0, "{measured:#}");
    for lane in summary["traffic"]["lanes"].as_array().unwrap() {
        let measured = &lane["measured"];
        assert_eq!(measured["due"], measured["valid"].as_u64().unwrap() + measured["excluded"].as_u64().unwrap());
        assert!(measured["achieved_per_s"].as_f64().unwrap() >= 200.0, "{lane:#}");
    }
}

/// How many failures of a kind the groups name, all lanes together.
fn failures(summary: &Value, outcome: &str) -> u64 {
    let groups = summary["failures"]["groups"].as_array().unwrap().iter();
    groups.filter(|g| g["outcome"] == outcome).map(|g| g["count"].as_u64().unwrap()).sum()
}

#[test]
fn a_rolling_update_done_well_passes_within_half_a_minute_without_one_failed_request() {
    let _turn = turn();
    let (ended, summary) = run("rolling-update");
    assert_eq!((summary["as_expected"].as_bool(), ended.code()), (Some(true), 0), "{}", ended.stderr);
    without_loss(&summary);
    assert!(ended.took.as_secs() < 30, "{:?}", ended.took);
    let (old, new) = (&summary["rollout"]["old"], &summary["rollout"]["new"]);
    assert_ne!(old, new);
    assert_eq!(summary["traffic"]["pods"].as_array().unwrap().len(), 8, "four old pods and four new ones answered");
}

#[test]
fn ten_thousand_users_keep_their_connections_through_a_rollout_within_a_minute_and_a_half() {
    let _turn = turn();
    let program = Program::start(&["run", "--scenario", "ten-thousand-users", "-o", "json"]);
    let (mut looks, mut open) = (0_u32, 0);
    let ended = program.watch(|program| {
        looks += 1;
        if looks.is_multiple_of(20) {
            // It may have just ended.
            let all = std::fs::read_dir(format!("/proc/{}/fd", program.pid().as_raw_nonzero())).map_or(0, Iterator::count);
            open = open.max(all);
        }
    });
    let summary = ended.summary();
    assert_eq!((summary["as_expected"].as_bool(), ended.code()), (Some(true), 0), "{}", ended.stderr);
    assert!(open >= 10_000, "{open} connections were open at once");
    let measured = &summary["traffic"]["measured"];
    assert!(measured["availability_ppm"].as_u64().unwrap() >= 990_000, "{measured:#}");
    assert!(measured["achieved_per_s"].as_f64().unwrap() >= 900.0, "{measured:#}");
    assert_eq!(summary["traffic"]["pods"].as_array().unwrap().len(), 8, "four old pods and four new ones answered");
    assert!(ended.took.as_secs() < 90, "{:?}", ended.took);
}

#[test]
fn a_rolling_update_done_well_is_without_loss_over_http2_too() {
    let _turn = turn();
    let protocol = ["--set", "traffic.lanes.fresh.protocol=http2", "--set", "traffic.lanes.kept.protocol=http2"];
    let ended = verifier(&[&["run", "--scenario", "rolling-update", "-o", "json"], &protocol[..]].concat());
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    without_loss(&ended.summary());
}

#[test]
fn scaling_up_and_down_passes_without_one_failed_request() {
    let _turn = turn();
    without_loss(&as_expected("scale-up-down", 0, &[]));
}

#[test]
fn a_version_with_errors_is_a_breach_though_kubernetes_calls_it_ready() {
    let summary = as_expected("error-burst", 1, &["availability"]);
    assert!(failures(&summary, "app_status") > 0);
    let revisions = summary["traffic"]["revisions"].as_array().unwrap();
    let bad: Vec<_> = revisions.iter().filter(|r| r["bad"] != 0).map(|r| r["side"].as_str().unwrap()).collect();
    assert_eq!(bad, ["new"], "all errors came from the new version");
    finding(&summary, "V401", "new");
}

#[test]
fn pods_that_end_without_a_drain_are_a_breach() {
    let summary = as_expected("abrupt-stop", 1, &["availability"]);
    assert!(failures(&summary, "response_timeout") + failures(&summary, "gateway_status") > 0);
    cured(&summary, "abrupt-stop", "V101", "old");
}

#[test]
fn pods_that_say_they_are_ready_and_are_not_are_a_breach() {
    let summary = as_expected("lying-readiness", 1, &["availability"]);
    assert!(failures(&summary, "app_status") > 0);
    cured(&summary, "lying-readiness", "V201", "new");
}

#[test]
fn a_version_that_is_slow_is_a_breach_of_the_latency_objective_alone() {
    let _turn = turn();
    let summary = as_expected("slow-new-version", 1, &["p99"]);
    assert_eq!(summary["traffic"]["measured"]["bad"], 0, "slow is not failed");
    finding(&summary, "V402", "new");
}

#[test]
fn an_image_that_does_not_exist_is_a_breach_long_before_the_progress_deadline() {
    let summary = as_expected("bad-image", 1, &["stuck"]);
    assert!(summary["verdict"]["reasons"][0]["message"].as_str().unwrap().contains("ImagePullBackOff"));
    finding(&summary, "V302", "new");
}

#[test]
fn a_version_that_crashes_is_a_breach_long_before_the_progress_deadline() {
    let summary = as_expected("crash-loop", 1, &["stuck"]);
    assert!(summary["verdict"]["reasons"][0]["message"].as_str().unwrap().contains("CrashLoopBackOff"));
    finding(&summary, "V301", "new");
}

#[test]
fn recreating_all_pods_at_once_is_an_outage() {
    let summary = as_expected("recreate", 1, &["longest_outage"]);
    cured(&summary, "recreate", "V602", "old");
    assert!(summary["traffic"]["measured"]["longest_outage"]["length_ms"].as_f64().unwrap() > 1000.0);
}

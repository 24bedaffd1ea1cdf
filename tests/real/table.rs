//! What a default rollout costs through a real ingress, with and without a preStop, and that what the findings prescribe makes it cost nothing.
//! The rows are printed as the table in `docs/real-cluster.md` has them: all of them with `VERIFIER_TEST_TABLE=all`, which `tests/cluster/table`
//! sets, and else the one that most people would take for enough.

use std::path::Path;

use serde_json::{Value, json};
use verifier::domain::scenario::{Scenario, parse};

use super::Real;
use crate::program::findings::says_something;

/// A pod template, what is found in its rollout, and what it adds to the scenario's manifests.
struct Row {
    what: &'static str,
    finding: Option<&'static str>,
    container: Value,
}

fn rows() -> [Row; 4] {
    let abrupt = json!([{"name": "DRAIN", "value": "abrupt"}]);
    let sleep = |seconds: u32| json!({"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}});
    [
        Row { what: "no preStop, the program drains on SIGTERM", finding: Some("V101"), container: json!({}) },
        Row { what: "no preStop, the program exits at once", finding: Some("V101"), container: json!({"env": abrupt}) },
        Row { what: "preStop: sleep 1 s", finding: Some("V102"), container: sleep(1) },
        Row { what: "preStop: sleep 3 s", finding: None, container: sleep(3) },
    ]
}

fn scenario() -> Scenario {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/default-rollout.yaml");
    parse("default-rollout", &std::fs::read_to_string(path).unwrap(), &[]).unwrap()
}

/// A run with these patches laid over the manifests; its summary.
#[track_caller]
fn run(patches: &[&Value], code: i32) -> Value {
    let real = Real::take();
    let mut scenario = scenario();
    scenario.given.overlay.extend(patches.iter().map(|patch| (*patch).clone()));
    let text = serde_json::to_string(&scenario).unwrap();
    let run = || {
        let ended = real.run_with(&["--scenario", "s.yaml"], |folder| std::fs::write(folder.join("s.yaml"), &text).unwrap());
        real.is_clean(&ended);
        ended
    };
    let ended = says_something(run);
    assert_eq!(ended.code(), code, "{}", ended.stderr);
    ended.summary()
}

fn failed(summary: &Value) -> (u64, u64) {
    let measured = &summary["traffic"]["measured"];
    (measured["bad"].as_u64().unwrap(), measured["valid"].as_u64().unwrap())
}

/// `37 gateway_status, 120 response_timeout`
fn how(summary: &Value) -> String {
    let mut kinds: Vec<(String, u64)> = Vec::new();
    for group in
        summary["failures"]["groups"].as_array().unwrap().iter().filter(|g| g["measured"] == true && g["blame"] == "target")
    {
        let (kind, count) = (group["outcome"].as_str().unwrap(), group["count"].as_u64().unwrap());
        match kinds.iter_mut().find(|(known, _)| known == kind) {
            Some((_, all)) => *all += count,
            None => kinds.push((kind.to_owned(), count)),
        }
    }
    kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

#[test]
#[ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG"]
#[expect(clippy::print_stdout, reason = "the table is for people to read")]
fn a_default_rollout_loses_requests_until_the_prescribed_pre_stop_is_there() {
    println!("| pod template | failed | of | how | found | after the prescription |");
    println!("|---|---|---|---|---|---|");
    let whole = std::env::var("VERIFIER_TEST_TABLE").is_ok_and(|rows| rows == "all");
    for row in rows().into_iter().filter(|row| whole || row.finding == Some("V102")) {
        let mut overlay = json!({"kind": "Deployment", "metadata": {"name": "backend"},
            "spec": {"template": {"spec": {"containers": [{"name": "backend"}]}}}});
        let container = overlay["spec"]["template"]["spec"]["containers"][0].as_object_mut().unwrap();
        container.extend(row.container.as_object().unwrap().clone());
        let summary = run(&[&overlay], i32::from(row.finding.is_some()));
        let (bad, all) = failed(&summary);
        let share = bad as f64 / all as f64;
        let Some(code) = row.finding else {
            println!("| {} | {bad} | {all} | | | |", row.what);
            assert_eq!(bad, 0, "{summary:#}");
            continue;
        };
        let findings = summary["findings"].as_array().unwrap();
        let finding = findings.iter().find(|f| f["code"] == code).unwrap_or_else(|| panic!("no {code} in {findings:#?}"));
        let patch = &finding["prescription"]["patch"];
        let (still, of) = failed(&run(&[&overlay, patch], 0));
        let sleep = &patch["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
        println!(
            "| {} | {bad} ({:.1} %) | {all} | {} | {code}: sleep {sleep} s | {still} of {of} failed |",
            row.what,
            share * 100.0,
            how(&summary)
        );
        assert!(share > 0.01 && finding["failures"].as_u64().unwrap() * 10 >= bad * 9, "{finding:#}");
        assert_eq!(still, 0);
    }
}

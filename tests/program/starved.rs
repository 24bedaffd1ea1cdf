//! Runs that are starved in the midst of their traffic, before a target that is well: they may not know, but they never blame it.

use std::process::Command;

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::Value;

use super::findings::finding;
use super::{Ended, Program, turn};
use crate::cpu_group::CpuGroup;

/// More kept connections than there are descriptors or ports.
const MANY: &str = "traffic.lanes.kept.connections=120";

/// How it ended, and how many slots ended in `outcome`.
#[track_caller]
fn blames_nobody(code: i32, summary: &Value, outcome: &str) -> u64 {
    assert!([0, 3].contains(&code), "exit code {code}: {:#}", summary["verdict"]);
    assert_ne!(summary["verdict"]["kind"], "breach");
    assert_eq!(summary["traffic"]["measured"]["bad"], 0, "{:#}", summary["failures"]);
    let groups = summary["failures"]["groups"].as_array().unwrap().iter();
    groups.filter(|group| group["outcome"] == outcome).map(|group| group["count"].as_u64().unwrap()).sum()
}

/// What could not be sent is told as a finding, with how much and why: V502.
#[track_caller]
fn is_our_own_fault(summary: &Value, outcome: &str) {
    let found = finding(summary, "V502", "none");
    let evidence = found["evidence"].as_array().unwrap();
    assert!(evidence.iter().any(|sentence| sentence.as_str().unwrap().contains(&format!(" {outcome}: "))), "{found:#}");
}

fn starve(more: &[&str], starve: impl FnOnce(&Program)) -> Ended {
    let mut program = Program::start(&[&["run", "--scenario", "rolling-update", "-o", "json"], more].concat());
    program.wait_for("stderr", "measuring before the change");
    starve(&program);
    program.end()
}

#[test]
#[cfg_attr(not(has_cpu_groups), ignore = "no control groups can be made here: it needs root, and a writable /sys/fs/cgroup")]
fn a_run_with_a_tenth_of_a_processor_blames_nobody() {
    let _turn = turn();
    let group = CpuGroup::tenth();
    let rate = ["--set", "traffic.lanes.fresh.rate=1500", "--set", "traffic.lanes.kept.rate=1500"];
    // Its sandbox has a process of its own and is not starved with it.
    let ended = starve(&rate, |program| group.enter(program.pid()));
    blames_nobody(ended.code(), &ended.summary(), "unseen");
    assert!(group.throttled() > 20, "it was starved in {} periods only", group.throttled());
}

#[test]
fn a_run_without_descriptors_blames_nobody() {
    let few = Rlimit { current: Some(64), maximum: Some(64) };
    let ended = starve(&["--set", MANY], |program| {
        prlimit(Some(program.pid()), Resource::Nofile, few).unwrap();
    });
    let summary = ended.summary();
    let missing = blames_nobody(ended.code(), &summary, "no_descriptor");
    is_our_own_fault(&summary, "no_descriptor");
    assert!(missing > 100, "{missing} found no descriptor\n{}", ended.stderr);
}

#[test]
#[cfg_attr(
    not(has_namespaces),
    ignore = "no network namespaces can be made here: it needs unshare and ip, and a system that allows it"
)]
fn a_run_without_ports_blames_nobody() {
    let script = r#"
        ip link set lo up && echo 40000 40099 >/proc/sys/net/ipv4/ip_local_port_range || exit 99
        exec timeout 120 "$0" run --scenario rolling-update -o json --set "$1""#;
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-rn", "sh", "-c", script, env!("CARGO_BIN_EXE_verifier"), MANY]).current_dir(&folder);
    let output = command.env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}\n{stderr}"));
    let missing = blames_nobody(output.status.code().unwrap(), &summary, "no_port");
    is_our_own_fault(&summary, "no_port");
    assert!(missing > 100, "{missing} found no port\n{stderr}");
}

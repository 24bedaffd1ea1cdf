//! However it ends, it ends at once and leaves no process behind.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{LOOK, Program, verifier};

/// All descendants of a process that are there now.
fn descendants(of: Pid) -> BTreeSet<i32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        // A process may be gone by now.
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut found = BTreeSet::from([of.as_raw_nonzero().get()]);
    loop {
        let more: Vec<i32> =
            parents.iter().filter(|(p, parent)| found.contains(parent) && !found.contains(p)).map(|(p, _)| *p).collect();
        if more.is_empty() {
            found.remove(&of.as_raw_nonzero().get());
            return found;
        }
        found.extend(more);
    }
}

/// Waits until none of these processes is there any more.
#[track_caller]
fn gone(pids: &BTreeSet<i32>, within: Duration) {
    let start = Instant::now();
    let there = |pid: &&i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "));
    loop {
        let left: Vec<_> = pids.iter().filter(there).collect();
        if left.is_empty() {
            return;
        }
        assert!(start.elapsed() < within, "{left:?} are left after {within:?}");
        std::thread::sleep(LOOK);
    }
}

/// A run in the midst of its traffic, and its processes: the sandbox, its keeper and four pods with a starter each at most.
fn under_way(args: &[&str]) -> (Program, BTreeSet<i32>) {
    let mut program = Program::start(args);
    program.wait_for("stderr", "measuring before the change");
    let pids = descendants(program.pid());
    assert!(pids.len() >= 6, "{pids:?} is no sandbox with a keeper and four pods");
    (program, pids)
}

#[test]
fn a_ctrl_c_ends_a_run_within_a_second_with_the_report_so_far() {
    let (program, pids) = under_way(&["run", "--scenario", "rolling-update"]);
    let sent = Instant::now();
    kill_process(program.pid(), Signal::INT).unwrap();
    let ended = program.end();
    let took = sent.elapsed();
    assert_eq!(ended.code(), 130, "{}", ended.stderr);
    assert!(took < Duration::from_secs(1), "{took:?}\n{}", ended.stderr);
    assert!(ended.stderr.contains("ABORTED") && ended.stderr.contains("ended by signal 2"), "{}", ended.stderr);
    gone(&pids, Duration::ZERO);
}

#[test]
fn a_sigterm_during_the_preparation_ends_it_too() {
    let mut program = Program::start(&["run", "--scenario", "rolling-update"]);
    program.wait_for("stderr", "preparing the target");
    kill_process(program.pid(), Signal::TERM).unwrap();
    let ended = program.end();
    assert_eq!(ended.code(), 143, "{}", ended.stderr);
}

#[test]
fn no_process_outlives_a_verifier_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("run.jsonl").display().to_string();
    let (program, pids) = under_way(&["run", "--scenario", "rolling-update", "--record", &recording]);
    let program = flushed(program, &recording);
    kill_process(program.pid(), Signal::KILL).unwrap();
    let ended = program.end();
    assert_eq!(ended.status.code(), None);
    gone(&pids, Duration::from_secs(2));
    what_was_recorded_is_judged_as_far_as_it_goes(&recording);
}

/// Waits until answers are in the file: the run flushes while events never pause.
fn flushed(mut program: Program, path: &str) -> Program {
    let answers = || std::fs::read_to_string(path).unwrap_or_default().matches(r#""counts":{"ok":"#).count();
    program.until("answers in the recording", |_| (answers() > 20).then_some(()));
    program
}

/// A recording without its end is replayed: inconclusive, with what it lacks and with its figures.
#[track_caller]
fn what_was_recorded_is_judged_as_far_as_it_goes(recording: &str) {
    let replayed = verifier(&["replay", recording, "-o", "json"]);
    let summary = replayed.summary();
    assert_eq!((replayed.code(), &summary["verdict"]["reasons"][0]["code"]), (3, &"interrupted".into()), "{}", replayed.stderr);
    assert!(replayed.stderr.contains("the end of the run are lacking"), "{}", replayed.stderr);
    assert!(summary["traffic"]["baseline"]["good"].as_u64().is_some_and(|good| good > 0), "{:#}", summary["traffic"]);
    let torn = std::fs::read(recording).unwrap();
    std::fs::write(recording, &torn[..torn.len() - 10]).unwrap();
    let replayed = verifier(&["replay", recording]);
    assert_eq!(replayed.code(), 3);
    assert!(replayed.stderr.contains("is torn, and was dropped"), "{}", replayed.stderr);
    assert!(replayed.stdout.starts_with("INCONCLUSIVE  the recording ends at t+"), "{}", replayed.stdout);
}

#[test]
fn a_sandbox_serves_until_it_is_told_to_stop_and_takes_its_kubeconfig_with_it() {
    let mut program = Program::start(&["sandbox"]);
    program.wait_for("stdout", "ingress     http://127.");
    assert!(program.started.elapsed() < Duration::from_secs(1), "it answered after {:?}", program.started.elapsed());
    assert!(program.path("sandbox.kubeconfig").exists());
    let pids = descendants(program.pid());
    kill_process(program.pid(), Signal::INT).unwrap();
    let file = program.path("sandbox.kubeconfig");
    let folder = program.folder.path().to_owned();
    let ended = program.watch(|_| {});
    assert_eq!(ended.code(), 130, "{}", ended.stderr);
    assert!(!folder.exists() || !file.exists());
    gone(&pids, Duration::ZERO);
}

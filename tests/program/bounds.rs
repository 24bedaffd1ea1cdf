//! What a run costs, and what it does when the disk is full.

use super::{Program, verifier};

/// What the verifier itself may use, in KiB.
const MEMORY: u64 = 64 * 1024;

/// The most memory a process has had so far, in KiB; nothing once it has ended.
fn peak(program: &Program) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid().as_raw_nonzero())).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn a_run_needs_less_than_64_mebibytes() {
    let mut most = 0;
    let program = Program::start(&["run", "--scenario", "rolling-update", "--record", "run.jsonl", "--set", "soak=1s"]);
    let ended = program.watch(|program| most = peak(program).unwrap_or(most));
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!((1..MEMORY).contains(&most), "{most} KiB");
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_run() {
    let ended = verifier(&["run", "--scenario", "bad-image", "--record", "/dev/full"]);
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("recording to /dev/full ended early"), "{}", ended.stderr);
}

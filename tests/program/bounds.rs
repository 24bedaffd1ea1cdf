//! What a run costs, and what it does when the disk is full.

use super::{Ended, Program, verifier};

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
    let folder = tempfile::tempdir().unwrap();
    let (recording, out) =
        (path(&folder, "run.jsonl"), format!("json={},html={}", path(&folder, "run.json"), path(&folder, "run.html")));
    let program = Program::start(&[
        "run",
        "--scenario",
        "rolling-update",
        "--record",
        &recording,
        "--set",
        "soak=1s",
        "--out",
        &out,
        "-o",
        "json",
    ]);
    let ended = program.watch(|program| most = peak(program).unwrap_or(most));
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!((1..MEMORY).contains(&most), "{most} KiB");
    let written = |name: &str| std::fs::read_to_string(path(&folder, name)).unwrap();
    replays(&recording, &ended, &written("run.json"));
    let again = verifier(&["replay", &recording, "--out", &format!("html={}", path(&folder, "again.html"))]);
    assert_eq!(again.code(), 0, "{}", again.stderr);
    assert!(written("again.html") == written("run.html"), "the page of the replay is not that of the run");
}

fn path(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// The recording of a run comes to the same bytes again, without the cluster; by other objectives to another verdict that says so.
#[track_caller]
fn replays(recording: &str, run: &Ended, file: &str) {
    let again = verifier(&["replay", recording, "-o", "json"]);
    assert_eq!((again.code(), again.stderr.as_str()), (0, ""));
    assert!(again.stdout == run.stdout && again.stdout == file, "the replay wrote\n{}\nand the run\n{}", again.stdout, run.stdout);
    let text = verifier(&["replay", recording]);
    let told = run.stderr.split_once("\n\n").unwrap().1.split("Summary ").next().unwrap();
    assert_eq!(text.stdout, told, "the text is the one that the run ended with, but for the files it wrote");
    let strict = verifier(&["replay", recording, "-o", "json", "--then", "deployed_within 1s", "--then", "p50 < 1us"]);
    let summary = strict.summary();
    assert_eq!(
        (strict.code(), &summary["verdict"]["verdict"], &summary["rejudged"]["verdict"]),
        (1, &"breach".into(), &"pass".into())
    );
    assert_eq!(summary["rejudged"]["recounted"][0], "1us", "{summary:#}");
    let compared = verifier(&["compare", recording, recording, "-o", "json"]);
    let comparison: serde_json::Value = serde_json::from_str(&compared.stdout).unwrap();
    assert_eq!((compared.code(), &comparison["warnings"][0]["code"]), (0, &"same_run".into()), "{}", compared.stderr);
    assert_eq!(comparison["differences"].as_array().map(Vec::len), Some(0), "{comparison:#}");
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_run() {
    let ended = verifier(&["run", "--scenario", "bad-image", "--record", "/dev/full"]);
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("recording to /dev/full ended early"), "{}", ended.stderr);
}

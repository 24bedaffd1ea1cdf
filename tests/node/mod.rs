//! The sandbox's node with real processes, addresses and time.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod keeper;
mod pods;

use std::path::PathBuf;
use std::time::Duration;

use verifier::sandbox::wire::keeper::Program;

/// Long enough for a machine under load; nothing waits for it unless something is wrong.
const DEADLINE: Duration = Duration::from_secs(20);

/// The program under test, as it would start itself.
fn program() -> Program {
    Program { path: PathBuf::from(env!("CARGO_BIN_EXE_verifier")), args: Vec::new() }
}

/// Looks again and again until `look` is content; panics with its last complaint when that takes too long.
async fn eventually<T>(mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut last = String::new();
    let waiting = async {
        loop {
            match look().await {
                Ok(found) => return found,
                Err(status) => last = status,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(DEADLINE, waiting).await;
    found.unwrap_or_else(|_| panic!("still not so after {DEADLINE:?}: {last}"))
}

/// The processes, zombies aside, whose environment holds this `NAME=value`, with their command lines.
fn processes_with(variable: &str) -> Vec<(i32, String)> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|e| e.unwrap().file_name().to_str()?.parse::<i32>().ok());
    let holds = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|v| v == variable.as_bytes())
    };
    pids.filter(holds).map(|pid| (pid, command_line(pid))).filter(|(_, line)| !line.is_empty()).collect()
}

/// Empty when there is no such process, or only its zombie.
fn command_line(pid: i32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned()
}

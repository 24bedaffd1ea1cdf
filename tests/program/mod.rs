//! The program as its users start it: scenarios to their verdicts, wrong input, signals, and what is left behind.

#![expect(clippy::disallowed_methods, reason = "these tests time the program from outside")]

pub(crate) mod admission;
mod bounds;
mod canary;
mod crowd;
mod ending;
pub(crate) mod findings;
pub(crate) mod gate;
pub(crate) mod guards;
mod kills;
mod leading;
mod lint;
mod outage;
mod roles;
pub(crate) mod scenarios;
mod scrape;
mod serve;
mod simulation;
mod starved;
pub(crate) mod target;
mod watch;
mod wrong;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than any run of these tests takes, even on a machine that is busy with something else.
pub(crate) const DEADLINE: Duration = Duration::from_secs(150);
/// Between two looks at a condition.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// Runs that load the machine most, or are judged by their latency, take turns. Held until it is dropped.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A started `verifier`, killed with all that belongs to it when the test ends early.
pub(crate) struct Program {
    child: Child,
    folder: tempfile::TempDir,
    started: Instant,
}

/// How it ended, and what it said.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Program {
    /// Starts it in an empty folder.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(args, |_, _| {})
    }

    /// The same, after something was prepared in the folder or changed in the command.
    pub(crate) fn start_with(args: &[&str], prepare: impl FnOnce(&Path, &mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = |name: &str| Stdio::from(File::create(folder.path().join(name)).unwrap());
        // Figures are taken with a release build, say; everything else with the one that goes with the tests.
        let binary = std::env::var_os("VERIFIER_TEST_PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_verifier").into());
        let mut command = Command::new(binary);
        command.args(args).current_dir(&folder).stdin(Stdio::null()).stdout(output("stdout")).stderr(output("stderr"));
        command.env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST").env("LANG", "C.UTF-8");
        prepare(folder.path(), &mut command);
        Self { started: Instant::now(), child: command.spawn().unwrap(), folder }
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn said(&self, name: &str) -> String {
        let mut text = String::new();
        File::open(self.path(name)).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Waits until it has written something to standard error or output.
    pub(crate) fn wait_for(&mut self, stream: &str, words: &str) {
        self.until(&format!("{words:?} on {stream}"), |program| program.said(stream).contains(words).then_some(()));
    }

    /// Waits until `look` finds something, while the program runs.
    pub(crate) fn until<T>(&mut self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            let late = self.started.elapsed() > DEADLINE;
            assert!(ended.is_none() && !late, "no {what}: {ended:?}\n{}", self.said("stderr"));
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for its end, looking at it now and then.
    fn watch(mut self, mut look: impl FnMut(&Self)) -> Ended {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let took = self.started.elapsed();
                return Ended { status, stdout: self.said("stdout"), stderr: self.said("stderr"), took };
            }
            assert!(self.started.elapsed() < DEADLINE, "it does not end:\n{}", self.said("stderr"));
            look(&self);
            std::thread::sleep(LOOK);
        }
    }

    pub(crate) fn end(self) -> Ended {
        self.watch(|_| {})
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It is gone already when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The exit code; a death by signal is none.
    #[track_caller]
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{}\n{}", self.status, self.stderr))
    }

    /// Standard output as a summary.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}\n{}\n{}", self.stdout, self.stderr))
    }
}

/// Runs to the end.
pub(crate) fn verifier(args: &[&str]) -> Ended {
    Program::start(args).end()
}

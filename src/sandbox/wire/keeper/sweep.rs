//! Killing processes that have gone astray: those a container leaves behind, and those a keeper does.

use rustix::process::{Pid, Signal, kill_process};

use super::protocol::ProcessId;
use crate::sandbox::wire::proc;

/// The environment variable by which a process, and whatever it starts, is known to belong to a container.
pub(super) const MARK: &str = "VERIFIER_SANDBOX";

/// The value of the mark.
pub(super) fn mark(token: &str, id: ProcessId) -> String {
    format!("{token}/{id}")
}

/// Kills what is left of a container whose main process was `main`: its process group and all that carry its mark. Returns how many
/// were found alive. All of them descend from this process, by now often directly. What has changed its group *and* its
/// environment is not found; it ends with the keeper.
pub(super) fn kill_container(token: &str, id: ProcessId, main: Pid) -> usize {
    let mark = format!("{MARK}={}", mark(token, id));
    let group = main.as_raw_pid();
    let ours = proc::descendants(rustix::process::getpid().as_raw_pid()).into_iter().filter_map(proc::process);
    kill(ours.filter(|p| p.group == group || proc::has_variable(p.pid, &mark)))
}

/// Kills what a dead keeper's containers have left: all that carry one of its marks or are in the process group of one of its main
/// processes. Returns how many were found alive.
pub(super) fn kill_left_behind(token: &str, groups: &[i32]) -> usize {
    let beginning = format!("{MARK}={token}/");
    let found = proc::processes().into_iter();
    kill(found.filter(|p| groups.contains(&p.group) || proc::has_variable_like(p.pid, &beginning)))
}

/// Kills all that descend from this process. Returns how many were found alive.
pub(super) fn kill_own_descendants() -> usize {
    kill(proc::descendants(rustix::process::getpid().as_raw_pid()).into_iter().filter_map(proc::process))
}

fn kill(processes: impl Iterator<Item = proc::Process>) -> usize {
    let mut alive = 0;
    for process in processes.filter(|p| !p.zombie) {
        alive += 1;
        if let Some(pid) = Pid::from_raw(process.pid) {
            // It may have ended by itself: that is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    alive
}

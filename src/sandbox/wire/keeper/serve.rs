//! The keeper's own program: one thread, which starts, signals and reaps, and kills everything when its node is gone.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitOptions, WaitStatus, kill_process, wait};

use super::child::{Child, Executed, OUTPUT_LIMIT};
use super::protocol::{Command, Ending, LINE_LIMIT, ProcessId, Report, Spawn, line};
use super::sweep;
use crate::sandbox::wire::proc;

/// How many ended processes keep their output; older ones lose it.
const ENDED_LIMIT: usize = 512;

/// From one look at what was killed to the next.
const ROUND: Duration = Duration::from_millis(2);

/// The hidden subcommand: `sandbox-keeper TOKEN`. Reads commands from standard input and writes reports to standard output; when
/// either ends, it kills all of its descendants and ends, with success if none was left.
pub fn keeper_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let token = arguments.into_iter().next().and_then(|t| t.into_string().ok());
    let Some(token) = token.filter(|t| !t.is_empty() && !t.contains('/')) else { return ExitCode::from(2) };
    let me = rustix::process::getpid();
    // All that our processes leave behind comes to us, so that nothing can get away by forking twice.
    if rustix::process::set_child_subreaper(Some(me)).is_err() {
        return ExitCode::FAILURE;
    }
    let _ = rustix::thread::set_name(c"verifier-keeper");
    let mut keeper =
        Keeper { token, children: BTreeMap::new(), pids: BTreeMap::new(), input: Vec::new(), buffer: vec![0; OUTPUT_LIMIT] };
    while keeper.turn().is_some() {}
    if kill_everything() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Keeper {
    token: String,
    children: BTreeMap<ProcessId, Child>,
    /// The running ones, by process number.
    pids: BTreeMap<i32, ProcessId>,
    input: Vec<u8>,
    buffer: Vec<u8>,
}

impl Keeper {
    /// Waits for something to happen and deals with it; nothing when it is time to end.
    fn turn(&mut self) -> Option<()> {
        let readable = self.wait_for_something()?;
        if readable {
            self.read_commands()?;
        }
        let ids: Vec<ProcessId> = self.pids.values().copied().collect();
        for id in ids {
            let Some(child) = self.children.get_mut(&id) else { continue };
            child.read_output(&mut self.buffer);
            let pid = child.pid.as_raw_pid();
            match child.executed() {
                Executed::NotYet => {}
                Executed::Yes => tell(&Report::Started { id, pid })?,
                Executed::No(error) => {
                    tell(&Report::Failed { id, error })?;
                    // Its end is nobody's business now.
                    self.pids.remove(&pid);
                    self.children.remove(&id);
                }
            }
        }
        self.reap()
    }

    /// `true` when there are commands to read.
    fn wait_for_something(&self) -> Option<bool> {
        let stdin = std::io::stdin();
        let running = || self.pids.values().filter_map(|id| self.children.get(id));
        let sources = std::iter::once(stdin.as_fd()).chain(running().flat_map(Child::sources));
        let mut fds: Vec<_> = sources.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        // Processes that came to us as orphans end without a sign: they are looked for now and then.
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        let timeout = (!self.pids.is_empty()).then_some(&second);
        match poll(&mut fds, timeout) {
            Ok(_) => Some(fds.first().is_some_and(|f| !f.revents().is_empty())),
            Err(rustix::io::Errno::INTR) => Some(false),
            Err(_) => None,
        }
    }

    fn read_commands(&mut self) -> Option<()> {
        let mut buffer = [0; 16 << 10];
        match rustix::io::read(std::io::stdin(), &mut buffer) {
            Ok(0) => return None,
            Ok(n) => self.input.extend(&buffer[..n]),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Some(()),
            Err(_) => return None,
        }
        if self.input.len() > LINE_LIMIT {
            return None;
        }
        while let Some(end) = self.input.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            self.obey(serde_json::from_slice(&line).ok()?)?;
        }
        Some(())
    }

    fn obey(&mut self, command: Command) -> Option<()> {
        match command {
            Command::Spawn { id, spawn } => self.spawn(id, &spawn),
            Command::Term { id } => {
                let Some(child) = self.running(id) else { return Some(()) };
                if !proc::catches_term(child.pid.as_raw_pid()) {
                    return tell(&Report::TermIgnored { id });
                }
                let _ = kill_process(child.pid, Signal::TERM);
                Some(())
            }
            Command::Kill { id } => {
                if let Some(child) = self.running(id) {
                    let _ = kill_process(child.pid, Signal::KILL);
                }
                Some(())
            }
            Command::Output { id, from, ask } => {
                let output = self.children.get_mut(&id).map(|child| {
                    child.read_output(&mut self.buffer);
                    child.output(from)
                });
                tell(&Report::Output { ask, output })
            }
            Command::Forget { id } => {
                if self.running(id).is_none() {
                    self.children.remove(&id);
                }
                Some(())
            }
        }
    }

    /// A process that has not been reaped, so that its number is still its own.
    fn running(&self, id: ProcessId) -> Option<&Child> {
        self.children.get(&id).filter(|c| c.ended.is_none())
    }

    fn spawn(&mut self, id: ProcessId, spawn: &Spawn) -> Option<()> {
        match Child::start(&self.token, id, spawn) {
            Ok(child) => {
                self.pids.insert(child.pid.as_raw_pid(), id);
                self.children.insert(id, child);
                Some(())
            }
            Err(error) => tell(&Report::Failed { id, error: format!("cannot start a process: {error}") }),
        }
    }

    /// Takes note of everything that has ended.
    fn reap(&mut self) -> Option<()> {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let Some(id) = self.pids.remove(&pid.as_raw_pid()) else { continue };
            let how = ending(status);
            for _ in 0..50 {
                if sweep::kill_container(&self.token, id, pid) == 0 {
                    break;
                }
                std::thread::sleep(ROUND);
            }
            if let Some(child) = self.children.get_mut(&id) {
                child.close_output(&mut self.buffer);
                child.end = None;
                child.ended = Some(how);
                match child.executed() {
                    Executed::Yes => tell(&Report::Started { id, pid: pid.as_raw_pid() })?,
                    Executed::No(error) => {
                        self.children.remove(&id);
                        tell(&Report::Failed { id, error })?;
                        continue;
                    }
                    Executed::NotYet => {}
                }
            }
            tell(&Report::Exited { id, how })?;
        }
        while self.children.len() - self.pids.len() > ENDED_LIMIT {
            let oldest = self.children.iter().find(|(_, c)| c.ended.is_some()).map(|(id, _)| *id)?;
            self.children.remove(&oldest);
        }
        Some(())
    }
}

fn ending(status: WaitStatus) -> Ending {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ending::Code(code),
        (None, signal) => Ending::Signal(signal.unwrap_or(9)),
    }
}

fn tell(report: &Report) -> Option<()> {
    let line = line(report).ok()?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line).ok()?;
    stdout.flush().ok()
}

/// Kills all descendants, and those that they start meanwhile, until the system says that there are none.
fn kill_everything() -> bool {
    // Ten seconds: what cannot be killed in that time hangs in the kernel.
    for _ in 0..5000 {
        let alive = sweep::kill_own_descendants();
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CHILD) if alive == 0 => return true,
                Ok(None) | Err(_) => break,
            }
        }
        std::thread::sleep(ROUND);
    }
    false
}

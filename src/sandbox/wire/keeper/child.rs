//! One process of the keeper's, from its start to the last of its output.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::protocol::{Ending, Output, ProcessId, Spawn};
use super::ring::Ring;
use super::{EXEC, sweep};

/// How much of its output is kept.
pub(super) const OUTPUT_LIMIT: usize = 64 << 10;

/// An error message of the shim is shorter than this.
const STATUS_LIMIT: usize = 4096;

/// A process, running or not.
pub(super) struct Child {
    pub(super) pid: Pid,
    /// Wakes us when the process ends.
    pub(super) end: Option<OwnedFd>,
    /// Open until the program is executed, or cannot be.
    pub(super) status: Option<OwnedFd>,
    error: Vec<u8>,
    pub(super) output: Option<OwnedFd>,
    ring: Ring,
    pub(super) ended: Option<Ending>,
}

/// What became of the attempt to execute the program.
pub(super) enum Executed {
    NotYet,
    Yes,
    No(String),
}

impl Child {
    /// Starts a process in its own process group, with both of its outputs in one pipe that is always read.
    pub(super) fn start(token: &str, id: ProcessId, spawn: &Spawn) -> std::io::Result<Self> {
        let (status, status_write) = pipe_with(PipeFlags::CLOEXEC)?;
        let (output, output_write) = pipe_with(PipeFlags::CLOEXEC)?;
        for fd in [&status, &output] {
            rustix::fs::fcntl_setfl(fd, OFlags::NONBLOCK)?;
        }
        // Still right when the file of the program has been replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        command.arg(EXEC).arg(rustix::process::getpid().as_raw_pid().to_string()).args(&spawn.argv);
        command.env_clear().envs(&spawn.env).env(sweep::MARK, sweep::mark(token, id)).process_group(0);
        if let Some(directory) = &spawn.directory {
            command.current_dir(directory);
        }
        command.stdin(status_write).stdout(output_write.try_clone()?).stderr(Stdio::from(output_write));
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        Ok(Self {
            pid,
            end: Some(pidfd_open(pid, PidfdFlags::empty())?),
            status: Some(status),
            error: Vec::new(),
            output: Some(output),
            ring: Ring::new(OUTPUT_LIMIT),
            ended: None,
        })
    }

    /// What to wait for.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.status, &self.output, &self.end].into_iter().flatten().map(AsFd::as_fd)
    }

    /// Looks whether the program was executed.
    pub(super) fn executed(&mut self) -> Executed {
        let Some(status) = &self.status else { return Executed::NotYet };
        let mut buffer = [0; STATUS_LIMIT];
        loop {
            match rustix::io::read(status, &mut buffer) {
                Ok(0) => break,
                Ok(n) if self.error.len() < STATUS_LIMIT => self.error.extend(&buffer[..n]),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Executed::NotYet,
                Err(_) => break,
            }
        }
        self.status = None;
        if self.error.is_empty() { Executed::Yes } else { Executed::No(String::from_utf8_lossy(&self.error).into_owned()) }
    }

    /// Reads some of what it has written; `false` when there is no more for now.
    pub(super) fn read_output(&mut self, buffer: &mut [u8]) -> bool {
        let Some(output) = &self.output else { return false };
        match rustix::io::read(output, &mut *buffer) {
            Ok(n) if n > 0 => {
                self.ring.push(&buffer[..n]);
                true
            }
            Err(rustix::io::Errno::INTR) => true,
            Err(rustix::io::Errno::AGAIN) => false,
            Ok(_) | Err(_) => {
                self.output = None;
                false
            }
        }
    }

    /// What it has written, from a position on.
    pub(super) fn output(&self, from: u64) -> Output {
        let (bytes, next) = self.ring.since(from);
        Output { text: String::from_utf8_lossy(&bytes).into_owned(), next }
    }

    /// Takes what is left in the pipe; then it is closed, whoever else may hold it.
    pub(super) fn close_output(&mut self, buffer: &mut [u8]) {
        // More than a pipe can hold, and still an end if somebody goes on writing.
        for _ in 0..64 {
            if !self.read_output(buffer) {
                break;
            }
        }
        self.output = None;
    }
}

//! The node's side of the keeper: starts it, talks to it, and notices when it is gone.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::protocol::{Command, Ending, LINE_LIMIT, Output, ProcessId, Report, Spawn, line};
use super::{KEEPER, sweep};

/// Commands that wait for the keeper to read them.
const COMMANDS: usize = 4096;

/// How long a keeper may take to kill everything and end.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// How long the answer to a question for output may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How to start the keeper: the program, and what stands before the hidden subcommand's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// Its first arguments.
    pub args: Vec<String>,
}

impl Program {
    /// The running program itself, even when its file has been replaced since.
    pub fn this() -> Self {
        Self { path: PathBuf::from("/proc/self/exe"), args: Vec::new() }
    }

    /// The command line of one of its subcommands, for a process that is started by somebody else: `/proc/self` would be another there.
    pub fn line(&self, subcommand: &str) -> std::io::Result<Vec<String>> {
        let path = std::fs::canonicalize(&self.path)?;
        let words = std::iter::once(path.display().to_string()).chain(self.args.iter().cloned());
        Ok(words.chain([subcommand.to_owned()]).collect())
    }
}

/// What can go wrong with a keeper as such.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// It did not start.
    #[error("starting the process keeper {path}")]
    Start {
        /// The program that was to be started.
        path: PathBuf,
        /// Why it was not.
        #[source]
        source: std::io::Error,
    },
    /// It did not end in time and was killed.
    #[error("the process keeper did not end within {} s", STOP_LIMIT.as_secs())]
    Stuck,
    /// It ended, but could not kill all of its processes.
    #[error("the process keeper ended with {0:?}, and may have left processes behind")]
    Failed(Option<Ending>),
}

/// A running keeper. Dropping it closes the pipe, and so ends the keeper and all of its processes, too; `stop` waits for that.
#[derive(Debug)]
pub struct Keeper {
    commands: mpsc::Sender<Command>,
    processes: Processes,
    ended: oneshot::Receiver<Option<Ending>>,
    pid: Option<u32>,
    tasks: JoinSet<()>,
}

/// Talks to a keeper; may be kept longer than it.
#[derive(Clone, Debug)]
pub struct Processes {
    commands: mpsc::WeakSender<Command>,
    asks: Arc<Asks>,
}

#[derive(Debug, Default)]
struct Asks {
    /// Nobody will answer any more.
    over: AtomicBool,
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, oneshot::Sender<Option<Output>>>>,
}

impl Asks {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Option<Output>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keeper is gone, or no longer listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the process keeper does not listen")]
pub struct Gone;

impl Keeper {
    /// Starts a keeper. What it reports goes to `reports`; [`Report::KeeperEnded`] is the last.
    ///
    /// Must be called within a Tokio runtime.
    pub fn start(program: &Program, reports: mpsc::Sender<Report>) -> Result<Self, KeeperError> {
        let token = token();
        let mut command = tokio::process::Command::new(&program.path);
        command.args(&program.args).arg(KEEPER).arg(&token);
        // Its own group, so that a Ctrl-C in the terminal ends the node and not the processes under it.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let failed = |source| KeeperError::Start { path: program.path.clone(), source };
        let mut child = command.spawn().map_err(failed)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(std::io::Error::other("no pipes")));
        };
        let pid = child.id();
        let (commands, queue) = mpsc::channel(COMMANDS);
        let processes = Processes { commands: commands.downgrade(), asks: Arc::default() };
        let (end, ended) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(write(stdin, queue));
        tasks.spawn(read(stdout, child, Ears { reports, asks: processes.asks.clone(), token, end }));
        Ok(Self { commands, processes, ended, pid, tasks })
    }

    /// Its own process number.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// To talk to it.
    pub fn processes(&self) -> &Processes {
        &self.processes
    }

    /// Has it kill everything, and waits until that is done.
    pub async fn stop(self) -> Result<(), KeeperError> {
        let Self { commands, ended, mut tasks, .. } = self;
        // The last sender: the queue ends, and with it the pipe.
        drop(commands);
        let ended = tokio::time::timeout(STOP_LIMIT, ended).await;
        tasks.shutdown().await;
        match ended.map_err(|_| KeeperError::Stuck)?.ok().flatten() {
            Some(Ending::Code(0)) => Ok(()),
            how => Err(KeeperError::Failed(how)),
        }
    }
}

impl Processes {
    /// Starts a process. Answered by [`Report::Started`] or [`Report::Failed`].
    pub fn spawn(&self, id: ProcessId, spawn: Spawn) -> Result<(), Gone> {
        self.send(Command::Spawn { id, spawn })
    }

    /// Sends SIGTERM to the process, if it has a handler for it.
    pub fn term(&self, id: ProcessId) -> Result<(), Gone> {
        self.send(Command::Term { id })
    }

    /// Kills the process and all that came from it.
    pub fn kill(&self, id: ProcessId) -> Result<(), Gone> {
        self.send(Command::Kill { id })
    }

    /// Lets go of what an ended process has written.
    pub fn forget(&self, id: ProcessId) -> Result<(), Gone> {
        self.send(Command::Forget { id })
    }

    /// What a process, running or ended, has written from position `from` on: the last 64 KiB of it at most.
    pub async fn output(&self, id: ProcessId, from: u64) -> Option<Output> {
        let ask = self.asks.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.asks.open().insert(ask, answer);
        let asked = self.send(Command::Output { id, from, ask });
        let output = match asked {
            Ok(()) => tokio::time::timeout(ANSWER_LIMIT, answered).await.ok()?.ok()?,
            Err(Gone) => None,
        };
        self.asks.open().remove(&ask);
        output
    }

    /// Never waits: a keeper that leaves so many commands unread is as good as gone.
    fn send(&self, command: Command) -> Result<(), Gone> {
        if self.asks.over.load(Ordering::Acquire) {
            return Err(Gone);
        }
        self.commands.upgrade().ok_or(Gone)?.try_send(command).map_err(|_| Gone)
    }
}

async fn write(mut stdin: ChildStdin, mut queue: mpsc::Receiver<Command>) {
    while let Some(command) = queue.recv().await {
        let Ok(line) = line(&command) else { continue };
        // A broken pipe is noticed by the reader.
        if stdin.write_all(&line).await.is_err() {
            break;
        }
    }
}

struct Ears {
    reports: mpsc::Sender<Report>,
    asks: Arc<Asks>,
    token: String,
    end: oneshot::Sender<Option<Ending>>,
}

async fn read(stdout: ChildStdout, mut child: Child, ears: Ears) {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    let mut groups = BTreeMap::new();
    loop {
        line.clear();
        let limit = u64::try_from(LINE_LIMIT).unwrap_or(u64::MAX);
        match (&mut stdout).take(limit).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        match serde_json::from_slice(&line) {
            Ok(Report::Output { ask, output }) => {
                if let Some(waiting) = ears.asks.open().remove(&ask) {
                    let _ = waiting.send(output);
                }
            }
            Ok(report) => {
                match report {
                    Report::Started { id, pid } => drop(groups.insert(id, pid)),
                    Report::Exited { id, .. } => drop(groups.remove(&id)),
                    _ => {}
                }
                if ears.reports.send(report).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the process keeper says what nobody understands");
                break;
            }
        }
    }
    // Not heard any more, it shall not go on either.
    drop(stdout);
    let how = child.wait().await.ok().map(|status| match status.code() {
        Some(code) => Ending::Code(code),
        None => Ending::Signal(status.signal().unwrap_or(9)),
    });
    if how != Some(Ending::Code(0)) {
        let token = ears.token;
        let groups: Vec<i32> = groups.into_values().collect();
        let left = tokio::task::spawn_blocking(move || kill_left_behind(&token, &groups)).await;
        tracing::warn!(?how, killed = left.unwrap_or(0), "the process keeper ended; what it had left behind was killed");
    }
    ears.asks.over.store(true, Ordering::Release);
    ears.asks.open().clear();
    let _ = ears.end.send(how);
    let _ = ears.reports.send(Report::KeeperEnded { how }).await;
}

/// Kills what a dead keeper has left, until there is nothing; the number of those killed.
fn kill_left_behind(token: &str, groups: &[i32]) -> usize {
    let mut killed = 0;
    for _ in 0..50 {
        match sweep::kill_left_behind(token, groups) {
            0 => break,
            alive => killed += alive,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    killed
}

/// A name no other keeper alive has: its processes are found by it.
fn token() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let booted = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{}.{:09}-{count}", std::process::id(), booted.tv_sec, booted.tv_nsec)
}

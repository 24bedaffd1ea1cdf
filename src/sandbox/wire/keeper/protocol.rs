//! What the node and the keeper say to each other: one JSON value a line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// No line is longer than this.
pub(super) const LINE_LIMIT: usize = 4 << 20;

/// Names a process from its start until it is forgotten. Chosen by the node, never used twice.
pub type ProcessId = u64;

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawn {
    /// Program (found by the environment's `PATH`) and arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Where it runs; by default, where the keeper does.
    pub directory: Option<PathBuf>,
}

/// To the keeper.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    Spawn {
        id: ProcessId,
        #[serde(flatten)]
        spawn: Spawn,
    },
    /// SIGTERM, for the process alone.
    Term { id: ProcessId },
    /// SIGKILL, for the process and all that came from it.
    Kill { id: ProcessId },
    /// Asks for what the process has written, from a position on.
    Output { id: ProcessId, from: u64, ask: u64 },
    /// Nobody will ask for its output again.
    Forget { id: ProcessId },
}

/// From the keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The program runs.
    Started {
        /// Which.
        id: ProcessId,
        /// Its process number.
        pid: i32,
    },
    /// The program could not be executed.
    Failed {
        /// Which.
        id: ProcessId,
        /// Why, for people.
        error: String,
    },
    /// The process has ended, and so has everything that came from it.
    Exited {
        /// Which.
        id: ProcessId,
        /// How.
        how: Ending,
    },
    /// SIGTERM was not delivered: the program has no handler for it, and the first process of a container gets no signal that it
    /// does not handle.
    TermIgnored {
        /// Which.
        id: ProcessId,
    },
    /// The answer to a question for output.
    Output {
        /// The number of the question.
        ask: u64,
        /// What was written; nothing when the process is not known (any more).
        output: Option<Output>,
    },
    /// The keeper has ended. The last report there is; `how` is missing when nobody knows.
    KeeperEnded {
        /// How.
        how: Option<Ending>,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// A part of what a process wrote to its standard output and error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The text; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// The position after it, to ask on from.
    pub next: u64,
}

/// One line of the protocol.
pub(super) fn line(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

//! The process keeper: no process of a sandbox outlives it, whatever ends it.
//!
//! The node does not start processes itself. It starts one keeper, a hidden subcommand of the same program, and tells it over a pipe
//! what to start. When that pipe closes, because the node said so or because its process was killed, the keeper kills all of its
//! descendants; as a *child subreaper* it inherits those that forked twice or began a session of their own, so that the system itself
//! says when none is left. If the keeper is killed instead, the main process of each container dies with it (parent death signal),
//! and the node kills what those have left behind, by their process groups and by a mark in their environment.

mod child;
mod client;
mod protocol;
mod ring;
mod serve;
mod shim;
mod sweep;

pub use client::{Gone, Keeper, KeeperError, Processes, Program};
pub use protocol::{Ending, Output, ProcessId, Report, Spawn};
pub use serve::keeper_main;
pub use shim::exec_main;

/// The subcommand that is the keeper.
pub const KEEPER: &str = "sandbox-keeper";

/// The subcommand that becomes a container's program.
pub const EXEC: &str = "sandbox-exec";

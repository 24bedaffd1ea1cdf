//! `verifier`: rollout health verifier and SLO probe service.
//!
//! # Invariants
//!
//! 1. `domain` does no I/O, reads no clock, draws from no global RNG and iterates no hash map. Time is an argument: `At`, microseconds
//!    since the run began.
//! 2. Outside `sandbox` a cluster is a `kube::Config` and a workload is a URL: nothing can tell the sandbox from the real thing.
//! 3. `sandbox` imports nothing of the rest but `workload`.
//! 4. A run is its event stream; every number shown anywhere is a fold over it.
//! 5. Each request has exactly one outcome, each outcome one blame. What the verifier could not send or see is booked neither on the
//!    target nor as a success.
//! 6. Unknown is never pass and never breach. Only a breach writes to the workload; a pod that waits at the verifier's own readiness gate is
//!    let in for a reason that its condition names.
//! 7. Every queue, body, header, redirect, wait and label set has a bound, and a counter for when it is hit. Memory does not grow with
//!    the length of a run.
//! 8. Secrets live in one redacting type and appear in no log, event, report or `Debug`.
//!
//! `ARCHITECTURE.md` is the map.

pub mod cli;
pub mod clock;
pub mod cluster;
pub mod controller;
pub mod domain;
pub mod exit;
pub mod load;
pub mod metrics;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod serve;
pub mod simulate;
pub mod workload;

/// The program: reads the command line, does what it says, and answers with the exit code.
pub fn main() -> std::process::ExitCode {
    cli::main()
}

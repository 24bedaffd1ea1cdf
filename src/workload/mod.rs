//! `verifier workload`: a small Todo backend that behaves and misbehaves by its environment. Imports nothing of the rest of the crate.
//!
//! Every response says which pod and version gave it (`x-pod-name`, `x-app-version`, `server-timing`), errors included.
//!
//! | route | what |
//! |---|---|
//! | `GET /livez`, `/readyz`, `/healthz` | probes; never delayed or failed by the settings for `/api` |
//! | `GET`, `POST /api/todos`, `GET /api/todos/{id}` | a list in this process's memory; pods do not share it, but 1 to 3 exist in each |
//! | `GET /api/healthz` | 200 by way of all that `/api` does wrong |
//! | `GET /api/stream?per_second=10&events=N` | server-sent events, until the drain when N is not given |
//! | `GET /api/slow?ms=1000` | an answer that takes that long |
//! | `GET /echo`, `POST /echo` | the request as JSON; the body as it comes |
//!
//! The environment is described in [`config`].

mod app;
mod behaviour;
mod body;
pub mod config;
mod cpu;
mod drain;
mod law;
mod log;
mod routes;
mod serve;
mod todos;

use std::process::ExitCode;

use config::Config;

/// `EX_CONFIG` of sysexits.h: an environment variable makes no sense.
pub const EXIT_CONFIG: u8 = 78;

/// `EX_OSERR`: the system refused a socket, a signal handler or a runtime.
pub const EXIT_SYSTEM: u8 = 71;

/// Runs until a signal or a planned crash.
pub fn main() -> ExitCode {
    let config = match Config::from(|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(error) => {
            log::line(format_args!("workload: {error}"));
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let log = log::Log::new(&config);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            log.event(format_args!("no runtime: {error}"));
            return ExitCode::from(EXIT_SYSTEM);
        }
    };
    runtime.block_on(serve::run(config, &log)).unwrap_or_else(|error| {
        log.event(format_args!("{error}: {}", error.cause()));
        ExitCode::from(EXIT_SYSTEM)
    })
}

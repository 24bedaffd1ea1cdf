//! The `verifier` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("workload") => verifier::workload::main(),
        _ => ExitCode::from(2),
    }
}

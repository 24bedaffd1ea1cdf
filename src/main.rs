//! The `verifier` binary.

use std::process::ExitCode;

use verifier::sandbox::wire::keeper;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // What the sandbox starts of itself, before anything else is looked at.
    match arguments.next().as_deref().and_then(|a| a.to_str()) {
        Some(keeper::KEEPER) => keeper::keeper_main(arguments),
        Some(keeper::EXEC) => keeper::exec_main(arguments),
        Some("workload") => verifier::workload::main(),
        _ => ExitCode::SUCCESS,
    }
}

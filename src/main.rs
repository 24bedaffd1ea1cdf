//! The `verifier` binary.

use std::process::ExitCode;

use verifier::sandbox::wire::keeper;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // The sandbox starts these for each pod: nothing else is set up for them.
    match arguments.next().as_deref().and_then(|a| a.to_str()) {
        Some(keeper::KEEPER) => keeper::keeper_main(arguments),
        Some(keeper::EXEC) => keeper::exec_main(arguments),
        _ => verifier::main(),
    }
}

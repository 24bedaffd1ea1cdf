//! The command line: what was typed (`args`), what is needed (the commands), and the exit code.

mod args;
mod attached;
mod compare;
mod conduct;
mod explain;
mod gate;
mod init;
mod library;
mod lint;
mod load;
mod manifests;
mod output;
mod outs;
mod probe;
mod recordings;
mod replay;
mod request;
mod run;
mod sandbox;
mod serve;
mod simulate;
mod watch;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::exit::Exit;
use crate::workload;
use args::{Args, Command, SchemaKind};

/// Reads the command line, does what it says, and answers with the exit code.
pub fn main() -> ExitCode {
    let args = match Args::try_parse_from(typed()) {
        Ok(args) => args,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Pass };
            // Nobody is left to tell if even this cannot be written.
            drop(error.print());
            return exit.into();
        }
    };
    let exit = match args.command {
        Command::Run(args) => run::main(args),
        Command::Gate(args) => gate::main(&args),
        Command::Replay(args) => replay::main(&args),
        Command::Compare(args) => compare::main(&args),
        Command::Watch(args) => watch::main(args),
        Command::Init(args) => init::main(&args),
        Command::Lint(args) => lint::main(&args),
        Command::Load(args) => load::main(&args),
        Command::Probe(args) => probe::main(&args),
        Command::Serve(args) => serve::main(&args),
        Command::Manifests => library::manifests(library::CRDS).iter().fold(Exit::Pass, |_, (_, text)| output::print(text)),
        Command::Sandbox(args) => sandbox::main(&args),
        Command::Explain { code } => explain::main(code.as_deref()),
        Command::Simulate(args) => simulate::main(&args),
        // Not one of ours: it ends as its environment says.
        Command::Workload => return workload::main(),
        Command::Schema { kind } => schema(kind),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "verifier", &mut std::io::stdout());
            Exit::Pass
        }
    };
    exit.into()
}

/// What was typed. As a plugin of kubectl, by its file name, the program is its gate.
fn typed() -> impl Iterator<Item = OsString> {
    const PLUGIN: &str = "kubectl-verify_rollout";
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let plugin = Path::new(&program).file_stem().is_some_and(|name| name == PLUGIN);
    std::iter::once(program).chain(plugin.then(|| "gate".into())).chain(args)
}

fn schema(kind: SchemaKind) -> Exit {
    let schema = match kind {
        SchemaKind::Summary => crate::report::json::schema(),
        SchemaKind::Lint => crate::report::lint::schema(),
        SchemaKind::Load => crate::load::bench::LoadReport::schema(),
        SchemaKind::Compare => crate::report::compare::schema(),
        SchemaKind::Simulation => crate::simulate::Simulation::schema(),
    };
    output::print(&format!("{schema:#}\n"))
}

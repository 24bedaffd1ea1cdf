//! The step between the keeper and a container's program: ties the process to the keeper's life, then becomes the program.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Resource, Rlimit, Signal};

/// The hidden subcommand: `sandbox-exec KEEPER_PID PROGRAM ARG...`. Standard input is a pipe on which a failure is told; the program
/// itself reads from `/dev/null`. Returns only when the program cannot be executed.
pub fn exec_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let keeper = arguments.next();
    let (Some(keeper), Some(program)) = (keeper.as_deref().and_then(|k| k.to_str()?.parse::<i32>().ok()), arguments.next()) else {
        return ExitCode::from(2);
    };
    // Closed by the very execution of the program: so the keeper knows that it has begun.
    let Ok(status) = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3) else { return ExitCode::FAILURE };
    let error = match prepare(keeper) {
        Ok(()) => Command::new(&program).args(arguments).exec(),
        Err(error) => error,
    };
    let what = program.display();
    let text = match error.kind() {
        std::io::ErrorKind::NotFound => format!("exec: \"{what}\": stat {what}: no such file or directory"),
        std::io::ErrorKind::PermissionDenied => format!("exec: \"{what}\": permission denied"),
        _ => format!("exec: \"{what}\": {error}"),
    };
    // When not even this can be told, the exit code tells it.
    let _ = File::from(status).write_all(text.as_bytes());
    ExitCode::from(127)
}

fn prepare(keeper: i32) -> std::io::Result<()> {
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before we asked to be told.
    if rustix::process::getppid().is_none_or(|p| p.as_raw_pid() != keeper) {
        return Err(std::io::Error::other("the keeper has ended"));
    }
    // Programs are expected to crash here; their core files are of no use to anybody.
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

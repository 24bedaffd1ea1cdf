//! Writing to the terminal: data to standard output, words to standard error.

use std::io::Write;

use crate::exit::Exit;

/// Prints data. A closed pipe is the reader's choice, not an error.
pub(super) fn print(text: &str) -> Exit {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Pass,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Pass,
        Err(error) => complain(&format!("could not write to standard output: {error}"), Exit::Usage),
    }
}

/// Says what is wrong, and answers with the exit code for it.
pub(super) fn complain(message: &str, exit: Exit) -> Exit {
    say(&format!("error: {message}"));
    exit
}

/// Says something to people. If nobody can hear it, nothing is lost.
pub(super) fn say(message: &str) {
    drop(writeln!(std::io::stderr(), "{message}"));
}

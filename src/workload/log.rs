//! One line on stderr per event in the workload's life.

use std::fmt;
use std::io::Write as _;

use super::config::Config;

/// Writes lines that begin with the pod and its version.
#[derive(Debug)]
pub(super) struct Log {
    prefix: String,
}

impl Log {
    /// A log in the name of this pod.
    pub(super) fn new(config: &Config) -> Self {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Self { prefix: format!("workload {} {}: ", text(&config.pod), text(&config.version)) }
    }

    /// Something happened.
    pub(super) fn event(&self, what: fmt::Arguments<'_>) {
        line(format_args!("{}{what}", self.prefix));
    }
}

/// A line without a pod's name, for what goes wrong before there is one.
pub(super) fn line(what: fmt::Arguments<'_>) {
    // Nobody can be told that stderr is closed.
    let _ = writeln!(std::io::stderr().lock(), "{what}");
}

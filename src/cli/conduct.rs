//! What all commands that make a run have in common: which cluster, how it is told of, and what it leaves.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use super::args::{ClusterArgs, ReportArgs};
use super::output::{complain, say};
use super::outs::Outs;
use super::sandbox;
use crate::cluster::connect::Choice;
use crate::domain::course::Course;
use crate::domain::summary::Summary;
use crate::exit::Exit;
pub(super) use crate::report::View;
use crate::report::github;
use crate::report::look::Look;
use crate::report::text::File;
use crate::report::{self, Output, Reporter};
use crate::run::Recorder;

/// An error message and the exit code that goes with it.
#[derive(Debug)]
pub(super) struct Stop(pub(super) String, pub(super) Exit);

/// A mistake in what was typed or in a file.
pub(super) fn usage(message: impl Into<String>) -> Stop {
    Stop(message.into(), Exit::Usage)
}

/// The cluster, or something else that is needed, is not there.
pub(super) fn unreachable(message: impl Into<String>) -> Stop {
    Stop(message.into(), Exit::Unreachable)
}

/// The cluster that was named, or the one that this runs in. Never the current context by itself.
pub(super) fn choose(cluster: &ClusterArgs) -> Option<Choice> {
    let (file, context) = (cluster.kubeconfig.clone(), cluster.context.clone());
    if file.is_some() || context.is_some() {
        return Some(Choice::Kubeconfig { file, context });
    }
    std::env::var_os("KUBERNETES_SERVICE_HOST").map(|_| Choice::InCluster)
}

/// The seed that was given or drawn, and the command line that makes the run again with it.
pub(super) fn seeded(report: &ReportArgs) -> Result<(u64, String), Stop> {
    let seed = report.seed.map_or_else(sandbox::draw, Ok).map_err(unreachable)?;
    Ok((seed, command(report.seed.is_none().then_some(seed))))
}

/// The command line as it was typed, with the seed if it was drawn.
fn command(drawn: Option<u64>) -> String {
    let quoted = |arg: std::ffi::OsString| {
        let arg = arg.to_string_lossy().into_owned();
        let plain = arg.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c)) && !arg.is_empty();
        if plain { arg } else { format!("'{}'", arg.replace('\'', r"'\''")) }
    };
    let seed = drawn.map(|seed| format!("--seed {seed}"));
    std::iter::once("verifier".to_owned()).chain(super::typed().skip(1).map(quoted)).chain(seed).collect::<Vec<_>>().join(" ")
}

/// The recorder, if a recording is wanted.
pub(super) fn recorder(report: &ReportArgs) -> Result<Option<Recorder>, Stop> {
    let create = |path: &std::path::PathBuf| Recorder::create(path).map_err(|e| usage(format!("{}: {e}", path.display())));
    report.record.as_ref().map(create).transpose()
}

/// One for people, on standard error; standard output belongs to programs.
pub(super) fn reporters(args: &ReportArgs, outs: &Outs, view: View) -> Result<Vec<Box<dyn Reporter>>, Stop> {
    let failed = |e: io::Error| usage(format!("cannot write to standard error: {e}"));
    let stderr = io::stderr();
    let var = |name: &str| std::env::var(name).ok();
    let look = Look::detect(stderr.is_terminal(), var);
    let recording = args.record.iter().map(|p| File { what: "recording".into(), path: p.display().to_string() });
    let reporter = report::start(Output {
        fd: stderr.as_fd().try_clone_to_owned().map_err(failed)?,
        look: Look { live: look.live && !args.plain, ..look },
        columns: var("COLUMNS").and_then(|c| c.parse().ok()),
        view,
        files: recording.chain(outs.files()).collect(),
    });
    Ok(vec![reporter.map_err(failed)?])
}

/// Writes the reports that were asked for, and answers with the verdict's exit code.
pub(super) fn finish(args: &ReportArgs, outs: &Outs, course: &Course) -> Exit {
    let summary = Summary::of(course);
    if let Err(error) = outs.write(args.output, &summary) {
        return complain(&format!("cannot write the summary as JSON: {error}"), Exit::Inconclusive);
    }
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|v| v == "true") {
        tell_github(&summary);
    }
    course.signal().map_or_else(|| Exit::of_run(course), Exit::Signal)
}

/// Annotations, the step's summary and its outputs. What cannot be written is a warning: the verdict stands.
fn tell_github(summary: &Summary) {
    // The runner reads them on either stream; standard output belongs to programs.
    for line in github::annotations(summary) {
        say(&line);
    }
    for (variable, text) in [("GITHUB_STEP_SUMMARY", github::step_summary(summary)), ("GITHUB_OUTPUT", github::outputs(summary))] {
        let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else { continue };
        let file = std::fs::OpenOptions::new().append(true).create(true).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
            say(&format!("warning: {variable}: {}: {error}", path.display()));
        }
    }
}

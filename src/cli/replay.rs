//! `verifier replay`: a recorded run again, to its last byte, or judged by other objectives.

use std::io::IsTerminal;
use std::path::Path;

use super::args::{Format, ReplayArgs};
use super::output::{complain, print, say};
use super::outs::Outs;
use super::recordings;
use crate::domain::display::moment;
use crate::domain::recording::{End, Replayed, Terms};
use crate::exit::Exit;
use crate::report::look::Look;
use crate::report::text::{self, File};

pub(super) fn main(args: &ReplayArgs) -> Exit {
    let outs = match Outs::parse(&args.out) {
        Ok(outs) => outs,
        Err(error) => return complain(&error, Exit::Usage),
    };
    let terms = Terms { then: args.then.clone(), sets: args.set.clone() };
    match recordings::replay(&args.recording, &terms) {
        Ok(replayed) => show(args, &outs, &replayed),
        Err(error) => complain(&error, Exit::Usage),
    }
}

fn show(args: &ReplayArgs, outs: &Outs, replayed: &Replayed) -> Exit {
    let summary = replayed.summary();
    lacks(&args.recording, replayed);
    if let Err(error) = outs.write(args.output, &summary) {
        return complain(&format!("cannot write the summary as JSON: {error}"), Exit::Inconclusive);
    }
    if args.output == Format::Text {
        let recording = File { what: "recording".into(), path: args.recording.display().to_string() };
        let files: Vec<File> = std::iter::once(recording).chain(outs.files()).collect();
        let look = Look::detect(std::io::stdout().is_terminal(), |name| std::env::var(name).ok());
        print(&text::summary(&summary, look, &files));
    }
    match &replayed.defect {
        Some(defect) => complain(&format!("{}: {defect}", args.recording.display()), Exit::Inconclusive),
        None => Exit::of_run(&replayed.course),
    }
}

/// Says what a recording without its end lacks.
pub(super) fn lacks(path: &Path, replayed: &Replayed) {
    let End::Missing { last, torn } = replayed.end else { return };
    if let Some(line) = torn {
        say(&format!("warning: {}: line {line} is torn, and was dropped", path.display()));
    }
    let lacking = "the rest of the traffic, the last word on the objectives and the end of the run are lacking";
    say(&format!("warning: {}: the recording ends at {}: {lacking}", path.display(), moment(last)));
}

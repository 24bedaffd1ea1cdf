//! `verifier compare`: two runs side by side. It is no gate: whatever differs, it ends with 0.

use std::io::IsTerminal;
use std::path::Path;

use super::args::{CompareArgs, Format};
use super::output::{complain, print};
use super::recordings::Opened;
use super::replay::lacks;
use crate::domain::compare::{Comparison, Subject};
use crate::domain::recording::{Terms, is_recording};
use crate::domain::summary::Summary;
use crate::exit::Exit;
use crate::report;
use crate::report::look::Look;

/// No summary is larger, in bytes.
const MAX_SUMMARY: u64 = 64 << 20;

pub(super) fn main(args: &CompareArgs) -> Exit {
    let (a, b) = match read(&args.a).and_then(|a| Ok((a, read(&args.b)?))) {
        Ok(both) => both,
        Err(error) => return complain(&error, Exit::Usage),
    };
    let comparison = Comparison::of(&a, &b);
    match args.output {
        Format::Text => {
            let look = Look::detect(std::io::stdout().is_terminal(), |name| std::env::var(name).ok());
            print(&report::compare::text(&comparison, look))
        }
        Format::Json => match report::compare::document(&comparison) {
            Ok(json) => print(&json),
            Err(error) => complain(&format!("cannot write the comparison as JSON: {error}"), Exit::Usage),
        },
    }
}

/// A recording, or the summary that a run wrote.
fn read(path: &Path) -> Result<Subject, String> {
    let (opened, source) = (Opened::open(path)?, path.display().to_string());
    if is_recording(opened.first()) {
        let replayed = opened.fold(path, &Terms::default())?;
        lacks(path, &replayed);
        if let Some(defect) = &replayed.defect {
            return Err(format!("{source}: {defect}"));
        }
        return Ok(Subject::of(source, &replayed));
    }
    let text = opened.text(path, MAX_SUMMARY)?;
    let summary: Summary = serde_json::from_slice(&text).map_err(|e| {
        let neither = "it is neither a recording (`run --record`) nor a summary (`run -o json`)";
        format!("{source}: {neither}: {e}")
    })?;
    Ok(Subject { source, summary, latency: None, whole: true })
}

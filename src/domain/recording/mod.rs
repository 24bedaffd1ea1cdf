//! Reading a recording: from lines to events. Pure; whoever has the file hands its lines in one by one.
//!
//! A recording is one JSON object a line, in the order in which things happened. The first is `run_started`, which names the version of the
//! format ([`FORMAT`]); the last is `run_ended`. What a crash leaves is still a recording: its last line may be torn, and its end missing.
//! Anything else that does not read is an error with its line, because a run with a hole in it would be judged differently.

mod recount;
mod replay;
#[cfg(test)]
pub(crate) mod tests;

use serde::Deserialize;
use thiserror::Error;

pub use recount::CannotRecount;
pub use replay::{Defect, Rejudged, Replay, ReplayError, Replayed, Terms};

use super::event::{Event, FORMAT, What};
use super::time::At;

/// No line is longer, in bytes. The longest there is, the scenario with its manifests, stays far below.
pub const MAX_LINE: usize = 16 << 20;
/// No recording has more events: some days of sixteen lanes.
pub const MAX_EVENTS: u64 = 50_000_000;
/// Of a line that does not read, so many characters are quoted.
const QUOTED: usize = 60;

/// Why a file cannot be read as a recording.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RecordingError {
    /// There is not one whole line.
    #[error("it is empty: not even the head of a run was written")]
    Empty,
    /// The first line is not the head of a run.
    #[error("it is no recording: line 1 is not the head of a run (`{0}`)")]
    NoHead(String),
    /// The format is not ours.
    #[error("it is a recording of format {found}, written by verifier {version}; verifier {} reads format {FORMAT}", env!("CARGO_PKG_VERSION"))]
    Format {
        /// Of the recording.
        found: u64,
        /// The writer's version.
        version: String,
    },
    /// A line in the middle does not read.
    #[error("line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// There are too many lines.
    #[error("it has more than {MAX_EVENTS} events")]
    TooMany,
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With the end of the run.
    Whole,
    /// Before that: whoever wrote it was killed, or could not write on.
    Missing {
        /// The time of its last event.
        last: At,
        /// The line that was dropped because it is not all there.
        torn: Option<u64>,
    },
}

/// What of a line is looked at before its event is: enough to know a recording, of whatever format.
#[derive(Debug, Deserialize)]
struct Head {
    event: String,
    of: Option<Version>,
}

#[derive(Debug, Deserialize)]
struct Version {
    format: u64,
    #[serde(default)]
    version: String,
}

/// Does a file whose first line this is claim to be a recording?
pub fn is_recording(first: &[u8]) -> bool {
    serde_json::from_slice::<Head>(first).is_ok_and(|head| head.event == "run_started")
}

/// Turns lines into events, and knows what may follow what.
#[derive(Debug, Default)]
pub struct Reader {
    lines: u64,
    last: At,
    torn: Option<u64>,
    ended: bool,
}

impl Reader {
    /// Takes the next line, without its line end. `whole` is whether it had one: only the last line of a file may lack it, and is then
    /// dropped (nothing is answered) unless all of its event is there.
    pub fn line(&mut self, line: &[u8], whole: bool) -> Result<Option<Event>, RecordingError> {
        if self.lines == MAX_EVENTS {
            return Err(RecordingError::TooMany);
        }
        self.lines += 1;
        let number = self.lines;
        let wrong = |why: String| RecordingError::Line { line: number, why };
        if self.ended {
            return Err(wrong("the run had ended, and nothing may follow".into()));
        }
        if line.len() > MAX_LINE {
            return Err(wrong(format!("it is longer than {MAX_LINE} bytes")));
        }
        if number == 1 {
            known(line, whole)?;
        }
        let event: Event = match serde_json::from_slice(line) {
            Ok(event) => event,
            Err(_) if !whole => {
                self.torn = Some(number);
                return Ok(None);
            }
            Err(error) => return Err(wrong(format!("{error} (`{}`)", quoted(line)))),
        };
        match (&event.what, number) {
            (What::RunStarted(_), 2..) => return Err(wrong("a second run begins: two recordings in one file".into())),
            _ if event.at < self.last => return Err(wrong(format!("time runs backwards, from {} to {}", self.last, event.at))),
            _ => {}
        }
        self.last = event.at;
        self.ended = matches!(event.what, What::RunEnded);
        Ok(Some(event))
    }

    /// No more lines come.
    pub fn end(self) -> Result<End, RecordingError> {
        match (self.lines, self.torn, self.ended) {
            (0, ..) | (1, Some(_), _) => Err(RecordingError::Empty),
            (.., true) => Ok(End::Whole),
            (.., torn, false) => Ok(End::Missing { last: self.last, torn }),
        }
    }
}

/// Is the first line the head of a recording in our format? A torn one is for the end to tell.
fn known(line: &[u8], whole: bool) -> Result<(), RecordingError> {
    const START: &[u8] = b"{\"at\":";
    let starts = line.iter().zip(START).all(|(is, must)| is == must);
    let head = match serde_json::from_slice::<Head>(line) {
        Ok(head) if head.event == "run_started" => head,
        Err(_) if !whole && starts => return Ok(()),
        _ => return Err(RecordingError::NoHead(quoted(line))),
    };
    match head.of {
        Some(of) if of.format == u64::from(FORMAT) => Ok(()),
        Some(of) => Err(RecordingError::Format { found: of.format, version: super::display::clean(&of.version) }),
        None => Err(RecordingError::NoHead(quoted(line))),
    }
}

/// The beginning of a line, fit to be shown.
fn quoted(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(QUOTED * 4)]);
    let short: String = super::display::clean(&text).chars().take(QUOTED).collect();
    if short.len() < line.len() { format!("{short}…") } else { short }
}

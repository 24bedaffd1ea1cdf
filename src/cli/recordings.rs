//! Recordings from files: handed line by line, whatever their size, to who folds them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::domain::event::What;
use crate::domain::recording::{MAX_LINE, Reader, RecordingError, Replay, Replayed, Terms};

/// A file and its first line, by which it is told what it is.
pub(super) struct Opened {
    rest: BufReader<File>,
    first: Line,
}

/// A line, and whether it had an end.
struct Line {
    bytes: Vec<u8>,
    whole: bool,
}

impl Opened {
    /// Opens a file and reads its first line.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let mut rest = BufReader::new(File::open(path).map_err(|e| format!("{}: {e}", path.display()))?);
        let first = Line::read(&mut rest).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self { rest, first: first.unwrap_or(Line { bytes: Vec::new(), whole: false }) })
    }

    /// The first line.
    pub(super) fn first(&self) -> &[u8] {
        &self.first.bytes
    }

    /// Folds it as a recording. `path` is for messages.
    pub(super) fn fold(self, path: &Path, terms: &Terms) -> Result<Replayed, String> {
        let said = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let (mut reader, mut replay, mut rest) = (Reader::default(), None::<Replay>, self.rest);
        let mut next = Some(self.first).filter(|l| !l.bytes.is_empty() || l.whole);
        while let Some(line) = next {
            if let Some(event) = reader.line(&line.bytes, line.whole).map_err(|e| said(&e))? {
                if let (None, What::RunStarted(head)) = (&replay, &event.what) {
                    replay = Some(Replay::begin(head, terms).map_err(|e| said(&e))?);
                }
                if let Some(replay) = &mut replay {
                    replay.event(event).map_err(|e| said(&e))?;
                }
            }
            next = Line::read(&mut rest).map_err(|e| said(&e))?;
        }
        let end = reader.end().map_err(|e| said(&e))?;
        let replay = replay.ok_or_else(|| said(&RecordingError::Empty))?;
        replay.finish(end).map_err(|e| said(&e))
    }

    /// The whole text, if it has at most `max` bytes.
    pub(super) fn text(self, path: &Path, max: u64) -> Result<Vec<u8>, String> {
        let mut text = self.first.bytes;
        text.push(b'\n');
        let read = self.rest.take(max).read_to_end(&mut text).map_err(|e| format!("{}: {e}", path.display()))?;
        if read as u64 == max { Err(format!("{}: it has more than {max} bytes", path.display())) } else { Ok(text) }
    }
}

impl Line {
    /// The next line; one that is too long is cut just beyond what may be, for its reader to refuse.
    fn read(from: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        from.take(MAX_LINE as u64 + 2).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let whole = bytes.last() == Some(&b'\n');
        bytes.truncate(bytes.len() - usize::from(whole));
        Ok(Some(Self { bytes, whole }))
    }
}

/// Opens and folds.
pub(super) fn replay(path: &Path, terms: &Terms) -> Result<Replayed, String> {
    Opened::open(path)?.fold(path, terms)
}

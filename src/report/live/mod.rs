//! The live screen: frames drawn one over the other on a terminal, and the summary in their place at the end.

mod frame;

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

pub use frame::frame;

use super::look::Look;
use super::text::{self, File};
use super::tree::{self, Recent};
use super::writer::Writer;
use super::{DELIVERY, Output, Reporter, View};
use crate::domain::course::Course;
use crate::domain::event::Event;
use crate::domain::summary::Summary;
use crate::domain::time::At;

/// Between two frames.
const PERIOD: Duration = Duration::from_millis(100);
/// The size of a terminal that does not tell it.
const FALLBACK: (usize, usize) = (80, 24);

/// Draws frames.
#[derive(Debug)]
pub(super) struct Live {
    writer: Writer,
    terminal: OwnedFd,
    look: Look,
    columns: Option<usize>,
    files: Vec<File>,
    drawn: Option<At>,
    tree: Option<Recent>,
}

impl Live {
    pub(super) fn start(output: Output) -> io::Result<Self> {
        let terminal = output.fd.try_clone()?;
        let Output { fd, look, columns, view, files } = output;
        let tree = (view == View::Tree).then(Recent::default);
        Ok(Self { writer: Writer::start(fd)?, terminal, look, columns, files, drawn: None, tree })
    }

    /// Columns and rows now: the terminal's own word, then `$COLUMNS`, then what is usual.
    fn size(&self) -> (usize, usize) {
        let told = rustix::termios::tcgetwinsize(&self.terminal).ok();
        let or = |told: Option<u16>, other: usize| told.filter(|n| *n > 0).map_or(other, usize::from);
        (or(told.map(|s| s.ws_col), self.columns.unwrap_or(FALLBACK.0)), or(told.map(|s| s.ws_row), FALLBACK.1))
    }
}

impl Reporter for Live {
    fn event(&mut self, event: &Event, course: &Course) {
        if let Some(tree) = &mut self.tree {
            tree.event(event, course);
        }
        if self.drawn.is_some_and(|drawn| event.at < drawn + PERIOD) {
            return;
        }
        self.drawn = Some(event.at);
        let (columns, rows) = self.size();
        let mut lines = match &self.tree {
            Some(recent) => {
                tree::lines(course, recent, self.look).iter().map(|line| line.render(self.look, Some(columns))).collect()
            }
            None => frame(course, columns, self.look),
        };
        // The line below the frame is the cursor's.
        lines.truncate(rows.saturating_sub(1));
        self.writer.frame(lines);
    }

    fn finish(&mut self, summary: &Summary) {
        self.writer.finish(text::summary(summary, self.look, &self.files), DELIVERY);
    }
}

#[cfg(test)]
mod tests;

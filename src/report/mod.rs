//! What people see of a run while it goes on and at its end, and what programs read of it.

pub mod compare;
pub mod github;
#[cfg(test)]
mod golden;
pub mod html;
pub mod json;
pub mod junit;
mod line;
pub mod lint;
mod live;
pub mod look;
pub mod markdown;
mod plain;
mod table;
pub mod text;
mod tree;
mod words;
mod writer;

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

pub use live::frame;
use look::Look;
use plain::Plain;
use text::File;
use writer::Writer;

use crate::domain::course::Course;
use crate::domain::event::Event;
use crate::domain::summary::Summary;

/// How long the end of a run waits for a reader to take the summary.
const DELIVERY: Duration = Duration::from_secs(2);

/// Somebody who tells of a run. Called by the one loop that owns the run, so it never waits for who listens.
pub trait Reporter: Send {
    /// An event, after the course has taken it in.
    fn event(&mut self, event: &Event, course: &Course);

    /// The end, once; waits for its delivery, but not longer than two seconds.
    fn finish(&mut self, summary: &Summary);
}

/// What is shown of a run while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// How it stands with the objectives.
    Run,
    /// The Deployment's revisions and pods.
    Tree,
}

/// Where to tell of a run, and how.
#[derive(Debug)]
pub struct Output {
    /// A terminal, a pipe or a file; for people it is stderr.
    pub fd: OwnedFd,
    /// What it can show.
    pub look: Look,
    /// `$COLUMNS`, for a terminal that does not tell its width.
    pub columns: Option<usize>,
    /// What is shown while it goes on.
    pub view: View,
    /// Files that the run will have left, named at the end.
    pub files: Vec<File>,
}

/// Starts telling: on a live screen where the cursor can be moved, or else line by line.
pub fn start(output: Output) -> io::Result<Box<dyn Reporter>> {
    Ok(if output.look.live { Box::new(live::Live::start(output)?) } else { Box::new(Lines::start(output)?) })
}

/// Writes lines.
#[derive(Debug)]
struct Lines {
    plain: Plain,
    writer: Writer,
    look: Look,
    files: Vec<File>,
    tree: Option<tree::Printed>,
}

impl Lines {
    fn start(output: Output) -> io::Result<Self> {
        Ok(Self {
            plain: Plain::new(output.look),
            writer: Writer::start(output.fd)?,
            look: output.look,
            files: output.files,
            tree: (output.view == View::Tree).then(tree::Printed::default),
        })
    }
}

impl Reporter for Lines {
    fn event(&mut self, event: &Event, course: &Course) {
        self.plain.lines(event, course).into_iter().for_each(|line| self.writer.line(line));
        let tree = self.tree.iter_mut().flat_map(|tree| tree.event(event, course, self.look));
        tree.for_each(|line| self.writer.line(line));
    }

    fn finish(&mut self, summary: &Summary) {
        self.writer.finish(format!("\n{}", text::summary(summary, self.look, &self.files)), DELIVERY);
    }
}

#[cfg(test)]
mod tests;

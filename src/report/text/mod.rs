//! The summary as text: the verdict first, then why, then what happened, then how to go on.

mod causes;
mod happened;
mod why;

pub(super) use causes::{wrap, yaml};

use super::line::{Line, Paint, rendered};
use super::look::Look;
use crate::domain::display::moment;
use crate::domain::summary::{Seconds, Summary};

/// A file that the run left: what it is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// `recording`, `report`, …
    pub what: String,
    /// Its path.
    pub path: String,
}

/// The summary as text. It is understood without colour, and without having read a manual.
pub fn summary(summary: &Summary, look: Look, files: &[File]) -> String {
    let sections = [
        why::head(summary),
        why::objectives(summary, look),
        causes::findings(summary),
        happened::failures(summary),
        happened::traffic(summary),
        happened::revisions(summary),
        happened::rollout(summary, look),
        happened::admission(summary),
        happened::warnings(summary),
        happened::notices(summary),
        closing(summary, files),
    ];
    let filled: Vec<_> = sections.into_iter().filter(|s| !s.is_empty()).collect();
    rendered(&filled.join(&Line::default()), look)
}

fn closing(summary: &Summary, files: &[File]) -> Vec<Line> {
    let again = Line::default().plus(Paint::Strong, "Run it again").to(14).text(&summary.run.command);
    let put_back = summary.put_back.iter().flat_map(|p| {
        let done = p.done.iter().map(|text| Line::default().plus(Paint::Strong, "Put back").to(14).text(text));
        done.chain(p.left.iter().map(|text| Line::default().plus(Paint::Bad, "NOT PUT BACK").to(14).text(text)))
    });
    let file = |f: &File| Line::default().plus(Paint::Strong, capital(&f.what)).to(14).text(&f.path);
    put_back.chain([again]).chain(files.iter().map(file)).collect()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn title(text: &str) -> Line {
    Line::default().plus(Paint::Strong, text)
}

/// A moment of the run, as wide as its last one.
fn at(summary: &Summary, when: Seconds) -> String {
    let width = moment(summary.run.duration_s.0).len();
    format!("{:>width$}", moment(when.0))
}

/// How many more there are than are shown, if there are.
fn more(all: usize, shown: usize, what: &str) -> Option<Line> {
    let more = all.checked_sub(shown).filter(|n| *n > 0)?;
    Some(Line::default().plus(Paint::Faint, format!("  and {more} more {what}")))
}

#[cfg(test)]
mod tests;

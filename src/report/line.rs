//! A line of text in painted pieces. Whatever is put in loses its control characters, so nothing foreign can reach the terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::look::Look;
use crate::domain::display::clean;

/// What a piece of text is, from which its colour follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Paint {
    #[default]
    Plain,
    Strong,
    Faint,
    Good,
    Warn,
    Bad,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "\x1b[1m",
            Self::Faint => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[1;31m",
        }
    }
}

/// One line, without its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pieces: Vec<(Paint, String)>,
}

impl Line {
    /// An unpainted line.
    pub(super) fn plain(text: impl AsRef<str>) -> Self {
        Self::default().plus(Paint::Plain, text)
    }

    /// With a piece at its end.
    pub(super) fn plus(mut self, paint: Paint, text: impl AsRef<str>) -> Self {
        let text = clean(text.as_ref());
        if !text.is_empty() {
            self.pieces.push((paint, text));
        }
        self
    }

    /// With an unpainted piece at its end.
    pub(super) fn text(self, text: impl AsRef<str>) -> Self {
        self.plus(Paint::Plain, text)
    }

    /// With all of another line at its end.
    pub(super) fn join(mut self, other: Self) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// Filled up with spaces to `column`.
    pub(super) fn to(self, column: usize) -> Self {
        let missing = column.saturating_sub(self.width());
        self.text(" ".repeat(missing))
    }

    /// Columns on a terminal.
    pub(super) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| text.width()).sum()
    }

    /// As text, cut at `limit` columns where there is a limit.
    pub(super) fn render(&self, look: Look, limit: Option<usize>) -> String {
        let cut = limit.filter(|l| self.width() > *l).map(|l| (l.saturating_sub(look.ellipsis().width()), l));
        let mut left = cut.map_or(usize::MAX, |(l, _)| l);
        let mut out = String::new();
        for (paint, text) in &self.pieces {
            let (shown, all) = fitting(text, left);
            left -= shown.width().min(left);
            let code = if look.colour { paint.code() } else { "" };
            out.push_str(code);
            out.push_str(shown);
            if !code.is_empty() {
                out.push_str("\x1b[0m");
            }
            if !all {
                break;
            }
        }
        match cut {
            Some((_, limit)) => out.push_str(fitting(look.ellipsis(), limit).0),
            None => out.truncate(out.trim_end_matches(' ').len()),
        }
        out
    }
}

/// As much of the text as fits, and whether that is all of it.
fn fitting(text: &str, columns: usize) -> (&str, bool) {
    let mut used = 0;
    for (i, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return (&text[..i], false);
        }
    }
    (text, true)
}

/// All lines as one text.
pub(super) fn rendered(lines: &[Line], look: Look) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        text.push_str(&line.render(look, None));
        text.push('\n');
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { colour: false, unicode: true, live: false };

    #[test]
    fn a_line_is_cut_by_what_it_takes_on_the_screen() {
        let line = Line::plain("pods 漢字").plus(Paint::Bad, " and more");
        assert_eq!(line.width(), 18);
        let cut = |limit| line.render(PLAIN, Some(limit));
        assert_eq!(
            [cut(18), cut(17), cut(8), cut(1), cut(0)].map(|c| c),
            ["pods 漢字 and more", "pods 漢字 and mo…", "pods 漢…", "…", ""]
        );
        let ascii = Look { unicode: false, ..PLAIN };
        assert_eq!(line.render(ascii, Some(12)), "pods 漢字...");
        assert_eq!(line.render(ascii, Some(2)), "..");
    }

    #[test]
    fn colour_is_added_around_the_words_and_never_comes_from_them() {
        let line = Line::plain("a").plus(Paint::Good, "\x1b[31mb\x1b[0m\n").text("c");
        assert_eq!(line.render(Look { colour: true, ..PLAIN }, None), "a\x1b[32m[31mb[0m \x1b[0mc");
        assert_eq!(line.render(PLAIN, None), "a[31mb[0m c");
        assert_eq!(Line::plain("x").to(4).render(PLAIN, None), "x", "nothing is written that nobody sees");
    }
}

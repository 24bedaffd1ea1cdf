//! What a terminal (or a file in its place) can show, decided once and handed on as a plain value.

/// How to write for the reader at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Colours may be used. What they say is always said without them, too.
    pub colour: bool,
    /// Characters beyond ASCII may be used.
    pub unicode: bool,
    /// The cursor can be moved, so lines may be drawn over.
    pub live: bool,
}

impl Look {
    /// Decides by what the output is and by the variables that people set: `NO_COLOR`, `CLICOLOR_FORCE`, `TERM`, and the locale.
    pub fn detect(terminal: bool, var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| var(name).filter(|v| !v.is_empty());
        let clever = set("TERM").is_some_and(|t| t != "dumb");
        let forced = set("CLICOLOR_FORCE").is_some_and(|v| v != "0");
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default().to_ascii_lowercase();
        Self {
            colour: set("NO_COLOR").is_none() && (forced || (terminal && clever)),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
            live: terminal && clever,
        }
    }
}

/// Marks and glyphs, in two alphabets.
impl Look {
    pub(super) const fn pick<'a>(self, unicode: &'a str, ascii: &'a str) -> &'a str {
        if self.unicode { unicode } else { ascii }
    }

    pub(super) const fn arrow(self) -> &'static str {
        self.pick("→", "->")
    }

    pub(super) const fn ellipsis(self) -> &'static str {
        self.pick("…", "...")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(terminal: bool, vars: &[(&str, &str)]) -> (bool, bool, bool) {
        let look = Look::detect(terminal, |name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
        (look.colour, look.unicode, look.live)
    }

    #[test]
    fn colour_needs_a_terminal_or_force_and_nobody_who_declines_it() {
        let term = ("TERM", "xterm-256color");
        assert_eq!(detect(true, &[term, ("LANG", "en_US.UTF-8")]), (true, true, true));
        assert_eq!(detect(true, &[term, ("NO_COLOR", "1")]), (false, false, true));
        assert_eq!(detect(true, &[term, ("NO_COLOR", "")]), (true, false, true), "an empty NO_COLOR declines nothing");
        assert_eq!(detect(true, &[("TERM", "dumb")]), (false, false, false));
        assert_eq!(detect(false, &[term]), (false, false, false));
        assert_eq!(detect(false, &[("CLICOLOR_FORCE", "1")]), (true, false, false));
        assert_eq!(detect(false, &[("CLICOLOR_FORCE", "0")]), (false, false, false));
        assert_eq!(detect(false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), (false, false, false));
    }

    #[test]
    fn the_most_specific_locale_decides_the_alphabet() {
        assert!(!detect(false, &[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]).1);
        assert!(detect(false, &[("LC_CTYPE", "C.utf8")]).1);
    }
}

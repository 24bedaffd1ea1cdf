//! What a good answer says besides its status: prepared once, then checked against each answer. Headers are checked when the head comes; a
//! body is kept only if something must see it whole, and is else looked through as it passes.

mod json;
mod search;

use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

use self::json::JsonCheck;
pub(crate) use self::search::Search;
use super::http1::Head;
use crate::domain::traffic::{Expect, HeaderExpect};

/// Bytes of an assertion's text.
const TEXT_MAX: usize = 1_000;
/// Assertions of one kind.
const COUNT_MAX: usize = 16;
/// Bytes that a compiled pattern may take.
const PATTERN_MAX: usize = 1 << 20;
/// Characters of what was expected or found that a note shows.
const SHOWN_MAX: usize = 48;

/// Why an assertion is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AssertionError {
    /// Too long, or too many.
    #[error("at most {COUNT_MAX} assertions of a kind, each of at most {TEXT_MAX} bytes, are possible")]
    Size,
    /// An empty text is contained in everything.
    #[error("an assertion must not be empty: it would always hold")]
    Empty,
    /// A header assertion says nothing, or two things, or names no header.
    #[error("the assertion on the header `{0}` needs either `equals` or `matches`")]
    Header(String),
    /// No regular expression, or one too large.
    #[error("`{pattern}` is no regular expression that can be used: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// No assertion on JSON.
    #[error("`{0}` is no assertion of the form $.a.b[0] == 1 or $.a exists")]
    Json(String),
}

/// All that is checked besides the status.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    headers: Vec<(String, HeaderCheck)>,
    contains: Option<String>,
    matches: Option<Regex>,
    json: Vec<JsonCheck>,
}

#[derive(Debug)]
enum HeaderCheck {
    Equals(String),
    Matches(Regex),
}

impl Checks {
    /// Prepares the assertions.
    pub(crate) fn new(expect: &Expect) -> Result<Self, AssertionError> {
        if expect.headers.len() > COUNT_MAX || expect.json.len() > COUNT_MAX {
            return Err(AssertionError::Size);
        }
        Ok(Self {
            headers: expect.headers.iter().map(header).collect::<Result<_, _>>()?,
            contains: expect.body_contains.clone().map(sized).transpose()?,
            matches: expect.body_matches.as_deref().map(pattern).transpose()?,
            json: expect.json.iter().map(|text| JsonCheck::parse(&sized(text.clone())?)).collect::<Result<_, _>>()?,
        })
    }

    /// The text to be looked for in a body as it passes.
    pub(crate) fn contains(&self) -> Option<&str> {
        self.contains.as_deref()
    }

    /// Whether anything is to be said of the body.
    pub(crate) fn see_body(&self) -> bool {
        self.contains.is_some() || self.need_body()
    }

    /// Whether the body must be kept until it is complete.
    pub(crate) fn need_body(&self) -> bool {
        self.matches.is_some() || !self.json.is_empty()
    }

    /// What is wrong with a head.
    pub(crate) fn head(&self, head: &Head<'_>) -> Option<String> {
        self.headers.iter().find_map(|(name, check)| {
            let found: Vec<&[u8]> = head.all(name).collect();
            let (holds, wanted) = match check {
                HeaderCheck::Equals(value) => (found.contains(&value.as_bytes()), format!("`{}`", shown(value.as_bytes()))),
                HeaderCheck::Matches(pattern) => {
                    (found.iter().any(|v| pattern.is_match(v)), format!("/{}/", shown(pattern.as_str().as_bytes())))
                }
            };
            let what = found.first().map_or_else(|| "missing".to_owned(), |value| format!("`{}`", shown(value)));
            (!holds).then(|| format!("the header `{}` is {what}, not {wanted}", shown(name.as_bytes())))
        })
    }

    /// What is wrong with a whole body, of which `search` has looked for the text and `kept` is what had to be kept.
    pub(crate) fn body(&self, search: &Search, kept: &[u8]) -> Option<String> {
        if let Some(wanted) = self.contains.as_deref().filter(|_| !search.found()) {
            let wanted = shown(wanted.as_bytes());
            return Some(format!("the body does not contain `{wanted}`; it begins `{}`", shown(search.beginning())));
        }
        if let Some(pattern) = self.matches.as_ref().filter(|pattern| !pattern.is_match(kept)) {
            let wanted = shown(pattern.as_str().as_bytes());
            return Some(format!("the body does not match /{wanted}/; it begins `{}`", shown(kept)));
        }
        if self.json.is_empty() {
            return None;
        }
        match serde_json::from_slice(kept) {
            Err(_) => Some(format!("the body is no JSON; it begins `{}`", shown(kept))),
            Ok(value) => self.json.iter().find_map(|check| check.wrong(&value)),
        }
    }
}

fn header(expect: &HeaderExpect) -> Result<(String, HeaderCheck), AssertionError> {
    let check = match (&expect.equals, &expect.matches) {
        (Some(value), None) if value.len() <= TEXT_MAX => HeaderCheck::Equals(value.clone()),
        (None, Some(text)) => HeaderCheck::Matches(pattern(text)?),
        _ => return Err(AssertionError::Header(expect.name.clone())),
    };
    let name = expect.name.parse::<http::HeaderName>().map_err(|_| AssertionError::Header(expect.name.clone()))?;
    Ok((name.as_str().to_owned(), check))
}

fn sized(text: String) -> Result<String, AssertionError> {
    match text.len() {
        0 => Err(AssertionError::Empty),
        1..=TEXT_MAX => Ok(text),
        _ => Err(AssertionError::Size),
    }
}

fn pattern(text: &str) -> Result<Regex, AssertionError> {
    let text = sized(text.to_owned())?;
    let built = RegexBuilder::new(&text).size_limit(PATTERN_MAX).dfa_size_limit(PATTERN_MAX).build();
    built.map_err(|error| AssertionError::Pattern {
        pattern: text,
        why: error.to_string().lines().last().unwrap_or_default().into(),
    })
}

/// The beginning of what came from outside, on one line.
fn shown(bytes: &[u8]) -> String {
    let head = bytes.get(..4 * SHOWN_MAX).unwrap_or(bytes);
    let mut text = String::new();
    for c in String::from_utf8_lossy(head).chars() {
        // Quotes do no harm, and JSON is full of them.
        if matches!(c, '"' | '\'') { text.push(c) } else { text.extend(c.escape_debug()) }
    }
    if text.chars().count() <= SHOWN_MAX { text } else { text.chars().take(SHOWN_MAX - 3).chain("...".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::http1::{Decoder, Rules, Sink};
    use super::*;

    fn expect(change: impl Fn(&mut Expect)) -> Expect {
        let mut expect = Expect::default();
        change(&mut expect);
        expect
    }

    fn body(change: impl Fn(&mut Expect), body: &str) -> Option<String> {
        let checks = Checks::new(&expect(change)).unwrap();
        let mut search = Search::default();
        if let Some(wanted) = checks.contains() {
            search.feed(wanted.as_bytes(), body.as_bytes());
        }
        checks.body(&search, body.as_bytes())
    }

    #[test]
    fn a_body_is_checked_by_what_it_contains_matches_and_says() {
        assert_eq!(body(|e| e.body_contains = Some("ok".into()), "all ok"), None);
        assert_eq!(
            body(|e| e.body_contains = Some("o\"k".into()), &format!("\n\u{1b}{}", "x".repeat(99))),
            Some(format!("the body does not contain `o\"k`; it begins `\\n\\u{{1b}}{}...`", "x".repeat(37)))
        );
        assert_eq!(body(|e| e.body_matches = Some("^v[0-9]+$".into()), "v12"), None);
        assert_eq!(
            body(|e| e.body_matches = Some("^v[0-9]+$".into()), "v"),
            Some("the body does not match /^v[0-9]+$/; it begins `v`".into())
        );
        let json = |checks: &'static [&str]| move |e: &mut Expect| e.json = checks.iter().map(|c| (*c).to_owned()).collect();
        assert_eq!(body(json(&["$.status == \"ok\"", "$.n exists"]), r#"{"status":"ok","n":null}"#), None);
        assert_eq!(
            body(json(&["$.status == \"ok\""]), r#"{"status":"down"}"#),
            Some("`$.status` is `\"down\"`, not `\"ok\"`".into())
        );
        assert_eq!(body(json(&["$.a exists"]), "<html>"), Some("the body is no JSON; it begins `<html>`".into()));
    }

    struct Heads<'a>(&'a Checks, Vec<Option<String>>);

    impl Sink for Heads<'_> {
        fn head(&mut self, head: &Head<'_>) {
            self.1.push(self.0.head(head));
        }
        fn body(&mut self, _: &[u8]) {}
    }

    #[test]
    fn a_header_is_checked_by_equality_or_pattern() {
        let wrong = |equals: Option<&str>, matches: Option<&str>| {
            let header = HeaderExpect { name: "X-Mode".into(), equals: equals.map(Into::into), matches: matches.map(Into::into) };
            let checks = Checks::new(&expect(|e| e.headers = vec![header.clone()])).unwrap();
            let mut heads = Heads(&checks, Vec::new());
            let rules = Rules { bodiless: true, max_body: 1 };
            for text in ["HTTP/1.1 200 X\r\nx-mode: a\r\nX-MODE: b\r\n\r\n", "HTTP/1.1 200 X\r\n\r\n"] {
                Decoder::default().feed(text.as_bytes(), rules, &mut heads).unwrap();
            }
            heads.1
        };
        let missing = |what: &str| Some(format!("the header `x-mode` is missing, not {what}"));
        assert_eq!(wrong(Some("b"), None), [None, missing("`b`")]);
        assert_eq!(wrong(Some("c"), None), [Some("the header `x-mode` is `a`, not `c`".into()), missing("`c`")]);
        assert_eq!(wrong(None, Some("^[ab]$")), [None, missing("/^[ab]$/")]);
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        let refused = |change: fn(&mut Expect)| Checks::new(&expect(change)).unwrap_err().to_string();
        assert_eq!(refused(|e| e.body_contains = Some(String::new())), "an assertion must not be empty: it would always hold");
        let size = "at most 16 assertions of a kind, each of at most 1000 bytes, are possible";
        assert_eq!(refused(|e| e.body_contains = Some("x".repeat(1_001))), size);
        assert_eq!(refused(|e| e.json = vec!["$.a exists".into(); 17]), size);
        assert!(refused(|e| e.body_matches = Some("(".into())).starts_with("`(` is no regular expression that can be used: "));
        assert!(refused(|e| e.body_matches = Some(r"\w{999}{999}".into())).contains("exceeds size limit"));
        let both = HeaderExpect { name: "a".into(), equals: None, matches: None };
        let error = Checks::new(&expect(|e| e.headers = vec![both.clone()])).unwrap_err();
        assert_eq!(error, AssertionError::Header("a".into()));
    }
}

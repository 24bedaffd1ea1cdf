//! What an answer says, gathered while it is being read; its body is looked at and not kept.

use super::classify;
use super::http1::{Head, Sink};
use super::names::Names;
use super::plan::LaneSpec;
use crate::domain::outcome::Outcome;
use crate::domain::traffic::Name;

/// Characters kept of a header's value.
const VALUE_MAX: usize = 200;

/// What is known of an answer so far.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: Option<u16>,
    pub(crate) pod: Option<Name>,
    pub(crate) version: Option<Name>,
    /// The outcome, when the head has decided it.
    pub(crate) by_head: Option<Outcome>,
    /// The headers that the lane keeps; empty for all that send more than once.
    pub(crate) headers: Vec<(String, String)>,
    search: Search,
}

impl Answer {
    /// The outcome of a complete answer, with a note when it is a failure.
    pub(crate) fn outcome(&self, spec: &LaneSpec) -> (Outcome, String) {
        match (self.by_head, &spec.expect.body_contains) {
            (Some(outcome), _) => (outcome, String::new()),
            (None, Some(wanted)) if !self.search.found && !wanted.is_empty() => {
                (Outcome::WrongBody, format!("the body does not contain `{wanted}`"))
            }
            (None, _) => (Outcome::Ok, String::new()),
        }
    }
}

/// An answer being read.
pub(crate) struct Reading<'a> {
    pub(crate) answer: &'a mut Answer,
    pub(crate) spec: &'a LaneSpec,
    pub(crate) names: &'a mut Names,
}

impl Sink for Reading<'_> {
    fn head(&mut self, head: &Head<'_>) {
        let expect = &self.spec.expect;
        let mut first = |headers: &[String]| headers.iter().find_map(|name| self.names.get(head.get(name)?));
        self.answer.status = Some(head.status);
        self.answer.pod = first(&expect.pod_headers);
        self.answer.version = first(&expect.version_headers);
        self.answer.by_head = classify::by_head(head, expect, self.answer.pod.is_some());
        let kept = self.spec.kept_headers.iter().filter_map(|name| Some((name.clone(), shown(head.get(name)?))));
        self.answer.headers.extend(kept);
    }

    fn body(&mut self, piece: &[u8]) {
        if let Some(wanted) = &self.spec.expect.body_contains {
            self.answer.search.feed(wanted.as_bytes(), piece);
        }
    }
}

/// A header's value for people, cut and escaped.
fn shown(value: &str) -> String {
    value.chars().take(VALUE_MAX).flat_map(char::escape_debug).collect()
}

/// Looks for a text in a body that comes in pieces.
#[derive(Debug, Default)]
struct Search {
    found: bool,
    /// The end of what came so far, shorter than the text.
    tail: Vec<u8>,
}

impl Search {
    fn feed(&mut self, wanted: &[u8], piece: &[u8]) {
        if self.found || wanted.is_empty() {
            return;
        }
        let keep = wanted.len() - 1;
        // Only a match across the border needs the bytes from before.
        let border = piece.get(..keep).unwrap_or(piece);
        self.tail.extend_from_slice(border);
        self.found = contains(&self.tail, wanted) || contains(piece, wanted);
        if piece.len() > keep {
            self.tail.clear();
            self.tail.extend_from_slice(piece.get(piece.len() - keep..).unwrap_or_default());
        } else {
            let surplus = self.tail.len().saturating_sub(keep);
            self.tail.drain(..surplus);
        }
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_found_however_the_body_is_cut(body in "[ab]{0,24}", wanted in "[ab]{1,5}", cuts in prop::collection::vec(1_usize..7, 1..9)) {
            let mut search = Search::default();
            let mut rest = body.as_bytes();
            for cut in cuts.iter().cycle() {
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                search.feed(wanted.as_bytes(), piece);
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(search.found, body.contains(&wanted));
            prop_assert!(search.tail.len() < wanted.len());
        }
    }
}

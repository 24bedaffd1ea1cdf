//! What an answer says, gathered while it is being read; its body is looked at, and kept only if an assertion must see it whole.

use super::classify;
use super::expect::Search;
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
    /// What is wrong with the head, though its status is wanted.
    wrong_head: Option<String>,
    /// How the body is compressed, if an assertion is about it.
    coding: Option<String>,
    search: Search,
    /// The body, when it must be seen whole; no more than the lane's `max_body`.
    kept: Vec<u8>,
}

impl Answer {
    /// Bytes of room taken by the body.
    pub(crate) fn held(&self) -> usize {
        self.kept.capacity()
    }

    /// The outcome of a complete answer, with a note when it is a failure.
    pub(crate) fn outcome(&self, spec: &LaneSpec) -> (Outcome, String) {
        if let Some(outcome) = self.by_head {
            return (outcome, String::new());
        }
        let body = || {
            let wrong = spec.checks.body(&self.search, &self.kept)?;
            Some(match &self.coding {
                None => wrong,
                Some(coding) => {
                    format!("the body came compressed ({coding}), though unasked, and is looked at as it came: {wrong}")
                }
            })
        };
        let wrong = self.wrong_head.clone().or_else(body);
        wrong.map_or((Outcome::Ok, String::new()), |note| (Outcome::WrongBody, note))
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
        self.answer.wrong_head = self.spec.checks.head(head);
        if self.spec.checks.see_body() {
            let coding = head.get("content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity"));
            self.answer.coding = coding.map(shown);
        }
        let kept = self.spec.kept_headers.iter().filter_map(|name| Some((name.clone(), shown(head.get(name)?))));
        self.answer.headers.extend(kept);
    }

    fn body(&mut self, piece: &[u8]) {
        if let Some(wanted) = self.spec.checks.contains() {
            self.answer.search.feed(wanted.as_bytes(), piece);
        }
        if self.spec.checks.need_body() {
            self.answer.kept.extend_from_slice(piece);
        }
    }
}

/// A header's value for people, cut and escaped.
fn shown(value: &str) -> String {
    value.chars().take(VALUE_MAX).flat_map(char::escape_debug).collect()
}

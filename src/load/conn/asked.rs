//! A request under way: which slot it is of, what has been seen of it, and what can be told of it when it ends.

use std::net::SocketAddr;

use super::super::answer::Answer;
use super::super::once::Protocol;
use super::super::tls::TlsFacts;
use crate::domain::outcome::Outcome;
use crate::domain::slice::{Connection, Phases};
use crate::domain::time::At;
use crate::domain::traffic::Name;

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) slot: u64,
    /// Its connection was opened for it.
    pub(super) opener: bool,
    pub(super) answer: Answer,
    pub(super) sent: Option<At>,
    pub(super) first_byte: Option<At>,
    pub(super) last_byte: Option<At>,
}

impl Asked {
    pub(super) fn new(slot: u64, opener: bool) -> Self {
        Self { slot, opener, answer: Answer::default(), sent: None, first_byte: None, last_byte: None }
    }

    /// Something of the answer has come.
    pub(super) fn heard(&mut self, now: At) {
        self.first_byte.get_or_insert(now);
        self.last_byte = Some(now);
    }

    /// Whether the final head has come.
    pub(super) fn has_head(&self) -> bool {
        self.answer.status.is_some()
    }

    /// The first and the latest byte of the answer so far.
    pub(crate) fn bytes(&self) -> Option<(At, At)> {
        self.first_byte.zip(self.last_byte)
    }

    /// The pod and version that the answer named.
    pub(crate) fn answered_by(&self) -> (Option<&Name>, Option<&Name>) {
        (self.answer.pod.as_ref(), self.answer.version.as_ref())
    }

    /// A failure of its own; an unwanted status that came before it has decided already.
    pub(super) fn failure(&self, outcome: Outcome) -> Outcome {
        self.answer.by_head.unwrap_or(outcome)
    }

    /// How it ends when its time is over.
    pub(super) fn timed_out(&self) -> (Outcome, &'static str) {
        let note = if self.has_head() { "the body was not complete by the deadline" } else { "no answer by the deadline" };
        (self.failure(Outcome::ResponseTimeout), note)
    }
}

/// All that a connection knew of a request when it ended.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) status: Option<u16>,
    pub(crate) pod: Option<Name>,
    pub(crate) version: Option<Name>,
    pub(crate) sent: Option<At>,
    pub(crate) phases: Phases,
    pub(crate) connection: Connection,
    pub(crate) peer: SocketAddr,
    /// What was spoken, if it came to that.
    pub(crate) protocol: Option<Protocol>,
    /// Those that the lane keeps.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) tls: Option<TlsFacts>,
}

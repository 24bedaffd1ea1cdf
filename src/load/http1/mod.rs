//! Reading HTTP/1.1 answers: bytes in, head and body pieces out. No I/O, no clock, no allocation unless a head comes in pieces.
//!
//! Own code rather than a client library because the outcome of a slot hangs on exactly which bytes came before a connection died.
//! Strict where leniency would hide a fault of the other side: a second `Content-Length`, a chunk without its line end or bytes
//! before the status line are violations, not quirks to be mended.

mod chunked;
mod head;
#[cfg(test)]
mod tests;

use chunked::Chunked;
use head::{Framing, head_end};
pub(crate) use head::{HEAD_MAX, HEADERS_MAX, Head, parse_length};

/// Why what came is no acceptable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Not HTTP/1.1, or against its rules.
    Protocol(&'static str),
    /// Beyond our bounds.
    TooLarge(&'static str),
}

/// Takes what the decoder finds.
pub(crate) trait Sink {
    /// The final head; interim ones (1xx) are skipped.
    fn head(&mut self, head: &Head<'_>);
    /// The next piece of the body.
    fn body(&mut self, piece: &[u8]);
}

/// What the end of the stream means for the answer being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtEof {
    /// The body had no stated end: this is it.
    Complete,
    /// The head came, the end of the body did not.
    Truncated,
    /// Not even the head was complete.
    NoHead,
}

/// Reads one answer after the other from one connection.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    state: State,
    /// An incomplete head, when it comes in pieces.
    held: Vec<u8>,
    head_bytes: usize,
    body_bytes: u64,
    keep_alive: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Done,
}

/// What the reader knows about the request and allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The request was `HEAD`: no answer has a body, whatever its head says.
    pub(crate) bodiless: bool,
    /// Bytes of body allowed.
    pub(crate) max_body: u64,
}

impl Decoder {
    /// Reads on. Answers how many bytes of `input` belonged to this answer; fewer than all only when it is complete.
    pub(crate) fn feed(&mut self, input: &[u8], rules: Rules, sink: &mut impl Sink) -> Result<usize, Violation> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            if matches!(self.state, State::Done) || rest.is_empty() {
                return Ok(used);
            }
            used += match &mut self.state {
                State::Head => self.feed_head(rest, rules, sink)?,
                State::Length(left) => {
                    let piece = rest.get(..usize::try_from(*left).unwrap_or(usize::MAX)).unwrap_or(rest);
                    *left -= piece.len() as u64;
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    sink.body(piece);
                    piece.len()
                }
                State::Chunked(chunked) => {
                    let (n, end) = chunked.feed(rest, &mut self.body_bytes, rules.max_body, sink)?;
                    if end {
                        self.state = State::Done;
                    }
                    n
                }
                State::UntilClose => {
                    self.body_bytes += rest.len() as u64;
                    if self.body_bytes > rules.max_body {
                        return Err(Violation::TooLarge("body"));
                    }
                    sink.body(rest);
                    rest.len()
                }
                State::Done => 0,
            };
        }
    }

    /// Whether the answer is complete.
    pub(crate) fn done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether the connection may carry another request after this answer.
    pub(crate) fn keep_alive(&self) -> bool {
        self.keep_alive && self.done()
    }

    /// What it means that the stream ended in order here.
    pub(crate) fn at_eof(&self) -> AtEof {
        match self.state {
            State::Head => AtEof::NoHead,
            State::Length(_) | State::Chunked(_) => AtEof::Truncated,
            State::UntilClose | State::Done => AtEof::Complete,
        }
    }

    /// Bytes of room taken by an incomplete head.
    pub(crate) fn held(&self) -> usize {
        self.held.capacity()
    }

    /// Makes ready for the next answer.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    fn feed_head(&mut self, input: &[u8], rules: Rules, sink: &mut impl Sink) -> Result<usize, Violation> {
        let budget = HEAD_MAX - self.head_bytes;
        let before = self.held.len();
        if before == 0
            && let Some(end) = head_end(input, 0)?
        {
            // The common case: the whole head in one read, parsed where it lies.
            self.head_complete(input.get(..end).unwrap_or_default(), rules, sink)?;
            return Ok(end);
        }
        let room = (budget + 1).saturating_sub(before);
        self.held.extend_from_slice(input.get(..room).unwrap_or(input));
        let Some(end) = head_end(&self.held, before.saturating_sub(2))? else {
            return if self.held.len() > budget { Err(Violation::TooLarge("head")) } else { Ok(input.len()) };
        };
        let held = std::mem::take(&mut self.held);
        self.head_complete(held.get(..end).unwrap_or_default(), rules, sink)?;
        Ok(end - before)
    }

    fn head_complete(&mut self, bytes: &[u8], rules: Rules, sink: &mut impl Sink) -> Result<(), Violation> {
        self.head_bytes += bytes.len();
        if self.head_bytes > HEAD_MAX {
            return Err(Violation::TooLarge("head"));
        }
        head::parse(bytes, |head| {
            if head.is_interim()? {
                return Ok(());
            }
            self.state = match head.framing(rules.bodiless)? {
                Framing::None | Framing::Length(0) => State::Done,
                Framing::Length(n) if n > rules.max_body => return Err(Violation::TooLarge("body")),
                Framing::Length(n) => State::Length(n),
                Framing::Chunked => State::Chunked(Chunked::default()),
                Framing::UntilClose => State::UntilClose,
            };
            self.keep_alive = head.keep_alive();
            sink.head(head);
            Ok(())
        })
    }
}

//! From bytes to frames. What is longer than a frame's head is held only as long as it is incomplete, and bodies are not held at all.

use std::borrow::Cow;

use super::frame::{DATA, FrameHead, HEAD, PADDED, PAYLOAD_MAX};
use crate::load::http1::Violation;

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Reader {
    state: State,
    held: Vec<u8>,
    begun: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Payload(FrameHead),
    /// In front of the byte that says how much padding there is.
    Padding(FrameHead),
    Data(FrameHead, Part),
}

/// What is left of a frame with a piece of a body.
#[derive(Clone, Copy, Debug)]
struct Part {
    body: usize,
    padding: usize,
}

/// What comes out.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// A frame has begun; if it is none with a body, all of it follows.
    Head(FrameHead),
    /// A whole frame that has no body.
    Whole(FrameHead, Cow<'a, [u8]>),
    /// A piece of a body.
    Body(FrameHead, &'a [u8]),
    /// The end of a frame with a body.
    End(FrameHead),
}

impl Reader {
    /// The next find; nothing when more must come first.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Found<'a>>, Violation> {
        loop {
            match self.state {
                State::Head => {
                    self.check_beginning(input)?;
                    let Some(bytes) = self.gather(input, HEAD) else {
                        return Ok(None);
                    };
                    let Some(head) = FrameHead::parse(&bytes) else {
                        return Ok(None);
                    };
                    if head.length > PAYLOAD_MAX {
                        return Err(Violation::Protocol("a frame longer than was agreed on"));
                    }
                    self.state = match head.kind {
                        DATA if head.has(PADDED) => State::Padding(head),
                        DATA => State::Data(head, Part { body: head.length, padding: 0 }),
                        _ => State::Payload(head),
                    };
                    return Ok(Some(Found::Head(head)));
                }
                State::Payload(head) => {
                    let whole = self.gather(input, head.length);
                    if whole.is_some() {
                        self.state = State::Head;
                    }
                    return Ok(whole.map(|payload| Found::Whole(head, payload)));
                }
                State::Padding(head) => {
                    let Some((padding, rest)) = input.split_first() else {
                        return Ok(None);
                    };
                    *input = rest;
                    let padding = usize::from(*padding);
                    let body = head.length.checked_sub(1 + padding).ok_or(Violation::Protocol("more padding than frame"))?;
                    self.state = State::Data(head, Part { body, padding });
                }
                State::Data(head, Part { body: 0, padding: 0 }) => {
                    self.state = State::Head;
                    return Ok(Some(Found::End(head)));
                }
                State::Data(head, Part { body: 0, padding }) => {
                    let skipped = take(input, padding).len();
                    if skipped == 0 {
                        return Ok(None);
                    }
                    self.state = State::Data(head, Part { body: 0, padding: padding - skipped });
                }
                State::Data(head, Part { body, padding }) => {
                    let piece = take(input, body);
                    if piece.is_empty() {
                        return Ok(None);
                    }
                    self.state = State::Data(head, Part { body: body - piece.len(), padding });
                    return Ok(Some(Found::Body(head, piece)));
                }
            }
        }
    }

    /// Garbage is known at its first byte: the settings that must come first are never so long that theirs is not zero.
    fn check_beginning(&mut self, input: &[u8]) -> Result<(), Violation> {
        match input.first() {
            None | Some(0) => {}
            Some(_) if self.begun => {}
            Some(_) if input.starts_with(b"HTTP/") => return Err(Violation::Protocol("answered in HTTP/1, not in HTTP/2")),
            Some(_) => return Err(Violation::Protocol("not an HTTP/2 answer")),
        }
        self.begun |= !input.is_empty();
        Ok(())
    }

    /// So many bytes in one piece, once they are all there.
    fn gather<'a>(&mut self, input: &mut &'a [u8], length: usize) -> Option<Cow<'a, [u8]>> {
        if self.held.is_empty() && input.len() >= length {
            return Some(Cow::Borrowed(take(input, length)));
        }
        let more = take(input, length - self.held.len());
        self.held.extend_from_slice(more);
        (self.held.len() == length).then(|| Cow::Owned(std::mem::take(&mut self.held)))
    }
}

/// At most so many bytes of the input.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at_checked(most).unwrap_or((*input, &[]));
    *input = rest;
    taken
}

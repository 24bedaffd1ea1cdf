//! Speaking HTTP/2 (RFC 9113) as a client: bytes in, heads and pieces of bodies out, stream by stream; and the bytes that are to be sent.
//! No I/O, no clock.
//!
//! Own code for the same reason as `http1`: the outcome of a slot hangs on exactly which frames came before a stream or a connection died,
//! and on whether the other side said that it never began. It also has no queue in which a request could wait unseen, no retry, and no
//! buffers of its own, so that ten thousand idle connections cost little more than those of HTTP/1.1.
//!
//! What the other side can make us do is bounded: a head as in `http1`, a block of headers, and, between two whole answers, frames that
//! bring nothing (pings, settings, resets, empty pieces): a flood of them ends the connection.

mod frame;
mod hpack;
mod message;
mod outbox;
mod peer;
mod reader;
#[cfg(test)]
pub(crate) mod script;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub(crate) use self::frame::Code;
use self::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead, GOAWAY, HEADERS, PADDED, PAYLOAD_MAX, PING, PRIORITISED, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, number,
};
pub(crate) use self::hpack::write as write_header;
use self::message::Stream;
use self::outbox::Outbox;
use self::peer::{Peer, WINDOW_MAX};
use self::reader::{Found, Reader};
use super::http1::{HEAD_MAX, Head, Rules, Violation};

/// What both sides begin with, before frames.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Requests under way on one connection at once, if the other side allows as many: about what browsers and gateways do.
pub(crate) const CONCURRENT_MAX: usize = 100;

/// Bytes of an answer's body that may be on their way to us, per stream.
const STREAM_WINDOW: u32 = 1 << 20;
/// And per connection.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// What the standard gives a connection to begin with.
const WINDOW_DEFAULT: u32 = 65_535;

/// Frames that bring nothing, between two whole answers.
const PATIENCE: u32 = 1_000;
/// What may still come for a stream that we have given up.
const PATIENCE_GIVEN_UP: u32 = 1_000;

/// Bytes of request bodies that wait to be sent at most; the rest stays where it is.
const WAITING_MAX: usize = 4 * PAYLOAD_MAX;

/// The last number of a stream that is used.
const STREAM_MAX: u32 = 0x7fff_fff0;

/// Takes what a session finds.
pub(crate) trait Listener {
    /// A part of the stream's answer has begun to come.
    fn heard(&mut self, stream: u32);
    /// The final head; interim ones (1xx) are skipped.
    fn head(&mut self, stream: u32, head: &Head<'_>);
    /// The next piece of the body.
    fn body(&mut self, stream: u32, piece: &[u8]);
    /// The stream has ended.
    fn over(&mut self, stream: u32, how: Over<'_>);
}

/// How a stream ended, while its connection went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over<'a> {
    /// The whole answer has come.
    Whole,
    /// It ended in order, but with less body than it had announced.
    Short,
    /// The other side reset it.
    Reset(Code),
    /// The other side says, in these words, that it never began to process the request.
    Unprocessed(&'a str),
    /// The answer is not acceptable.
    Broken(Violation),
}

/// A request, ready to be sent on any connection.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// Its headers, compressed; they fit into one frame.
    pub(crate) block: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    reader: Reader,
    outbox: Outbox,
    decoder: hpack::Decoder,
    /// A block of headers that comes in several frames.
    block: Option<Block<'static>>,
    peer: Peer,
    /// Bytes of bodies that the other side may send now.
    window: i64,
    /// Bytes that came and that it may send again when it is told.
    owed: u32,
    streams: Vec<Stream>,
    next: u32,
    patience: u32,
}

#[derive(Debug)]
struct Block<'a> {
    stream: u32,
    /// The answer ends with it.
    last: bool,
    bytes: Cow<'a, [u8]>,
}

impl Session {
    /// Begins with our preface and settings; they leave together with the first request.
    pub(crate) fn new() -> Self {
        let mut outbox = Outbox::default();
        let out = outbox.bytes();
        out.extend_from_slice(PREFACE);
        let head_max = u32::try_from(HEAD_MAX).unwrap_or(u32::MAX);
        let settings =
            [(frame::ENABLE_PUSH, 0), (frame::INITIAL_WINDOW_SIZE, STREAM_WINDOW), (frame::MAX_HEADER_LIST_SIZE, head_max)];
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        frame::write(out, SETTINGS, 0, 0, &payload);
        frame::write(out, WINDOW_UPDATE, 0, 0, &(CONNECTION_WINDOW - WINDOW_DEFAULT).to_be_bytes());
        Self {
            reader: Reader::default(),
            outbox,
            decoder: hpack::Decoder::default(),
            block: None,
            peer: Peer::default(),
            window: i64::from(CONNECTION_WINDOW),
            owed: 0,
            streams: Vec::new(),
            next: 1,
            patience: PATIENCE,
        }
    }

    /// Whether another request may be begun now. Before the other side has said how many it allows, one is.
    pub(crate) fn has_room(&self) -> bool {
        self.takes_requests() && self.streams.len() < self.peer.streams.min(CONCURRENT_MAX)
    }

    /// Whether requests may be begun at all, now or later.
    pub(crate) fn takes_requests(&self) -> bool {
        self.peer.leaving.is_none() && self.next < STREAM_MAX
    }

    /// Begins a request. Answers its stream, and where in all that is sent it begins.
    pub(crate) fn request(&mut self, request: &Prepared) -> (u32, u64) {
        let (id, begins) = (self.next, self.outbox.end());
        self.next += 2;
        let flags = if request.body.is_empty() { END_HEADERS | END_STREAM } else { END_HEADERS };
        frame::write(self.outbox.bytes(), HEADERS, flags, id, &request.block);
        let mut stream = Stream::new(id, self.peer.window, STREAM_WINDOW);
        stream.sending = !request.body.is_empty();
        self.streams.push(stream);
        (id, begins)
    }

    /// What is to be sent next; takes up bodies of requests as far as the other side allows.
    pub(crate) fn waiting(&mut self, request: &Prepared) -> &[u8] {
        self.take_up(&request.body);
        self.outbox.waiting()
    }

    /// So many bytes of that have been taken.
    pub(crate) fn advance(&mut self, n: usize) {
        self.outbox.advance(n);
    }

    /// How much of all that is ever sent has been taken.
    pub(crate) fn taken(&self) -> u64 {
        self.outbox.taken()
    }

    /// Whether the body of this stream's request waits for the other side to allow it.
    pub(crate) fn is_held_back(&self, id: u32, request: &Prepared) -> bool {
        self.streams.iter().any(|stream| stream.id == id && stream.sent < request.body.len())
    }

    /// Gives up a stream.
    pub(crate) fn cancel(&mut self, id: u32) {
        if self.forget(id) {
            self.patience = self.patience.saturating_add(PATIENCE_GIVEN_UP);
            self.reset(id, Code::CANCEL);
        }
    }

    /// Says that we are about to go.
    pub(crate) fn leave(&mut self, why: Option<Violation>) {
        let code = match why {
            None => Code::NO_ERROR,
            Some(Violation::Protocol(_)) => Code::PROTOCOL_ERROR,
            Some(Violation::TooLarge(_)) => Code::ENHANCE_YOUR_CALM,
        };
        let payload = [0_u32.to_be_bytes(), code.0.to_be_bytes()].concat();
        frame::write(self.outbox.bytes(), GOAWAY, 0, 0, &payload);
    }

    /// What the other side said when it announced to go.
    pub(crate) fn leaving(&self) -> Option<&str> {
        self.peer.leaving.as_ref().map(|leaving| leaving.said.as_str())
    }

    /// Reads on. A violation is one of the connection: it is of no more use.
    pub(crate) fn feed(&mut self, mut input: &[u8], rules: Rules, to: &mut impl Listener) -> Result<(), Violation> {
        while let Some(found) = self.reader.next(&mut input)? {
            match found {
                Found::Head(head) => self.begin(head, to)?,
                Found::Whole(head, payload) => self.whole(head, &payload, rules, to)?,
                Found::Body(head, piece) => {
                    let Some((good, end)) = self.stream(head.stream).map(|stream| stream.take(piece.len(), rules)) else {
                        continue;
                    };
                    if let Some(piece) = piece.get(..good).filter(|piece| !piece.is_empty()) {
                        to.body(head.stream, piece);
                    }
                    if let Err(violation) = end {
                        self.break_off(head.stream, violation, to);
                    }
                }
                Found::End(head) => {
                    if head.has(END_STREAM) {
                        self.end(head.stream, to);
                    }
                    self.pay(head);
                }
            }
        }
        Ok(())
    }

    /// A frame has begun.
    fn begin(&mut self, head: FrameHead, to: &mut impl Listener) -> Result<(), Violation> {
        self.peer.expect(head)?;
        let inside = self.block.as_ref().map(|block| block.stream);
        if inside.is_some_and(|stream| head.kind != CONTINUATION || head.stream != stream) {
            return Err(Violation::Protocol("something else within a block of headers"));
        }
        let answers = matches!(head.kind, HEADERS | DATA | CONTINUATION);
        if answers && (head.stream.is_multiple_of(2) || head.stream >= self.next) {
            return Err(Violation::Protocol("an answer to no request"));
        }
        let open = self.stream(head.stream).is_some();
        if answers && open {
            to.heard(head.stream);
        }
        if !(open && (head.kind == HEADERS || head.kind == DATA && head.length > 0)) {
            self.patience = self.patience.checked_sub(1).ok_or(Violation::Protocol("a flood of frames that bring nothing"))?;
        }
        if head.kind != DATA {
            return Ok(());
        }
        // Padding counts too.
        let length = i64::try_from(head.length).unwrap_or(i64::MAX);
        self.window -= length;
        let room = self.stream(head.stream).map(|stream| {
            stream.window -= length;
            stream.window
        });
        if self.window < 0 || room.is_some_and(|room| room < 0) {
            return Err(Violation::Protocol("more than flow control allows"));
        }
        if self.stream(head.stream).is_some_and(|stream| !stream.has_head) {
            self.break_off(head.stream, Violation::Protocol("a body before its head"), to);
        }
        Ok(())
    }

    /// A frame that has no body is there.
    fn whole(&mut self, head: FrameHead, payload: &[u8], rules: Rules, to: &mut impl Listener) -> Result<(), Violation> {
        let malformed = Violation::Protocol("a malformed frame");
        match head.kind {
            HEADERS => {
                let bytes = Cow::Borrowed(fragment(head, payload).ok_or(malformed)?);
                let block = Block { stream: head.stream, last: head.has(END_STREAM), bytes };
                self.headers(block, head.has(END_HEADERS), rules, to)?;
            }
            CONTINUATION => {
                let mut block = self.block.take().ok_or(malformed)?;
                block.bytes.to_mut().extend_from_slice(payload);
                self.headers(block, head.has(END_HEADERS), rules, to)?;
            }
            RST_STREAM => {
                let code = Code(number(payload, 0).filter(|_| payload.len() == 4).ok_or(malformed)?);
                if head.stream == 0 || head.stream >= self.next {
                    return Err(malformed);
                }
                if self.forget(head.stream) {
                    let refused = Over::Unprocessed("RST_STREAM (REFUSED_STREAM)");
                    to.over(head.stream, if code == Code::REFUSED_STREAM { refused } else { Over::Reset(code) });
                }
            }
            SETTINGS if head.has(ACK) => {}
            SETTINGS => {
                let change = self.peer.settings(payload)?;
                self.streams.iter_mut().for_each(|stream| stream.allowed += change);
                frame::write(self.outbox.bytes(), SETTINGS, ACK, 0, &[]);
            }
            PING if payload.len() != 8 || head.stream != 0 => return Err(malformed),
            PING if head.has(ACK) => {}
            PING => frame::write(self.outbox.bytes(), PING, ACK, 0, payload),
            GOAWAY => self.peer_leaves(payload, to).ok_or(malformed)?,
            WINDOW_UPDATE => self.allow(head.stream, number(payload, 0).filter(|_| payload.len() == 4).ok_or(malformed)?)?,
            PUSH_PROMISE => return Err(Violation::Protocol("pushed something, though we forbade it")),
            PRIORITY if payload.len() != 5 => return Err(malformed),
            // What we do not know is to be ignored.
            _ => {}
        }
        Ok(())
    }

    /// Headers, or the beginning of some.
    fn headers(&mut self, block: Block<'_>, whole: bool, rules: Rules, to: &mut impl Listener) -> Result<(), Violation> {
        let Block { stream: id, last, bytes } = block;
        if bytes.len() > HEAD_MAX {
            return Err(Violation::TooLarge("head"));
        }
        if !whole {
            self.block = Some(Block { stream: id, last, bytes: Cow::Owned(bytes.into_owned()) });
            return Ok(());
        }
        // Also when nobody waits for it any more: the tables of both sides must stay the same.
        let fields = self.decoder.block(&bytes)?;
        let Some(stream) = self.stream(id) else {
            return Ok(());
        };
        match stream.read_head(&fields, last, rules, |head| to.head(id, head)) {
            Ok(()) if last => self.end(id, to),
            Ok(()) => {}
            Err(violation) => self.break_off(id, violation, to),
        }
        Ok(())
    }

    /// The other side has ended a stream in order.
    fn end(&mut self, id: u32, to: &mut impl Listener) {
        let Some(stream) = self.stream(id) else {
            return;
        };
        let (short, unsent) = (stream.is_short(), stream.sending);
        self.forget(id);
        if unsent {
            // It has heard enough of the request to answer it: the rest is of no use.
            self.reset(id, Code::CANCEL);
        }
        self.patience = self.patience.max(PATIENCE);
        to.over(id, if short { Over::Short } else { Over::Whole });
    }

    /// An answer is not acceptable; the connection can go on.
    fn break_off(&mut self, id: u32, violation: Violation, to: &mut impl Listener) {
        self.cancel(id);
        to.over(id, Over::Broken(violation));
    }

    fn peer_leaves(&mut self, payload: &[u8], to: &mut impl Listener) -> Option<()> {
        let leaving = self.peer.leaves(payload)?;
        for stream in self.streams.extract_if(.., |stream| stream.id > leaving.last) {
            to.over(stream.id, Over::Unprocessed(&leaving.said));
        }
        Some(())
    }

    /// The other side takes more of our bodies.
    fn allow(&mut self, id: u32, more: u32) -> Result<(), Violation> {
        let more = i64::from(more & 0x7fff_ffff);
        let allowed = match id {
            0 => Some(&mut self.peer.allowed),
            id => self.streams.iter_mut().find(|stream| stream.id == id).map(|stream| &mut stream.allowed),
        };
        let Some(allowed) = allowed else {
            return Ok(());
        };
        *allowed += more;
        if more == 0 || *allowed > WINDOW_MAX { Err(Violation::Protocol("a wrong flow control window")) } else { Ok(()) }
    }

    /// Lets the other side send again what it has sent.
    fn pay(&mut self, head: FrameHead) {
        let length = u32::try_from(head.length).unwrap_or(0);
        self.owed += length;
        if self.owed >= CONNECTION_WINDOW / 2 {
            let owed = std::mem::take(&mut self.owed);
            self.window += i64::from(owed);
            frame::write(self.outbox.bytes(), WINDOW_UPDATE, 0, 0, &owed.to_be_bytes());
        }
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == head.stream) else {
            return;
        };
        stream.owed += length;
        if stream.owed >= STREAM_WINDOW / 2 {
            let owed = std::mem::take(&mut stream.owed);
            stream.window += i64::from(owed);
            frame::write(self.outbox.bytes(), WINDOW_UPDATE, 0, head.stream, &owed.to_be_bytes());
        }
    }

    /// Takes up pieces of requests' bodies, as far as windows and room allow.
    fn take_up(&mut self, body: &[u8]) {
        for stream in &mut self.streams {
            while let Some(rest) = body.get(stream.sent..).filter(|rest| !rest.is_empty())
                && self.outbox.waiting().len() < WAITING_MAX
            {
                let allowed = usize::try_from(self.peer.allowed.min(stream.allowed)).unwrap_or(0);
                let piece = rest.get(..allowed.min(PAYLOAD_MAX)).unwrap_or(rest);
                if piece.is_empty() {
                    break;
                }
                let last = piece.len() == rest.len();
                frame::write(self.outbox.bytes(), DATA, if last { END_STREAM } else { 0 }, stream.id, piece);
                let n = i64::try_from(piece.len()).unwrap_or(0);
                (self.peer.allowed, stream.allowed) = (self.peer.allowed - n, stream.allowed - n);
                stream.sent += piece.len();
                stream.sending = !last;
                // It will be answered with as many windows.
                self.patience = self.patience.saturating_add(2);
            }
        }
    }

    fn reset(&mut self, id: u32, code: Code) {
        frame::write(self.outbox.bytes(), RST_STREAM, 0, id, &code.0.to_be_bytes());
    }

    fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.id == id)
    }

    /// `false` when there is no such stream.
    fn forget(&mut self, id: u32) -> bool {
        let before = self.streams.len();
        self.streams.retain(|stream| stream.id != id);
        self.streams.len() < before
    }
}

/// A frame's part of a block of headers, without padding and priority.
fn fragment(head: FrameHead, payload: &[u8]) -> Option<&[u8]> {
    let (padding, rest) = if head.has(PADDED) { payload.split_first()? } else { (&0, payload) };
    let rest = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
    if head.has(PRIORITISED) { rest.get(5..) } else { Some(rest) }
}

//! What the other side of a connection has said of itself: how much it takes, and whether it is about to go.

use super::frame::{
    ACK, Code, FrameHead, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, PAYLOAD_MAX, SETTINGS, number,
};
use crate::load::http1::Violation;

/// The largest flow control window there is.
pub(super) const WINDOW_MAX: i64 = 0x7fff_ffff;

/// Characters of what the other side says at its leave that are shown.
const SAID_MAX: usize = 60;

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Peer {
    /// Requests that it takes at once.
    pub(super) streams: usize,
    /// Bytes of a body that it takes on a new stream.
    pub(super) window: i64,
    /// Bytes of bodies that it takes now, on all streams together.
    pub(super) allowed: i64,
    pub(super) leaving: Option<Leaving>,
    /// Its first settings have begun to come.
    known: bool,
}

/// How the other side announced to go.
#[derive(Debug)]
pub(super) struct Leaving {
    /// The last stream that it processes.
    pub(super) last: u32,
    pub(super) said: String,
}

impl Default for Peer {
    fn default() -> Self {
        let window = i64::from(super::WINDOW_DEFAULT);
        // One request needs no leave; for more, it should have spoken.
        Self { streams: 1, window, allowed: window, leaving: None, known: false }
    }
}

impl Peer {
    /// Checks a frame against what must hold for any.
    pub(super) fn expect(&mut self, head: FrameHead) -> Result<(), Violation> {
        if !std::mem::replace(&mut self.known, true) {
            if head.kind != SETTINGS || head.has(ACK) {
                return Err(Violation::Protocol("not an HTTP/2 answer"));
            }
            self.streams = usize::MAX;
        }
        let wrong =
            head.kind == SETTINGS && (head.stream != 0 || head.length > 0 && head.has(ACK) || !head.length.is_multiple_of(6));
        if wrong { Err(Violation::Protocol("malformed settings")) } else { Ok(()) }
    }

    /// Takes over its settings; answers by how much the windows of open streams change.
    pub(super) fn settings(&mut self, payload: &[u8]) -> Result<i64, Violation> {
        let before = self.window;
        for entry in payload.chunks_exact(6) {
            let (Some(id), Some(value)) = (entry.first_chunk(), number(entry, 2)) else {
                continue;
            };
            match u16::from_be_bytes(*id) {
                MAX_CONCURRENT_STREAMS => self.streams = value as usize,
                INITIAL_WINDOW_SIZE if i64::from(value) > WINDOW_MAX => return Err(Violation::Protocol("malformed settings")),
                INITIAL_WINDOW_SIZE => self.window = i64::from(value),
                MAX_FRAME_SIZE if !(PAYLOAD_MAX..1 << 24).contains(&(value as usize)) => {
                    return Err(Violation::Protocol("malformed settings"));
                }
                // We compress nothing into its table, send no frames larger than anybody takes, and are small enough for its heads.
                _ => {}
            }
        }
        Ok(self.window - before)
    }

    /// It is about to go.
    pub(super) fn leaves(&mut self, payload: &[u8]) -> Option<&Leaving> {
        let (last, code) = (number(payload, 0)? & 0x7fff_ffff, Code(number(payload, 4)?));
        let debug = payload.get(8..).unwrap_or_default();
        let debug: String = String::from_utf8_lossy(debug.get(..4 * SAID_MAX).unwrap_or(debug))
            .chars()
            .take(SAID_MAX)
            .flat_map(char::escape_debug)
            .collect();
        let said = if debug.is_empty() { format!("GOAWAY ({code})") } else { format!("GOAWAY ({code}: {debug})") };
        let last = self.leaving.as_ref().map_or(last, |before| before.last.min(last));
        Some(self.leaving.insert(Leaving { last, said }))
    }
}

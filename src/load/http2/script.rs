//! Frames as a server sends them, for tests.

use super::frame::{self, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS};
use super::{hpack, write_header};

/// Any frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, kind, flags, stream, payload);
    bytes
}

/// Settings, by their numbers.
pub(crate) fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = entries.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// A block of headers, spelt out.
pub(crate) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        write_header(&mut block, name.as_bytes(), value.as_bytes(), false);
    }
    block
}

/// A head, or trailers; with `last` nothing follows.
pub(crate) fn head(stream: u32, last: bool, headers: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | if last { END_STREAM } else { 0 }, stream, &block(headers))
}

/// A piece of a body.
pub(crate) fn data(stream: u32, last: bool, body: &[u8]) -> Vec<u8> {
    frame(DATA, if last { END_STREAM } else { 0 }, stream, body)
}

/// A whole answer.
pub(crate) fn ok(stream: u32) -> Vec<u8> {
    [head(stream, false, &[(":status", "200"), ("content-length", "2"), ("x-pod", "p")]), data(stream, true, b"ok")].concat()
}

/// The end of a stream.
pub(crate) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// The announcement to go.
pub(crate) fn goaway(last: u32, code: u32, why: &str) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[&last.to_be_bytes()[..], &code.to_be_bytes(), why.as_bytes()].concat())
}

/// The names and values of a request's block.
pub(crate) fn read_block(block: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = hpack::Decoder::default().block(block).unwrap_or_default();
    fields.iter().map(|(name, value)| (text(name), text(value))).collect()
}

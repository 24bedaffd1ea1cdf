//! The head of an answer: where it ends, what it says about the body, and whether the connection lives on.

use std::mem::MaybeUninit;

use super::Violation;

/// Bytes of head in one answer, interim heads included.
pub(crate) const HEAD_MAX: usize = 64 * 1024;

/// Headers in one head.
pub(crate) const HEADERS_MAX: usize = 100;

/// A complete head.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// The status code.
    pub(crate) status: u16,
    minor: u8,
    headers: &'a [httparse::Header<'a>],
}

/// How the end of the body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// The length of the head at the start of `bytes`, once it is complete; lines before `from` have been looked at.
/// Fails at the first byte that cannot begin an answer, so that garbage is known at once.
pub(super) fn head_end(bytes: &[u8], from: usize) -> Result<Option<usize>, Violation> {
    if !bytes.iter().zip(b"HTTP/1.").all(|(a, b)| a == b) {
        return Err(Violation::Protocol("not an HTTP/1.1 answer"));
    }
    let tail = bytes.get(from..).unwrap_or_default();
    let end = tail.iter().enumerate().filter(|(_, b)| **b == b'\n').find_map(|(i, _)| match tail.get(i + 1..) {
        Some([b'\n', ..]) => Some(i + 2),
        Some([b'\r', b'\n', ..]) => Some(i + 3),
        _ => None,
    });
    Ok(end.map(|end| from + end))
}

/// Parses a complete head and hands it to `take`.
pub(super) fn parse<T>(bytes: &[u8], take: impl FnOnce(&Head<'_>) -> Result<T, Violation>) -> Result<T, Violation> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    match (parsed, response.code, response.version) {
        (Ok(httparse::Status::Complete(n)), Some(status), Some(minor)) if n == bytes.len() => {
            take(&Head { status, minor, headers: response.headers })
        }
        (Err(httparse::Error::TooManyHeaders), ..) => Err(Violation::TooLarge("headers")),
        (Err(httparse::Error::Status), ..) => Err(Violation::Protocol("malformed status line")),
        (Err(httparse::Error::HeaderName | httparse::Error::HeaderValue), ..) => Err(Violation::Protocol("malformed header")),
        (Ok(_) | Err(_), ..) => Err(Violation::Protocol("malformed head")),
    }
}

impl<'a> Head<'a> {
    /// One that came in another form than HTTP/1.1's.
    pub(crate) const fn new(status: u16, headers: &'a [httparse::Header<'a>]) -> Self {
        Self { status, minor: 1, headers }
    }

    /// The values of the headers of this name, in order.
    pub(crate) fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    }

    /// The first value of the header of this name, if it is text.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.all(name).next().and_then(|v| std::str::from_utf8(v).ok()).map(str::trim)
    }

    /// Whether this head only announces another one.
    pub(super) fn is_interim(&self) -> Result<bool, Violation> {
        match self.status {
            101 => Err(Violation::Protocol("switched protocols unasked")),
            100..=199 => Ok(true),
            0..=99 => Err(Violation::Protocol("malformed status line")),
            _ => Ok(false),
        }
    }

    /// Whether the connection may be used again after the body's end.
    pub(super) fn keep_alive(&self) -> bool {
        let says = |token: &str| self.tokens("connection").any(|t| t.eq_ignore_ascii_case(token));
        if self.minor == 0 { says("keep-alive") } else { !says("close") }
    }

    /// How the body ends (RFC 9112, section 6.3).
    pub(super) fn framing(&self, bodiless: bool) -> Result<Framing, Violation> {
        let mut codings = self.tokens("transfer-encoding").peekable();
        let mut lengths = self.tokens("content-length");
        if codings.peek().is_some() {
            // Both at once is how answers get smuggled past proxies: the one who frames it differently sees another answer.
            if lengths.next().is_some() || self.minor == 0 {
                return Err(Violation::Protocol("transfer-encoding with content-length or HTTP/1.0"));
            }
        }
        if bodiless || matches!(self.status, 204 | 304) {
            return Ok(Framing::None);
        }
        if let Some(last) = codings.last() {
            return Ok(if last.eq_ignore_ascii_case("chunked") { Framing::Chunked } else { Framing::UntilClose });
        }
        let Some(first) = lengths.next() else {
            return Ok(Framing::UntilClose);
        };
        let length = parse_length(first).ok_or(Violation::Protocol("malformed content-length"))?;
        if lengths.any(|other| parse_length(other) != Some(length)) {
            return Err(Violation::Protocol("contradicting content-lengths"));
        }
        Ok(Framing::Length(length))
    }

    /// The comma-separated values of all headers of this name; one that is no text counts as an empty token.
    fn tokens<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.all(name).flat_map(|v| std::str::from_utf8(v).unwrap_or_default().split(',')).map(str::trim)
    }
}

/// Digits only: `u64::from_str` would take a plus sign.
pub(crate) fn parse_length(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

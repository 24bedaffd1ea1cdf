//! One stream: how much of its request is sent, and what its answer has announced.

use super::hpack::Fields;
use crate::load::http1::{HEAD_MAX, Head, Rules, Violation, parse_length};

/// Headers that belong to a connection of HTTP/1.1: an answer with one of them is malformed.
const CONNECTION_HEADERS: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// Bytes of the request's body that have been taken up.
    pub(super) sent: usize,
    /// There are more.
    pub(super) sending: bool,
    /// Bytes of it that the other side takes.
    pub(super) allowed: i64,
    /// Bytes of the answer's body that may come.
    pub(super) window: i64,
    /// Bytes that came and that may come again when the other side is told.
    pub(super) owed: u32,
    /// The final head has come.
    pub(super) has_head: bool,
    head_bytes: usize,
    /// The length of the body, if it was announced and there is one.
    length: Option<u64>,
    bodiless: bool,
    body: u64,
}

impl Stream {
    pub(super) fn new(id: u32, allowed: i64, window: u32) -> Self {
        Self {
            id,
            sent: 0,
            sending: false,
            allowed,
            window: i64::from(window),
            owed: 0,
            has_head: false,
            head_bytes: 0,
            length: None,
            bodiless: false,
            body: 0,
        }
    }

    /// Reads a block of headers: an interim head, the final one, or trailers. `last`: nothing follows.
    pub(super) fn read_head(
        &mut self,
        fields: &Fields,
        last: bool,
        rules: Rules,
        take: impl FnOnce(&Head<'_>),
    ) -> Result<(), Violation> {
        self.head_bytes += fields.size();
        if let Some(what) = fields.too_large() {
            return Err(Violation::TooLarge(what));
        }
        if self.head_bytes > HEAD_MAX {
            return Err(Violation::TooLarge("head"));
        }
        let trailers = self.has_head;
        let (status, headers) = parse(fields, trailers)?;
        match status {
            None if last => return Ok(()),
            None => return Err(Violation::Protocol("trailers before the end")),
            Some(101) => return Err(Violation::Protocol("switched protocols unasked")),
            Some(100..=199) if last => return Err(Violation::Protocol("an interim head at the end")),
            Some(100..=199) => return Ok(()),
            Some(status) => {
                let head = Head::new(status, &headers);
                self.has_head = true;
                self.bodiless = rules.bodiless || matches!(status, 204 | 304);
                self.length = length(&head)?.filter(|_| !self.bodiless);
                if self.length.is_some_and(|length| length > rules.max_body) {
                    return Err(Violation::TooLarge("body"));
                }
                take(&head);
            }
        }
        Ok(())
    }

    /// So much of the body has come. Answers how much of it belongs to it, whatever pieces it came in, and what is wrong with the rest.
    pub(super) fn take(&mut self, n: usize, rules: Rules) -> (usize, Result<(), Violation>) {
        let (most, beyond) = match self.length {
            _ if self.bodiless => (0, Violation::Protocol("a body where there is none")),
            Some(length) => (length, Violation::Protocol("more body than content-length")),
            None => (rules.max_body, Violation::TooLarge("body")),
        };
        let room = usize::try_from(most - self.body).unwrap_or(usize::MAX);
        self.body += n.min(room) as u64;
        (n.min(room), if n > room { Err(beyond) } else { Ok(()) })
    }

    /// Whether less has come than was announced.
    pub(super) fn is_short(&self) -> bool {
        self.length.is_some_and(|length| self.body < length)
    }
}

/// The status (none in trailers) and the headers of a block.
fn parse(fields: &Fields, trailers: bool) -> Result<(Option<u16>, Vec<httparse::Header<'_>>), Violation> {
    let malformed = Violation::Protocol("malformed header");
    let mut status = None;
    let mut headers = Vec::new();
    for (name, value) in fields.iter() {
        if let Some(pseudo) = name.strip_prefix(b":") {
            if trailers || !headers.is_empty() || pseudo != b"status" || status.is_some() {
                return Err(malformed);
            }
            let text = std::str::from_utf8(value).ok().filter(|text| text.len() == 3).and_then(parse_length);
            let code = text.and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 100);
            status = Some(code.ok_or(Violation::Protocol("malformed status"))?);
            continue;
        }
        let name = std::str::from_utf8(name).ok().filter(|name| is_name(name)).ok_or(malformed)?;
        if CONNECTION_HEADERS.contains(&name) || value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
            return Err(malformed);
        }
        headers.push(httparse::Header { name, value });
    }
    if status.is_none() && !trailers {
        return Err(Violation::Protocol("a head without a status"));
    }
    Ok((status, headers))
}

/// Whether this is a header's name as HTTP/2 has them: no capitals.
fn is_name(name: &str) -> bool {
    let other = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || other(byte))
}

/// The length that a head announces.
fn length(head: &Head<'_>) -> Result<Option<u64>, Violation> {
    let mut lengths = head.all("content-length").map(|value| std::str::from_utf8(value).ok().and_then(parse_length));
    let Some(first) = lengths.next() else {
        return Ok(None);
    };
    if first.is_none() || lengths.any(|other| other != first) {
        return Err(Violation::Protocol("malformed content-length"));
    }
    Ok(first)
}

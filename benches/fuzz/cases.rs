//! Answers as they should not be: a corpus whose outcomes are known, mutations of it, and what must hold of whatever comes of them.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use verifier::domain::outcome::Outcome;
use verifier::domain::time::At;
use verifier::domain::traffic::{Expect, LanePlan, Mode, RequestPlan, Schedule};
use verifier::load::lab::{Reader, Seen};

/// Bytes of body that the lanes of these cases take.
const MAX_BODY: usize = 3_000;
/// Bytes that may be held: a head of 64 KiB and a body, each in a buffer that has just grown to twice its need.
const MAX_HELD: usize = 2 * (64 * 1024 + 1 + MAX_BODY);
/// No case is longer: twice what a head may have, so that every bound can be crossed.
const MAX_CASE: usize = 150_000;

/// Sound and unsound answers, and what becomes of them when the other side closes after them.
pub(super) const CORPUS: &[(&str, Outcome)] = &[
    ("HTTP/1.1 200 OK\r\nX-Pod-Name: a\r\nX-App-Version: v1\r\nContent-Length: 13\r\n\r\n{\"ready\":true}", Outcome::WrongBody),
    ("HTTP/1.1 200 OK\r\nX-Pod-Name: a\r\nX-App-Version: v1\r\nContent-Length: 14\r\n\r\n{\"ready\":true}", Outcome::Ok),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"ready\"\r\n6;x=y\r\n:true}\r\n0\r\nX-Sum: 1\r\n\r\n",
        Outcome::Ok,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00E\r\n{\"ready\":true}\r\n0\r\n\r\nHTTP/1.1 500 No\r\n\r\n",
        Outcome::Ok,
    ),
    ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n{\"ready\":true}", Outcome::Ok),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        Outcome::WrongBody,
    ),
    ("HTTP/1.1 200 OK\nContent-Length: 14, 14\nConnection: x, CLOSE\n\n{\"ready\":true}", Outcome::Ok),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", Outcome::Protocol),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Outcome::Protocol),
    ("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nhello", Outcome::TooLarge),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nhello", Outcome::TooLarge),
    ("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello", Outcome::Truncated),
    ("HTTP/1.1 200 OK\r\nContent-Le", Outcome::ResetAfterSend),
    ("", Outcome::ResetAfterSend),
    ("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", Outcome::Throttled),
    ("HTTP/1.1 503 No\r\nRetry-After: 1\r\nX-RateLimit-Remaining: 0\r\nContent-Length: 0\r\n\r\n", Outcome::Throttled),
    ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 7\r\n\r\nno pods", Outcome::GatewayStatus),
    ("HTTP/1.1 503 Service Unavailable\r\nX-Pod: b\r\nContent-Length: 70\r\n\r\ncut off", Outcome::AppStatus),
    ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", Outcome::Protocol),
    ("HTTP/2 200\r\n\r\n", Outcome::Protocol),
    ("SSH-2.0-OpenSSH_9.2\r\n", Outcome::Protocol),
];

/// All that can become of a request that was sent and whose connection ended in order.
const POSSIBLE: [Outcome; 9] = [
    Outcome::Ok,
    Outcome::AppStatus,
    Outcome::GatewayStatus,
    Outcome::Throttled,
    Outcome::WrongBody,
    Outcome::Protocol,
    Outcome::TooLarge,
    Outcome::Truncated,
    Outcome::ResetAfterSend,
];

/// What is put in, beside parts of the corpus.
const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "\n\n",
    ":",
    ";",
    ",",
    " ",
    "\t",
    "\0",
    "0\r\n\r\n",
    "0",
    "F",
    "-1",
    "+5",
    "7fffffffffffffff",
    "ffffffffffffffff",
    "18446744073709551616",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 ",
    "HTTP/1.1 304 X\r\n\r\n",
    "HTTP/1.1 100 C\r\n\r\n",
    "Content-Length: 14\r\n",
    "Content-Length: \r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Connection: close\r\n",
    "X-Pod-Name: \u{e4}\u{1f600}\r\n",
    "Retry-After: 1\r\n",
    "\u{feff}",
];

/// What is asked of answers; each sees other parts of the reader.
fn lanes() -> Vec<LanePlan> {
    let lane = |method: &str, body_contains: Option<&str>, json: &[&str]| LanePlan {
        name: "fuzz".into(),
        mode: Mode::Kept { connections: 1 },
        rate: 1.0,
        schedule: Schedule::default(),
        start: At::ZERO,
        request: RequestPlan { url: "http://127.0.0.1:9/".into(), method: method.into(), ..RequestPlan::default() },
        expect: Expect {
            body_contains: body_contains.map(str::to_owned),
            json: json.iter().map(|path| (*path).to_owned()).collect(),
            max_body: MAX_BODY,
            ..Expect::default()
        },
        timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        max_in_flight: 1,
        thresholds: Vec::new(),
    };
    vec![lane("GET", Some("\"ready\":true}"), &[]), lane("GET", None, &["$.ready == true"]), lane("HEAD", None, &[])]
}

/// Reads cases and checks what comes of them.
pub(super) struct Checker {
    seed: u64,
    readers: Vec<Reader>,
}

impl Checker {
    /// The cases of this seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, readers: lanes().iter().map(|lane| Reader::new(lane).expect("the lanes are sound")).collect() }
    }

    /// The corpus as it is written ends as it says; fails with what does not.
    pub(super) fn corpus(&mut self) -> Result<(), String> {
        for (text, expected) in CORPUS {
            let (seen, _) = self.readers[0].read([text.as_bytes()]);
            if seen.outcome != *expected {
                return Err(format!("{}: {seen:?}, and not {expected:?}", text.escape_debug()));
            }
        }
        Ok(())
    }

    /// Makes the case of this number, reads it whole and in pieces with each reader, and answers its outcome with the first.
    pub(super) fn case(&mut self, number: u64) -> Result<Outcome, String> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let bytes = mutated(&mut rng);
        let mut first = None;
        for which in 0..self.readers.len() {
            let cuts = cuts(&mut rng, bytes.len());
            let seen = self.check(which, &bytes, &cuts).map_err(|why| {
                let (seed, shown) = (self.seed, bytes.get(..2_000).unwrap_or(&bytes).escape_ascii());
                format!("seed {seed}, case {number}, reader {which}, cut at {cuts:?}: {why}\n{} bytes: {shown}", bytes.len())
            })?;
            first = first.or(Some(seen.outcome));
        }
        first.ok_or_else(|| "there is no reader".to_owned())
    }

    fn check(&mut self, which: usize, bytes: &[u8], cuts: &[usize]) -> Result<Seen, String> {
        let reader = &mut self.readers[which];
        let (whole, cost) = reader.read([bytes]);
        let (pieces, pieces_cost) = reader.read(split(bytes, cuts));
        let held = cost.held.max(pieces_cost.held);
        let says =
            |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {whole:?} and {pieces:?}, {held} held")) };
        says(whole == pieces, "pieces make a difference")?;
        says(held <= MAX_HELD, "too much is held")?;
        says(POSSIBLE.contains(&whole.outcome), "no bytes can end so")?;
        says(whole.complete.is_none_or(|used| used <= bytes.len()), "more was used than came")?;
        says(!whole.keep_alive || whole.complete.is_some(), "an incomplete answer cannot be followed by another")?;
        says(
            whole.outcome != Outcome::Ok || whole.status.is_some_and(|s| (200..400).contains(&s)),
            "an unwanted status is not ok",
        )?;
        // What follows a complete answer is no part of it.
        if let Some(used) = whole.complete {
            let (alone, _) = reader.read([&bytes[..used]]);
            says(alone == whole, "what comes after the end makes a difference")?;
        }
        Ok(whole)
    }
}

/// The bytes between the cuts, which ascend.
fn split<'a>(bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let ends = cuts.iter().copied().chain([bytes.len()]);
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    starts.zip(ends).map(|(from, to)| &bytes[from..to])
}

/// Where to cut: nowhere near, everywhere, or after each byte of a stretch.
fn cuts(rng: &mut StdRng, length: usize) -> Vec<usize> {
    if length < 2 {
        return Vec::new();
    }
    let mut cuts: Vec<usize> = match rng.random_range(0..3) {
        0 => (1..length.min(600)).collect(),
        1 => {
            let from = rng.random_range(1..length);
            (from..length.min(from + 40)).collect()
        }
        _ => (0..rng.random_range(1..8)).map(|_| rng.random_range(1..length)).collect(),
    };
    cuts.sort_unstable();
    cuts
}

/// Something from the corpus, changed a few times.
fn mutated(rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = sample(rng);
    for _ in 0..rng.random_range(1..7) {
        mutate(rng, &mut bytes);
        bytes.truncate(MAX_CASE);
    }
    bytes
}

fn sample(rng: &mut StdRng) -> Vec<u8> {
    CORPUS[rng.random_range(0..CORPUS.len())].0.as_bytes().to_vec()
}

fn mutate(rng: &mut StdRng, bytes: &mut Vec<u8>) {
    let at = rng.random_range(0..=bytes.len());
    let to = rng.random_range(at..=bytes.len().min(at + 60));
    match rng.random_range(0..9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
        1 if at < bytes.len() => bytes[at] = rng.random(),
        2 => {
            bytes.drain(at..to);
        }
        3 => bytes.truncate(at),
        4 => {
            let piece = bytes[at..to].to_vec();
            // Seldom so often that a bound is crossed.
            let times = if rng.random_range(0..12) == 0 { rng.random_range(1..MAX_CASE) / piece.len().max(1) } else { 2 };
            bytes.splice(at..at, piece.repeat(times.min(MAX_CASE)));
        }
        5 => {
            let other = sample(rng);
            let from = rng.random_range(0..=other.len());
            bytes.splice(at..to, other[from..].iter().copied());
        }
        6 => {
            let number = rng.random_range(0..2_u64 * MAX_BODY as u64);
            let text = if rng.random() { format!("{number}") } else { format!("{number:x}") };
            bytes.splice(at..to.min(at + 2), text.into_bytes());
        }
        7 => bytes[at..to].iter_mut().for_each(|byte| *byte ^= if byte.is_ascii_alphabetic() { 0x20 } else { 0 }),
        _ => {
            let word = WORDS[rng.random_range(0..WORDS.len())];
            bytes.splice(at..at, word.bytes());
        }
    }
}

//! The decoder against good, odd and hostile bytes, whole and in pieces.

use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules { bodiless: false, max_body: 1_000 };

/// What a decoder made of a stream.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    statuses: Vec<u16>,
    body: Vec<u8>,
    used: usize,
    done: bool,
    keep_alive: bool,
    eof: Option<AtEof>,
    violation: Option<Violation>,
}

impl Sink for Seen {
    fn head(&mut self, head: &Head<'_>) {
        self.statuses.push(head.status);
    }
    fn body(&mut self, piece: &[u8]) {
        self.body.extend_from_slice(piece);
    }
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, rules: Rules) -> Seen {
    let mut decoder = Decoder::default();
    let mut seen = Seen::default();
    let mut used = 0;
    for piece in pieces {
        match decoder.feed(piece, rules, &mut seen) {
            Ok(n) => used += n,
            Err(violation) => {
                // How far a piece got before the violation depends on the pieces; what was wrong does not.
                return Seen { violation: Some(violation), ..Seen::default() };
            }
        }
    }
    Seen { used, done: decoder.done(), keep_alive: decoder.keep_alive(), eof: Some(decoder.at_eof()), ..seen }
}

fn whole(text: &[u8]) -> Seen {
    decode([text], RULES)
}

fn answered(status: u16, body: &str, used: usize, keep_alive: bool) -> Seen {
    Seen { statuses: vec![status], body: body.into(), used, done: true, keep_alive, eof: Some(AtEof::Complete), violation: None }
}

#[test]
fn each_framing_ends_where_it_says() {
    let length = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloSURPLUS";
    assert_eq!(whole(length), answered(200, "hello", length.len() - 7, true));
    let chunked =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n5;x=y\r\nhello\r\n0A\r\n, dear you\r\n0\r\nX-Sum: 1\r\n\r\n";
    assert_eq!(whole(chunked), answered(200, "hello, dear you", chunked.len(), true));
    let bare = b"HTTP/1.1 200 OK\nContent-Length: 0, 0\nConnection: x, CLOSE\n\n";
    assert_eq!(whole(bare), answered(200, "", bare.len(), false));
    for status in ["204 No Content", "304 Not Modified"] {
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(whole(text.as_bytes()), answered(status[..3].parse().unwrap(), "", text.len(), true));
    }
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n";
    assert_eq!(decode([&head[..]], Rules { bodiless: true, ..RULES }), answered(200, "", head.len(), true));
}

#[test]
fn without_a_framing_the_end_of_the_stream_is_the_end_of_the_body() {
    let text = b"HTTP/1.0 200 OK\r\n\r\nhello";
    let open = Seen { done: false, ..answered(200, "hello", text.len(), false) };
    assert_eq!(whole(text), open);
    let other = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello";
    assert_eq!(whole(other), Seen { used: other.len(), ..open });
}

#[test]
fn an_end_before_the_end_is_told_by_how_far_the_answer_came() {
    for (text, eof) in [
        (&b""[..], AtEof::NoHead),
        (b"HTTP/1.1 200 OK\r\nContent-Le", AtEof::NoHead),
        (b"HTTP/1.1 100 Continue\r\n\r\n", AtEof::NoHead),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", AtEof::Truncated),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", AtEof::Truncated),
    ] {
        assert_eq!((whole(text).eof, whole(text).done), (Some(eof), false), "{}", text.escape_ascii());
    }
}

#[test]
fn interim_heads_are_skipped_but_not_for_ever() {
    let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(whole(text), answered(200, "hi", text.len(), true));
    let endless = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(HEAD_MAX / 25 + 1);
    assert_eq!(whole(&endless).violation, Some(Violation::TooLarge("head")));
}

#[test]
fn what_is_not_http_is_known_at_its_first_byte() {
    for text in [&b"x"[..], b"\r\nHTTP/1.1 200 OK\r\n\r\n", b"HTTP/2", b"SSH-2.0-x", b"\x16\x03\x01"] {
        assert_eq!(whole(text).violation, Some(Violation::Protocol("not an HTTP/1.1 answer")), "{}", text.escape_ascii());
    }
}

#[test]
fn contradictions_and_malformed_answers_are_violations() {
    for (head, why) in [
        ("Content-Length: 5\r\nContent-Length: 6", "contradicting content-lengths"),
        ("Content-Length: 5, 6", "contradicting content-lengths"),
        ("Content-Length: +5", "malformed content-length"),
        ("Content-Length: ", "malformed content-length"),
        ("Content-Length: 99999999999999999999", "malformed content-length"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", "transfer-encoding with content-length or HTTP/1.0"),
        ("No colon", "malformed header"),
        (" folded: x", "malformed header"),
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
        assert_eq!(whole(text.as_bytes()).violation, Some(Violation::Protocol(why)), "{head}");
    }
    for (line, why) in [
        ("HTTP/1.1 20x OK", "malformed status line"),
        ("HTTP/1.1 099 ?", "malformed status line"),
        ("HTTP/1.7 200 OK", "malformed head"),
    ] {
        assert_eq!(whole(format!("{line}\r\n\r\n").as_bytes()).violation, Some(Violation::Protocol(why)), "{line}");
    }
    let upgrade = whole(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_eq!(upgrade.violation, Some(Violation::Protocol("switched protocols unasked")));
    for chunks in ["x\r\n", "\r\n", "5\nhello", "5\r\nhelloX", "5\r\nhello\rX", "5 ;\n", "11111111111111111\r\n", "0\r\nX: y\n"] {
        let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(whole(text.as_bytes()).violation, Some(Violation::Protocol("malformed chunk")), "{chunks:?}");
    }
}

#[test]
fn everything_endless_has_a_bound() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (text, what) in [
        (format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(HEAD_MAX)), "head"),
        (format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(HEAD_MAX)), "head"),
        (format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101)), "headers"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n".into(), "body"),
        (format!("HTTP/1.1 200 OK\r\n\r\n{}", "a".repeat(1_001)), "body"),
        (format!("{chunked}3E9\r\n"), "body"),
        (format!("{chunked}{}", "1\r\na\r\n".repeat(1_001)), "body"),
        (format!("{chunked}5;{}", "a".repeat(70_000)), "chunk framing"),
        (format!("{chunked}0\r\n{}", "a: b\r\n".repeat(20_000)), "chunk framing"),
    ] {
        assert_eq!(whole(text.as_bytes()).violation, Some(Violation::TooLarge(what)), "{}", &text[..60.min(text.len())]);
    }
    let exact = format!("{chunked}{}0\r\n\r\n", "1\r\na\r\n".repeat(1_000));
    assert_eq!(whole(exact.as_bytes()), answered(200, &"a".repeat(1_000), exact.len(), true));
    let hundred = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "a: b\r\n".repeat(99));
    assert_eq!(whole(hundred.as_bytes()), answered(200, "", hundred.len(), true));
}

#[test]
fn a_connection_is_reusable_only_when_both_sides_can_tell_where_the_answer_ended() {
    for (text, keep) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", false),
        ("HTTP/1.1 200 OK\r\n\r\nab", false),
    ] {
        assert_eq!(whole(text.as_bytes()).keep_alive, keep, "{text:?}");
    }
}

#[test]
fn a_decoder_reads_one_answer_after_the_other() {
    let mut decoder = Decoder::default();
    let mut seen = Seen::default();
    let both = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let first = decoder.feed(both, RULES, &mut seen).unwrap();
    decoder.reset();
    let second = decoder.feed(&both[first..], RULES, &mut seen).unwrap();
    assert_eq!((first + second, seen.statuses, seen.body), (both.len(), vec![200, 404], b"hi".to_vec()));
}

/// Answers that are mostly well-formed, with all framings and some damage.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let line_end = prop_oneof![9 => Just("\r\n"), 1 => Just("\n")];
    let header = prop_oneof![
        (0_u32..40).prop_map(|n| format!("Content-Length: {n}")),
        Just("Transfer-Encoding: chunked".into()),
        Just("Connection: close".into()),
        "[a-zA-Z-]{1,9}: [ -~]{0,20}",
        "[ -~]{0,12}",
    ];
    let head = (
        prop_oneof![Just("HTTP/1.1 200 OK"), Just("HTTP/1.1 100 C"), Just("HTTP/1.0 204 "), Just("HTTP/1.1 503")],
        prop::collection::vec(header, 0..4),
        line_end,
    )
        .prop_map(|(line, headers, end)| format!("{line}{end}{}{end}", headers.into_iter().map(|h| h + end).collect::<String>()));
    let chunk = prop_oneof![
        8 => "[a-z]{0,30}".prop_map(|data| format!("{:x}\r\n{data}\r\n", data.len())),
        1 => "[ -~\r\n]{0,8}",
    ];
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        prop::collection::vec(chunk, 0..4).prop_map(|chunks| (chunks.concat() + "0\r\n\r\n").into_bytes()),
    ];
    (prop::collection::vec(head, 1..3), body).prop_map(|(heads, body)| [heads.concat().into_bytes(), body].concat())
}

proptest! {
    #[test]
    fn pieces_of_any_size_mean_what_the_whole_means(stream in streams(), cuts in prop::collection::vec(1_usize..9, 1..20)) {
        let all = whole(&stream);
        prop_assert_eq!(&decode(stream.chunks(1), RULES), &all, "byte by byte");
        let mut rest = &stream[..];
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        prop_assert_eq!(&decode(pieces, RULES), &all, "cut at {:?}", cuts);
    }

    #[test]
    fn no_bytes_whatever_make_it_panic_or_read_past_the_bounds(stream in prop::collection::vec(any::<u8>(), 0..300)) {
        let after_a_head = [&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..], &stream].concat();
        prop_assert!(whole(&after_a_head).body.len() <= 1_000);
        prop_assert_eq!(whole(&stream).used <= stream.len(), true);
    }
}

//! Sessions against good, odd and hostile frames, whole and in pieces.

use proptest::prelude::*;

use super::frame::{MAX_CONCURRENT_STREAMS, PADDED};
use super::script::{block, data, frame, goaway, head, ok, reset, settings};
use super::*;

const RULES: Rules = Rules { bodiless: false, max_body: 100_000 };
const STATUS: (&str, &str) = (":status", "200");

/// What a listener heard, as text.
#[derive(Debug, Default, PartialEq)]
struct Heard(Vec<String>);

impl Listener for Heard {
    fn heard(&mut self, _: u32) {}
    fn head(&mut self, stream: u32, head: &Head<'_>) {
        self.0.push(format!("{stream} {}", head.status));
    }
    fn body(&mut self, stream: u32, piece: &[u8]) {
        let text = piece.escape_ascii().to_string();
        // Where pieces begin and end is chance.
        match self.0.last_mut().filter(|last| last.starts_with(&format!("{stream}: "))) {
            Some(last) => last.push_str(&text),
            None => self.0.push(format!("{stream}: {text}")),
        }
    }
    fn over(&mut self, stream: u32, how: Over<'_>) {
        self.0.push(format!("{stream} {how:?}"));
    }
}

fn request(body: &str) -> Prepared {
    Prepared { block: block(&[(":method", "GET")]), body: body.as_bytes().to_vec() }
}

/// A session with so many requests under way, all sent.
fn session(requests: usize, body: &str) -> (Session, Prepared) {
    let (mut session, request) = (Session::new(), request(body));
    for _ in 0..requests {
        session.request(&request);
    }
    sent(&mut session, &request);
    (session, request)
}

/// Takes all that is to be sent.
fn sent(session: &mut Session, request: &Prepared) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let waiting = session.waiting(request).to_vec();
        if waiting.is_empty() {
            return all;
        }
        session.advance(waiting.len());
        all.extend(waiting);
    }
}

/// What comes of these bytes after the server's settings, with two requests under way.
fn after_settings(bytes: &[u8]) -> (Vec<String>, Result<(), Violation>) {
    let (mut session, _) = session(2, "");
    let mut heard = Heard::default();
    session.feed(&settings(&[]), RULES, &mut heard).unwrap();
    let end = session.feed(bytes, RULES, &mut heard);
    (heard.0, end)
}

fn violation(bytes: &[u8]) -> &'static str {
    match after_settings(bytes).1 {
        Err(Violation::Protocol(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_come_stream_by_stream_in_whatever_order() {
    let trailers = head(1, true, &[("grpc-status", "0")]);
    let bytes = [
        head(3, false, &[(":status", "103"), ("link", "x")]),
        head(3, false, &[(":status", "503")]),
        head(1, false, &[STATUS, ("content-length", "4")]),
        data(1, false, b"ab"),
        data(3, true, b"no"),
        frame(DATA, PADDED, 1, b"\x03cdxxx"),
        trailers,
    ]
    .concat();
    let expected = ["3 503", "1 200", "1: ab", "3: no", "3 Whole", "1: cd", "1 Whole"];
    assert_eq!(after_settings(&bytes), (expected.map(str::to_owned).to_vec(), Ok(())));
}

#[test]
fn a_head_may_come_in_many_frames_with_padding_and_priority() {
    let all = block(&[STATUS, ("a", "b"), ("c", "d")]);
    let (first, rest) = all.split_at(5);
    let first = [&[2, 0, 0, 0, 0, 7], first, &[0, 0]].concat();
    let (second, third) = rest.split_at(4);
    let bytes = [
        frame(HEADERS, PADDED | PRIORITISED | END_STREAM, 1, &first),
        frame(CONTINUATION, 0, 1, second),
        frame(CONTINUATION, END_HEADERS, 1, third),
    ]
    .concat();
    assert_eq!(after_settings(&bytes), (vec!["1 200".to_owned(), "1 Whole".to_owned()], Ok(())));
    let broken = [frame(HEADERS, 0, 1, &[]), data(1, true, b"")].concat();
    assert_eq!(violation(&broken), "something else within a block of headers");
}

#[test]
fn a_stream_that_ends_before_its_answer_is_told_by_how() {
    let ends = |bytes: &[u8]| after_settings(bytes).0.last().cloned().unwrap();
    assert_eq!(ends(&reset(1, 2)), "1 Reset(Code(2))");
    assert_eq!(ends(&reset(1, 7)), r#"1 Unprocessed("RST_STREAM (REFUSED_STREAM)")"#);
    assert_eq!(ends(&[head(1, false, &[STATUS, ("content-length", "3")]), data(1, true, b"ab")].concat()), "1 Short");
    assert_eq!(ends(&head(1, true, &[STATUS, ("content-length", "3")])), "1 Short");
    let (told, end) = after_settings(&[goaway(1, 11, "too\nmany"), ok(1)].concat());
    let all = [r#"3 Unprocessed("GOAWAY (ENHANCE_YOUR_CALM: too\\nmany)")"#, "1 200", "1: ok", "1 Whole"];
    assert_eq!((told, end), (all.map(str::to_owned).to_vec(), Ok(())));
}

#[test]
fn an_answer_that_breaks_the_rules_costs_its_stream_only() {
    let long = "x".repeat(70_000);
    let cases: [(Vec<u8>, &str); 15] = [
        (head(1, true, &[("a", "b")]), "a head without a status"),
        (head(1, true, &[("a", "b"), STATUS]), "malformed header"),
        (head(1, true, &[STATUS, STATUS]), "malformed header"),
        (head(1, true, &[(":status", "20")]), "malformed status"),
        (head(1, true, &[(":status", "+20")]), "malformed status"),
        (head(1, true, &[STATUS, ("A", "b")]), "malformed header"),
        (head(1, true, &[STATUS, ("connection", "close")]), "malformed header"),
        (head(1, true, &[STATUS, ("a", "b\nc")]), "malformed header"),
        (head(1, true, &[(":status", "101")]), "switched protocols unasked"),
        (head(1, true, &[(":status", "100")]), "an interim head at the end"),
        (data(1, false, b"x"), "a body before its head"),
        ([head(1, false, &[STATUS]), head(1, false, &[("a", "b")])].concat(), "trailers before the end"),
        ([head(1, false, &[STATUS, ("content-length", "1")]), data(1, true, b"ab")].concat(), "more body than content-length"),
        (head(1, false, &[STATUS, ("content-length", "1"), ("content-length", "2")]), "malformed content-length"),
        ([head(1, false, &[(":status", "204")]), data(1, true, b"ab")].concat(), "a body where there is none"),
    ];
    for (bytes, why) in cases {
        let (told, end) = after_settings(&[bytes, ok(3)].concat());
        assert_eq!(end, Ok(()), "{why}");
        assert!(told.contains(&format!("1 {:?}", Over::Broken(Violation::Protocol(why)))), "{why}: {told:?}");
        assert_eq!(told.last().map(String::as_str), Some("3 Whole"));
    }
    let too_large = |bytes: Vec<u8>| after_settings(&bytes).0.last().cloned();
    let broken = |what| Some(format!("1 {:?}", Over::Broken(Violation::TooLarge(what))));
    assert_eq!(too_large(head(1, false, &[STATUS, ("content-length", "100001")])), broken("body"));
    let many: Vec<(&str, &str)> = std::iter::once(STATUS).chain(std::iter::repeat_n(("a", "b"), 101)).collect();
    assert_eq!(too_large(head(1, true, &many)), broken("headers"));
    let endless = [head(1, false, &[STATUS]), data(1, false, &long.as_bytes()[..16_000]).repeat(7)].concat();
    assert_eq!(too_large(endless), broken("body"));
    let interim = head(1, false, &[(":status", "103"), ("link", &long[..8_000])]).repeat(9);
    assert_eq!(too_large(interim), broken("head"));
}

#[test]
fn what_breaks_the_rules_of_a_connection_ends_it() {
    let cases: [(Vec<u8>, &str); 13] = [
        (ok(5), "an answer to no request"),
        (ok(2), "an answer to no request"),
        (data(7, false, b"x"), "an answer to no request"),
        (reset(0, 1), "a malformed frame"),
        (reset(9, 1), "a malformed frame"),
        (frame(PING, 0, 0, b"short"), "a malformed frame"),
        (frame(WINDOW_UPDATE, 0, 0, &[0; 4]), "a wrong flow control window"),
        (frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]), "a wrong flow control window"),
        (frame(SETTINGS, 0, 0, &[0; 5]), "malformed settings"),
        (settings(&[(4, 0x8000_0000)]), "malformed settings"),
        (frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), "pushed something, though we forbade it"),
        (frame(HEADERS, END_HEADERS, 1, &[0x80]), "no such header remembered"),
        (vec![0, 0x40, 1, 0, 0, 0, 0, 0, 0], "a frame longer than was agreed on"),
    ];
    for (bytes, why) in cases {
        assert_eq!(violation(&bytes), why);
    }
    let beyond = [head(1, false, &[STATUS]), data(1, false, &[0; 16_384]).repeat(300)].concat();
    let (mut session, _) = session(1, "");
    let rules = Rules { max_body: u64::MAX, ..RULES };
    session.feed(&settings(&[]), rules, &mut Heard::default()).unwrap();
    // What came is let come again, so that this is no more than was allowed.
    assert_eq!(session.feed(&beyond, rules, &mut Heard::default()), Ok(()));
}

#[test]
fn what_is_no_http2_at_all_is_known_by_its_first_bytes() {
    let first = |bytes: &[u8]| Session::new().feed(bytes, RULES, &mut Heard::default());
    assert_eq!(first(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Err(Violation::Protocol("answered in HTTP/1, not in HTTP/2")));
    for garbage in [&b"SSH-2.0"[..], b"\xff", &ok(1), &goaway(0, 0, ""), &frame(SETTINGS, ACK, 0, &[])] {
        assert_eq!(first(garbage), Err(Violation::Protocol("not an HTTP/2 answer")));
    }
}

#[test]
fn a_flood_of_frames_that_bring_nothing_ends_the_connection_and_so_do_endless_heads() {
    let never_ending = [frame(HEADERS, 0, 1, &[]), frame(CONTINUATION, 0, 1, &[]).repeat(2_000)].concat();
    for flood in [
        frame(PING, 0, 0, &[0; 8]).repeat(2_000),
        settings(&[(MAX_CONCURRENT_STREAMS, 5)]).repeat(2_000),
        reset(1, 8).repeat(2_000),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()).repeat(2_000),
        frame(0x77, 0, 0, b"unknown").repeat(2_000),
        frame(PRIORITY, 0, 1, &[0; 5]).repeat(2_000),
        [head(1, false, &[STATUS]), data(1, false, b"").repeat(2_000)].concat(),
        never_ending,
    ] {
        assert_eq!(violation(&flood), "a flood of frames that bring nothing");
    }
    let large = [frame(HEADERS, 0, 1, &[]), frame(CONTINUATION, 0, 1, &[0; 16_384]).repeat(5)].concat();
    assert_eq!(after_settings(&large).1, Err(Violation::TooLarge("head")));
    let (mut session, _) = session(1, "");
    session.feed(&settings(&[]), RULES, &mut Heard::default()).unwrap();
    let _ = session.feed(&frame(PING, 0, 0, &[0; 8]).repeat(9_000), RULES, &mut Heard::default());
    assert!(session.outbox.waiting().len() < 20_000, "what we owe for it is bounded too");
}

#[test]
fn pings_of_a_long_idle_connection_are_answered_and_a_whole_answer_restores_patience() {
    let (mut session, request) = session(1, "");
    session.feed(&[settings(&[]), ok(1)].concat(), RULES, &mut Heard::default()).unwrap();
    for round in 0..5 {
        let (id, _) = session.request(&request);
        sent(&mut session, &request);
        session.feed(&[frame(PING, 0, 0, b"12345678").repeat(900), ok(id)].concat(), RULES, &mut Heard::default()).unwrap();
        let acks = frame(PING, ACK, 0, b"12345678").repeat(900);
        assert_eq!(sent(&mut session, &request), acks, "round {round}");
    }
}

#[test]
fn one_request_is_sent_before_the_other_side_has_spoken_and_then_as_many_as_it_says() {
    let (mut session, request) = session(0, "");
    let mut room = |bytes: &[u8]| {
        session.feed(bytes, RULES, &mut Heard::default()).unwrap();
        let mut begun = 0;
        while session.has_room() {
            session.request(&request);
            begun += 1;
        }
        begun
    };
    assert_eq!(room(&[]), 1);
    assert_eq!(room(&settings(&[(MAX_CONCURRENT_STREAMS, 3)])), 2);
    assert_eq!(room(&[ok(1), ok(5)].concat()), 2);
    assert_eq!(room(&settings(&[(MAX_CONCURRENT_STREAMS, 1_000)])), CONCURRENT_MAX - 3);
    assert_eq!(room(&[goaway(0x7fff_ffff, 0, ""), ok(3)].concat()), 0);
}

#[test]
fn a_body_is_sent_as_far_as_both_windows_allow() {
    let body = "x".repeat(100_000);
    let (mut session, request) = session(0, &body);
    let (first, _) = session.request(&request);
    let payload = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches('x').count();
    assert_eq!(payload(&sent(&mut session, &request)), 65_535);
    assert!(session.is_held_back(first, &request));
    let more = |id: u32, n: u32| frame(WINDOW_UPDATE, 0, id, &n.to_be_bytes());
    session.feed(&[settings(&[]), more(0, 100_000)].concat(), RULES, &mut Heard::default()).unwrap();
    assert_eq!(payload(&sent(&mut session, &request)), 0, "the stream's own window is used up");
    session.feed(&settings(&[(frame::INITIAL_WINDOW_SIZE, 65_545)]), RULES, &mut Heard::default()).unwrap();
    assert_eq!(payload(&sent(&mut session, &request)), 10);
    session.feed(&more(1, 100_000), RULES, &mut Heard::default()).unwrap();
    let rest = sent(&mut session, &request);
    assert_eq!(payload(&rest), 100_000 - 65_545);
    assert!(!session.is_held_back(first, &request));
    // An answer that comes before the whole request makes the rest of it pointless.
    let (id, _) = session.request(&request);
    sent(&mut session, &request);
    session.feed(&ok(id), RULES, &mut Heard::default()).unwrap();
    assert!(sent(&mut session, &request).ends_with(&reset(id, 8)));
}

#[test]
fn what_comes_for_a_stream_that_was_given_up_is_read_and_forgotten() {
    let (mut session, request) = session(2, "");
    let mut heard = Heard::default();
    session.feed(&settings(&[]), RULES, &mut heard).unwrap();
    session.cancel(1);
    assert!(sent(&mut session, &request).ends_with(&reset(1, 8)));
    // Remembered for the next head, though nobody reads this one.
    let remembered = frame(HEADERS, END_HEADERS, 1, &[0x88, 0x40, 1, b'a', 1, b'b']);
    let refers = frame(HEADERS, END_HEADERS | END_STREAM, 3, &[0x88, 0xbe]);
    let late = data(1, false, &[0; 16_000]).repeat(60);
    session.feed(&[remembered, late, refers].concat(), RULES, &mut heard).unwrap();
    assert_eq!(heard.0, ["3 200", "3 Whole"]);
}

#[test]
fn what_belongs_to_a_body_is_heard_though_more_comes_in_the_same_piece() {
    let beyond = [head(1, false, &[STATUS, ("content-length", "3")]), data(1, true, b"abcd")].concat();
    let (heard, end) = after_settings(&beyond);
    assert_eq!(end, Ok(()));
    assert_eq!(heard, ["1 200", "1: abc", "1 Broken(Protocol(\"more body than content-length\"))"]);
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let hostile = (0..11_u8, any::<u8>(), 0..6_u32, prop::collection::vec(any::<u8>(), 0..30));
    prop_oneof![
        hostile.prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload)),
        (0..3_u32, any::<bool>()).prop_map(|(n, last)| head(2 * n + 1, last, &[STATUS, ("content-length", "5")])),
        (0..3_u32, any::<bool>(), 0..6_usize).prop_map(|(n, last, size)| data(2 * n + 1, last, &vec![b'x'; size])),
        (0..3_u32).prop_map(|n| ok(2 * n + 1)),
    ]
}

proptest! {
    #[test]
    fn frames_say_the_same_in_whatever_pieces_they_come(frames in prop::collection::vec(any_frame(), 0..12), cuts in prop::collection::vec(1..40_usize, 1..8)) {
        let bytes = [settings(&[]), frames.concat()].concat();
        let (mut whole, _) = session(2, "");
        let (mut pieces, request) = session(2, "");
        let (mut one, mut other) = (Heard::default(), Heard::default());
        let expected = whole.feed(&bytes, RULES, &mut one);
        let mut rest = &bytes[..];
        let mut end = Ok(());
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            end = pieces.feed(piece, RULES, &mut other);
            rest = after;
            if end.is_err() || rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!((end, &one), (expected, &other));
        prop_assert_eq!(sent(&mut whole, &request), sent(&mut pieces, &request));
        for id in [1, 3] {
            let ends = ["Whole", "Short", "Reset", "Unprocessed", "Broken"].map(|how| format!("{id} {how}"));
            let ended = one.0.iter().filter(|told| ends.iter().any(|end| told.starts_with(end))).count();
            prop_assert!(ended <= 1, "stream {} ended {} times", id, ended);
        }
    }
}

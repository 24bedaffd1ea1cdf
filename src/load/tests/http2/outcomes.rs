//! One request on a connection, and the one right outcome for each way in which it can go wrong.

use super::script::{block, data, frame, goaway, head, ok, reset};
use super::*;
use crate::domain::secret::Secret;
use crate::load::Protocol;

/// What a server says on a stream.
type Said = Box<dyn Fn(u32) -> Vec<u8> + Send + Sync>;

/// What comes of a request that is answered with these bytes, after which the server waits.
fn answered(bytes: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> OnceReport {
    let server = server(&[], move |peer, asked, _, _| peer.say(bytes(asked.stream)));
    ask(&fast(&server.url()))
}

#[track_caller]
fn ends(report: &OnceReport, outcome: Outcome, note: &str) {
    assert_eq!((report.outcome, report.note.as_str()), (outcome, note), "{report:?}");
}

#[test]
fn a_good_answer_tells_the_same_as_over_http1() {
    let server = server(&[], |peer, asked, _, _| {
        let has = |name: &str, value: &str| asked.headers.iter().any(|(n, v)| n == name && v == value);
        assert!(has(":method", "GET") && has(":path", "/") && has(":scheme", "http"), "{:?}", asked.headers);
        assert!(has(":authority", &peer.stream.local_addr().unwrap().to_string()) && has("x-verifier-run", "test"));
        assert!(!asked.headers.iter().any(|(name, _)| name == "host" || name == "connection"), "{:?}", asked.headers);
        peer.pause(Duration::from_millis(20));
        peer.say(head(asked.stream, false, &[STATUS, ("x-pod", "p-1"), ("x-version", "v2"), ("server", "s")]));
        peer.pause(Duration::from_millis(20));
        peer.say(data(asked.stream, true, b"abcd"))
    });
    let report = ask(&LanePlan { timeout: Duration::from_secs(2), ..fast(&server.url()) });
    assert_eq!((report.outcome, report.status, report.protocol), (Outcome::Ok, Some(200), Some(Protocol::Http2)), "{report:?}");
    assert_eq!((report.pod.as_deref(), report.version.as_deref(), report.tls), (Some("p-1"), Some("v2"), None));
    let names: Vec<&str> = report.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["server", "x-pod", "x-version"]);
    let phases = report.phases;
    assert!(
        phases.first_byte.unwrap() >= 20_000 && phases.last_byte.unwrap() >= 15_000 && phases.connect.unwrap() > 0,
        "{phases:?}"
    );
}

#[test]
fn a_status_a_body_and_a_header_are_judged_as_over_http1() {
    let pod = ("x-pod", "p");
    for (status, headers, outcome) in [
        ("500", vec![pod], Outcome::AppStatus),
        ("503", vec![pod], Outcome::AppStatus),
        ("502", vec![], Outcome::GatewayStatus),
        ("429", vec![], Outcome::Throttled),
        ("503", vec![("retry-after", "1"), ("ratelimit", "0")], Outcome::Throttled),
        ("204", vec![], Outcome::Ok),
    ] {
        let headers = [vec![(":status", status)], headers].concat();
        let report = answered(move |stream| head(stream, true, &headers));
        assert_eq!((report.outcome, report.status.map(|s| s.to_string()).as_deref()), (outcome, Some(status)));
    }
    // A status that is not wanted decides, whatever becomes of the rest.
    let cut = answered(|stream| [head(stream, false, &[(":status", "500")]), reset(stream, 2)].concat());
    ends(&cut, Outcome::AppStatus, "RST_STREAM (INTERNAL_ERROR)");
    let server = server(&[], |peer, asked, _, _| peer.say(ok(asked.stream)));
    let mut lane = fast(&server.url());
    lane.expect.body_contains = Some("healthy".into());
    ends(&ask(&lane), Outcome::WrongBody, "the body does not contain `healthy`; it begins `ok`");
    lane.expect.body_contains = Some("ok".into());
    ends(&ask(&lane), Outcome::Ok, "");
}

#[test]
fn a_request_that_was_never_processed_is_told_from_one_that_was() {
    let never = |why: &str| format!("{why}: the request was never processed");
    ends(&answered(|_| goaway(0, 0, "")), Outcome::ResetBeforeSend, &never("GOAWAY (NO_ERROR)"));
    ends(&answered(|_| goaway(0, 11, "calm")), Outcome::ResetBeforeSend, &never("GOAWAY (ENHANCE_YOUR_CALM: calm)"));
    ends(&answered(|stream| reset(stream, 7)), Outcome::ResetBeforeSend, &never("RST_STREAM (REFUSED_STREAM)"));
    let processed = answered(|stream| [goaway(stream, 0, ""), ok(stream)].concat());
    ends(&processed, Outcome::Ok, "");
    let server = server(&[], |peer, asked, _, _| {
        peer.say(goaway(asked.stream, 2, ""));
        false
    });
    let report = ask(&fast(&server.url()));
    // With our acknowledgement unread, the end of the connection is a reset.
    assert!(report.note.ends_with(" after GOAWAY (INTERNAL_ERROR)"), "{report:?}");
    assert_eq!(report.outcome, Outcome::ResetAfterSend);
}

#[test]
fn every_code_of_a_reset_has_its_outcome_before_the_head_and_after_it() {
    for code in 0..16 {
        let before = answered(move |stream| reset(stream, code));
        let after =
            answered(move |stream| [head(stream, false, &[STATUS]), data(stream, false, b"x"), reset(stream, code)].concat());
        let expected = match code {
            7 => (Outcome::ResetBeforeSend, Outcome::Truncated),
            13 => (Outcome::Protocol, Outcome::Protocol),
            _ => (Outcome::ResetAfterSend, Outcome::Truncated),
        };
        assert_eq!((before.outcome, after.outcome), expected, "code {code}: {before:?} {after:?}");
    }
    ends(&answered(|stream| reset(stream, 8)), Outcome::ResetAfterSend, "RST_STREAM (CANCEL)");
    ends(&answered(|stream| reset(stream, 77)), Outcome::ResetAfterSend, "RST_STREAM (error 77)");
}

#[test]
fn a_connection_that_dies_tells_how_far_it_came() {
    let half = |stream| head(stream, false, &[STATUS, ("x-pod", "p")])[..12].to_vec();
    let some = |stream| [head(stream, false, &[STATUS]), data(stream, false, b"half")].concat();
    let cut = move |stream| some(stream)[..some(stream).len() - 2].to_vec();
    for reset in [false, true] {
        let cases: [(Said, Outcome); 4] = [
            (Box::new(|_| Vec::new()), Outcome::ResetAfterSend),
            (Box::new(half), Outcome::ResetAfterSend),
            (Box::new(some), Outcome::Truncated),
            (Box::new(cut), Outcome::Truncated),
        ];
        for (said, outcome) in cases {
            let server = server(&[], move |peer, asked, _, _| {
                peer.say(said(asked.stream));
                if reset {
                    // The bytes and the reset must not meet on the way.
                    peer.pause(Duration::from_millis(20));
                    peer.reset();
                }
                false
            });
            let report = ask(&fast(&server.url()));
            assert_eq!(report.outcome, outcome, "{report:?}");
        }
    }
    let short = answered(|stream| [head(stream, false, &[STATUS, ("content-length", "9")]), data(stream, true, b"half")].concat());
    ends(&short, Outcome::Truncated, "the stream ended before its content-length");
}

#[test]
fn what_breaks_the_rules_is_a_protocol_error() {
    let broken = |bytes: Vec<u8>, note: &str| ends(&answered(move |_| bytes.clone()), Outcome::Protocol, note);
    broken(ok(9), "an answer to no request");
    broken(head(1, true, &[STATUS, ("Upper", "x")]), "malformed header");
    broken(frame(1, 4, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), "a number too large");
    broken(frame(5, 4, 1, &[0, 0, 0, 2]), "pushed something, though we forbade it");
    broken(head(1, true, &[("a", "b")]), "a head without a status");
}

#[test]
fn a_flood_is_ended_soon_and_costs_little() {
    for flood in [frame(6, 0, 0, &[0; 8]), script::settings(&[(3, 9)]), frame(3, 0, 1, &[0, 0, 0, 8]), frame(0x99, 0, 0, b"?")] {
        // A reset ends the request, and then nobody listens any more.
        let expected = if flood[3] == 3 { Outcome::ResetAfterSend } else { Outcome::Protocol };
        let server = server(&[], move |peer, _, _, _| {
            let many = flood.repeat(500);
            while peer.say(&many) {}
            false
        });
        let report = ask(&LanePlan { timeout: Duration::from_secs(3), ..fast(&server.url()) });
        assert_eq!(report.outcome, expected, "{report:?}");
        assert!(report.phases.total < 2_000_000, "{:?}", report.phases);
    }
    let server = server(&[], |peer, asked, _, _| {
        peer.say(frame(1, 0, asked.stream, &block(&[STATUS])));
        while peer.say(frame(9, 0, asked.stream, b"")) {}
        false
    });
    let report = ask(&LanePlan { timeout: Duration::from_secs(3), ..fast(&server.url()) });
    ends(&report, Outcome::Protocol, "a flood of frames that bring nothing");
}

#[test]
fn what_has_no_end_is_too_large() {
    let long = "x".repeat(1_000);
    let large = long.clone();
    ends(&answered(move |s| head(s, false, &[STATUS, ("content-length", "10001"), ("a", &large)])), Outcome::TooLarge, "body");
    let server = server(&[], move |peer, asked, _, _| {
        if asked.headers.iter().any(|(name, _)| name == "x-head") {
            let piece = block(&[("a", &long)]);
            peer.say(frame(1, 0, asked.stream, &block(&[STATUS])));
            while peer.say(frame(9, 0, asked.stream, &piece)) {}
        } else {
            peer.say(head(asked.stream, false, &[STATUS]));
            while peer.say(data(asked.stream, false, long.as_bytes())) {}
        }
        false
    });
    let mut lane = fast(&server.url());
    ends(&ask(&lane), Outcome::TooLarge, "body");
    lane.request.headers.insert("x-head".into(), Secret::new("1"));
    ends(&ask(&lane), Outcome::TooLarge, "head");
}

#[test]
fn an_answer_that_is_not_complete_by_its_deadline_has_failed_then() {
    ends(&answered(|_| Vec::new()), Outcome::ResponseTimeout, "no answer by the deadline");
    let some = answered(|stream| [head(stream, false, &[STATUS]), data(stream, false, b"half")].concat());
    ends(&some, Outcome::ResponseTimeout, "the body was not complete by the deadline");
    let drip = server(&[], |peer, asked, _, _| {
        peer.say(head(asked.stream, false, &[STATUS]));
        while peer.say(data(asked.stream, false, b"x")) {
            peer.pause(Duration::from_millis(10));
        }
        false
    });
    let report = ask(&fast(&drip.url()));
    assert_eq!(report.outcome, Outcome::ResponseTimeout);
    assert!((400_000..1_200_000).contains(&report.phases.total), "{:?}", report.phases);
    // The other side takes no more of the body than it must.
    let stalls = server(&[(4, 10)], |_, _, _, _| true);
    let mut lane = fast(&stalls.url());
    (lane.request.method, lane.request.body) = ("POST".into(), "x".repeat(200_000));
    ends(&ask(&lane), Outcome::ResponseTimeout, "the other side took only a part of the request's body by the deadline");
}

#[test]
fn whoever_speaks_another_protocol_is_told_so() {
    let http1 = Server::start(|peer, _| {
        if peer.request().is_some() {
            peer.say("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    ends(&ask(&fast(&http1.url())), Outcome::Protocol, "answered in HTTP/1, not in HTTP/2");
    let closes = Server::start(|peer, _| _ = peer.request());
    assert_eq!(ask(&fast(&closes.url())).outcome, Outcome::ResetAfterSend);
    let garbage = Server::start(|peer, _| {
        peer.say("SSH-2.0-OpenSSH\r\n");
        peer.hang();
    });
    ends(&ask(&fast(&garbage.url())), Outcome::Protocol, "not an HTTP/2 answer");
    // And the other way round: what a server of HTTP/2 says to a request in HTTP/1.1.
    let http2 = Server::start(|peer, _| {
        if peer.request().is_some() {
            peer.say([script::settings(&[]), goaway(0, 1, "")].concat());
        }
    });
    let report = ask(&fresh(&http2.url(), 1.0));
    ends(&report, Outcome::Protocol, "not an HTTP/1.1 answer");
}

#[test]
fn every_slot_of_a_fresh_lane_has_its_own_connection_and_ends_once() {
    let server = server(&[], |peer, asked, connection, _| match connection % 5 {
        0 => peer.say(reset(asked.stream, 2)),
        1 => false,
        2 => peer.say(goaway(0, 0, "")),
        _ => peer.say(ok(asked.stream)),
    });
    let told = run(&plan([fast(&server.url())]), 20);
    assert_eq!(told.seen(), [Outcome::Ok, Outcome::ResetBeforeSend, Outcome::ResetAfterSend], "{:?}", told.failures);
    assert_eq!(server.accepted() as u64, told.counts().valid());
    for failure in told.failures.iter().filter(|f| f.outcome != Outcome::NotSent) {
        let phases = failure.phases;
        assert!(phases.connect_start <= phases.connected && phases.connected <= failure.sent, "{failure:?}");
        let connection = failure.connection.clone().unwrap();
        assert!(connection.local_port > 0 && connection.served == 0, "{connection:?}");
    }
}

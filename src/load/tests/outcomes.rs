//! A hostile server, and the one right outcome for each of its ways.

use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\n";

/// The failures of a few requests to a server that does `serve` once it has read the request; all with the same outcome.
fn failures(outcome: Outcome, serve: impl Fn(&mut server::Peer) + Send + Sync + 'static) -> Vec<Failure> {
    let server = Server::start(move |peer, _| {
        if peer.request().is_some() {
            serve(peer);
        }
    });
    expect_all(outcome, &LanePlan { timeout: Duration::from_millis(300), ..fresh(&server.url(), 40.0) })
}

fn expect_all(outcome: Outcome, lane: &LanePlan) -> Vec<Failure> {
    let told = run(&plan([lane.clone()]), 5);
    assert_eq!(told.seen(), [outcome], "{:?}", told.failures);
    told.failures.into_iter().filter(|failure| failure.outcome == outcome).collect()
}

fn ok(lane: LanePlan) {
    let told = run(&plan([lane]), 5);
    assert_eq!(told.seen(), [Outcome::Ok], "{:?}", told.failures);
}

#[test]
fn whole_answers_in_any_framing_are_ok() {
    let answers = [
        format!("{HEAD}Content-Length: 2\r\n\r\nok"),
        format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"),
        format!("{HEAD}\r\nok"),
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 301 Moved\r\n\r\nok".into(),
    ];
    for answer in answers {
        let server = Server::start(move |peer, _| {
            peer.request();
            peer.say(&answer);
        });
        let mut lane = fresh(&server.url(), 50.0);
        lane.expect.body_contains = Some("ok".into());
        ok(lane);
    }
    let server = Server::start(|peer, _| {
        let asked = peer.request().unwrap_or_default();
        peer.say(if asked.starts_with("HEAD ") { "HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n" } else { "?" });
    });
    let mut head = fresh(&server.url(), 50.0);
    head.request.method = "HEAD".into();
    ok(head);
}

#[test]
fn a_connection_that_dies_tells_how_far_it_came() {
    let half = format!("{HEAD}Content-Le");
    let short = format!("{HEAD}Content-Length: 10\r\n\r\nhello");
    let unended = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let endless = format!("{HEAD}\r\nhello");
    let cases = [
        (String::new(), false, Outcome::ResetAfterSend),
        (String::new(), true, Outcome::ResetAfterSend),
        (half.clone(), false, Outcome::ResetAfterSend),
        (half, true, Outcome::ResetAfterSend),
        (short.clone(), false, Outcome::Truncated),
        (short, true, Outcome::Truncated),
        (unended, false, Outcome::Truncated),
        (endless, true, Outcome::Truncated),
    ];
    for (said, reset, outcome) in cases {
        let bytes = said.clone();
        let failures = failures(outcome, move |peer| {
            peer.say(&bytes);
            if reset {
                // The bytes and the reset must not meet on the way: a reset may overtake what was not yet read.
                peer.pause(Duration::from_millis(20));
                peer.reset();
            }
        });
        for failure in failures {
            let phases = failure.phases;
            assert!(phases.connect_start <= phases.connected && phases.connected <= failure.sent, "{failure:?}");
            assert_eq!(phases.first_byte.is_some(), !said.is_empty(), "{failure:?}");
            assert_eq!(failure.status, (outcome == Outcome::Truncated).then_some(200), "{failure:?}");
            let connection = failure.connection.unwrap();
            assert!(connection.local_port > 0 && connection.served == 0, "{connection:?}");
        }
    }
}

#[test]
fn a_server_that_closes_without_reading_is_told_by_whether_a_byte_had_left() {
    for reset in [false, true] {
        let server = Server::start(move |peer, _| {
            if reset {
                peer.reset();
            }
        });
        let told = run(&plan([fresh(&server.url(), 50.0)]), 5);
        for failure in told.failures {
            let expected = if failure.sent.is_some() { Outcome::ResetAfterSend } else { Outcome::ResetBeforeSend };
            assert!(failure.outcome == expected || failure.outcome == Outcome::NotSent, "{failure:?}");
        }
        assert_eq!(told.slices.iter().map(|s| s.counts().good()).sum::<u64>(), 0);
    }
}

#[test]
fn what_breaks_the_rules_is_a_protocol_error() {
    for said in [
        "SSH-2.0-OpenSSH\r\n".to_owned(),
        format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX"),
        format!("{HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        format!("{HEAD}broken\r\n\r\n"),
    ] {
        failures(Outcome::Protocol, move |peer| _ = peer.say(&said));
    }
}

#[test]
fn what_has_no_end_is_too_large() {
    for (head, more) in [
        (format!("{HEAD}\r\n"), "x".repeat(1_000)),
        (format!("{HEAD}Content-Length: 10001\r\n\r\n"), "x".repeat(1_000)),
        (format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n"), format!("3e8\r\n{}\r\n", "x".repeat(1_000))),
        (HEAD.to_owned(), "a: b\r\n".repeat(100)),
        (format!("{HEAD}x: "), "x".repeat(1_000)),
        (String::new(), "HTTP/1.1 100 Continue\r\n\r\n".repeat(100)),
    ] {
        failures(Outcome::TooLarge, move |peer| {
            peer.say(&head);
            while peer.say(&more) {}
        });
    }
}

#[test]
fn an_answer_that_is_not_complete_by_its_deadline_has_failed_then() {
    let hang = failures(Outcome::ResponseTimeout, server::Peer::hang);
    let drip = failures(Outcome::ResponseTimeout, |peer| {
        peer.say(format!("{HEAD}Content-Length: 1000\r\n\r\n"));
        while peer.say("x") {
            peer.pause(Duration::from_millis(10));
        }
    });
    for failure in hang.into_iter().chain(drip) {
        let after = failure.known.since(failure.due);
        assert!(after >= Duration::from_millis(300), "{failure:?}");
        // On a busy machine the verifier may be late; on an idle one it is within a millisecond.
        assert!(after < Duration::from_millis(800), "{failure:?}");
    }
}

#[test]
fn nobody_there_is_refused_and_a_full_queue_times_out() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = expect_all(Outcome::Refused, &fresh(&format!("http://{gone}"), 50.0));
    assert_eq!(refused[0].note, "connect: Connection refused (os error 111)");

    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(1).unwrap();
    let full = socket.local_addr().unwrap().as_socket().unwrap();
    let fill: Vec<_> = (0..2).map(|_| std::net::TcpStream::connect(full).unwrap()).collect();
    let connect_timeout = Duration::from_millis(150);
    let slow = expect_all(Outcome::ConnectTimeout, &LanePlan { connect_timeout, ..fresh(&format!("http://{full}"), 50.0) });
    assert!(slow.iter().all(|f| f.known.since(f.phases.connect_start.unwrap()) >= connect_timeout), "{slow:?}");
    drop(fill);
}

#[test]
fn a_bad_status_is_booked_on_who_answered() {
    let answer = |status: &str, headers: &str| format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{headers}\r\n");
    let pod = "X-Pod-Name: backend-1\r\nX-Version: v2\r\n";
    for (said, outcome) in [
        (answer("500", pod), Outcome::AppStatus),
        (answer("503", pod), Outcome::AppStatus),
        (answer("404", ""), Outcome::AppStatus),
        (answer("502", ""), Outcome::GatewayStatus),
        (answer("429", ""), Outcome::Throttled),
        ("HTTP/1.1 500 X\r\nContent-Length: 9\r\n\r\nshort".into(), Outcome::AppStatus),
    ] {
        let bytes = said.clone();
        let failures = failures(outcome, move |peer| _ = peer.say(&bytes));
        let named = said.contains("backend-1");
        let expected = named.then(|| ("backend-1".into(), "v2".into()));
        assert!(failures.iter().all(|f| f.pod.clone().zip(f.version.clone()) == expected), "{failures:?}");
        assert!(failures.iter().all(|f| f.status.map(|s| s.to_string()).as_deref() == said.get(9..12)), "{failures:?}");
    }
}

#[test]
fn a_body_without_what_it_must_contain_is_wrong() {
    let server = Server::start(|peer, _| {
        peer.request();
        peer.ok();
    });
    let mut lane = fresh(&server.url(), 50.0);
    lane.expect.body_contains = Some("healthy".into());
    let failures = expect_all(Outcome::WrongBody, &lane);
    assert_eq!(failures[0].note, "the body does not contain `healthy`; it begins `ok`");
}

#[test]
fn a_name_that_does_not_resolve_is_the_verifiers_and_one_that_does_is_followed() {
    let missing = expect_all(Outcome::Dns, &fresh("http://no-such-host.invalid/", 50.0));
    assert!(missing[0].note.starts_with("no-such-host.invalid: "), "{missing:?}");
    let server = Server::start(|peer, _| {
        while let Some(asked) = peer.request() {
            let named = asked.contains(&format!("host: localhost:{}\r\n", peer.stream.local_addr().unwrap().port()));
            peer.say(if named { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" } else { "?" });
        }
    });
    let url = format!("http://localhost:{}/", server.addr.port());
    ok(fresh(&url, 50.0));
    ok(kept(&url, 50.0, 2));
}

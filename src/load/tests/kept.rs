//! Kept connections: used in turn, reopened for a later slot, and honest about the request that met a dead one.

use super::*;
use crate::domain::slice::Ending;

#[test]
fn connections_are_opened_once_and_used_in_turn() {
    let server = Server::start(|peer, nth| {
        while peer.request().is_some() {
            peer.say(format!("HTTP/1.1 200 OK\r\nX-Pod: pod-{nth}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let told = run(&plan([kept(&server.url(), 100.0, 4)]), 60);
    assert_eq!((server.accepted(), told.seen(), told.closed), (4, vec![Outcome::Ok], vec![]));
    let mut by_pod = BTreeMap::<_, u64>::new();
    for part in told.slices.iter().flat_map(|slice| &slice.parts) {
        *by_pod.entry(part.pod.clone()).or_default() += part.counts.good();
    }
    // Fifteen or so each; an answer that is late on a busy machine gives its connection's turn to the next.
    assert!(by_pod.len() == 4 && by_pod.values().all(|n| *n >= 10), "{by_pod:?}");
}

#[test]
fn the_request_that_meets_a_dead_connection_fails_and_is_not_repeated() {
    let server = Server::start(|peer, _| {
        for _ in 0..5 {
            if peer.request().is_none() {
                return;
            }
            peer.say("HTTP/1.1 200 OK\r\nX-Pod: a\r\nContent-Length: 0\r\n\r\n");
        }
        // It reads the sixth request, and dies on it.
        peer.request();
    });
    let told = run(&plan([kept(&server.url(), 50.0, 1)]), 24);
    let counts = told.counts();
    assert_eq!(told.seen(), [Outcome::Ok, Outcome::ResetAfterSend]);
    // The reopened place rests at most until it is 100 ms old, which six requests at 50/s take anyway.
    assert_eq!(counts.get(Outcome::ResetAfterSend), counts.total() / 6, "{counts:?}");
    for failure in told.failures.iter().filter(|f| f.outcome == Outcome::ResetAfterSend) {
        let connection = failure.connection.clone().unwrap();
        assert_eq!((connection.served, connection.last_pod.as_deref(), failure.phases.connect_start), (5, Some("a"), None));
        assert!(connection.age >= 80_000, "{connection:?}");
    }
    let ids: Vec<u64> = told.failures.iter().filter_map(|f| f.connection.as_ref().map(|c| c.id)).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "a reopened connection has a new id: {ids:?}");
}

#[test]
fn a_connection_closed_between_requests_costs_no_request() {
    type Close = fn(&mut server::Peer);
    let cases: [(&str, Ending, Close); 4] = [
        ("Connection: close\r\n", Ending::Closed, |_| {}),
        ("", Ending::Closed, |_| {}),
        ("", Ending::Reset, |peer| {
            peer.pause(Duration::from_millis(30));
            peer.reset();
        }),
        ("", Ending::Unasked, |peer| _ = peer.say("HTTP/1.1 408 Request Timeout\r\n\r\n")),
    ];
    for (header, how, close) in cases {
        let server = Server::start(move |peer, _| {
            for _ in 0..3 {
                if peer.request().is_none() {
                    return;
                }
                peer.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
            if peer.request().is_some() {
                peer.say(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{header}\r\n"));
                peer.pause(Duration::from_millis(10));
                close(peer);
            }
        });
        // One connection serves four requests in 400 ms, and has 100 ms to be seen closed.
        let told = run(&plan([kept(&server.url(), 10.0, 1)]), 9);
        assert_eq!(told.seen(), [Outcome::Ok], "{how:?}: {:?}", told.failures);
        assert!(told.closed.len() >= 2, "{how:?}: {:?}", told.closed);
        for closed in &told.closed {
            assert_eq!((closed.how, closed.connection.served), (how, 4), "{closed:?}");
        }
    }
}

#[test]
fn a_connection_on_which_more_came_than_was_announced_is_not_used_again() {
    let server = Server::start(|peer, _| {
        while peer.request().is_some() {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more");
        }
    });
    let told = run(&plan([kept(&server.url(), 20.0, 4)]), 8);
    assert_eq!(told.seen(), [Outcome::Ok]);
    assert_eq!(server.accepted() as u64, told.counts().good());
}

#[test]
fn a_dead_target_is_not_stormed_and_its_slots_fail_at_once() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let told = run(&plan([kept(&format!("http://{gone}"), 200.0, 2)]), 100);
    assert_eq!(told.seen(), [Outcome::Refused]);
    let sent: u64 = told.validity.iter().map(|v| v.sent).sum();
    let slots = told.ended();
    assert!(sent <= slots * 30 / 200, "at most 20 attempts a second for 2 connections, not {sent} for {slots} slots");
    let latest = told.failures.iter().map(|f| f.known.since(f.due)).max().unwrap();
    assert!(latest < Duration::from_millis(400), "{latest:?}");
}

#[test]
fn a_pod_that_hangs_holds_its_own_connections_only() {
    let server = Server::start(|peer, nth| {
        while peer.request().is_some() {
            if nth == 0 {
                return peer.hang();
            }
            peer.ok();
        }
    });
    let lane = LanePlan { timeout: Duration::from_millis(300), ..kept(&server.url(), 100.0, 3) };
    let told = run(&plan([lane]), 80);
    let counts = told.counts();
    assert_eq!(told.seen(), [Outcome::Ok, Outcome::ResponseTimeout]);
    assert_eq!(counts.get(Outcome::ResponseTimeout), 1, "{counts:?}");
}

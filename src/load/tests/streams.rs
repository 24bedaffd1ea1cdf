//! Streams and long requests in flight, before servers that keep, break and forget them.

use super::*;
use crate::domain::traffic::{Arrivals, Schedule};

const HEAD: &str = "HTTP/1.1 200 OK\r\nX-Pod: a\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const CHUNK: &str = "8\r\ndata: 1\n\r\n";

fn stream(url: &str, length: u64, stall: u64) -> LanePlan {
    let mode = Mode::Stream { length: Duration::from_millis(length), stall: Duration::from_millis(stall) };
    LanePlan { name: "stream".into(), timeout: Duration::from_millis(300), thresholds: vec![200_000], ..lane(mode, url, 20.0) }
}

/// Sends so many pieces, one each 40 ms, and then does something.
fn server(pieces: usize, then: fn(&mut server::Peer)) -> Server {
    Server::start(move |peer, _| {
        if peer.request().is_none() || !peer.say(HEAD) {
            return;
        }
        for _ in 0..pieces {
            if !peer.say(CHUNK) {
                return;
            }
            peer.pause(Duration::from_millis(40));
        }
        then(peer);
    })
}

#[test]
fn a_stream_that_lasts_is_ended_by_us_and_its_latency_is_that_of_its_first_byte() {
    let server = server(1_000, |_| {});
    let told = run(&plan([stream(&server.url(), 600, 300)]), 10);
    assert_eq!(told.seen(), [Outcome::Ok], "{:?}", told.failures);
    // Longer than the timeout, but the first byte came in time: neither slow nor failed.
    let latencies = told.latencies();
    assert!(latencies[latencies.len() / 2] < 100_000, "{latencies:?}");
    let slow: u64 = told.slices.iter().flat_map(|s| &s.parts).flat_map(|p| &p.slow).sum();
    let pauses: Vec<(u64, u32)> = told.slices.iter().flat_map(|s| &s.parts).flat_map(|p| p.pauses.clone()).collect();
    let all: u32 = pauses.iter().map(|(_, n)| n).sum();
    assert!(slow == 0 && all >= 50 && pauses.iter().any(|(pause, _)| (35_000..60_000).contains(pause)), "{slow} {pauses:?}");
}

#[test]
fn a_stream_that_ends_in_order_is_good_and_one_that_breaks_is_not() {
    let whole = server(3, |peer| _ = peer.say("0\r\n\r\n"));
    let broken = server(3, |_| {});
    assert_eq!(run(&plan([stream(&whole.url(), 2_000, 300)]), 8).seen(), [Outcome::Ok]);
    assert_eq!(run(&plan([stream(&broken.url(), 2_000, 300)]), 8).seen(), [Outcome::Truncated]);
}

#[test]
fn a_stream_that_falls_silent_has_failed_and_says_when_it_was_last_heard() {
    let server = server(4, server::Peer::hang);
    let told = run(&plan([stream(&server.url(), 2_000, 250)]), 8);
    assert_eq!(told.seen(), [Outcome::ResponseTimeout]);
    for failure in told.failures.iter().filter(|f| f.outcome == Outcome::ResponseTimeout) {
        let last = failure.phases.last_byte.unwrap();
        let silent = failure.known.since(last);
        assert!(last > failure.due && silent >= Duration::from_millis(250) && silent < Duration::from_millis(450), "{failure:?}");
    }
}

#[test]
fn a_stream_without_a_first_byte_fails_at_its_timeout() {
    let server = Server::start(|peer, _| peer.hang());
    let told = run(&plan([stream(&server.url(), 2_000, 250)]), 6);
    assert_eq!(told.seen(), [Outcome::ResponseTimeout]);
    let known = told.failures.iter().map(|f| f.known.since(f.due)).min().unwrap();
    assert!(known >= Duration::from_millis(300) && known < Duration::from_millis(500), "{known:?}");
}

#[test]
fn requests_in_flight_are_as_many_as_asked_for_and_those_of_a_dying_pod_fail() {
    // Each answer takes 150 ms; the fifth connection dies half-way, as when its pod is killed.
    let server = Server::start(|peer, nth| {
        if peer.request().is_some() {
            peer.pause(Duration::from_millis(150));
            if nth != 5 {
                peer.ok();
            }
        }
    });
    let schedule = Schedule { arrivals: Arrivals::Closed { users: 3, think: Duration::ZERO }, stages: vec![] };
    let lane = LanePlan { name: "inflight".into(), schedule, ..fresh(&server.url(), 1_000.0) };
    block_on(async {
        let mut bench = Bench::start(&plan([lane]), 1);
        bench.until("a second and a half", |told| told.slices.len() >= 15).await;
        let (told, _) = bench.finish().await;
        assert_eq!((told.seen(), told.counts().get(Outcome::ResetAfterSend)), (vec![Outcome::Ok, Outcome::ResetAfterSend], 1));
        assert_eq!(told.validity[0].in_flight, 3, "{:?}", told.validity);
    });
}

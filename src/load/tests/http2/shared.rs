//! Kept connections of HTTP/2: several requests at once, and what each loses when one of them, or all, go wrong.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::script::{data, goaway, head, ok, reset};
use super::*;
use crate::domain::slice::Ending;

/// Answers each request so long after it came, however many there are.
fn late_server(settings: &'static [(u16, u32)], delay: Duration, most: &'static AtomicUsize) -> Server {
    Server::start(move |peer, _| {
        let writer = Mutex::new(peer.stream.try_clone().unwrap());
        if !greet(peer, settings) {
            return;
        }
        let open = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            while let Some(asked) = next_request(peer) {
                most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let (stream, open, writer) = (asked.stream, &open, &writer);
                scope.spawn(move || {
                    std::thread::sleep(delay);
                    open.fetch_sub(1, Ordering::SeqCst);
                    // The client may be gone.
                    let _ = std::io::Write::write_all(&mut *writer.lock().unwrap(), &ok(stream));
                });
            }
        });
    })
}

#[test]
fn one_connection_carries_as_many_requests_at_once_as_the_other_side_takes() {
    static MANY: AtomicUsize = AtomicUsize::new(0);
    static THREE: AtomicUsize = AtomicUsize::new(0);
    let server = late_server(&[], Duration::from_millis(100), &MANY);
    let told = run(&plan([over_http2(kept(&server.url(), 100.0, 1))]), 60);
    assert_eq!((told.seen(), server.accepted()), (vec![Outcome::Ok], 1));
    assert!(MANY.load(Ordering::SeqCst) >= 5, "ten are under way at any time, not {MANY:?}");
    let server = late_server(&[(3, 3)], Duration::from_millis(100), &THREE);
    let lane = LanePlan { timeout: Duration::from_secs(4), ..over_http2(kept(&server.url(), 50.0, 1)) };
    let told = run(&plan([lane]), 20);
    assert_eq!((told.seen(), server.accepted(), THREE.load(Ordering::SeqCst)), (vec![Outcome::Ok], 1, 3), "{:?}", told.failures);
    let waited: u64 = told.validity.iter().map(|v| v.waited).sum();
    assert!(waited > 0, "what there is no room for waits, and is counted");
}

#[test]
fn connections_are_used_in_turn() {
    let server = server(&[], |peer, asked, connection, _| {
        let pod = format!("pod-{connection}");
        peer.say(head(asked.stream, true, &[STATUS, ("x-pod", &pod)]))
    });
    let told = run(&plan([over_http2(kept(&server.url(), 100.0, 4))]), 60);
    assert_eq!((server.accepted(), told.seen(), told.closed), (4, vec![Outcome::Ok], vec![]));
    let mut by_pod = BTreeMap::<_, u64>::new();
    for part in told.slices.iter().flat_map(|slice| &slice.parts) {
        *by_pod.entry(part.pod.clone()).or_default() += part.counts.good();
    }
    assert!(by_pod.len() == 4 && by_pod.values().all(|n| *n >= 10), "{by_pod:?}");
}

#[test]
fn a_request_that_fails_on_a_connection_costs_no_other() {
    // The third of ten on each connection hangs, the fifth is reset, the seventh is nonsense.
    let server = server(&[], |peer, asked, _, number| match number % 10 {
        3 => true,
        5 => peer.say(reset(asked.stream, 2)),
        7 => peer.say(head(asked.stream, true, &[STATUS, ("Bad", "x")])),
        _ => peer.say(ok(asked.stream)),
    });
    let lane = LanePlan { timeout: Duration::from_millis(300), ..over_http2(kept(&server.url(), 100.0, 1)) };
    let told = run(&plan([lane]), 40);
    let counts = told.counts();
    assert_eq!(told.seen(), [Outcome::Ok, Outcome::ResetAfterSend, Outcome::ResponseTimeout, Outcome::Protocol], "{counts:?}");
    assert_eq!(server.accepted(), 1, "{:?}", told.failures);
    assert!(counts.good() >= counts.valid() * 6 / 10, "{counts:?}");
    let late = told.failures.iter().filter(|f| f.outcome == Outcome::ResponseTimeout);
    assert!(late.clone().count() >= 3 && late.clone().all(|f| f.known.since(f.due) >= Duration::from_millis(300)));
    let facts: Vec<_> = told.failures.iter().filter_map(|f| f.connection.clone()).collect();
    assert!(facts.iter().all(|c| c.id == 0 && c.last_pod.as_deref() == Some("p")), "{facts:?}");
    assert!(facts.windows(2).all(|pair| pair[0].local_port == pair[1].local_port));
}

#[test]
fn a_connection_that_is_left_in_order_costs_no_request() {
    // As servers that shut down gracefully do: they announce to go, and answer what comes nevertheless.
    let server = server(&[], |peer, asked, _, number| {
        if number == 4 {
            peer.say(goaway(0x7fff_ffff, 0, ""));
        }
        peer.say(ok(asked.stream))
    });
    let told = run(&plan([over_http2(kept(&server.url(), 25.0, 1))]), 18);
    assert_eq!(told.seen(), [Outcome::Ok], "{:?}", told.failures);
    assert!(told.closed.len() >= 2 && server.accepted() >= 3, "{:?}", told.closed);
    // On a busy machine a request may be on its way when the announcement comes.
    assert!(told.closed.iter().all(|c| c.how == Ending::Closed && (5..9).contains(&c.connection.served)), "{:?}", told.closed);
}

#[test]
fn a_connection_that_is_about_to_go_ends_with_what_it_has_while_another_takes_over() {
    // The first request of the first connection takes long; its connection is announced to go meanwhile.
    let server = server(&[], |peer, asked, connection, number| {
        if (connection, number) == (0, 0) {
            peer.say(goaway(0x7fff_ffff, 0, ""));
            peer.pause(Duration::from_millis(300));
        }
        peer.say(ok(asked.stream))
    });
    let told = run(&plan([over_http2(kept(&server.url(), 50.0, 1))]), 30);
    assert_eq!((told.seen(), server.accepted()), (vec![Outcome::Ok], 2), "{:?}", told.failures);
    let closed: Vec<_> = told.closed.iter().map(|c| (c.connection.id, c.connection.served)).collect();
    assert!(matches!(closed[..], [(0, 1..5)]), "the first one took no more than was on its way: {closed:?}");
}

#[test]
fn a_connection_that_died_in_silence_gets_no_more_requests() {
    let server = server(&[], |peer, asked, connection, number| {
        if connection == 0 && number == 5 {
            peer.hang();
            return false;
        }
        peer.say(ok(asked.stream))
    });
    let lane = LanePlan { timeout: Duration::from_millis(300), ..over_http2(kept(&server.url(), 50.0, 1)) };
    let told = run(&plan([lane]), 60);
    let counts = told.counts();
    assert_eq!((told.seen(), server.accepted()), (vec![Outcome::Ok, Outcome::ResponseTimeout], 2), "{counts:?}");
    // Those that were sent until the first deadline told: 300 ms of 50 a second.
    assert!((10..=25).contains(&counts.get(Outcome::ResponseTimeout)), "{counts:?}");
    for failure in told.failures.iter().filter(|f| f.outcome == Outcome::ResponseTimeout) {
        assert_eq!(failure.connection.as_ref().map(|c| (c.id, c.served)), Some((0, 5)), "{failure:?}");
    }
}

#[test]
fn a_connection_that_breaks_costs_all_that_is_under_way_and_each_is_told_how_far_it_came() {
    let server = server(&[], |peer, asked, _, number| match number {
        0 => peer.say(head(asked.stream, false, &[STATUS])) && peer.say(data(asked.stream, false, b"some")),
        1 => true,
        _ => {
            // Closing with bytes unread would be a reset.
            peer.pause(Duration::from_millis(20));
            false
        }
    });
    let lane = LanePlan { timeout: Duration::from_millis(400), ..over_http2(kept(&server.url(), 30.0, 1)) };
    let told = run(&plan([lane]), 12);
    let counts = told.counts();
    let [reset, truncated] = [Outcome::ResetAfterSend, Outcome::Truncated].map(|outcome| counts.get(outcome));
    assert!(reset >= truncated && truncated >= 2, "{counts:?}");
    // The end of the run may leave the last connection with fewer requests than break it.
    assert!(counts.bad() - reset - truncated <= 2 && counts.good() == 0, "{counts:?}");
    assert!(told.closed.is_empty(), "a connection that cost requests is told with them: {:?}", told.closed);
}

#[test]
fn a_flood_on_an_idle_connection_ends_it_and_costs_no_request() {
    let server = server(&[], |peer, asked, connection, number| {
        peer.say(ok(asked.stream));
        if connection == 0 && number == 2 {
            peer.pause(Duration::from_millis(20));
            while peer.say(script::settings(&[]).repeat(100)) {}
            return false;
        }
        true
    });
    let told = run(&plan([over_http2(kept(&server.url(), 10.0, 1))]), 8);
    assert_eq!((told.seen(), server.accepted()), (vec![Outcome::Ok], 2), "{:?}", told.failures);
    assert_eq!(told.closed.iter().map(|c| (c.how, c.connection.served)).collect::<Vec<_>>(), [(Ending::Unasked, 3)]);
}

#[test]
fn streams_last_as_long_over_http2() {
    let server = server(&[], |peer, asked, connection, _| {
        peer.say(head(asked.stream, false, &[STATUS, ("x-pod", "a")]));
        for _ in 0..if connection.is_multiple_of(4) { 3 } else { 30 } {
            peer.say(data(asked.stream, false, b"data: 1\n\n"));
            peer.pause(Duration::from_millis(40));
        }
        peer.hang();
        false
    });
    let mode = Mode::Stream { length: Duration::from_millis(600), stall: Duration::from_millis(300) };
    let lane =
        LanePlan { name: "stream".into(), timeout: Duration::from_millis(300), ..over_http2(lane(mode, &server.url(), 20.0)) };
    let told = run(&plan([lane]), 12);
    assert_eq!(told.seen(), [Outcome::Ok, Outcome::ResponseTimeout], "{:?}", told.failures);
    let pauses: Vec<u64> = told.slices.iter().flat_map(|s| &s.parts).flat_map(|p| &p.pauses).map(|(pause, _)| *pause).collect();
    assert!(pauses.iter().any(|pause| (35_000..60_000).contains(pause)), "{pauses:?}");
    assert!(told.latencies().iter().all(|latency| *latency < 250_000), "{:?}", told.latencies());
}

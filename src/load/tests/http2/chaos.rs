//! Everything at once over HTTP/2, drawn from fixed seeds: whatever the server does and however the driver is steered, the sums hold.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::script::{data, frame, goaway, head, ok, reset};
use super::*;
use crate::domain::traffic::{PODS, PodTarget};

/// Treats each request in a way drawn from the seed and the connection's number.
fn chaotic_server(seed: u64) -> Server {
    Server::start(move |peer, connection| {
        let mut draw = StdRng::seed_from_u64(seed ^ (connection as u64) << 8);
        if !greet(peer, if draw.random_bool(0.3) { &[(3, 4), (4, 100)] } else { &[] }) {
            return;
        }
        while draw.random_bool(0.97)
            && let Some(Asked { stream, .. }) = next_request(peer)
        {
            let alive = match draw.random_range(0..40) {
                0 => peer.say(reset(stream, draw.random_range(0..14))),
                1 => peer.say(goaway(stream - draw.random_range(0..2), 0, "")),
                2 => peer.say([head(stream, false, &[STATUS, ("content-length", "9")]), data(stream, true, b"short")].concat()),
                3 => peer.say(head(stream, true, &[STATUS, ("Bad", "x")])),
                4 => peer.say(head(stream, true, &[(":status", "503")])),
                5 => peer.say(head(stream, true, &[(":status", "500"), ("x-pod", "a")])),
                6 => peer.say(head(stream, false, &[STATUS])),
                7 => peer.say("nonsense"),
                8 => {
                    peer.reset();
                    false
                }
                9 => {
                    peer.pause(Duration::from_millis(draw.random_range(0..300)));
                    peer.say(ok(stream))
                }
                // Nothing at all: its time will be over.
                10 => true,
                11 => peer.say(ok(stream + 2)),
                12 => peer.say(frame(6, 0, 0, &[0; 8]).repeat(draw.random_range(1..1_500))) && peer.say(ok(stream)),
                13 => peer.say(script::settings(&[(3, draw.random_range(0..6))])) && peer.say(ok(stream)),
                _ => peer.say(ok(stream)),
            };
            if !alive {
                return;
            }
        }
    })
}

#[test]
fn in_chaos_every_slot_still_ends_exactly_once() {
    for seed in [1, 2] {
        let server = chaotic_server(seed);
        let bounds = |lane| {
            let bounded =
                LanePlan { timeout: Duration::from_millis(200), thresholds: vec![20_000, 100_000], max_in_flight: 60, ..lane };
            over_http2(bounded)
        };
        let mut posting = bounds(kept(&server.url(), 250.0, 3));
        (posting.request.method, posting.request.body) = ("POST".into(), "x".repeat(150));
        block_on(async {
            let mut bench = Bench::start(&plan([bounds(fresh(&server.url(), 150.0)), posting]), 2);
            let mut draw = StdRng::seed_from_u64(seed);
            for round in 1..=8 {
                bench.until("a round", |told| told.slices.len() >= round * 4).await;
                let lane = if draw.random_bool(0.5) { "fresh" } else { "kept" };
                bench.driver.set_rate(lane, draw.random_range(20.0..500.0)).unwrap();
            }
            // All the sums are checked there.
            let (told, _) = bench.finish().await;
            let counts = told.counts();
            let bad =
                [Outcome::AppStatus, Outcome::GatewayStatus, Outcome::ResetAfterSend, Outcome::ResponseTimeout, Outcome::Protocol];
            let missing: Vec<_> = bad.into_iter().filter(|outcome| counts.get(*outcome) == 0).collect();
            assert!(missing.is_empty() && counts.good() > 0, "seed {seed} never caused {missing:?}: {counts:?}");
        });
    }
}

#[test]
fn a_connection_to_a_pod_that_is_to_be_asked_no_more_ends_with_what_it_has() {
    let slow = || {
        server(&[], |peer, asked, _, _| {
            peer.pause(Duration::from_millis(25));
            peer.say(ok(asked.stream))
        })
    };
    let (a, b) = (slow(), slow());
    let pod = |name: &str, server: &Server| PodTarget { pod: name.into(), address: server.addr };
    let mut lane = over_http2(kept("http://todo.example/", 60.0, 2));
    lane.request.connect_to = Some(PODS.into());
    block_on(async {
        let mut bench = Bench::start(&plan([lane]), 1);
        bench.driver.set_targets("kept", vec![pod("a", &a)]).unwrap();
        bench.until("pod a", |told| told.counts().good() >= 20).await;
        bench.driver.set_targets("kept", vec![pod("b", &b)]).unwrap();
        let end = bench.clock.now() + Duration::from_millis(600);
        bench.until("pod b", |told| told.slices.last().is_some_and(|slice| slice.end >= end)).await;
        let (told, _) = bench.finish().await;
        assert_eq!(told.counts().bad(), 0, "{:?}", told.failures);
        assert_eq!((a.accepted(), b.accepted()), (2, 2));
        let last = told.slices.iter().rev().flat_map(|slice| &slice.parts).find_map(|part| part.pod.clone());
        assert_eq!(last.as_deref(), Some("b"));
    });
}

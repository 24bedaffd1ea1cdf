//! Everything at once, drawn from fixed seeds: whatever the server does and however the driver is steered, the sums hold.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

/// Serves each request in a way drawn from the seed and the connection's number.
fn chaotic_server(seed: u64) -> Server {
    Server::start(move |peer, nth| {
        let mut draw = StdRng::seed_from_u64(seed ^ (nth as u64) << 8);
        while draw.random_bool(0.95) && peer.request().is_some() {
            let head = "HTTP/1.1 200 OK\r\n";
            let alive = match draw.random_range(0..24) {
                0 => !peer.say(format!("{head}Content-Length: 9\r\n\r\nshort")),
                1 => !peer.say(format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n")),
                2 => peer.say("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"),
                3 => peer.say("HTTP/1.1 500 X\r\nX-Pod: a\r\nContent-Length: 0\r\n\r\n"),
                4 => peer.say("nonsense"),
                5 => peer.say(format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n")),
                6 => peer.say(format!("{head}Content-Length: 99999\r\n\r\n")),
                7 => {
                    peer.reset();
                    false
                }
                8 => {
                    peer.pause(Duration::from_millis(draw.random_range(0..300)));
                    peer.ok()
                }
                9 => {
                    peer.hang();
                    false
                }
                10 => peer.ok() && peer.say("surplus"),
                11 => !peer.say(head),
                _ => peer.say(format!("{head}X-Pod: pod-{}\r\nContent-Length: 0\r\n\r\n", nth % 90)),
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
        let bounds =
            |lane| LanePlan { timeout: Duration::from_millis(200), thresholds: vec![20_000, 100_000], max_in_flight: 60, ..lane };
        let lanes = [bounds(fresh(&server.url(), 150.0)), bounds(kept(&server.url(), 250.0, 7))];
        block_on(async {
            let mut bench = Bench::start(&plan(lanes), 2);
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
            assert!(told.slices.iter().all(|slice| slice.parts.len() <= 64));
            for gap in &told.gaps {
                assert!(gap.failed > 0 && gap.to.is_none_or(|to| to > gap.from), "seed {seed}: {gap:?}");
            }
        });
    }
}

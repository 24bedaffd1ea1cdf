//! The schedule goes on whatever the target does, and latency tells the truth about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Answers at once, but for one stall of a second that begins with the first request after 500 ms.
fn stalling_server() -> Server {
    let clock = Clock::start();
    let stall_end = Arc::new(AtomicU64::new(0));
    Server::start(move |peer, _| {
        while peer.request().is_some() {
            let now = clock.now().0;
            if now > 500_000 {
                let _ = stall_end.compare_exchange(0, now + 1_000_000, Ordering::SeqCst, Ordering::SeqCst);
                let left = stall_end.load(Ordering::SeqCst).saturating_sub(now);
                peer.pause(Duration::from_micros(left));
            }
            peer.ok();
        }
    })
}

fn tells_the_stall(lane: LanePlan) {
    let server = stalling_server();
    let mut lane = LanePlan { timeout: Duration::from_secs(3), ..lane };
    lane.request.url = server.url();
    let rate = lane.rate;
    let told = run(&plan([lane]), 400);
    assert_eq!(told.seen(), [Outcome::Ok], "{:?}", told.failures);
    assert!(told.counts().get(Outcome::NotSent) < 10, "no slot is left out: {:?}", told.counts());
    let latencies = told.latencies();
    for waited in [200_u32, 400, 600, 800] {
        // Of the second's slots, those due early enough in it wait longer than this.
        let expected = rate * (1.0 - f64::from(waited) / 1e3);
        let slower = u32::try_from(latencies.iter().filter(|latency| **latency > u64::from(waited) * 1_000).count()).unwrap();
        assert!(
            (f64::from(slower) - expected).abs() < 0.1 * rate,
            "{slower} waited more than {waited} ms, {expected} by the schedule"
        );
    }
}

#[test]
fn a_stall_of_a_second_is_in_the_latencies_of_all_its_slots() {
    tells_the_stall(fresh("", 200.0));
}

#[test]
fn so_it_is_when_all_kept_connections_are_stalled() {
    tells_the_stall(kept("", 200.0, 5));
}

#[test]
fn a_slow_answer_is_counted_when_its_threshold_passes_and_not_when_it_comes() {
    let server = Server::start(|peer, _| {
        peer.request();
        peer.pause(Duration::from_millis(700));
        peer.ok();
    });
    let lane = LanePlan { thresholds: vec![100_000, 400_000, 900_000], ..fresh(&server.url(), 20.0) };
    let told = run(&plan([lane]), 20);
    assert_eq!(told.seen(), [Outcome::Ok]);
    let slow = |slices: &[Slice]| {
        let parts = slices.iter().flat_map(|s| &s.parts).filter(|p| !p.slow.is_empty());
        parts.fold([0; 3], |sum, p| std::array::from_fn(|i| sum[i] + p.slow[i]))
    };
    let good = told.counts().good();
    assert_eq!(slow(&told.slices), [good, good, 0], "each slot once per threshold");
    let first_good = told.slices.iter().position(|s| s.counts().good() > 0).unwrap();
    let before = slow(&told.slices[..first_good]);
    assert!(before[0] >= 8 && before[1] >= 2, "known long before the answers: {before:?}");
}

#[test]
fn an_outage_is_a_gap_from_its_first_failed_slot_to_the_next_good_one() {
    let clock = Clock::start();
    let server = Server::start(move |peer, _| {
        peer.request();
        if (500_000..900_000).contains(&clock.now().0) {
            peer.say("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n");
        } else {
            peer.ok();
        }
    });
    let told = run(&plan([fresh(&server.url(), 200.0)]), 260);
    let gaps: Vec<&Gap> = told.gaps.iter().collect();
    let [open, .., closed] = gaps[..] else { panic!("told while open and when closed: {gaps:?}") };
    assert_eq!((open.to, open.from, open.failed), (None, closed.from, 21));
    assert!(gaps.iter().all(|g| g.from == closed.from && g.failed <= closed.failed), "{gaps:?}");
    let (from, to) = (closed.from.0, closed.to.unwrap().0);
    assert!(from.abs_diff(500_000) < 100_000 && to.abs_diff(900_000) < 100_000, "{closed:?}");
    assert_eq!(closed.failed, told.counts().get(Outcome::GatewayStatus));
}

#[test]
fn a_lane_begins_at_its_start_and_keeps_to_microseconds() {
    let server = Server::start(|peer, _| while peer.request().is_some() && peer.ok() {});
    let start = At(300_000);
    let told = run(&plan([LanePlan { start, ..kept(&server.url(), 100.0, 3) }]), 20);
    let due: u64 = told.slices.iter().filter(|s| s.end <= start).map(|s| s.due).sum();
    assert_eq!(due, 0);
    let tenths: Vec<u64> = told.slices.iter().filter(|s| s.end > start).map(|s| s.due).take(2).collect();
    assert_eq!(tenths, [10, 10]);
    let lag = told.validity.iter().map(|v| v.lag.p50).min().unwrap();
    assert!(lag < 20_000, "half of the slots were {lag} us late");
}

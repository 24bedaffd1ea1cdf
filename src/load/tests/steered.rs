//! Steering a driver: rates, stops, several workers, slow readers, and its bounds.

use super::super::{RateError, StartError};
use super::*;

fn quick_server() -> Server {
    Server::start(|peer, _| while peer.request().is_some() && peer.ok() {})
}

#[test]
fn rates_change_while_running_and_no_slot_is_lost_or_doubled() {
    let server = quick_server();
    block_on(async {
        let mut bench = Bench::start(&plan([kept(&server.url(), 50.0, 4), fresh(&server.url(), 20.0)]), 1);
        bench.until("the slow part", |told| told.slices.len() >= 8).await;
        bench.driver.set_rate("kept", 500.0).unwrap();
        let changed = bench.clock.now();
        bench
            .until("the fast part", |told| told.slices.last().is_some_and(|s| s.end >= changed + Duration::from_millis(600)))
            .await;
        let (told, _) = bench.finish().await;
        let fast: Vec<u64> =
            told.slices.iter().filter(|s| &*s.lane == "kept" && s.end.0 >= changed.0 + 200_000).map(|s| s.due).collect();
        assert_eq!(fast[..3], [50, 50, 50]);
        let slow: Vec<u64> = told.slices.iter().filter(|s| &*s.lane == "kept" && s.end.0 <= changed.0).map(|s| s.due).collect();
        assert_eq!(slow[1..3], [5, 5]);
    });
}

#[test]
fn after_a_stop_no_slot_begins_and_every_open_one_ends() {
    let server = Server::start(|peer, _| {
        peer.request();
        peer.pause(Duration::from_millis(400));
        peer.ok();
    });
    block_on(async {
        let mut bench = Bench::start(&plan([fresh(&server.url(), 100.0)]), 1);
        bench.until("a start", |told| told.slices.len() >= 3).await;
        bench.driver.stop();
        let stopped = bench.clock.now();
        let (told, summary) = bench.finish().await;
        let last_due = told.slices.iter().rev().find(|s| s.due > 0).unwrap().end;
        assert!(last_due.0 <= stopped.0 + 2 * SLICE_MICROS, "slots began until {last_due}, stopped at {stopped}");
        assert!(summary.lanes[0].planned >= 20 && told.seen() == [Outcome::Ok], "{summary:?}");
    });
}

#[test]
fn two_workers_share_lanes_and_add_up() {
    let server = quick_server();
    block_on(async {
        let lanes = [
            kept(&server.url(), 300.0, 5),
            LanePlan { name: "one".into(), ..kept(&server.url(), 50.0, 1) },
            fresh(&server.url(), 100.0),
        ];
        let mut bench = Bench::start(&plan(lanes), 2);
        bench.until("the run", |told| told.ended() >= 400).await;
        let (told, summary) = bench.finish().await;
        assert_eq!((told.seen(), told.gaps), (vec![Outcome::Ok], vec![]));
        let planned: Vec<u64> = summary.lanes.iter().map(|lane| lane.planned).collect();
        assert!(planned[0].abs_diff(6 * planned[1]) <= 12 && planned[0].abs_diff(3 * planned[2]) <= 9, "{planned:?}");
        let fresh = summary.lanes[2].counts.good();
        assert_eq!(server.accepted() as u64, 5 + 1 + fresh, "five and one kept connections, opened once");
    });
}

#[test]
fn more_in_flight_than_allowed_is_not_sent_and_nobodys_fault_but_ours() {
    let server = Server::start(|peer, _| peer.hang());
    let lane = LanePlan { max_in_flight: 10, timeout: Duration::from_millis(400), ..fresh(&server.url(), 100.0) };
    let told = run(&plan([lane]), 60);
    assert_eq!(told.counts().of(Blame::Nobody), 0);
    assert_eq!(told.seen(), [Outcome::ResponseTimeout]);
    let not_sent = told.counts().get(Outcome::NotSent);
    assert!((60..=80).contains(&(not_sent * 100 / told.ended())), "30 of 40 do not fit: {:?}", told.counts());
    let note = "10 requests are in flight";
    assert!(told.failures.iter().any(|f| f.note == note && f.sent.is_none() && f.connection.is_none()), "{:?}", told.failures);
}

#[test]
fn a_slow_reader_delays_no_slot() {
    let server = quick_server();
    block_on(async {
        let (sender, mut events) = mpsc::channel(1);
        let driver = Driver::start(&plan([kept(&server.url(), 200.0, 4)]), Clock::start(), sender).unwrap();
        // The reader is away for a second, whatever it then finds.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut told = Told::default();
        let reading = async {
            while let Some(event) = events.recv().await {
                told.add(event);
            }
        };
        let (summary, ()) = tokio::join!(driver.join(), reading);
        let summary = summary.unwrap();
        check(&told, &summary);
        assert!(summary.lanes[0].planned >= 180, "{summary:?}");
        assert_eq!(told.seen(), [Outcome::Ok]);
    });
}

#[test]
fn without_a_reader_sending_ends() {
    let server = quick_server();
    block_on(async {
        let (sender, events) = mpsc::channel(4);
        let driver = Driver::start(&plan([fresh(&server.url(), 100.0)]), Clock::start(), sender).unwrap();
        drop(events);
        let clock = Clock::start();
        // The first undeliverable event ends it, a tenth of a second after the start or so; then nothing more is accepted.
        let mut quiet_since = (server.accepted(), clock.now());
        while clock.now().since(quiet_since.1) < Duration::from_millis(300) {
            assert!(clock.now().since(At::ZERO) < DEADLINE, "still sending after {} requests", server.accepted());
            tokio::time::sleep(Duration::from_millis(20)).await;
            if server.accepted() != quiet_since.0 {
                quiet_since = (server.accepted(), clock.now());
            }
        }
        let before = server.accepted();
        let summary = driver.join().await.unwrap();
        assert!(summary.undelivered > 0 && summary.lanes[0].planned < 60, "{summary:?}");
        assert_eq!(before, server.accepted());
    });
}

#[test]
fn a_dropped_driver_is_gone_at_once() {
    let server = Server::start(|peer, _| peer.hang());
    block_on(async {
        let mut bench = Bench::start(&plan([fresh(&server.url(), 100.0)]), 2);
        bench.until("a start", |told| told.slices.len() >= 2).await;
        let clock = Clock::start();
        drop(bench.driver);
        assert!(clock.now().since(At::ZERO) < Duration::from_secs(1), "its slots have 2 s left to hang");
        while bench.events.recv().await.is_some() {}
    });
}

#[test]
fn what_a_process_sends_has_a_ceiling() {
    let start = |rate| Driver::start(&plan([fresh("http://127.0.0.1:9/", rate)]), Clock::start(), mpsc::channel(4).0);
    assert!(matches!(start(200_001.0), Err(StartError::Ceiling { asked }) if asked > 200_000.5));
    let mut driver = start(1.0).unwrap();
    assert_eq!(driver.set_rate("fresh", 300_000.0), Err(RateError::Ceiling(300_000.0)));
    assert_eq!(driver.set_rate("fresh", -1.0), Err(RateError::Rate(-1.0)));
    assert_eq!(driver.set_rate("other", 1.0), Err(RateError::Unknown("other".into())));
    assert!(matches!(Driver::start(&plan([]), Clock::start(), mpsc::channel(4).0), Err(StartError::Lanes { given: 0, max: 16 })));
}

//! Schedules other than a constant rate, before real servers.

use super::*;
use crate::domain::traffic::{Arrivals, Schedule, Stage};

fn scheduled(lane: LanePlan, arrivals: Arrivals) -> LanePlan {
    LanePlan { schedule: Schedule { arrivals, stages: vec![] }, ..lane }
}

fn closed(lane: LanePlan, users: usize, think: Duration) -> LanePlan {
    scheduled(lane, Arrivals::Closed { users, think })
}

/// Answers each request after so many milliseconds.
fn slow(millis: u64) -> Server {
    Server::start(move |peer, _| {
        while peer.request().is_some() {
            peer.pause(Duration::from_millis(millis));
            peer.ok();
        }
    })
}

#[test]
fn a_closed_loop_has_one_request_under_way_per_user_and_says_that_it_is_closed() {
    let server = slow(20);
    block_on(async {
        let mut bench = Bench::start(&plan([closed(kept(&server.url(), 10_000.0, 4), 4, Duration::ZERO)]), 2);
        bench.until("the run", |told| told.ended() >= 60).await;
        let (told, summary) = bench.finish().await;
        assert_eq!((told.seen(), summary.lanes[0].closed, server.accepted()), (vec![Outcome::Ok], true, 4));
        assert!(told.validity.iter().all(|v| v.in_flight <= 4 && v.waited == 0), "{:?}", told.validity);
        // The users ask again when they are answered: their latency is the answer's time, whatever the rate.
        let latencies = told.latencies();
        assert!(latencies[0] >= 20_000 && latencies[latencies.len() / 2] < 60_000, "{latencies:?}");
    });
}

#[test]
fn a_closed_loop_is_never_faster_than_its_rate() {
    let server = slow(0);
    block_on(async {
        let mut bench = Bench::start(&plan([closed(kept(&server.url(), 100.0, 4), 4, Duration::ZERO)]), 1);
        bench.until("the run", |told| told.slices.len() >= 10).await;
        let (told, summary) = bench.finish().await;
        let most = told.slices.iter().map(|slice| slice.due).max();
        assert!(most <= Some(11) && summary.lanes[0].planned <= 10 * told.slices.len() as u64 + 1, "{summary:?}");
    });
}

#[test]
fn thinking_users_of_fresh_connections_pause_between_requests() {
    let server = slow(0);
    block_on(async {
        let lane = closed(fresh(&server.url(), 10_000.0), 30, Duration::from_millis(300));
        let mut bench = Bench::start(&plan([lane]), 2);
        bench.until("the run", |told| told.slices.len() >= 15).await;
        let (told, summary) = bench.finish().await;
        // A hundred a second; half of it and twice as much are more than five standard deviations away.
        let expected = 10 * told.slices.len() as u64;
        assert!((expected / 2..expected * 2).contains(&summary.lanes[0].planned), "{expected}: {summary:?}");
        assert_eq!(told.seen(), [Outcome::Ok]);
    });
}

#[test]
fn a_closed_loop_does_not_storm_a_dead_target() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{gone}");
    block_on(async {
        for lane in [fresh(&url, 10_000.0), kept(&url, 10_000.0, 5)] {
            let mut bench = Bench::start(&plan([closed(lane, 5, Duration::ZERO)]), 1);
            bench.until("the run", |told| told.slices.len() >= 6).await;
            let (told, summary) = bench.finish().await;
            assert_eq!(told.seen(), [Outcome::Refused]);
            let most = 5 * (told.slices.len() as u64 + 1);
            assert!(summary.lanes[0].planned <= most, "ten a second and user, not {}", summary.lanes[0].planned);
        }
    });
}

#[test]
fn two_workers_share_a_ramp_and_a_poisson_process_without_losing_a_slot() {
    let server = slow(0);
    let ramp = Schedule { arrivals: Arrivals::Even, stages: vec![Stage { over: Duration::from_secs(1), rate: 400.0 }] };
    let lane = |name: &str, schedule| LanePlan { name: name.into(), schedule, ..kept(&server.url(), 0.0, 4) };
    let poisson = Schedule { arrivals: Arrivals::Poisson, ..ramp.clone() };
    block_on(async {
        let mut bench = Bench::start(&plan([lane("ramp", ramp), lane("poisson", poisson)]), 2);
        bench.until("a second", |told| told.slices.len() >= 24).await;
        let (told, summary) = bench.finish().await;
        assert_eq!(told.seen(), [Outcome::Ok]);
        let due = |name: &str| told.slices.iter().filter(|s| &*s.lane == name).map(|s| s.due).collect::<Vec<_>>();
        let ramp = due("ramp");
        // The tenth number k of a ramp from 0 to 400 in a second has 2 + 4 (k - 1) slots; the ramp begins within the first tenth told.
        let rising = ramp.windows(2).take(8).filter(|pair| pair[1] >= pair[0]).count();
        assert!(rising == 8 && ramp.iter().take(10).sum::<u64>() <= 210, "{ramp:?}");
        let all: Vec<u64> = summary.lanes.iter().map(|lane| lane.planned).collect();
        assert!(all[1].abs_diff(all[0]) < all[0] / 2, "{all:?}");
    });
}

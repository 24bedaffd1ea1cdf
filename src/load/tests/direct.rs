//! Pods asked at their own addresses, and the control lane beside everything.

use super::super::RateError;
use super::*;
use crate::domain::traffic::{PODS, PodTarget};

fn direct(lane: LanePlan) -> LanePlan {
    let request = RequestPlan { connect_to: Some(PODS.into()), url: "http://todo.example/".into(), ..lane.request };
    LanePlan { request, ..lane }
}

fn pod(name: &str, server: &Server) -> PodTarget {
    PodTarget { pod: name.into(), address: server.addr }
}

fn quick() -> Server {
    Server::start(|peer, _| while peer.request().is_some() && peer.ok() {})
}

/// Good answers by pod, of slices that ended within a time.
fn good(told: &Told, from: At, to: At) -> BTreeMap<String, u64> {
    let mut by = BTreeMap::new();
    for part in told.slices.iter().filter(|s| s.end > from && s.end <= to).flat_map(|slice| &slice.parts) {
        if part.counts.good() > 0 {
            *by.entry(part.pod.as_deref().unwrap_or("-").to_owned()).or_default() += part.counts.good();
        }
    }
    by
}

#[test]
fn pods_are_asked_in_turn_as_they_come_and_go() {
    let (a, b) = (quick(), quick());
    for lane in [fresh("", 100.0), kept("", 100.0, 4)] {
        let is_fresh = lane.mode == Mode::Fresh;
        block_on(async {
            let mut bench = Bench::start(&plan([direct(lane)]), 1);
            let name = bench.driver.lanes[0].0.clone();
            bench.until("slots before any pod", |told| told.counts().get(Outcome::NotSent) >= 5).await;
            bench.driver.set_targets(&name, vec![pod("a", &a)]).unwrap();
            bench.until("pod a", |told| told.counts().good() >= 20).await;
            bench.driver.set_targets(&name, vec![pod("a", &a), pod("b", &b)]).unwrap();
            // Kept connections stay with their pods until these are to be asked no more.
            let asked = if is_fresh { "b" } else { "a" };
            bench.until("both", |told| good(told, At::ZERO, At(u64::MAX)).get(asked).is_some_and(|n| *n >= 30)).await;
            bench.driver.set_targets(&name, vec![pod("b", &b)]).unwrap();
            let gone = bench.clock.now();
            let end = gone + Duration::from_millis(600);
            bench.until("pod b", |told| told.slices.last().is_some_and(|s| s.end >= end)).await;
            assert_eq!(bench.driver.set_targets("x", vec![]), Err(RateError::Unknown("x".into())));
            let (told, _) = bench.finish().await;
            let after = good(&told, gone + Duration::from_millis(200), At(u64::MAX));
            assert_eq!(after.keys().collect::<Vec<_>>(), ["b"], "{name}: {after:?}");
            assert_eq!(told.counts().bad(), 0, "{:?}", told.failures);
        });
    }
}

#[test]
fn a_failure_of_a_pod_asked_directly_names_it_without_an_answer() {
    let healthy = quick();
    let dead = Server::start(|peer, _| _ = peer.request());
    block_on(async {
        let mut bench = Bench::start(&plan([direct(fresh("", 100.0))]), 1);
        bench.driver.set_targets("fresh", vec![pod("healthy", &healthy), pod("dead", &dead)]).unwrap();
        bench.until("failures", |told| told.counts().bad() >= 10).await;
        let (told, _) = bench.finish().await;
        let failures: Vec<&Failure> = told.failures.iter().filter(|f| f.outcome == Outcome::ResetAfterSend).collect();
        assert!(failures.len() >= 10 && failures.iter().all(|f| f.direct && f.pod.as_deref() == Some("dead")), "{failures:?}");
        assert_eq!(good(&told, At::ZERO, At(u64::MAX)).into_keys().collect::<Vec<_>>(), ["healthy"]);
    });
}

#[test]
fn the_control_lane_is_well_while_the_target_is_not_and_counts_for_nothing_else() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    block_on(async {
        let mut bench = Bench::start(&plan([fresh(&format!("http://{gone}/"), 50.0)]), 2);
        bench.until("two seconds", |told| told.validity.len() >= 2).await;
        let (told, summary) = bench.finish().await;
        let control = told.validity[1].control.unwrap();
        assert_eq!((control.planned, control.failed, summary.lanes.len()), (10, 0, 1), "{control:?}");
        assert!(told.slices.iter().all(|slice| &*slice.lane == "fresh"));
    });
}

//! A bench against real servers: what it reports is what was sent.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

use super::super::tests::server::Server;
use super::super::tests::{block_on, fresh, kept, plan};
use super::*;
use crate::domain::outcome::Outcome;
use crate::domain::traffic::{Arrivals, LanePlan, Schedule};

fn quick() -> Server {
    Server::start(|peer, _| while peer.request().is_some() && peer.ok() {})
}

fn go(plan: &TrafficPlan, duration: Duration, warm_up: Duration) -> (LoadReport, Vec<Interval>) {
    let mut told = Vec::new();
    let report = block_on(bench(Bench { plan, workers: 2, warm_up, duration }, &CancellationToken::new(), |interval| {
        told.push(interval.clone());
        Ok(())
    }));
    (report.unwrap(), told)
}

#[test]
fn the_warm_up_is_sent_and_not_counted() {
    let server = quick();
    let plan = plan([kept(&server.url(), 100.0, 4), fresh(&server.url(), 50.0)]);
    let (report, told) = go(&plan, Duration::from_secs(1), Duration::from_millis(600));
    let all = |interval: &Interval| interval.lanes.iter().map(|lane| lane.counts.total()).sum::<u64>();
    assert_eq!((report.warm_up_s, report.duration_s, report.interrupted, report.closed), (1.0, 1.0, false, false));
    assert_eq!((report.outcomes.total(), report.unfinished, report.reached), (report.outcomes.good(), 0, true));
    // The slots of a second, and those that the threads take a little longer to hear of the end.
    let planned: Vec<u64> = report.lanes.iter().map(|lane| lane.planned).collect();
    assert!((100..=110).contains(&planned[0]) && (50..=55).contains(&planned[1]), "{planned:?}");
    assert!(told[0].warm_up && !told[1].warm_up && all(&told[0]) > 100, "{told:?}");
    let (counted, second) = (report.achieved_rate, all(&told[1]) as f64);
    assert!((counted - second).abs() < 2.0 && (140.0..=160.0).contains(&counted), "{counted} a second, {second} in the second");
    assert!(report.latency_ms.p50 <= report.latency_ms.p99 && report.latency_ms.p99 <= report.latency_ms.max, "{report:?}");
    assert_eq!(report.validity.record.planned, planned.iter().sum::<u64>());
}

#[test]
fn where_nobody_listens_nothing_was_reached() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{gone}/");
    let (report, _) = go(&plan([fresh(&url, 50.0)]), Duration::from_millis(300), Duration::ZERO);
    assert_eq!((report.reached, report.outcomes.get(Outcome::Refused)), (false, report.outcomes.total()));
    assert_eq!(report.latency_ms, LatencyMs::default());
}

#[test]
fn a_load_that_is_called_off_ends_within_a_second_and_tells_what_it_saw() {
    let server = Server::start(|peer, nth| {
        if nth % 2 == 0 {
            return peer.hang();
        }
        while peer.request().is_some() && peer.ok() {}
    });
    let plan = plan([fresh(&server.url(), 100.0)]);
    let stop = CancellationToken::new();
    let clock = Clock::start();
    let report = block_on(async {
        let whole = Bench { plan: &plan, workers: 1, warm_up: Duration::ZERO, duration: Duration::from_mins(1) };
        let soon = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            stop.cancel();
        };
        tokio::join!(bench(whole, &stop, |_| Ok(())), soon).0.unwrap()
    });
    assert!(clock.now() < At(1_450_000), "{}", clock.now());
    assert!(report.interrupted && report.unfinished >= 20 && report.outcomes.good() >= 20, "{report:?}");
}

#[test]
fn the_report_meets_its_schema_and_marks_a_closed_loop() {
    let server = quick();
    let schedule = Schedule { arrivals: Arrivals::Closed { users: 2, think: Duration::ZERO }, stages: vec![] };
    let plan = plan([LanePlan { schedule, ..kept(&server.url(), 5_000.0, 2) }]);
    let (report, _) = go(&plan, Duration::from_millis(300), Duration::ZERO);
    assert!(report.closed && report.lanes[0].closed);
    let value = serde_json::to_value(&report).unwrap();
    assert_eq!(value["protocol"], "http1");
    for key in ["achieved_rate", "latency_ms", "outcomes", "validity"] {
        assert!(value.get(key).is_some(), "{key} in {value}");
    }
    let schema = LoadReport::schema();
    let required = schema["required"].as_array().unwrap();
    assert!(required.iter().all(|key| value.get(key.as_str().unwrap()).is_some()), "{schema:#}");
    let known = schema["properties"].as_object().unwrap();
    assert!(value.as_object().unwrap().keys().all(|key| known.contains_key(key)), "{value:#}");
}

#[test]
fn an_interval_log_can_be_read_back() {
    let server = quick();
    let plan = plan([kept(&server.url(), 200.0, 4), fresh(&server.url(), 100.0)]);
    let names: Vec<_> = plan.lanes.iter().map(|lane| lane.name.clone()).collect();
    let (mut file, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut log = begin_hdr(&mut file, &mut serializer, std::time::UNIX_EPOCH).unwrap();
    let whole = Bench { plan: &plan, workers: 1, warm_up: Duration::ZERO, duration: Duration::from_millis(1_200) };
    let stop = CancellationToken::new();
    let report = block_on(bench(whole, &stop, |interval| Ok(write_hdr(&mut log, &names, interval)?))).unwrap();
    let mut read = [0; 2];
    for entry in IntervalLogIterator::new(&file) {
        if let LogEntry::Interval(interval) = entry.unwrap() {
            let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, interval.encoded_histogram()).unwrap();
            let values: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            let lane = names.iter().position(|name| **name == *interval.tag().unwrap().as_str()).unwrap();
            read[lane] += values.len();
        }
    }
    let good: Vec<u64> = report.lanes.iter().map(|lane| lane.outcomes.good()).collect();
    assert_eq!(read.to_vec(), good);
}

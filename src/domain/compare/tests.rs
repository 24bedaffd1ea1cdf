use super::*;
use crate::domain::event::{Event, What};
use crate::domain::fixtures::{breach, healthy, sick_before};
use crate::domain::recording::Terms;
use crate::domain::recording::tests::{recorded, replayed};

fn subject(file: &str, events: &[Event]) -> Subject {
    Subject::of(file.into(), &replayed(&recorded(events), &Terms::default()).unwrap())
}

/// Recordings of these events, compared.
pub(crate) fn compared(a: &[Event], b: &[Event]) -> Comparison {
    Comparison::of(&subject("a.rec.jsonl", a), &subject("b.rec.jsonl", b))
}

/// The same run, with answers so many times as slow.
pub(crate) fn slower(mut events: Vec<Event>, times: u64) -> Vec<Event> {
    for event in &mut events {
        if let What::Slice(slice) = &mut event.what {
            slice.parts.iter_mut().flat_map(|p| &mut p.latency).for_each(|(micros, _)| *micros *= times);
        }
    }
    events
}

fn codes(c: &Comparison) -> Vec<&str> {
    c.warnings.iter().map(|w| w.code.as_str()).collect()
}

#[test]
fn a_run_does_not_differ_from_itself_and_is_known_as_itself() {
    let same = compared(&breach(), &breach());
    assert_eq!((same.differences.len(), codes(&same)), (0, vec!["same_run"]));
    assert!(same.lanes.iter().chain(&same.all).all(|l| l.availability.change == Change::Untold));
    assert!(same.lanes.iter().flat_map(|l| &l.latency).all(|q| q.change == Change::Untold));
}

#[test]
fn failures_beyond_chance_are_told_by_lane_and_by_outcome() {
    let c = compared(&healthy(), &breach());
    let all = c.all.as_ref().unwrap().availability;
    assert_eq!((all.change, all.a_ppm), (Change::Lower, Some(1_000_000)));
    assert!(all.low_ppm < -30_000 && all.high_ppm < 0, "{all:?}");
    let fresh = c.lanes.iter().find(|l| l.lane == "fresh").unwrap();
    assert_eq!(fresh.longest_outage_ms, Pair { a: Millis::default(), b: Millis(std::time::Duration::from_millis(115)) });
    let refused = c.failures.iter().find(|f| f.outcome == Outcome::Refused).unwrap();
    assert_eq!((refused.count, refused.share.change), (Pair { a: 0, b: 28 }, Change::Higher));
    assert_eq!(c.differences[0], "the verdict is pass in A and breach in B");
}

#[test]
fn a_few_failures_in_little_traffic_are_not_told_from_chance() {
    let mut events = healthy();
    let last = events.iter().rposition(|e| matches!(e.what, What::Slice(_))).unwrap();
    let What::Slice(slice) = &mut events[last].what else { unreachable!() };
    let good = slice.parts[0].counts.good();
    slice.parts[0].counts = crate::domain::outcome::Counts::default();
    slice.parts[0].counts.add(Outcome::Ok, good - 2);
    slice.parts[0].counts.add(Outcome::Refused, 2);
    let c = compared(&healthy(), &events);
    assert_eq!(c.failures[0].count, Pair { a: 0, b: 2 });
    assert_eq!((c.failures[0].share.change, c.differences.len()), (Change::Untold, 0));
}

#[test]
fn slower_answers_are_told_by_the_quantiles_that_there_are_enough_answers_for() {
    let c = compared(&healthy(), &slower(healthy(), 3));
    let fresh = c.lanes.iter().find(|l| l.lane == "fresh").unwrap();
    let median = &fresh.latency[0];
    assert_eq!((median.change, median.ratio.is_some_and(|r| r.holds(3.0))), (Change::Higher, true), "{median:?}");
    let back = compared(&slower(healthy(), 3), &healthy());
    assert_eq!(back.all.unwrap().latency[0].change, Change::Lower);
    assert_eq!(fresh.latency[3].change, Change::Untold, "p99.9 of a thousand answers");
}

#[test]
fn a_summary_has_no_latencies_and_its_quantiles_no_intervals() {
    let a = subject("a.rec.jsonl", &healthy());
    let b = Subject { latency: None, ..subject("b.json", &slower(healthy(), 3)) };
    let c = Comparison::of(&a, &b);
    let median = &c.lanes[0].latency[0];
    assert_eq!((median.ratio, median.change), (None, Change::Untold));
    assert!(median.a_ms < median.b_ms);
    let failed = Comparison::of(&a, &Subject { latency: None, ..subject("b.json", &breach()) });
    assert_eq!(failed.all.unwrap().availability.change, Change::Lower, "counts are in a summary");
}

#[test]
fn runs_of_different_things_are_compared_with_a_warning_for_each() {
    let mut other = subject("b.rec.jsonl", &sick_before());
    other.summary.run.scenario = "another".into();
    other.summary.run.cluster = "prod".into();
    other.summary.run.id = "r-other".into();
    other.summary.traffic.lanes[0].intended_per_s = 50.0;
    other.summary.traffic.lanes[1].lane = "stream".into();
    other.whole = false;
    let c = Comparison::of(&subject("a.rec.jsonl", &healthy()), &other);
    let expected = ["scenario", "cluster", "lanes", "lanes", "rate", "stretch", "incomplete", "validity", "validity"];
    assert_eq!(codes(&c), expected, "{:#?}", c.warnings);
    assert_eq!((c.lanes.len(), c.all), (1, None), "the one lane that both have");
}

#[test]
fn causes_that_came_or_went_are_named() {
    let (mut a, mut b) = (subject("a", &breach()), subject("b", &breach()));
    let finding = |code: &str, failures| crate::domain::findings::Finding {
        code: code.into(),
        title: format!("what {code} says"),
        failures,
        of: 35,
        lanes: Vec::new(),
        pods: Vec::new(),
        phase: None,
        evidence: Vec::new(),
        prescription: None,
    };
    a.summary.findings = vec![finding("V101", 30), finding("V102", 5)];
    b.summary.findings = vec![finding("V103", 7), finding("V102", 28)];
    let c = Comparison::of(&a, &b);
    assert_eq!(
        c.differences,
        ["V101 is found in A and not in B: what V101 says", "V103 is found in B and not in A: what V103 says"]
    );
    assert_eq!(c.findings[1].failures, Pair { a: Some(5), b: Some(28) });
}

//! Recordings judged by other objectives.

use super::*;
use crate::domain::outcome::Outcome;
use crate::domain::recording::CannotRecount;
use crate::domain::slice::{Part, Slice};

fn then(objectives: &[&str]) -> Terms {
    Terms { then: objectives.iter().map(|o| o.parse().unwrap()).collect(), sets: Vec::new() }
}

fn set(sets: &[&str]) -> Terms {
    Terms { then: Vec::new(), sets: sets.iter().map(|s| (*s).to_owned()).collect() }
}

fn verdict(replayed: &Replayed) -> (VerdictKind, String) {
    let verdict = replayed.course.verdict().unwrap();
    (verdict.verdict, verdict.reasons[0].code.clone())
}

#[test]
fn a_stricter_objective_finds_the_breach_that_was_no_breach_then() {
    let events = recorded(&healthy());
    let replayed = replayed(&events, &then(&["deployed_within 1s", "availability >= 99%"])).unwrap();
    assert_eq!(verdict(&replayed), (VerdictKind::Breach, "deployed_within".into()));
    let summary = replayed.summary();
    let rejudged = summary.rejudged.unwrap();
    assert_eq!((rejudged.verdict, rejudged.objectives.len(), rejudged.recounted.len()), (Some(VerdictKind::Pass), 4, 0));
    assert_eq!(summary.objectives.len(), 2);
    assert_eq!((replayed.defect, summary.as_expected), (None, None), "another verdict is what was asked for");
}

#[test]
fn a_run_that_its_own_breach_ended_passes_by_no_laxer_objective() {
    let replayed = replayed(&recorded(&breach()), &set(&["then.0=availability >= 50%"])).unwrap();
    assert_eq!(verdict(&replayed), (VerdictKind::Inconclusive, "interrupted".into()));
    let message = &replayed.course.verdict().unwrap().reasons[0].message;
    assert!(message.ends_with("by its own objectives; by these it would have gone on"), "{message}");
}

#[test]
fn what_made_the_run_cannot_be_set_afterwards() {
    let events = recorded(&healthy());
    let failed = |terms: Terms| replayed(&events, &terms).unwrap_err().to_string();
    assert_eq!(
        failed(set(&["soak=1m"])),
        "--set soak=1m: the run was made with `soak` as it was; only `then`, `window`, `judge` can be judged anew"
    );
    assert!(failed(set(&["then.9=p99 < 1s"])).contains("unknown key `9`"));
    assert!(failed(set(&["then.0=availability > 1"])).contains("`availability` needs `>=`"));
    assert!(failed(then(&["kapt.p99 < 1s"])).contains("did you mean `kept`?"));
}

/// The slow ones of a lane by the driver's count and by ours, for a limit that the run did count by.
#[test]
fn a_limit_counted_anew_gives_what_the_driver_counted() {
    let mut events = recorded(&healthy());
    // As a driver would that was told of 10 ms: it also knows of failures that took longer.
    let story = slow_story();
    let at = events.iter().rposition(|e| matches!(e.what, What::Slice(_))).unwrap();
    let when = events[at].at;
    events.splice(at..at, story.into_iter().map(|what| Event { at: when, what }));
    let replayed = replayed(&events, &then(&["p99 < 10ms"])).unwrap();
    let lane = &replayed.course.tally.lanes()["fresh"];
    let slower: u64 = lane.measured.latency.iter().filter(|(micros, _)| *micros > 10_000).map(|(_, n)| n).sum();
    let place = lane.thresholds.iter().position(|t| *t == 10_000).unwrap();
    assert_eq!((lane.thresholds.clone(), place), (vec![10_000, 500_000], 0));
    assert_eq!(lane.measured.slow[0], slower + 1, "all good answers above 10 ms and the one failure that took longer");
    assert_eq!(replayed.rejudged.unwrap().recounted, ["10ms"]);
    assert!(replayed.course.notices().any(|(_, text)| text.contains("the run did not count by 10ms")));
}

/// Two failures and their slice: one at once, one after 40 ms.
fn slow_story() -> Vec<What> {
    let failure = |took: u64| {
        let events = breach();
        let mut found = events.iter().find_map(|e| if let What::Failure(f) = &e.what { Some(f.clone()) } else { None }).unwrap();
        found.lane = "fresh".into();
        found.known = At(found.due.micros() + took);
        What::Failure(found)
    };
    let mut part = Part { slow: vec![0], ..Part::default() };
    part.counts.add(Outcome::Refused, 2);
    let end = healthy().iter().rev().find_map(|e| if let What::Slice(s) = &e.what { Some(s.end) } else { None }).unwrap();
    vec![failure(300), failure(40_000), What::Slice(Slice { lane: "fresh".into(), end, due: 2, parts: vec![part], lag_max: 0 })]
}

#[test]
fn a_limit_between_two_recorded_values_is_refused_with_its_neighbours() {
    let error = replayed(&recorded(&healthy()), &then(&["p99 < 123us", "p90 < 1234us"])).unwrap_err();
    assert_eq!(error, ReplayError::Recount(CannotRecount::TooFine { limit: 1_234, below: 1_230, above: 1_240 }));
    assert!(error.to_string().ends_with("take 1ms 230us or 1ms 240us"), "{error}");
}

#[test]
fn failures_known_by_number_alone_cannot_be_counted_anew() {
    let mut events = recorded(&breach());
    let first = events.iter().position(|e| matches!(e.what, What::Failure(_))).unwrap();
    events.remove(first);
    let error = replayed(&events, &then(&["fresh.p99 < 300ms"])).unwrap_err();
    assert!(error.to_string().contains("of 28 failures of lane fresh, only 27 are recorded one by one"), "{error}");
    // The run's own limit needs no count.
    assert!(replayed(&events, &then(&["fresh.p99 < 500ms"])).is_ok());
}

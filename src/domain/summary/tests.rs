use super::*;
use crate::domain::event::{Event, What};
use crate::domain::fixtures::{breach, crash_loop, crowd, fold, healthy, nearly_breached, until};
use crate::domain::judge::confidence;
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::rollout::{Membership, Phase};
use crate::domain::slice::{SLICE_MICROS, Slice};
use crate::domain::time::At;
use crate::domain::validity::{Doubt, Lag, Validity};

fn summary(events: &[Event]) -> Summary {
    Summary::of(&fold(events))
}

/// The breach with other words in the scenario's `expect`.
fn expecting(verdict: VerdictKind, because: &[&str], findings: &[&str]) -> Summary {
    let mut events = breach();
    let What::RunStarted(head) = &mut events[0].what else { panic!("no head") };
    let list = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    head.scenario.expect = Some(crate::domain::scenario::Expectation { verdict, because: list(because), findings: list(findings) });
    summary(&events)
}

#[test]
fn every_request_is_in_one_group_and_one_revision() {
    for events in [healthy(), breach(), nearly_breached()] {
        let s = summary(&events);
        let all = &s.traffic.measured.answers;
        let grouped = |blame| s.failures.groups.iter().filter(|g| g.measured && g.blame == blame).map(|g| g.count).sum::<u64>();
        assert_eq!((grouped(Blame::Target), grouped(Blame::Verifier)), (all.bad, all.excluded));
        let by_revision = s.traffic.revisions.iter().fold((0, 0), |(v, b), r| (v + r.answers.valid, b + r.answers.bad));
        assert_eq!(by_revision, (all.valid, all.bad));
        let by_lane = s.traffic.lanes.iter().fold((0, 0), |(v, b), l| (v + l.measured.answers.valid, b + l.measured.answers.bad));
        assert_eq!(by_lane, (all.valid, all.bad));
        let cells: u64 = s.timeline.cells.iter().map(|c| c.answers.good + c.answers.bad).sum();
        assert_eq!(cells, all.valid + s.traffic.baseline.answers.valid);
        let troubled =
            s.timeline.lanes.iter().flat_map(|l| &l.troubled).fold((0, 0), |(b, e), c| (b + c.answers.bad, e + c.answers.excluded));
        let before = &s.traffic.baseline.answers;
        assert_eq!(troubled, (all.bad + before.bad, all.excluded + before.excluded));
        let phases: u64 = s.rollout.phases.iter().map(|p| p.length_s.0.0).sum();
        assert_eq!(phases, s.run.duration_s.0.0);
    }
}

#[test]
fn a_breach_says_what_failed_when_and_in_which_phase() {
    let s = summary(&breach());
    let tenth = |t: u64| Seconds(At(t * SLICE_MICROS));
    let refused = Group {
        count: 28,
        measured: true,
        outcome: Outcome::Refused,
        blame: Blame::Target,
        lane: "fresh".into(),
        phase: Phase::Replacing,
        side: Side::Unknown,
        first_s: tenth(43),
        last_s: tenth(47),
    };
    let reset = Group { count: 9, outcome: Outcome::ResetAfterSend, lane: "kept".into(), last_s: tenth(46), ..refused };
    assert_eq!(s.failures.groups, [refused, reset]);
    assert_eq!((s.verdict.verdict, s.verdict.decided_at_s), (Some(VerdictKind::Breach), Some(tenth(46))));
    assert_eq!(s.traffic.measured.answers.availability.as_deref(), Some("96.02 %"));
    assert_eq!(s.failures.examples.len(), 19, "ten of one kind, and all nine of the other");
    assert!(s.failures.examples.is_sorted_by_key(|e| e.due_s));
}

#[test]
fn a_run_is_as_expected_when_verdict_reasons_and_findings_all_came() {
    let missing = |s: Summary| (s.as_expected, s.expected.unwrap().missing);
    assert_eq!(missing(expecting(VerdictKind::Breach, &["availability"], &[])), (Some(true), vec![]));
    assert_eq!(missing(expecting(VerdictKind::Breach, &["availability"], &["V101"])), (Some(true), vec![]));
    let wrong = missing(expecting(VerdictKind::Pass, &["availability", "stuck"], &["V102"]));
    let expected = ["verdict pass", "reason stuck", "finding V102", "a run without finding V101"].map(String::from);
    assert_eq!(wrong, (Some(false), expected.to_vec()), "and whoever must pass must pass without a finding");
    assert_eq!(summary(&healthy()).as_expected, None, "nothing is expected");
    assert_eq!(summary(&nearly_breached()).as_expected, None, "nothing is decided");
}

#[test]
fn foreign_text_is_cleaned_and_values_of_variables_are_left_out() {
    let s = summary(&healthy());
    assert_eq!(s.kubernetes[0].message, "Readiness probe failed: [2Jconnection refused");
    assert_eq!(s.steps[0].what, "set image todo/backend:v2 and TOKEN");
    assert!(!serde_json::to_string(&s).unwrap().contains("secret"));
}

#[test]
fn pods_carry_the_moments_that_were_seen() {
    let s = summary(&healthy());
    let life = |pod: &Pod| {
        let second = |s: Option<Seconds>| s.map(|s| s.0.seconds());
        (pod.side, pod.seen_s.0.seconds(), second(pod.ready_s), second(pod.terminating_s), second(pod.gone_s))
    };
    assert_eq!(
        s.rollout.pods.iter().map(life).collect::<Vec<_>>(),
        [
            (Side::Old, 0.0, Some(0.0), Some(4.3), Some(5.8)),
            (Side::Old, 0.0, Some(0.0), Some(5.8), Some(7.3)),
            (Side::New, 2.8, Some(4.3), None, None),
            (Side::New, 4.3, Some(5.8), None, None),
        ]
    );
    assert_eq!(s.rollout.deployed_after_s, Some(Seconds(At(4_800_000))));
}

#[test]
fn pods_carry_what_was_seen_of_them_in_between() {
    let turns: Vec<_> = summary(&crowd(4, 60))
        .rollout
        .pods
        .into_iter()
        .filter(|p| p.side == Side::New)
        .map(|p| (p.readiness, p.endpoints))
        .collect();
    let ready = |turns: &[ReadyTurn]| turns.iter().map(|t| (t.at_s.0.seconds(), t.ready)).collect::<Vec<_>>();
    assert_eq!(ready(&turns[0].0), [(6.0, true), (8.0, false), (10.0, true)]);
    assert_eq!(ready(&turns[1].0), [(17.0, true)]);
    let listed = |turns: &[EndpointTurn]| turns.iter().map(|t| (t.at_s.0.seconds(), t.state)).collect::<Vec<_>>();
    assert_eq!(listed(&turns[0].1), [(14.0, Membership::Ready)]);
    let exits = &summary(&crash_loop()).rollout.pods[2].exits;
    assert_eq!(exits.iter().map(|e| (e.code, e.reason.as_str())).collect::<Vec<_>>(), [(1, "Error")]);
}

#[test]
fn a_measured_value_lies_within_its_interval_and_the_interval_narrows() {
    let interval = |bad, valid| confidence::availability(bad, valid).map(confidence::shares);
    assert_eq!(interval(37, 930), Some(("93.37 %".into(), "97.81 %".into())));
    assert_eq!(interval(3_700, 93_000), Some(("95.74 %".into(), "96.27 %".into())));
    assert_eq!(interval(0, 0), None);
    let latency = summary(&breach()).objectives[1].clone();
    assert_eq!((latency.measured.as_deref(), latency.interval.map(|i| i.low)), (Some("15.6 ms"), Some("15.6 ms".into())));
}

#[test]
fn the_verifiers_own_condition_is_told_with_what_makes_it_doubtful() {
    assert_eq!(summary(until(&breach(), 9)).validity, None);
    let believed = summary(&breach()).validity.unwrap();
    assert_eq!((believed.valid, believed.record.planned), (true, 5 * 300));
    let mut events = nearly_breached();
    let lag = Lag { p50: 40, p99: 2_000_000, max: 2_000_000 };
    let second = Validity { end: At(5_000_000), planned: 300, sent: 300, lag, ..Validity::default() };
    events.push(Event { at: At(5_000_000), what: What::Validity(Box::new(second)) });
    assert_eq!(summary(&events).validity.unwrap().doubts, [Doubt::Late { p99: 2_000_000, limit: 10_000 }]);
}

#[test]
fn what_was_never_attempted_is_neither_sent_nor_part_of_the_rate() {
    let mut events = nearly_breached();
    let mut unsent = crate::domain::outcome::Counts::default();
    unsent.add(Outcome::NotSent, 20);
    let end = At(46 * SLICE_MICROS);
    let part = crate::domain::slice::Part { counts: unsent, ..Default::default() };
    let slice = Slice { lane: "fresh".into(), end, due: 20, parts: vec![part], lag_max: 900_000 };
    events.push(Event { at: end, what: What::Slice(slice) });
    let s = summary(&events);
    let fresh = &s.traffic.lanes[0].measured;
    assert_eq!((fresh.due, fresh.sent, fresh.answers.excluded, fresh.answers.valid), (420, 400, 20, 400));
    assert_eq!(fresh.achieved_per_s, Some(190.5));
}

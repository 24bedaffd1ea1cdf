use super::*;
use crate::domain::outcome::{Counts, Outcome};
use crate::domain::slice::{Gap, Part, Slice};
use crate::domain::tally::tests::slice;
use crate::domain::traffic::Name;

fn plan(closed: bool) -> Plan {
    Plan { window: Duration::from_secs(10), changed: Some(At(0)), deployed: None, closed, silent: Duration::ZERO }
}

fn tally() -> Tally {
    let mut tally = Tally::default();
    tally.lane(Name::from("fresh"), vec![500_000], 200.0);
    tally.measure_from(At(0));
    tally
}

fn state(objective: &str, tally: &Tally, plan: &Plan, now: At) -> State {
    standings(&[objective.parse().unwrap()], tally, plan, now).remove(0).state
}

fn missed(state: State) -> Reason {
    match state {
        State::Missed(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_spent_budget_is_a_breach_at_once_and_not_one_failure_earlier() {
    let mut t = tally();
    t.slice(&slice("fresh", 1, 20, 0, 20));
    assert_eq!(
        state("availability >= 99%", &t, &plan(false), At(0)),
        State::Open("measuring".into()),
        "20 of 2,000 planned are allowed"
    );
    t.slice(&slice("fresh", 2, 20, 19, 1));
    let reason = missed(state("availability >= 99%", &t, &plan(false), At(0)));
    assert_eq!(reason, Reason::new("availability", "21 of 40 requests failed, 20 are allowed by availability >= 99% (21 refused)"));
}

#[test]
fn at_the_end_the_budget_is_that_of_the_traffic_that_came() {
    let mut t = tally();
    t.slice(&slice("fresh", 1, 100, 98, 2));
    assert_eq!(missed(state("availability >= 99%", &t, &plan(true), At(0))).code, "availability");
    t.slice(&slice("fresh", 2, 100, 100, 0));
    assert_eq!(state("availability >= 99%", &t, &plan(true), At(0)), State::Met);
}

#[test]
fn what_could_not_be_sent_is_neither_failure_nor_success() {
    let mut unsent = Counts::default();
    unsent.add(Outcome::NotSent, 3);
    let part = Part { counts: unsent, ..Part::default() };
    let lost = Slice { lane: Name::from("fresh"), end: At(200_000), due: 3, parts: vec![part], lag_max: 0 };

    let mut t = tally();
    t.slice(&slice("fresh", 1, 97, 97, 0));
    t.slice(&lost);
    let open = State::Open("3 of 100 requests could not be sent or seen; with 0 failures, 1 are allowed".into());
    assert_eq!(state("availability >= 99%", &t, &plan(true), At(0)), open);
    let lasts = |objective: &str| doubt_lasts(&[objective.parse().unwrap()], &t).map(|span| span.as_millis());
    assert_eq!(lasts("availability >= 99%"), Some(1_000), "200 more, at 200 a second");
    assert_eq!((lasts("availability >= 97%"), lasts("availability >= 100%"), lasts("longest_outage < 1s")), (None, None, None));

    t.slice(&slice("fresh", 3, 300, 300, 0));
    assert_eq!(state("availability >= 99%", &t, &plan(true), At(0)), State::Met, "even if all three had failed");

    t.slice(&slice("fresh", 4, 100, 90, 10));
    assert_eq!(
        missed(state("availability >= 99%", &t, &plan(true), At(0))).code,
        "availability",
        "even if all three had succeeded"
    );
}

#[test]
fn a_latency_objective_counts_what_was_slow() {
    let mut t = tally();
    let mut s = slice("fresh", 1, 100, 98, 0);
    s.parts[0].slow = vec![2];
    t.slice(&s);
    let reason = missed(state("p99 < 500ms", &t, &plan(true), At(0)));
    assert_eq!(reason, Reason::new("p99", "2 of 98 requests had no answer within 500ms, 1 are allowed by p99 < 500ms"));
    assert_eq!(state("p90 < 500ms", &t, &plan(true), At(0)), State::Met);
}

#[test]
fn an_outage_that_could_hide_in_our_own_silence_leaves_it_open() {
    let mut t = tally();
    let mut lossy = slice("fresh", 1, 100, 60, 0);
    lossy.parts[0].counts.add(Outcome::Unseen, 40);
    t.slice(&lossy);
    let after = |t: &Tally, millis| {
        let plan = Plan { silent: Duration::from_millis(millis), ..plan(true) };
        state("longest_outage < 1s", t, &plan, At(0))
    };
    let open = || State::Open("too few requests could be sent to see every outage".into());
    // However many were not seen: a good answer in between ends every outage.
    assert_eq!((after(&t, 700), after(&t, 800)), (State::Met, open()));
    t.gap(&Gap { lane: Name::from("fresh"), from: At(1_000_000), last: At(1_190_000), to: Some(At(1_200_000)), failed: 20 });
    assert_eq!((after(&t, 100), after(&t, 200)), (State::Met, open()), "silence on both sides of failures");
}

#[test]
fn an_outage_counts_while_it_lasts() {
    let mut t = tally();
    t.slice(&slice("fresh", 1, 100, 100, 0));
    assert_eq!(state("longest_outage < 1s", &t, &plan(true), At(0)), State::Met);
    t.gap(&Gap { lane: Name::from("fresh"), from: At(1_000_000), last: At(1_990_000), to: None, failed: 199 });
    assert_eq!(state("longest_outage < 1s", &t, &plan(false), At(0)), State::Open("measuring".into()));
    t.gap(&Gap { lane: Name::from("fresh"), from: At(1_000_000), last: At(2_000_000), to: None, failed: 201 });
    let reason = missed(state("longest_outage < 1s", &t, &plan(false), At(0)));
    assert_eq!(reason.message, "lane fresh had no good answer for 1s from 1.000s on (201 failed requests), longest_outage < 1s");
}

#[test]
fn deployed_within_is_missed_as_soon_as_its_time_is_over() {
    let t = tally();
    let p = plan(false);
    assert_eq!(state("deployed_within 5s", &t, &p, At(5_000_000)), State::Open("the rollout is not complete".into()));
    assert_eq!(missed(state("deployed_within 5s", &t, &p, At(5_000_001))).code, "deployed_within");
    let done = Plan { deployed: Some(At(4_000_000)), ..p };
    assert_eq!(state("deployed_within 5s", &t, &done, At(60_000_000)), State::Met);
    let late = Plan { deployed: Some(At(6_000_000)), ..p };
    assert_eq!(
        missed(state("deployed_within 5s", &t, &late, At(60_000_000))).message,
        "the rollout was complete only after 6s, deployed_within 5s"
    );
}

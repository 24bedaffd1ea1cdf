use super::*;
use crate::domain::event::{Event, What};
use crate::domain::fixtures::{breach, crash_loop, fold, healthy, nearly_breached, paused, sick_before};
use crate::domain::time::At;
use crate::report::golden;
use crate::report::tests::admitted;

const UNICODE: Look = Look { colour: false, unicode: true, live: false };
const ASCII: Look = Look { colour: false, unicode: false, live: false };

fn files() -> Vec<File> {
    vec![File { what: "recording".into(), path: "rolling-update.rec.jsonl".into() }]
}

#[test]
fn a_healthy_run_is_told_on_one_screen() {
    let text = summary(&Summary::of(&fold(&healthy())), UNICODE, &files());
    golden::check("healthy.txt", &text);
    assert!(text.lines().count() <= 34, "{} lines", text.lines().count());
}

#[test]
fn a_breach_begins_with_its_reason_and_says_what_failed_when_and_where() {
    let s = Summary::of(&fold(&breach()));
    let text = summary(&s, UNICODE, &files());
    golden::check("breach.txt", &text);
    assert!(text.lines().count() <= 70, "{} lines", text.lines().count());
    assert!(text.lines().all(|l| l.chars().count() <= 120), "no line is wider than 120 columns");
}

#[test]
fn what_the_guard_did_stands_below_the_verdict() {
    let text = summary(&Summary::of(&fold(&paused())), ASCII, &[]);
    golden::check("paused.txt", &text.lines().take_while(|l| !l.is_empty()).fold(String::new(), |all, line| all + line + "\n"));
}

#[test]
fn who_was_let_in_stands_below_the_rollout() {
    let mut s = Summary::of(&fold(&healthy()));
    s.admission = admitted(8);
    s.admission[1].opened_s = None;
    let text = summary(&s, ASCII, &[]);
    let lines: Vec<Vec<&str>> = text
        .lines()
        .skip_while(|l| *l != "Let in by the gate")
        .take_while(|l| !l.is_empty())
        .map(|l| l.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(lines[2], ["backend-0", "b-1", "it answered well", "25 good answers", "1.2 s"], "{text}");
    assert_eq!(lines[3].last(), Some(&"not accepted"), "{text}");
    assert_eq!((lines.len(), lines[8][0]), (9, "and 2 more pods"), "{text}");
}

#[test]
fn a_rollout_that_cannot_complete_shows_the_pod_in_trouble() {
    golden::check("crash_loop.txt", &summary(&Summary::of(&fold(&crash_loop())), UNICODE, &[]));
}

#[test]
fn a_target_that_was_sick_before_shows_what_failed_before() {
    golden::check("sick_before.txt", &summary(&Summary::of(&fold(&sick_before())), UNICODE, &[]));
}

#[test]
fn without_colour_and_beyond_ascii_nothing_is_lost() {
    let s = Summary::of(&fold(&breach()));
    let ascii = summary(&s, ASCII, &[]);
    assert!(ascii.is_ascii());
    golden::check("breach_ascii.txt", &ascii);
    let coloured = summary(&s, Look { colour: true, ..UNICODE }, &[]);
    let mut bare = String::new();
    for (i, part) in coloured.split("\x1b[").enumerate() {
        bare.push_str(if i == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    let trimmed = |t: &str| t.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&bare), trimmed(&summary(&s, UNICODE, &[])));
}

#[test]
fn a_run_that_is_not_over_says_so() {
    let text = summary(&Summary::of(&fold(&nearly_breached())), UNICODE, &[]);
    assert_eq!(text.lines().next(), Some("UNDECIDED  the run is not over"));
}

#[test]
fn an_aborted_run_says_what_that_means_and_shows_what_was_seen() {
    let mut events = nearly_breached();
    events.push(Event { at: At(4_550_000), what: What::Interrupted(2) });
    let text = summary(&Summary::of(&fold(&events)), UNICODE, &[]);
    let head: Vec<&str> = text.lines().take(6).collect();
    let expected = [
        "ABORTED  ended by signal 2",
        "neither pass nor breach: the run was ended before it was over",
        "Decided at t+4.5s, 2.05 s after the change began",
        "Scenario rolling-update on deploy/backend in namespace todo (sandbox), 4.55 s in all",
        "NOT AS EXPECTED: the scenario must end in breach because of availability; missing: verdict breach, reason availability",
        "",
    ];
    assert_eq!(head, expected);
}

#[test]
fn a_run_judged_again_says_so_below_its_verdict() {
    use crate::domain::recording::Rejudged;
    use crate::domain::verdict::VerdictKind;
    let rejudged = Rejudged {
        by: "0.2.0".into(),
        verdict: Some(VerdictKind::Pass),
        objectives: vec!["availability >= 99%".into()],
        recounted: Vec::new(),
    };
    let text = summary(&Summary { rejudged: Some(rejudged), ..Summary::of(&fold(&breach())) }, UNICODE, &[]);
    let second = "JUDGED AGAIN by other objectives (verifier 0.2.0); the run itself ended in pass, by availability >= 99%";
    assert_eq!(text.lines().nth(1), Some(second));
}

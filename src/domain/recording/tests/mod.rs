mod any;
mod judging;

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::domain::fixtures::{breach, crash_loop, fold, head, healthy, sick_before};
use crate::domain::summary::Summary;
use crate::domain::verdict::VerdictKind;

/// The events as a run records them: with its decisions among them.
pub(crate) fn recorded(events: &[Event]) -> Vec<Event> {
    let mut all: Vec<Event> = vec![events[0].clone()];
    let mut course = fold(&all);
    for event in &events[1..] {
        let before = course.verdict().cloned();
        course.apply(event);
        all.push(event.clone());
        if let Some(verdict) = course.verdict().filter(|now| before.as_ref() != Some(*now)).cloned() {
            all.push(Event { at: event.at, what: What::Decided(verdict) });
        }
    }
    all
}

fn text(events: &[Event]) -> String {
    events.iter().map(|e| serde_json::to_string(e).unwrap() + "\n").collect()
}

/// Reads a file with these bytes, whatever they are.
fn read(bytes: &[u8]) -> Result<(Vec<Event>, End), RecordingError> {
    let mut reader = Reader::default();
    let mut events = Vec::new();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let whole = line.ends_with(b"\n");
        events.extend(reader.line(line.strip_suffix(b"\n").unwrap_or(line), whole)?);
    }
    Ok((events, reader.end()?))
}

/// Reads and folds.
pub(crate) fn replayed(events: &[Event], terms: &Terms) -> Result<Replayed, ReplayError> {
    let (events, end) = read(text(events).as_bytes()).unwrap();
    let What::RunStarted(head) = &events[0].what else { panic!("no head") };
    let mut replay = Replay::begin(head, terms)?;
    for event in events {
        replay.event(event)?;
    }
    replay.finish(end)
}

/// Recordings as files.
static FILES: LazyLock<[String; 3]> = LazyLock::new(|| [healthy(), breach(), crash_loop()].map(|events| text(&recorded(&events))));

fn own() -> Terms {
    Terms::default()
}

#[test]
fn a_recording_folds_to_the_document_that_the_run_wrote() {
    for (events, verdict) in
        [(healthy(), VerdictKind::Pass), (breach(), VerdictKind::Breach), (sick_before(), VerdictKind::Inconclusive)]
    {
        let events = recorded(&events);
        let document = |s: &Summary| serde_json::to_string_pretty(s).unwrap();
        let again = replayed(&events, &own()).unwrap();
        assert_eq!((again.defect.clone(), again.end), (None, End::Whole));
        assert_eq!(again.course.verdict().map(|v| v.verdict), Some(verdict));
        assert_eq!(document(&again.summary()), document(&Summary::of(&fold(&events))));
    }
}

#[test]
fn a_torn_last_line_is_dropped_and_a_whole_one_without_its_end_is_not() {
    let (events, all) = (recorded(&breach()), text(&recorded(&breach())));
    let (found, end) = read(&all.as_bytes()[..all.len() - 9]).unwrap();
    let (last, line) = (events[events.len() - 2].at, events.len() as u64);
    assert_eq!((found.len(), end), (events.len() - 1, End::Missing { last, torn: Some(line) }));
    assert_eq!(read(all.trim_end().as_bytes()).unwrap(), (events, End::Whole));
}

#[test]
fn a_line_in_the_middle_that_does_not_read_is_an_error_with_its_number() {
    let mut lines: Vec<String> = text(&healthy()).lines().map(str::to_owned).collect();
    let whole = lines[7].clone();
    let failed = |lines: &[String]| read((lines.join("\n") + "\n").as_bytes()).unwrap_err().to_string();
    lines[7].truncate(30);
    assert!(failed(&lines).starts_with("line 8: EOF while parsing"), "{}", failed(&lines));
    lines[7] = whole.replacen("\"event\":\"", "\"event\":\"un", 1);
    assert!(failed(&lines).starts_with("line 8: unknown variant `un"), "{}", failed(&lines));
    lines[7] = "\u{1b}[2J".into();
    assert!(failed(&lines).ends_with("(`[2J…`)"), "nothing foreign reaches the terminal: {:?}", failed(&lines));
    lines[7] = lines[0].clone();
    assert_eq!(failed(&lines), "line 8: a second run begins: two recordings in one file");
    lines[7] = r#"{"at":3,"event":"tick"}"#.into();
    lines.insert(8, r#"{"at":2,"event":"tick"}"#.into());
    assert!(failed(&lines).contains("time runs backwards, from "), "{}", failed(&lines));
}

#[test]
fn what_is_no_recording_of_ours_is_refused_for_what_it_is() {
    let failed = |text: &str| read(text.as_bytes()).unwrap_err();
    assert_eq!(failed(""), RecordingError::Empty);
    assert_eq!(failed(&text(&healthy())[..200]), RecordingError::Empty);
    assert!(matches!(failed("{\n  \"schema\": 1\n}\n"), RecordingError::NoHead(_)));
    assert!(matches!(failed("{\"at\":0,\"event\":\"tick\"}\n"), RecordingError::NoHead(_)));
    let newer = r#"{"at":0,"event":"run_started","of":{"format":2,"version":"9.1.0","what_is_new":[]}}"#;
    let ours = env!("CARGO_PKG_VERSION");
    assert_eq!(
        failed(&format!("{newer}\n{{\"a\":\"new kind of line\"}}\n")).to_string(),
        format!("it is a recording of format 2, written by verifier 9.1.0; verifier {ours} reads format 1")
    );
    let after = text(&healthy()) + "{\"at\":99000000,\"event\":\"tick\"}\n";
    assert!(failed(&after).to_string().ends_with("the run had ended, and nothing may follow"));
}

#[test]
fn a_line_longer_than_any_that_is_written_is_refused() {
    let line = vec![b' '; MAX_LINE + 1];
    let error = Reader { lines: 1, ..Reader::default() }.line(&line, true).unwrap_err();
    assert_eq!(error, RecordingError::Line { line: 2, why: format!("it is longer than {MAX_LINE} bytes") });
    let many = Reader { lines: MAX_EVENTS, ..Reader::default() }.line(br#"{"at":0,"event":"tick"}"#, true);
    assert_eq!(many, Err(RecordingError::TooMany));
}

#[test]
fn a_recording_without_its_end_is_inconclusive_with_the_figures_so_far() {
    let events = recorded(&healthy());
    let cut = events.iter().position(|e| e.at.micros() > 5_000_000).unwrap();
    let replayed = replayed(&events[..cut], &own()).unwrap();
    let summary = replayed.summary();
    let reason = &summary.verdict.reasons[0];
    assert_eq!((summary.verdict.verdict, reason.code.as_str()), (Some(VerdictKind::Inconclusive), "interrupted"));
    assert_eq!(reason.message, "the recording ends at t+5.0s, before the run was over");
    assert_eq!(summary.traffic.measured, Summary::of(&fold(&events[..cut])).traffic.measured);
    assert!(summary.traffic.measured.answers.valid > 0);
    assert_eq!(replayed.defect, None);
    assert!(summary.notices.last().unwrap().text.starts_with("the recording ends at t+5.0s without the end of the run"));
}

#[test]
fn a_breach_that_was_found_before_the_crash_stands() {
    let events = recorded(&breach());
    let cut = events.iter().position(|e| matches!(e.what, What::Decided(_))).unwrap();
    // Also when the line that says so was lost.
    for events in [&events[..=cut], &events[..cut]] {
        let replayed = replayed(events, &own()).unwrap();
        assert_eq!(replayed.course.verdict().map(|v| v.verdict), Some(VerdictKind::Breach));
        assert_eq!(replayed.defect, None);
    }
}

#[test]
fn another_verdict_than_the_recorded_one_is_a_defect() {
    let mut events = recorded(&breach());
    for event in &mut events {
        if let What::Slice(slice) = &mut event.what {
            for part in &mut slice.parts {
                let valid = part.counts.valid();
                part.counts = crate::domain::outcome::Counts::default();
                part.counts.add(crate::domain::outcome::Outcome::Ok, valid);
            }
        }
    }
    let defect = replayed(&events, &own()).unwrap().defect.expect("failures were taken out");
    assert_eq!(defect.recorded.as_ref().map(|v| v.verdict), Some(VerdictKind::Breach));
    assert_eq!(defect.folded, None, "nothing was decided yet when the breach was");
    assert!(defect.to_string().contains("one of the two is a defect, or the file was changed"), "{defect}");
    let silent: Vec<Event> = recorded(&breach()).into_iter().filter(|e| !matches!(e.what, What::Decided(_))).collect();
    assert!(replayed(&silent, &own()).unwrap().defect.is_some(), "a verdict that was not recorded");
}

#[test]
fn a_head_is_told_from_other_files() {
    let line = text(&[Event { at: At::ZERO, what: What::RunStarted(Box::new(head(any::scenario()))) }]);
    assert!(is_recording(line.trim_end().as_bytes()));
    assert!(!is_recording(b"{") && !is_recording(br#"{"schema":"verifier/summary/v1"}"#));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_kind_of_event_survives_being_written_and_read(event in any::event()) {
        let line = serde_json::to_string(&event).unwrap();
        prop_assert!(!line.contains('\n'), "one line");
        prop_assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn wherever_a_recording_is_cut_off_its_whole_lines_are_read_and_folded(which in 0..3_usize, place in any::<prop::sample::Index>()) {
        let all = &FILES[which];
        let at = place.index(all.len());
        let lines = all.as_bytes()[..at].split_inclusive(|b| *b == b'\n').filter(|l| l.ends_with(b"\n")).count();
        match read(&all.as_bytes()[..at]) {
            Err(error) => prop_assert_eq!((error, lines), (RecordingError::Empty, 0)),
            Ok((events, end)) => {
                // A line may be all there but for its end.
                prop_assert!(events.len() == lines || events.len() == lines + 1, "{} of {}", events.len(), lines);
                prop_assert_eq!(end == End::Whole, events.len() == all.lines().count());
                let replayed = replayed(&events, &own()).unwrap();
                prop_assert!(replayed.course.verdict().is_some());
                prop_assert_eq!(replayed.defect, None);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0..4_000_usize) {
        let mut all = FILES[1].clone().into_bytes();
        let at = at.min(all.len());
        all.splice(at..(at + bytes.len()).min(all.len()), bytes);
        let _ = read(&all);
    }
}

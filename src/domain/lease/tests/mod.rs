//! The rules one by one; a property over random schedules is in `storm`.

mod storm;

use super::*;

fn s(seconds: f64) -> At {
    At::ZERO + Duration::from_secs_f64(seconds)
}

fn candidate(name: &str) -> Candidate {
    Candidate::new(name.into(), None, Terms::default(), 7)
}

fn held(holder: &str, renewed: i64, version: &str) -> Read {
    let record =
        Record { holder: holder.into(), address: None, duration: Duration::from_secs(15), acquired: 1, renewed, transitions: 4 };
    Read { record, version: version.into() }
}

#[track_caller]
fn write(candidate: &mut Candidate, now: At, wall: i64) -> Write {
    match candidate.next(now, wall) {
        Do::Write(write) => write,
        other => panic!("{other:?} instead of a write at {now}"),
    }
}

#[track_caller]
fn waits(candidate: &mut Candidate, now: At) -> At {
    match candidate.next(now, 0) {
        Do::Wait(until) => until,
        other => panic!("{other:?} instead of waiting at {now}"),
    }
}

fn written(version: &str) -> Answer {
    Answer::Written { version: version.into() }
}

/// One that holds the lease since `at`.
fn leader(at: At) -> Candidate {
    let mut one = candidate("a");
    one.looked(None, at);
    let first = write(&mut one, at, 100);
    one.wrote(first.record, written("1"), at, at);
    assert!(one.is_valid(at));
    one
}

#[test]
fn the_first_one_creates_the_lease_and_renews_it_with_one_write_each() {
    let mut one = Candidate::new("a".into(), "10.0.0.7:9090".parse().ok(), Terms::default(), 1);
    assert_eq!((one.next(s(0.0), 0), one.is_informed()), (Do::Look, false));
    one.looked(None, s(0.1));
    let first = write(&mut one, s(0.1), 100);
    let expected = Record {
        holder: "a".into(),
        address: "10.0.0.7:9090".parse().ok(),
        duration: Duration::from_secs(15),
        acquired: 100,
        renewed: 100,
        transitions: 0,
    };
    assert_eq!(first, Write { over: None, record: expected.clone() });
    one.wrote(first.record, written("1"), s(0.1), s(0.2));
    assert_eq!((one.leads_until(), waits(&mut one, s(0.2))), (Some(s(10.1)), s(2.1)), "counted from when it was sent");
    let second = write(&mut one, s(2.1), 200);
    assert_eq!(second, Write { over: Some("1".into()), record: Record { renewed: 200, ..expected } });
    one.wrote(second.record, written("2"), s(2.1), s(2.2));
    assert_eq!(one.leads_until(), Some(s(12.1)));
}

#[test]
fn a_lease_is_taken_over_when_it_was_not_seen_to_change_for_its_duration_and_not_before() {
    let mut one = candidate("b");
    one.looked(Some(held("a", 1, "1")), s(1.0));
    assert_eq!(one.other().map(|r| &*r.holder), Some("a"));
    let next = waits(&mut one, s(1.0));
    assert!(next >= s(3.0) && next <= s(3.4), "{next}");
    // It changes: the time begins anew.
    one.looked(Some(held("a", 2, "2")), s(3.0));
    for look in [5.0, 8.0, 17.9] {
        one.looked(Some(held("a", 2, "2")), s(look));
        assert!(waits(&mut one, s(look)) <= s(18.0), "the end is not slept over");
    }
    one.looked(Some(held("a", 2, "3")), s(18.0));
    let taken = write(&mut one, s(18.0), 900);
    assert_eq!(
        (taken.over.as_deref(), taken.record.transitions, taken.record.acquired),
        (Some("3"), 5, 900),
        "the version just seen"
    );
    assert!(!one.is_valid(s(18.0)), "not before it is accepted");
    one.wrote(taken.record, written("4"), s(18.0), s(18.5));
    assert_eq!((one.leads_until(), one.other()), (Some(s(28.0)), None));
}

#[test]
fn nobodys_wall_clock_matters() {
    // Renewed in the far past or future, by a holder whose clock goes wrong: what is seen to change is alive, what is not is dead.
    for renewed in [i64::MIN, -1, 0, i64::MAX] {
        let mut one = candidate("b");
        one.looked(Some(held("a", renewed, "1")), s(0.0));
        one.looked(Some(held("a", renewed, "1")), s(14.9));
        waits(&mut one, s(14.9));
        one.looked(Some(held("a", renewed, "1")), s(15.0));
        write(&mut one, s(15.0), i64::MIN);
    }
}

#[test]
fn the_duration_that_the_holder_wrote_counts_when_it_is_longer() {
    for (seconds, free) in [(0, 15.0), (1, 15.0), (60, 60.0)] {
        let mut one = candidate("b");
        let mut read = held("a", 1, "1");
        read.record.duration = Duration::from_secs(seconds);
        one.looked(Some(read.clone()), s(0.0));
        one.looked(Some(read.clone()), s(free - 0.1));
        waits(&mut one, s(free - 0.1));
        one.looked(Some(read), s(free));
        write(&mut one, s(free), 0);
    }
}

#[test]
fn who_could_not_renew_leads_no_more_at_the_deadline() {
    let mut one = leader(s(0.0));
    let mut now = s(2.0);
    let second = write(&mut one, now, 200);
    assert_eq!(one.patience(now), Duration::from_secs(4));
    one.wrote(second.record, Answer::Unknown, now, s(6.0));
    now = s(6.0);
    assert_eq!(one.next(now, 0), Do::Look, "what became of the write has to be seen");
    assert_eq!(one.patience(now), Duration::from_secs(4));
    one.looked_in_vain(now, s(9.0));
    assert_eq!((one.next(s(9.0), 0), one.patience(s(9.0))), (Do::Look, Duration::from_secs(1)));
    assert!(one.is_valid(s(9.999_999)) && !one.is_valid(s(10.0)));
    assert_eq!(one.next(s(10.0), 0), Do::End(Ending::Lost));
    // What comes thereafter brings nothing back.
    one.looked(Some(held("a", 200, "2")), s(10.1));
    assert_eq!(one.next(s(10.1), 0), Do::End(Ending::Lost));
}

#[test]
fn an_answer_that_was_lost_is_looked_up_and_only_an_accepted_write_renews() {
    let mut one = leader(s(0.0));
    let second = write(&mut one, s(2.0), 200);
    one.wrote(second.record.clone(), Answer::Unknown, s(2.0), s(3.0));
    assert_eq!(waits(&mut one, s(3.0)), s(4.0));
    one.looked(Some(Read { record: second.record, version: "2".into() }), s(4.1));
    assert_eq!(one.leads_until(), Some(s(10.0)), "a look renews nothing");
    let third = write(&mut one, s(4.1), 300);
    assert_eq!((third.over.as_deref(), third.record.acquired, third.record.transitions), (Some("2"), 100, 0));
    one.wrote(third.record, written("3"), s(4.1), s(4.2));
    assert_eq!(one.leads_until(), Some(s(14.1)));
}

#[test]
fn a_renewal_that_is_answered_after_the_deadline_is_too_late() {
    let mut one = leader(s(0.0));
    let second = write(&mut one, s(2.0), 200);
    one.wrote(second.record, written("2"), s(2.0), s(10.0));
    assert_eq!(one.next(s(10.0), 0), Do::End(Ending::Lost));
    // A candidate has nothing to lose: it renews at once what it was given too late.
    let mut other = candidate("b");
    other.looked(None, s(0.0));
    let first = write(&mut other, s(0.0), 100);
    other.wrote(first.record, written("1"), s(0.0), s(30.0));
    assert!(!other.is_valid(s(30.0)));
    let again = write(&mut other, s(30.0), 200);
    assert_eq!(again.over.as_deref(), Some("1"));
    other.wrote(again.record, written("2"), s(30.0), s(30.1));
    assert_eq!(other.leads_until(), Some(s(40.0)));
}

#[test]
fn after_a_conflict_a_leader_looks_at_once_and_stays_one_only_if_the_lease_is_still_its_own() {
    for (holder, stays) in [("a", true), ("b", false), ("", false)] {
        let mut one = leader(s(0.0));
        let second = write(&mut one, s(2.0), 200);
        one.wrote(second.record, Answer::Conflict, s(2.0), s(2.1));
        assert_eq!(one.next(s(2.1), 0), Do::Look);
        one.looked(Some(held(holder, 150, "9")), s(2.2));
        if stays {
            // Somebody has edited something else. A second conflict waits for the next try.
            let third = write(&mut one, s(2.2), 300);
            assert_eq!(third.over.as_deref(), Some("9"));
            one.wrote(third.record, Answer::Conflict, s(2.2), s(2.3));
            assert_eq!(waits(&mut one, s(2.3)), s(4.2));
        } else {
            assert_eq!((one.next(s(2.2), 0), one.is_valid(s(2.2))), (Do::End(Ending::Lost), false));
        }
    }
}

#[test]
fn who_comes_second_in_a_race_learns_who_was_first() {
    let mut one = candidate("b");
    one.looked(None, s(0.0));
    let first = write(&mut one, s(0.0), 1);
    one.wrote(first.record, Answer::Conflict, s(0.0), s(0.1));
    assert!(!one.is_valid(s(0.1)));
    let again = waits(&mut one, s(0.1));
    assert_eq!(one.next(again, 0), Do::Look);
    one.looked(Some(held("a", 1, "1")), again);
    waits(&mut one, again);
}

#[test]
fn a_lease_that_was_deleted_is_made_anew_by_its_leader_and_by_others_only_when_it_would_have_ended() {
    let mut one = leader(s(0.0));
    let second = write(&mut one, s(2.0), 200);
    one.wrote(second.record, Answer::Conflict, s(2.0), s(2.1));
    one.looked(None, s(2.2));
    let anew = write(&mut one, s(2.2), 300);
    assert_eq!(anew.over, None);
    one.wrote(anew.record, written("1"), s(2.2), s(2.3));
    assert_eq!(one.leads_until(), Some(s(12.2)));

    let mut other = candidate("b");
    other.looked(Some(held("a", 1, "1")), s(0.0));
    other.looked(None, s(2.0));
    waits(&mut other, s(2.0));
    other.looked(None, s(15.0));
    assert_eq!(write(&mut other, s(15.0), 1).over, None);
}

#[test]
fn who_resigns_leads_no_more_before_it_gives_the_lease_up_and_the_next_one_need_not_wait() {
    let mut one = leader(s(0.0));
    one.resign(s(1.0));
    assert!(!one.is_valid(s(1.0)), "before anything is written");
    let last = write(&mut one, s(1.0), 500);
    let released = Record { holder: String::new(), address: None, duration: RELEASED, acquired: 500, renewed: 500, transitions: 0 };
    assert_eq!(last, Write { over: Some("1".into()), record: released.clone() });
    one.wrote(last.record, written("2"), s(1.0), s(1.1));
    assert_eq!(one.next(s(1.1), 0), Do::End(Ending::Resigned));

    let mut other = candidate("b");
    other.looked(Some(held("a", 1, "1")), s(0.5));
    other.looked(Some(Read { record: released, version: "2".into() }), s(2.5));
    let taken = write(&mut other, s(2.5), 600);
    assert_eq!((taken.over.as_deref(), taken.record.transitions), (Some("2"), 1));
}

#[test]
fn resigning_gives_nothing_up_that_is_not_held() {
    let mut one = candidate("b");
    one.looked(Some(held("a", 1, "1")), s(0.0));
    one.resign(s(1.0));
    assert_eq!(one.next(s(1.0), 0), Do::End(Ending::Resigned));

    // Another has it by now: its lease is left alone.
    let mut one = leader(s(0.0));
    one.resign(s(1.0));
    let last = write(&mut one, s(1.0), 500);
    one.wrote(last.record, Answer::Conflict, s(1.0), s(1.1));
    assert_eq!(one.next(s(1.1), 0), Do::Look);
    one.looked(Some(held("b", 1, "7")), s(1.2));
    assert_eq!(one.next(s(1.2), 0), Do::End(Ending::Resigned));
}

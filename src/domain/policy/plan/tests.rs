use super::*;

fn key(name: &str) -> Key {
    Key::new("todo", name)
}

fn watched() -> Watched {
    Watched {
        uid: "u1".into(),
        policy: Ok(PolicySpec::default()),
        paused: false,
        replicas: 4,
        template: 1,
        generation: 1,
        complete: true,
    }
}

fn running(mode: Mode) -> Running {
    Running { mode, policy: PolicySpec::default(), uid: "u1".into(), judging: false, stopping: false }
}

/// What is done about one Deployment, and why nothing is.
fn one(watched: Option<Watched>, book: Book, now: At) -> (Option<Do>, Option<Idle>) {
    let watched = watched.map(|w| (key("a"), w)).into_iter().collect();
    let plan = plan(&watched, &BTreeMap::from([(key("a"), book)]), 1_000.0, now);
    assert!(plan.todo.len() <= 1, "{plan:?}");
    (plan.todo.first().map(|(_, what)| *what), plan.idle.get(&key("a")).cloned())
}

#[test]
fn what_runs_follows_from_how_the_deployment_is() {
    let judged = Book { judged: Some(1), ..Book::default() };
    let cases = [
        ("complete", watched(), Book::default(), Mode::Follow),
        ("under way when the service begins", Watched { complete: false, ..watched() }, Book::default(), Mode::Follow),
        ("paused", Watched { paused: true, ..watched() }, Book::default(), Mode::Measure),
        ("judged, and stuck", Watched { complete: false, ..watched() }, judged.clone(), Mode::Measure),
        ("judged, and complete", watched(), judged.clone(), Mode::Follow),
        ("judged, and another template since", Watched { complete: false, template: 2, ..watched() }, judged, Mode::Follow),
    ];
    for (what, watched, book, mode) in cases {
        assert_eq!(one(Some(watched), book, At::ZERO), (Some(Do::Start(mode)), None), "{what}");
    }
    let empty = Watched { replicas: 0, ..watched() };
    assert_eq!(one(Some(empty), Book::default(), At::ZERO), (None, Some(Idle::NoReplicas)));
    let wrong = Watched { policy: Err("no".into()), ..watched() };
    assert_eq!(one(Some(wrong), Book::default(), At::ZERO), (None, Some(Idle::Invalid("no".into()))));
    assert_eq!(one(None, Book::default(), At::ZERO), (None, None));
}

#[test]
fn a_run_ends_when_something_else_is_wanted_but_not_while_it_judges() {
    let stricter = PolicySpec::parse("then: [availability >= 99.9%]").unwrap();
    let of = |mode, judging| Book { running: Some(Running { judging, ..running(mode) }), ..Book::default() };
    let cases = [
        ("nothing changed", Some(watched()), Mode::Follow, false, false),
        ("another policy", Some(Watched { policy: Ok(stricter.clone()), ..watched() }), Mode::Follow, false, true),
        (
            "another policy in the midst of a rollout",
            Some(Watched { policy: Ok(stricter), ..watched() }),
            Mode::Follow,
            true,
            false,
        ),
        ("paused", Some(Watched { paused: true, ..watched() }), Mode::Follow, false, true),
        ("paused by the guard", Some(Watched { paused: true, ..watched() }), Mode::Follow, true, false),
        ("no longer paused", Some(watched()), Mode::Measure, false, true),
        ("scaled to nothing", Some(Watched { replicas: 0, ..watched() }), Mode::Follow, false, true),
        ("no longer asked for", None, Mode::Follow, true, true),
        ("replaced", Some(Watched { uid: "u2".into(), ..watched() }), Mode::Follow, true, true),
    ];
    for (what, watched, mode, judging, stops) in cases {
        assert_eq!(one(watched, of(mode, judging), At::ZERO).0, stops.then_some(Do::Stop), "{what}");
    }
    let mut told = of(Mode::Follow, false);
    told.running.iter_mut().for_each(|r| r.stopping = true);
    assert_eq!(one(None, told, At::ZERO).0, None, "it is told once");
}

#[test]
fn a_target_that_cannot_be_reached_is_tried_less_and_less_often() {
    let mut book = Book::default();
    let mut now = At::ZERO;
    for seconds in [2, 4, 8, 16, 32, 60, 60] {
        book.end(Some("no Ingress".into()), now);
        let before = now + Duration::from_secs(seconds) - Duration::from_micros(1);
        assert_eq!(one(Some(watched()), book.clone(), before).1, Some(Idle::Unreachable("no Ingress".into())));
        let all = BTreeMap::from([(key("a"), watched())]);
        let wake = plan(&all, &BTreeMap::from([(key("a"), book.clone())]), 1_000.0, before).wake;
        now = now + Duration::from_secs(seconds);
        assert_eq!(wake, Some(now));
        assert_eq!(one(Some(watched()), book.clone(), now).0, Some(Do::Start(Mode::Follow)));
    }
    book.end(None, now);
    assert_eq!(one(Some(watched()), book, now).0, Some(Do::Start(Mode::Follow)), "one that was reached is reached again at once");
}

#[test]
fn the_ceiling_holds_for_all_together_and_who_waited_longest_is_first() {
    let names = ["a", "b", "c", "d"];
    let all: BTreeMap<Key, Watched> = names.map(|n| (key(n), watched())).into();
    let ended = |at| Book { ended: Some(At(at)), ..Book::default() };
    let busy = Book { running: Some(running(Mode::Follow)), ..Book::default() };
    let books = BTreeMap::from([(key("a"), ended(30)), (key("b"), ended(20)), (key("c"), busy)]);
    // Each asks for 20 a second.
    let of = |ceiling| {
        let plan = plan(&all, &books, ceiling, At(100));
        let started: Vec<String> = plan.todo.iter().map(|(key, _)| key.name.to_string()).collect();
        let idle: Vec<String> = plan.idle.keys().map(|key| key.name.to_string()).collect();
        assert!(plan.idle.values().all(|idle| *idle == Idle::Ceiling));
        (started.join(""), idle.join(""))
    };
    assert_eq!(of(80.0), ("dba".into(), String::new()));
    assert_eq!(of(79.0), ("db".into(), "a".into()));
    assert_eq!(of(40.0), ("d".into(), "ab".into()));
    assert_eq!(of(20.0), (String::new(), "abd".into()));
}

#[test]
fn what_was_judged_is_remembered_unless_somebody_else_came_between() {
    let mut book = Book::default();
    for (verdict, judged) in [
        (VerdictKind::Pass, Some(7)),
        (VerdictKind::Breach, Some(7)),
        (VerdictKind::Superseded, None),
        (VerdictKind::Inconclusive, Some(7)),
        (VerdictKind::Aborted, None),
    ] {
        book.judge(verdict, 7);
        assert_eq!(book.judged, judged, "{verdict}");
    }
}

#[test]
fn guards_act_no_more_often_than_the_cap_allows_within_an_hour() {
    let mut actions = Vec::new();
    assert_eq!(permit(&mut actions, 2, At(0)), Ok(()));
    assert_eq!(permit(&mut actions, 2, At(1)), Ok(()));
    assert!(permit(&mut actions, 2, At(2)).unwrap_err().contains("2 times within an hour"));
    assert_eq!(permit(&mut actions, 2, At(0) + ACTIONS_WITHIN), Ok(()));
    assert_eq!(actions.len(), 2, "what is long past is forgotten");
    assert!(permit(&mut Vec::new(), 0, At(0)).is_err());
}

#[test]
fn verifications_are_forgotten_by_number_and_by_age() {
    let old = |hours: u64| Some(Duration::from_hours(hours));
    let all = [
        ("a1", key("a"), old(3)),
        ("a2", key("a"), old(1)),
        ("a3", key("a"), None),
        ("a4", key("a"), old(2)),
        ("b1", key("b"), old(50)),
        ("b2", key("b"), old(48)),
    ];
    assert_eq!(forgotten(&all, 2, Duration::from_hours(48)), ["a1", "b1"]);
    assert_eq!(forgotten(&all, 0, Duration::from_hours(48)), ["a2", "a4", "a1", "b2", "b1"], "one that goes on stays");
    assert!(forgotten(&all, 9, Duration::from_hours(99)).is_empty());
}

use super::*;

fn key(name: &str) -> Key {
    Key::new("todo", name)
}

fn watched() -> Watched {
    Watched {
        uid: "u1".into(),
        policy: Ok(PolicySpec::default()),
        source: Source::Annotation,
        paused: false,
        replicas: 4,
        template: "a".into(),
        generation: 1,
        observed: true,
        complete: true,
        lacking: false,
        labels: BTreeMap::new(),
        unfrozen: false,
    }
}

fn rolling() -> Watched {
    Watched { complete: false, template: "b".into(), ..watched() }
}

/// Its controller has not seen the latest change.
fn unseen() -> Watched {
    Watched { observed: false, complete: false, ..watched() }
}

/// What is remembered after this was seen.
fn book(seen: &[Watched]) -> Book {
    let mut book = Book::default();
    for watched in seen {
        book.see(watched, At::ZERO);
    }
    book
}

fn running() -> Running {
    Running { rate: 20.0, uid: "u1".into(), template: "b".into(), stopping: false }
}

/// What is done about one Deployment, and why nothing is.
fn one(watched: Option<Watched>, book: Book, now: At) -> (Option<Do>, Option<Idle>) {
    let watched = watched.map(|w| (key("a"), w)).into_iter().collect();
    let plan = plan(&watched, &BTreeMap::from([(key("a"), book)]), 1_000.0, now);
    assert!(plan.todo.len() <= 1, "{plan:?}");
    (plan.todo.first().map(|(_, what)| *what), plan.idle.get(&key("a")).cloned())
}

#[test]
fn a_rollout_is_judged_once() {
    let judged = |seen: &[Watched], template: &str| Book { judged: Some(template.into()), ..book(seen) };
    let cases = [
        ("complete from the beginning", watched(), book(&[watched()]), false),
        ("under way when the service begins", rolling(), book(&[rolling()]), true),
        ("not seen by its controller since it was asked for", unseen(), book(&[unseen()]), false),
        ("complete, as was seen later", watched(), book(&[unseen(), watched()]), false),
        ("under way, as was seen later", rolling(), book(&[unseen(), rolling()]), true),
        ("a change that its controller has not seen", Watched { observed: false, ..rolling() }, book(&[watched()]), true),
        ("another template since", rolling(), book(&[watched(), rolling()]), true),
        ("one that was quicker than we look", Watched { complete: true, ..rolling() }, book(&[watched()]), true),
        ("paused", Watched { paused: true, ..rolling() }, book(&[watched()]), false),
        ("scaled, with the same template", Watched { complete: false, ..watched() }, book(&[watched()]), false),
        ("judged, and stuck", rolling(), judged(&[rolling()], "b"), false),
        ("judged, and another one since", rolling(), judged(&[watched()], "a"), true),
    ];
    for (what, watched, book, starts) in cases {
        assert_eq!(one(Some(watched), book, At::ZERO), (starts.then_some(Do::Start), None), "{what}");
    }
    let empty = Watched { replicas: 0, ..rolling() };
    assert_eq!(one(Some(empty), book(&[watched()]), At::ZERO), (None, Some(Idle::NoReplicas)));
    let wrong = Watched { policy: Err("no".into()), ..rolling() };
    assert_eq!(one(Some(wrong), book(&[watched()]), At::ZERO), (None, Some(Idle::Invalid("no".into()))));
    assert_eq!(one(None, Book::default(), At::ZERO), (None, None));
    let mut left = book(&[watched()]);
    left.resume();
    assert_eq!(one(Some(watched()), left, At::ZERO).0, Some(Do::Start), "a former process left it open");
}

#[test]
fn a_run_goes_on_to_its_verdict_unless_its_deployment_is_gone() {
    let running = Book { running: Some(running()), ..book(&[rolling()]) };
    let stricter = PolicySpec::parse("then: [availability >= 99.9%]").unwrap();
    let cases = [
        ("nothing changed", Some(rolling()), None),
        ("another policy, which is for the next one", Some(Watched { policy: Ok(stricter), ..rolling() }), None),
        ("paused by the guard", Some(Watched { paused: true, ..rolling() }), None),
        ("another template, which the run sees itself", Some(Watched { template: "c".into(), ..rolling() }), None),
        ("no longer asked for", None, Some(Do::Stop)),
        ("replaced", Some(Watched { uid: "u2".into(), ..rolling() }), Some(Do::Stop)),
    ];
    for (what, watched, stops) in cases {
        assert_eq!(one(watched, running.clone(), At::ZERO).0, stops, "{what}");
    }
    let mut told = running;
    told.running.iter_mut().for_each(|r| r.stopping = true);
    assert_eq!(one(None, told, At::ZERO).0, None, "it is told once");
}

#[test]
fn a_target_that_cannot_be_reached_is_tried_less_and_less_often() {
    let mut book = book(&[rolling()]);
    let mut now = At::ZERO;
    for seconds in [2, 4, 8, 16, 32, 60, 60] {
        book.end(Some("no Ingress".into()), now);
        let before = now + Duration::from_secs(seconds) - Duration::from_micros(1);
        assert_eq!(one(Some(rolling()), book.clone(), before).1, Some(Idle::Unreachable("no Ingress".into())));
        let all = BTreeMap::from([(key("a"), rolling())]);
        let wake = plan(&all, &BTreeMap::from([(key("a"), book.clone())]), 1_000.0, before).wake;
        now = now + Duration::from_secs(seconds);
        assert_eq!(wake, Some(now));
        assert_eq!(one(Some(rolling()), book.clone(), now).0, Some(Do::Start));
    }
    book.end(None, now);
    assert_eq!(one(Some(rolling()), book, now).0, Some(Do::Start), "one that was reached is reached again at once");
}

#[test]
fn the_ceiling_holds_for_all_together_and_who_waited_longest_is_first() {
    let names = ["a", "b", "c", "d"];
    let all: BTreeMap<Key, Watched> = names.map(|n| (key(n), rolling())).into();
    let since = |at| {
        let mut book = Book::default();
        book.see(&rolling(), At(at));
        book.see(&rolling(), At(at + 50));
        book
    };
    let busy = Book { running: Some(running()), ..since(0) };
    let books = BTreeMap::from([(key("a"), since(30)), (key("b"), since(20)), (key("c"), busy), (key("d"), since(10))]);
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
    let (mut book, template) = (Book::default(), Name::from("t"));
    for (verdict, judged) in [
        (VerdictKind::Pass, true),
        (VerdictKind::Breach, true),
        (VerdictKind::Superseded, false),
        (VerdictKind::Inconclusive, true),
        (VerdictKind::Aborted, false),
    ] {
        book.judge(verdict, &template);
        assert_eq!(book.judged, judged.then(|| template.clone()), "{verdict}");
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

#[test]
fn a_spent_budget_and_a_sick_service_decide_before_the_first_request() {
    let least = Ppm(100_000);
    assert_eq!(frozen(0.1, least), None);
    assert_eq!(frozen(0.0999, least), Some(Ruling::BudgetSpent { left: 99_900, least }));
    assert_eq!(frozen(-2.5, least), Some(Ruling::BudgetSpent { left: -2_500_000, least }));
    assert_eq!([unhealthy(0, 0), unhealthy(0, 9), unhealthy(1, 100)], [None; 3]);
    assert_eq!(unhealthy(1, 9), Some(Ruling::Unhealthy { bad: 1, valid: 9 }));
}

use super::*;
use crate::domain::rollout::state::{DeploymentState, Endpoint, EndpointsState};
use crate::domain::rollout::tests::{deployment, name, pod, set};
use crate::domain::verdict::Reason;

fn breach() -> Verdict {
    verdict(VerdictKind::Breach)
}

fn verdict(kind: VerdictKind) -> Verdict {
    Verdict { verdict: kind, at: At::ZERO, reasons: vec![Reason::new("availability", "9 of 10 requests failed")] }
}

fn sized(hash: &str, revision: u64, replicas: u32) -> ReplicaSetState {
    ReplicaSetState { replicas, ..set(hash, revision) }
}

/// The Deployment of four in mid-rollout: generation 2 is the change.
fn changed() -> DeploymentState {
    deployment(2, 2, 2, 4, [5, 1, 4, 4])
}

/// From `old` to `new`, with what a test wants to be different.
fn rolling(more: impl FnOnce(&mut Rollout)) -> Rollout {
    let mut r = Rollout::default();
    r.deployment(&deployment(1, 1, 1, 4, [4, 4, 4, 4]), At::ZERO);
    r.replica_set(&sized("old", 1, 4), At::ZERO);
    r.begin();
    r.wanted(2);
    r.replica_set(&sized("new", 2, 1), At::ZERO);
    r.deployment(&changed(), At::ZERO);
    more(&mut r);
    r
}

#[expect(clippy::needless_pass_by_value, reason = "a state is written where it is needed")]
fn say(r: &mut Rollout, state: DeploymentState) {
    r.deployment(&state, At::ZERO);
}

fn record(verb: Verb, uid: &str, revision: &str) -> Record {
    let n = Name::from;
    Record { verb, run: n("r-0"), at: n("2026-01-01T00:00:00Z"), uid: n(uid), revision: n(revision), reason: "it failed".into() }
}

#[track_caller]
fn acts(guard: Guard, r: &Rollout) -> Action {
    match decide(guard, &breach(), r) {
        Plan::Act(action) => *action,
        other => panic!("{guard}: {other:?}"),
    }
}

#[track_caller]
fn refuses(guard: Guard, r: &Rollout) -> Refusal {
    match decide(guard, &breach(), r) {
        Plan::Refuse(refusal) => refusal,
        other => panic!("{guard}: {other:?}"),
    }
}

const ACTING: [Guard; 3] = [Guard::Pause, Guard::Hold, Guard::Undo];

#[test]
fn a_breach_in_mid_rollout_calls_for_what_the_guard_says() {
    let r = rolling(|_| {});
    for (guard, verb, back_to) in
        [(Guard::Pause, Verb::Pause, None), (Guard::Hold, Verb::Hold, Some("old")), (Guard::Undo, Verb::Undo, Some("old"))]
    {
        let action = acts(guard, &r);
        assert_eq!((action.verb, &*action.uid, &*action.revision.hash, &*action.revision.set), (verb, "d1", "new", "backend-new"));
        assert_eq!(action.back_to.as_ref().map(|to| &*to.hash), back_to);
        assert_eq!((action.because.as_str(), action.instead_of, action.finishes), ("9 of 10 requests failed", None, None));
    }
}

#[test]
fn only_a_breach_writes_and_only_with_a_guard() {
    let r = rolling(|_| {});
    for kind in [VerdictKind::Pass, VerdictKind::Inconclusive, VerdictKind::Superseded, VerdictKind::Aborted] {
        for guard in ACTING {
            assert_eq!(decide(guard, &verdict(kind), &r), Plan::Nothing, "{kind}");
        }
    }
    assert_eq!(decide(Guard::None, &breach(), &r), Plan::Nothing);
}

#[test]
fn what_is_no_longer_ours_is_left_alone_by_every_guard() {
    type Case = (&'static str, Refusal, fn(&mut Rollout));
    let cases: [Case; 8] = [
        ("deleted", Refusal::Gone, Rollout::deployment_gone),
        ("made anew", Refusal::Gone, |r| say(r, DeploymentState { uid: name("d2"), ..changed() })),
        ("another template", Refusal::Superseded(Some(name("third"))), |r| {
            r.replica_set(&sized("third", 3, 1), At::ZERO);
            say(r, deployment(3, 3, 3, 4, [6, 1, 4, 4]));
        }),
        ("back to the old one", Refusal::Superseded(Some(name("old"))), |r| {
            r.replica_set(&sized("old", 3, 4), At::ZERO);
            say(r, deployment(3, 3, 3, 4, [4, 4, 4, 4]));
        }),
        ("paused by somebody", Refusal::PausedByOther, |r| {
            say(r, DeploymentState { paused: true, ..deployment(3, 3, 2, 4, [5, 1, 4, 4]) });
        }),
        ("scaled to 0", Refusal::ScaledToZero, |r| say(r, deployment(3, 3, 2, 0, [0, 0, 0, 0]))),
        ("acted on before", Refusal::Already(record(Verb::Pause, "d1", "new")), |r| {
            let acted = Some(record(Verb::Pause, "d1", "new"));
            say(r, DeploymentState { paused: true, acted, ..deployment(3, 3, 2, 4, [5, 1, 4, 4]) });
        }),
        ("acted on before and resumed by somebody", Refusal::Already(record(Verb::Hold, "d1", "new")), |r| {
            let acted = Some(record(Verb::Hold, "d1", "new"));
            say(r, DeploymentState { acted, ..deployment(4, 4, 2, 4, [5, 1, 4, 4]) });
        }),
    ];
    for (what, refusal, edit) in cases {
        let r = rolling(edit);
        for guard in ACTING {
            assert_eq!(refuses(guard, &r), refusal, "{what}");
        }
        assert_ne!(refusal.weight(), Weight::Impossible, "{what}: nobody needs to be alarmed");
    }
}

#[test]
fn a_record_of_another_revision_or_of_a_copied_manifest_says_nothing() {
    for record in [record(Verb::Pause, "d1", "older"), record(Verb::Pause, "d0", "new")] {
        let r = rolling(|r| say(r, DeploymentState { acted: Some(record.clone()), ..changed() }));
        for guard in ACTING {
            acts(guard, &r);
        }
    }
}

#[test]
fn a_scaling_in_mid_rollout_is_no_other_rollout() {
    let r = rolling(|r| say(r, deployment(5, 5, 2, 6, [7, 1, 6, 6])));
    for guard in ACTING {
        acts(guard, &r);
    }
}

#[test]
fn without_a_new_revision_or_before_it_is_known_there_is_nothing_to_stop() {
    let mut scaled = Rollout::default();
    scaled.deployment(&deployment(1, 1, 1, 4, [4, 4, 4, 4]), At::ZERO);
    scaled.replica_set(&sized("old", 1, 4), At::ZERO);
    scaled.begin();
    assert_eq!(refuses(Guard::Pause, &scaled), Refusal::NoNewRevision, "a deleted pod brings none");
    scaled.wanted(2);
    assert_eq!(refuses(Guard::Pause, &scaled), Refusal::NotSeen);
    scaled.deployment(&deployment(2, 2, 1, 5, [5, 5, 5, 5]), At::ZERO);
    assert_eq!(refuses(Guard::Hold, &scaled), Refusal::NoNewRevision, "nor does a scaling");
}

#[test]
fn a_complete_rollout_can_only_be_undone() {
    let r = rolling(|r| {
        r.replica_set(&sized("old", 1, 0), At::ZERO);
        r.replica_set(&sized("new", 2, 4), At::ZERO);
        say(r, deployment(2, 2, 2, 4, [4, 4, 4, 4]));
    });
    assert_eq!((refuses(Guard::Pause, &r), refuses(Guard::Hold, &r)), (Refusal::Complete, Refusal::NothingToHold));
    assert_eq!(acts(Guard::Undo, &r).back_to.unwrap().hash, name("old"));
    assert_eq!(Refusal::NothingToHold.weight(), Weight::Impossible);
}

#[test]
fn a_hold_needs_the_old_revision_alone_beside_the_new_one() {
    let two = rolling(|r| r.replica_set(&sized("older", 0, 1), At::ZERO));
    assert_eq!(refuses(Guard::Hold, &two), Refusal::NothingToHold, "pods would be shared out among both");
    let other = rolling(|r| {
        r.replica_set(&sized("old", 1, 0), At::ZERO);
        r.replica_set(&sized("older", 0, 1), At::ZERO);
    });
    assert_eq!(refuses(Guard::Hold, &other), Refusal::NothingToHold, "it is not known to be good");
}

#[test]
fn recreate_leaves_nothing_to_pause_or_hold_and_can_be_undone() {
    let r = rolling(|r| say(r, DeploymentState { strategy: Strategy::Recreate, ..changed() }));
    assert_eq!((refuses(Guard::Pause, &r), refuses(Guard::Hold, &r)), (Refusal::Recreate, Refusal::Recreate));
    assert_eq!(acts(Guard::Undo, &r).verb, Verb::Undo);
}

#[test]
fn an_undo_without_a_revision_that_was_complete_pauses_and_says_so() {
    let unhealthy = |more: fn(&mut Rollout)| {
        let mut r = Rollout::default();
        r.deployment(&deployment(1, 1, 1, 4, [4, 4, 2, 2]), At::ZERO);
        r.replica_set(&sized("old", 1, 4), At::ZERO);
        r.begin();
        r.wanted(2);
        r.replica_set(&sized("new", 2, 1), At::ZERO);
        r.deployment(&changed(), At::ZERO);
        more(&mut r);
        r
    };
    let action = acts(Guard::Undo, &unhealthy(|_| {}));
    assert_eq!((action.verb, action.instead_of, action.back_to), (Verb::Pause, Some(Verb::Undo), None));
    let gone = rolling(|r| {
        r.replica_set_gone(&name("rs-old"));
        r.replica_set(&sized("older", 0, 1), At::ZERO);
    });
    assert_eq!(acts(Guard::Undo, &gone).verb, Verb::Pause, "history is cleaned: never to an unknown revision");
    let complete = unhealthy(|r| {
        r.replica_set(&sized("old", 1, 0), At::ZERO);
        say(r, deployment(2, 2, 2, 4, [4, 4, 4, 4]));
    });
    assert_eq!(refuses(Guard::Undo, &complete), Refusal::NothingToUndo);
}

#[test]
fn half_a_hold_is_finished_by_a_hold_and_by_nothing_else() {
    let half = |new: u32| {
        rolling(|r| {
            r.replica_set(&sized("new", 2, new), At::ZERO);
            let acted = Some(record(Verb::Hold, "d1", "new"));
            say(r, DeploymentState { paused: true, acted, ..deployment(3, 3, 2, 4, [5, 1, 4, 4]) });
        })
    };
    let action = acts(Guard::Hold, &half(1));
    assert_eq!((action.verb, action.finishes), (Verb::Hold, Some(record(Verb::Hold, "d1", "new"))));
    assert_eq!(refuses(Guard::Undo, &half(1)), Refusal::Already(record(Verb::Hold, "d1", "new")));
    assert_eq!(refuses(Guard::Hold, &half(0)), Refusal::Already(record(Verb::Hold, "d1", "new")));
}

#[test]
fn what_a_guard_could_not_do_is_said_before_the_change() {
    let mut r = Rollout::default();
    r.deployment(&deployment(1, 1, 1, 4, [4, 4, 4, 4]), At::ZERO);
    r.replica_set(&sized("old", 1, 4), At::ZERO);
    r.begin();
    for guard in [Guard::None, Guard::Pause, Guard::Hold, Guard::Undo] {
        assert_eq!(forecast(guard, &r), Vec::<String>::new());
    }
    r.replica_set_gone(&name("rs-old"));
    let said = forecast(Guard::Undo, &r);
    assert!(said[0].starts_with("guard undo: no revision that was complete") && said[0].ends_with("it pauses instead"), "{said:?}");
    say(&mut r, DeploymentState { paused: true, strategy: Strategy::Recreate, ..deployment(1, 1, 1, 4, [4, 4, 4, 4]) });
    assert_eq!(forecast(Guard::Hold, &r).len(), 2);
    assert!(forecast(Guard::Undo, &r)[1].ends_with("nothing can be done"));
}

fn live_set(hash: &str, replicas: u32) -> LiveSet {
    LiveSet { revision: (&set(hash, 1)).into(), replicas }
}

fn live() -> Live {
    Live {
        uid: name("d1"),
        generation: 2,
        replicas: 4,
        revision: Some(name("new")),
        sets: vec![live_set("old", 4), live_set("new", 1)],
        ..Live::default()
    }
}

#[test]
fn the_last_look_stops_whatever_is_no_longer_what_was_decided_on() {
    let r = rolling(|_| {});
    for guard in ACTING {
        let action = acts(guard, &r);
        assert_eq!(still(&action, &live()), Ok(()));
        assert_eq!(still(&action, &Live { generation: 7, replicas: 9, ..live() }), Ok(()), "scaled");
        let cases = [
            (Live { uid: name("d2"), ..live() }, Refusal::Gone),
            (Live { deleting: true, ..live() }, Refusal::Gone),
            (Live { revision: Some(name("third")), ..live() }, Refusal::Superseded(Some(name("third")))),
            (Live { revision: None, ..live() }, Refusal::Superseded(None)),
            (Live { paused: true, ..live() }, Refusal::PausedByOther),
            (Live { replicas: 0, ..live() }, Refusal::ScaledToZero),
            (
                Live { paused: true, acted: Some(record(Verb::Undo, "d1", "new")), ..live() },
                Refusal::Already(record(Verb::Undo, "d1", "new")),
            ),
        ];
        for (live, refusal) in cases {
            assert_eq!(still(&action, &live), Err(refusal), "{live:?}");
        }
    }
    let empty = Live { sets: vec![live_set("old", 0)], ..live() };
    assert_eq!(still(&acts(Guard::Hold, &r), &empty), Err(Refusal::NothingToHold));
    assert_eq!(still(&acts(Guard::Undo, &r), &empty), Ok(()));
    assert_eq!(still(&acts(Guard::Undo, &r), &Live { sets: Vec::new(), ..live() }), Err(Refusal::NothingToUndo));
}

#[test]
fn half_a_hold_is_finished_only_as_it_was_left() {
    let begun = record(Verb::Hold, "d1", "new");
    let action = Action { finishes: Some(begun.clone()), ..acts(Guard::Hold, &rolling(|_| {})) };
    let left = Live { paused: true, acted: Some(begun.clone()), ..live() };
    assert_eq!(still(&action, &left), Ok(()));
    assert_eq!(still(&action, &Live { paused: false, ..left.clone() }), Err(Refusal::Already(begun.clone())));
    assert_eq!(still(&action, &Live { acted: None, ..left.clone() }), Err(Refusal::Superseded(Some(name("new")))));

    let rest_of = |live: &Live| rest(&begun, live);
    assert_eq!(
        rest_of(&left),
        Some(Action { because: begun.reason.clone(), ..action }),
        "who comes later knows it from the record"
    );
    let sets = |sets: &[(&str, u32)]| Live { sets: sets.iter().map(|(hash, n)| live_set(hash, *n)).collect(), ..left.clone() };
    assert_eq!(rest_of(&sets(&[("older", 0), ("old", 4), ("new", 1)])), rest_of(&left));
    for done in [sets(&[("old", 4), ("new", 0)]), sets(&[("old", 4)])] {
        assert_eq!(rest_of(&done), None, "nothing is left to be done");
    }
    for alone in [sets(&[("old", 0), ("new", 4)]), sets(&[("older", 1), ("old", 3), ("new", 1)])] {
        assert_eq!(rest_of(&alone), None, "nobody knows which version would come back");
    }
    assert_eq!(rest_of(&Live { paused: false, ..left.clone() }), None, "somebody let it go on");
    assert_eq!(rest(&record(Verb::Pause, "d1", "new"), &left), None, "a pause has no second half");
}

/// The rollout after an action was accepted as generation 3.
fn acted(guard: Guard, generation: i64, observed: i64, paused: bool, more: impl FnOnce(&mut Rollout)) -> Effect {
    let mut action = None;
    let r = rolling(|r| {
        action = Some(acts(guard, r));
        r.fix_sides();
        say(r, DeploymentState { paused, ..deployment(generation, observed, 2, 2, [3, 1, 2, 2]) });
        more(r);
    });
    effect(&action.unwrap(), 3, &r)
}

#[test]
fn a_pause_is_there_when_the_controller_goes_by_it() {
    let nothing = |_: &mut Rollout| {};
    assert_eq!(acted(Guard::Pause, 2, 2, false, nothing), Effect::Open, "the watch lags behind");
    assert_eq!(acted(Guard::Pause, 3, 2, true, nothing), Effect::Open);
    assert_eq!(acted(Guard::Pause, 3, 3, true, nothing), Effect::There);
    assert_eq!(acted(Guard::Pause, 4, 4, true, nothing), Effect::There, "scaled since");
    assert_eq!(acted(Guard::Pause, 4, 3, false, nothing), Effect::TakenBack);
    assert_eq!(acted(Guard::Pause, 3, 3, true, Rollout::deployment_gone), Effect::Overtaken);
    let another = |r: &mut Rollout| {
        r.replica_set(&sized("third", 3, 0), At::ZERO);
        say(r, DeploymentState { paused: true, ..deployment(4, 4, 3, 2, [3, 0, 2, 2]) });
    };
    assert_eq!(acted(Guard::Pause, 3, 3, true, another), Effect::Overtaken);
}

#[test]
fn a_hold_is_there_when_no_new_pod_serves_and_all_old_ones_do() {
    fn endpoints(r: &mut Rollout, ready: &[&str]) {
        let endpoint = |pod: &&str| Endpoint {
            pod: Some(name(pod)),
            address: name("10.0.0.1"),
            port: None,
            ready: true,
            serving: true,
            terminating: false,
        };
        let endpoints = ready.iter().map(endpoint).collect();
        r.endpoint_slice(&EndpointsState { name: name("s"), endpoints }, At::ZERO);
    }
    let seen = |new_set: u32, olds: &[&str], ready: &[&str]| {
        acted(Guard::Hold, 3, 3, true, |r| {
            r.replica_set(&sized("new", 2, new_set), At::ZERO);
            r.pod(&pod("n1", "new", true, new_set == 0), At::ZERO);
            for old in olds {
                r.pod(&pod(old, "old", true, false), At::ZERO);
            }
            endpoints(r, ready);
        })
    };
    assert_eq!(seen(1, &["o1", "o2"], &["o1", "o2"]), Effect::Open, "its ReplicaSet is not empty");
    assert_eq!(seen(0, &["o1", "o2"], &["o1", "o2", "n1"]), Effect::Open, "a new pod is still in the endpoints");
    assert_eq!(seen(0, &["o1"], &["o1"]), Effect::Open, "an old pod is missing");
    assert_eq!(seen(0, &["o1", "o2"], &["o1", "o2"]), Effect::There);
}

#[test]
fn an_undo_is_there_when_the_old_revision_is_complete_and_is_seen_to_be_taken_back() {
    let back = |generation: i64, counts: [u32; 4]| {
        acted(Guard::Undo, 3, 2, false, |r| {
            r.replica_set(&sized("old", 3, 2), At::ZERO);
            say(r, deployment(generation, generation, 3, 2, counts));
            assert_eq!((r.new_revision(), r.old_revision()), (Some(&name("new")), Some(&name("old"))), "no side changes");
        })
    };
    assert_eq!(back(3, [3, 2, 2, 2]), Effect::Open);
    assert_eq!(back(3, [2, 2, 2, 2]), Effect::There);
    let again = acted(Guard::Undo, 3, 3, false, |r| {
        r.replica_set(&sized("old", 3, 2), At::ZERO);
        r.replica_set(&sized("new", 4, 1), At::ZERO);
        say(r, deployment(4, 4, 4, 2, [3, 1, 2, 2]));
    });
    assert_eq!(again, Effect::TakenBack);
}

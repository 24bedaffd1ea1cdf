//! What a breach does with a guard.

use super::{Run, SCENARIO};
use crate::domain::course::{ActionOutcome, Command, Stage};
use crate::domain::event::{StepEnded, What};
use crate::domain::rollout::guard::{Action, ActionEnded, Record, Refusal, Verb};
use crate::domain::rollout::state::{DeploymentState, ReplicaSetState, Writer};
use crate::domain::rollout::tests::{deployment, name, pod, set};
use crate::domain::slice::SLICE_MICROS;
use crate::domain::summary;
use crate::domain::time::At;
use crate::domain::verdict::VerdictKind;

fn scenario(guard: &str) -> String {
    format!("{SCENARIO}guard: {guard}\n")
}

fn rolling(generation: i64) -> DeploymentState {
    deployment(generation, generation, 2, 2, [3, 1, 2, 2])
}

/// In mid-rollout, right before the breach.
fn in_mid_rollout(guard: &str) -> Run {
    let mut run = Run::healthy_in(&scenario(guard));
    run.step_ended(0, 2);
    run.say(What::ReplicaSet(Box::new(ReplicaSetState { replicas: 1, ..set("new", 2) })));
    run.say(What::Deployment(Box::new(rolling(2))));
    run.say(What::Pod(Box::new(pod("n1", "new", true, false))));
    run
}

/// Until the command to act.
fn breached(guard: &str) -> (Run, Box<Action>) {
    let mut run = in_mid_rollout(guard);
    run.traffic(2, 0, 10);
    let action = the_action(&mut run);
    (run, action)
}

#[track_caller]
fn the_action(run: &mut Run) -> Box<Action> {
    match run.taken().as_slice() {
        [Command::Act(action)] => action.clone(),
        other => panic!("{other:?}"),
    }
}

fn accepted(run: &Run, scaled: bool) -> What {
    let at = At(run.tenths * SLICE_MICROS);
    What::ActionEnded(Box::new(ActionEnded::Accepted { generation: 3, at, scaled: scaled.then_some(at), read_back: false }))
}

fn paused(run: &mut Run) {
    run.say(What::Deployment(Box::new(DeploymentState { paused: true, ..rolling(3) })));
}

fn outcome(run: &Run) -> ActionOutcome {
    run.course.deed().unwrap().outcome(run.course.now())
}

#[test]
fn a_breach_commands_the_guards_action_once_and_the_traffic_goes_on_until_it_is_effective() {
    let (mut run, action) = breached("pause");
    assert_eq!((action.verb, &*action.revision.hash, run.course.stage().0), (Verb::Pause, "new", Stage::Aftermath));
    run.say(What::ActionStarted(action));
    run.traffic(15, 5, 5);
    assert_eq!((run.taken(), run.course.stage().0), (vec![], Stage::Aftermath), "the aftermath is over, the action is not");
    let ended = accepted(&run, false);
    run.say(ended);
    run.traffic(5, 5, 5);
    assert_eq!((run.taken(), outcome(&run)), (vec![], ActionOutcome::UnderWay));
    paused(&mut run);
    assert_eq!(outcome(&run), ActionOutcome::Effective);
    run.traffic(9, 5, 5);
    assert_eq!(run.taken(), [], "and what becomes of it is watched for as long as an aftermath lasts");
    run.traffic(1, 5, 5);
    assert_eq!(run.taken(), [Command::StopTraffic]);
    run.say(What::TrafficStopped);
    assert_eq!((run.verdict().0, run.course.stage().0), (VerdictKind::Breach, Stage::Done));
    assert!(!run.course.is_unstopped());
    let told = summary::Action::of(&run.course).unwrap();
    assert_eq!((told.outcome, told.verb), (ActionOutcome::Effective, Some(Verb::Pause)));
    assert!(told.decided_s <= told.accepted_s.unwrap() && told.accepted_s <= told.effective_s, "{told:?}");
}

#[test]
fn an_action_without_effect_ends_the_run_at_its_bound_and_is_a_failure() {
    let (mut run, action) = breached("pause");
    run.say(What::ActionStarted(action));
    let ended = accepted(&run, false);
    run.say(ended);
    run.traffic(99, 5, 5);
    assert_eq!((run.taken(), outcome(&run)), (vec![], ActionOutcome::UnderWay));
    run.traffic(1, 5, 5);
    assert_eq!((run.taken(), outcome(&run)), (vec![Command::StopTraffic], ActionOutcome::NotEffective));
    assert!(run.course.is_unstopped());
}

#[test]
fn a_failed_action_and_one_that_cannot_be_done_are_another_exit_code_than_one_that_somebody_made_needless() {
    let (mut run, action) = breached("undo");
    run.say(What::ActionStarted(action.clone()));
    run.say(What::ActionEnded(Box::new(ActionEnded::Failed { why: "no (403)".into(), paused: None })));
    assert_eq!((outcome(&run), run.course.is_unstopped()), (ActionOutcome::Failed, true));
    assert!(summary::Action::of(&run.course).unwrap().what.ends_with("no (403)"));

    let (mut run, _) = breached("undo");
    run.say(What::ActionStarted(action));
    run.say(What::ActionEnded(Box::new(ActionEnded::LeftAlone(Refusal::PausedByOther))));
    assert_eq!((outcome(&run), run.course.is_unstopped()), (ActionOutcome::LeftAlone, false));

    let mut run = in_mid_rollout("hold");
    run.say(What::ReplicaSet(Box::new(ReplicaSetState { replicas: 0, ..set("old", 1) })));
    run.traffic(2, 0, 10);
    assert!(matches!(run.taken().as_slice(), [Command::Say(text)] if text.starts_with("guard hold: nothing is done")));
    assert_eq!((outcome(&run), run.course.is_unstopped()), (ActionOutcome::Impossible, true));
}

fn record(verb: Verb) -> Record {
    let (run, at) = (name("r-1"), name("2026-01-01T00:00:00Z"));
    Record { verb, run, at, uid: name("d1"), revision: name("new"), reason: "it failed".into() }
}

#[test]
fn half_a_hold_of_an_earlier_run_is_told_with_what_finishes_it() {
    let mut run = in_mid_rollout("none");
    run.say(What::Deployment(Box::new(DeploymentState { paused: true, acted: Some(record(Verb::Hold)), ..rolling(3) })));
    let said = run.taken();
    let told = |text: &str| text.contains("no further than the pause: `kubectl scale rs backend-new --replicas=0` finishes it");
    assert!(matches!(said.as_slice(), [Command::Say(text)] if told(text)), "{said:?}");
    run.say(What::Deployment(Box::new(DeploymentState { paused: true, acted: Some(record(Verb::Hold)), ..rolling(3) })));
    assert_eq!(run.taken(), [], "once");
}

#[test]
fn what_an_earlier_run_did_is_said_at_the_start_and_not_done_again() {
    let record = record(Verb::Pause);
    let mut run = in_mid_rollout("undo");
    run.say(What::Deployment(Box::new(DeploymentState { acted: Some(record), ..rolling(2) })));
    let said = run.taken();
    assert_eq!(said, [Command::Say("run r-1 paused revision new at 2026-01-01T00:00:00Z, because it failed".into())]);
    run.traffic(2, 0, 10);
    assert!(matches!(run.taken().as_slice(), [Command::Say(text)] if text.contains("already done: run r-1")));
    assert_eq!((outcome(&run), run.course.is_unstopped()), (ActionOutcome::AlreadyDone, false));
}

#[test]
fn who_takes_an_action_back_is_named_and_not_fought() {
    let (mut run, action) = breached("pause");
    run.say(What::ActionStarted(action));
    let ended = accepted(&run, false);
    run.say(ended);
    paused(&mut run);
    run.traffic(2, 5, 5);
    let writer = Some(Writer { manager: name("argocd-controller"), time: name("2026-01-01T00:00:09Z") });
    run.say(What::Deployment(Box::new(DeploymentState { writer, ..rolling(4) })));
    assert_eq!(run.taken(), [Command::Say("field manager argocd-controller took the action back; it is not taken again".into())]);
    run.traffic(20, 5, 5);
    assert_eq!(run.taken(), [Command::StopTraffic], "nothing else is commanded");
    assert_eq!((outcome(&run), run.course.is_unstopped()), (ActionOutcome::TakenBack, true));
    let told = summary::Action::of(&run.course).unwrap();
    assert_eq!(told.undone_by.as_deref(), Some("argocd-controller"));
}

#[test]
fn an_undo_changes_no_side_no_phase_and_is_no_deployment() {
    let (mut run, action) = breached("undo");
    let phases = run.course.phases().len();
    run.say(What::ActionStarted(action));
    let ended = accepted(&run, false);
    run.say(ended);
    run.say(What::ReplicaSet(Box::new(set("old", 3))));
    run.say(What::PodGone(name("uid-n1")));
    run.say(What::Deployment(Box::new(deployment(3, 3, 3, 2, [2, 2, 2, 2]))));
    assert_eq!(outcome(&run), ActionOutcome::Effective);
    assert_eq!((run.course.phases().len(), run.course.deployed()), (phases, None));
    assert_eq!(run.course.rollout.new_revision(), Some(&name("new")));
}

#[test]
fn a_template_of_somebody_else_supersedes_the_run() {
    let mut run = in_mid_rollout("pause");
    run.say(What::ReplicaSet(Box::new(set("third", 3))));
    run.say(What::Deployment(Box::new(deployment(3, 3, 3, 2, [3, 1, 2, 2]))));
    assert_eq!((run.verdict().0, run.course.deed()), (VerdictKind::Superseded, None));
}

#[test]
fn a_step_that_is_carried_out_is_waited_for() {
    let mut run = Run::healthy_in(&scenario("pause"));
    run.say(What::StepStarted(0));
    run.traffic(2, 0, 10);
    assert_eq!((run.verdict().0, run.taken()), (VerdictKind::Breach, vec![]), "its patch may still be on its way");
    run.say(What::StepEnded(StepEnded { step: 0, generation: Some(2), error: None }));
    assert_eq!(run.taken(), [], "the controller has not taken it in");
    run.say(What::ReplicaSet(Box::new(ReplicaSetState { replicas: 1, ..set("new", 2) })));
    run.say(What::Deployment(Box::new(rolling(2))));
    assert_eq!(the_action(&mut run).verb, Verb::Pause);
}

#[test]
fn a_signal_ends_a_run_that_watches_its_action_and_waits_for_one_that_is_on_its_way() {
    let (mut run, action) = breached("hold");
    run.say(What::ActionStarted(action));
    run.say(What::Interrupted(2));
    assert_eq!(run.taken(), []);
    let ended = accepted(&run, true);
    run.say(ended);
    assert_eq!(run.taken(), [Command::StopTraffic]);

    let (mut run, action) = breached("hold");
    run.say(What::ActionStarted(action));
    run.say(What::Interrupted(2));
    run.traffic(149, 5, 5);
    assert_eq!(run.taken(), []);
    run.traffic(1, 5, 5);
    assert_eq!(run.taken(), [Command::StopTraffic], "the API is away, and nothing was sent");

    let mut run = in_mid_rollout("hold");
    run.say(What::Interrupted(2));
    run.traffic(3, 0, 10);
    assert!(run.course.deed().is_none() && run.taken() == [Command::StopTraffic], "who called it off wants nothing done");
}

#[test]
fn a_breach_that_is_found_when_all_is_over_is_acted_on_without_traffic() {
    let mut run = Run::healthy_in(
        &scenario("undo").replace("wait: 500ms, scale: 3", "wait: rollout").replace("deadline: 30s", "deadline: 3s"),
    );
    run.step_ended(0, 2);
    run.traffic(5, 59, 1);
    run.say(What::ReplicaSet(Box::new(ReplicaSetState { replicas: 0, ..set("old", 1) })));
    run.say(What::ReplicaSet(Box::new(set("new", 2))));
    for (old, new) in [("uid-o1", "n1"), ("uid-o2", "n2")] {
        run.say(What::PodGone(name(old)));
        run.say(What::Pod(Box::new(pod(new, "new", true, false))));
    }
    run.say(What::Deployment(Box::new(deployment(2, 2, 2, 2, [2, 2, 2, 2]))));
    run.traffic(10, 10, 0);
    assert_eq!(
        (run.course.verdict().is_none(), run.taken()),
        (true, vec![Command::StopTraffic]),
        "10 of 1,000 planned are allowed"
    );
    run.say(What::TrafficStopped);
    assert_eq!((run.verdict().0, run.course.stage().0), (VerdictKind::Breach, Stage::Draining));
    let action = the_action(&mut run);
    assert_eq!(action.verb, Verb::Undo);
    run.say(What::ActionStarted(action));
    run.say(What::ActionEnded(Box::new(ActionEnded::Failed { why: "no (403)".into(), paused: None })));
    assert_eq!((run.course.stage().0, run.taken()), (Stage::Done, vec![Command::Finish]));
}

//! Pods at the gate, in the course of a run.

use super::observing::WATCH;
use super::{Run, SCENARIO};
use crate::domain::admission::{AdmissionEnded, Basis, Came, Permit};
use crate::domain::course::{Command, Stage};
use crate::domain::event::What;
use crate::domain::fixtures::lane;
use crate::domain::outcome::{Counts, Outcome};
use crate::domain::rollout::state::{Condition, ContainerState, DeploymentState, Endpoint, EndpointsState, PodState};
use crate::domain::rollout::tests::{deployment, name, pod, set};
use crate::domain::slice::{Part, SLICE_MICROS, Slice};
use crate::domain::time::At;
use crate::domain::traffic::{Mode, Name, PODS, TrafficPlan};
use crate::domain::verdict::VerdictKind;

fn newcomer(called: &str) -> PodState {
    let mut state = PodState { gated: true, ..pod(called, "new", false, false) };
    let ready = |c: ContainerState| ContainerState { ready: true, ..c };
    state.containers = state.containers.into_iter().map(ready).collect();
    state
}

/// The users' lane, and one that asks who waits to be let in.
fn plan() -> TrafficPlan {
    let mut admission = lane("admission", Mode::Fresh, 25.0, vec![]);
    admission.request.connect_to = Some(PODS.into());
    let plan = super::traffic();
    TrafficPlan { lanes: plan.lanes.into_iter().chain([admission]).collect(), ..plan }
}

/// A Service knows these pods, and none of them is ready.
fn listing(pods: &[Name]) -> EndpointsState {
    let endpoint = |pod: &Name| Endpoint {
        pod: Some(pod.clone()),
        address: name("127.1.0.2"),
        port: Some(80),
        ready: false,
        serving: false,
        terminating: false,
    };
    EndpointsState { name: name("e"), endpoints: pods.iter().map(endpoint).collect() }
}

/// In mid-rollout, with a new pod at the gate.
fn at_the_gate() -> Run {
    let mut run = Run::start_in(SCENARIO);
    run.say(What::Listed);
    run.say(What::TargetReady(Box::new(plan())));
    run.say(What::TrafficStarted);
    run.say(What::EndpointSlice(Box::new(listing(&[name("n1")]))));
    run.traffic(10, 10, 0);
    run.step_ended(0, 2);
    run.surges();
    assert_eq!(run.course.newcomers(), []);
    run.say(What::Pod(Box::new(newcomer("n1"))));
    let asked: Vec<_> = run.course.newcomers().into_iter().map(|t| t.pod).collect();
    assert_eq!(asked, [name("n1")]);
    run.taken();
    run
}

fn answers(run: &mut Run, good: u64, bad: u64) {
    run.traffic(1, 10, 0);
    let mut counts = Counts::default();
    counts.add(Outcome::Ok, good);
    counts.add(Outcome::ResponseTimeout, bad);
    let parts = vec![Part { pod: Some(name("n1")), counts, ..Part::default() }];
    let end = At(run.tenths * SLICE_MICROS);
    run.say(What::Slice(Slice { lane: name("admission"), end, due: good + bad, parts, lag_max: 0 }));
}

fn permits(run: &mut Run) -> Vec<Permit> {
    let permit = |command| if let Command::Admit(permit) = command { Some(*permit) } else { None };
    run.taken().into_iter().filter_map(permit).collect()
}

#[test]
fn a_good_pod_is_let_in_once_and_asked_no_more() {
    let mut run = at_the_gate();
    for _ in 0..11 {
        answers(&mut run, 2, 0);
    }
    let given = permits(&mut run);
    let [permit] = given.as_slice() else { panic!("{given:?}") };
    assert_eq!((&*permit.uid, permit.basis), ("uid-n1", Basis::Evidence { answers: 22, bad: 0 }));
    assert_eq!(run.course.newcomers(), []);
    run.say(What::AdmissionStarted(Box::new(permit.clone())));
    run.say(What::AdmissionEnded(Box::new(AdmissionEnded { uid: permit.uid.clone(), outcome: Came::Opened { read_back: false } })));
    answers(&mut run, 2, 0);
    assert_eq!((permits(&mut run), run.course.verdict()), (vec![], None));
}

#[test]
fn a_pod_whose_answer_was_lost_is_seen_to_be_in_and_is_let_in_no_second_time() {
    let mut run = at_the_gate();
    for _ in 0..11 {
        answers(&mut run, 2, 0);
    }
    let given = permits(&mut run);
    let [permit] = given.as_slice() else { panic!("{given:?}") };
    run.say(What::AdmissionStarted(Box::new(permit.clone())));
    run.say(What::Pod(Box::new(PodState { ready: true, verified: Some(name("AnsweredWell")), ..newcomer("n1") })));
    answers(&mut run, 0, 0);
    let at = At(run.tenths * SLICE_MICROS);
    run.say(What::AdmissionEnded(Box::new(AdmissionEnded { uid: permit.uid.clone(), outcome: Came::Opened { read_back: true } })));
    answers(&mut run, 0, 0);
    assert_eq!((permits(&mut run), run.course.verdict()), (vec![], None));
    let records: Vec<_> = run.course.admission().records().map(|r| (&*r.permit.pod, r.opened)).collect();
    assert_eq!(records, [("n1", Some(at))]);
}

/// A verifier that begins in the midst of a rollout, where another one ended and left these pods of the new version.
fn anew(conditions: Vec<Condition>, pods: Vec<PodState>) -> Run {
    let mut run = Run::start_in(&WATCH.replace("WAIT", "false").replace("BASELINE", "0s"));
    run.say(What::ReplicaSet(Box::new(set("new", 2))));
    run.say(What::Deployment(Box::new(DeploymentState { conditions, ..deployment(2, 2, 2, 2, [3, 1, 2, 2]) })));
    let of: Vec<Name> = pods.iter().map(|pod| pod.name.clone()).collect();
    for pod in pods {
        run.say(What::Pod(Box::new(pod)));
    }
    run.say(What::EndpointSlice(Box::new(listing(&of))));
    run.taken();
    run.say(What::Listed);
    run.say(What::TargetReady(Box::new(plan())));
    run.say(What::TrafficStarted);
    run.traffic(1, 10, 0);
    run
}

fn said(commands: &[Command]) -> Vec<&str> {
    commands.iter().filter_map(|command| if let Command::Say(text) = command { Some(text.as_str()) } else { None }).collect()
}

#[test]
fn who_begins_after_another_was_killed_finds_who_is_in_says_so_and_lets_the_rest_in() {
    // The write was the last thing that the other one did: the kubelet has not even said Ready.
    let mut run = anew(vec![], vec![PodState { verified: Some(name("AnsweredWell")), ..newcomer("n1") }, newcomer("n2")]);
    assert_eq!(
        said(&run.commands),
        ["of revision new 1 pod had been let in before: n1 (AnsweredWell), so its further pods are let in as they come"]
    );
    let given: Vec<_> = permits(&mut run).into_iter().map(|permit| (permit.pod, permit.basis)).collect();
    assert_eq!(given, [(name("n2"), Basis::Verified)]);
    run.say(What::Pod(Box::new(PodState { ready: true, verified: Some(name("AnsweredWell")), ..newcomer("n1") })));
    answers(&mut run, 0, 0);
    assert_eq!(
        (run.taken(), run.course.verdict()),
        (vec![], None),
        "who is in is neither let in nor turned away, and told of once"
    );
}

#[test]
fn who_begins_after_another_was_killed_before_it_wrote_asks_anew() {
    let mut run = anew(vec![], vec![newcomer("n1")]);
    assert_eq!((said(&run.commands).len(), run.course.newcomers().len()), (0, 1));
    for _ in 0..11 {
        answers(&mut run, 2, 0);
    }
    let given: Vec<_> = permits(&mut run).into_iter().map(|permit| (permit.pod, permit.basis)).collect();
    assert_eq!(given, [(name("n1"), Basis::Evidence { answers: 22, bad: 0 })]);

    let mut run = anew(vec![], vec![PodState { verified: Some(name("")), ..newcomer("n1") }, newcomer("n2")]);
    let told = "of revision new 1 pod had been let in before: n1 (by hand), which says nothing about its further pods";
    assert_eq!((said(&run.commands), run.course.newcomers().len()), (vec![told], 1));
    assert_eq!(permits(&mut run), []);
}

#[test]
fn a_pod_that_no_service_lists_is_not_asked_where_others_are_and_that_is_said_once() {
    let mut run = anew(vec![], vec![newcomer("n1")]);
    run.say(What::EndpointSlice(Box::new(listing(&[name("o1")]))));
    assert_eq!(run.course.newcomers(), []);
    run.traffic(48, 10, 0);
    assert_eq!(said(&run.commands).len(), 0, "a Service may be a little late");
    run.traffic(20, 10, 0);
    let told = said(&run.commands).join("; ");
    assert!(told.starts_with("pod n1 waits to be let in, and is not asked: no Service") && !told.contains(';'), "{told}");
    run.say(What::EndpointSlice(Box::new(listing(&[name("o1"), name("n1")]))));
    assert_eq!(run.course.newcomers().len(), 1);
}

/// The rollout has stood at its gate for longer than its deadline.
#[test]
fn who_begins_after_the_progress_deadline_finds_pods_that_wait_and_not_a_stuck_rollout() {
    let condition = Condition {
        kind: name("Progressing"),
        status: Some(false),
        reason: "ProgressDeadlineExceeded".into(),
        message: "ReplicaSet \"new\" has timed out progressing.".into(),
    };
    let run = anew(vec![condition.clone()], vec![pod("n1", "new", false, false)]);
    assert_eq!(run.verdict(), (VerdictKind::Breach, vec!["stuck"]), "nothing of it waits to be let in");

    let mut run = anew(vec![condition], vec![newcomer("n1")]);
    for _ in 0..11 {
        answers(&mut run, 2, 0);
    }
    assert_eq!((permits(&mut run).len(), run.course.verdict()), (1, None));
    run.say(What::Pod(Box::new(PodState { verified: Some(name("AnsweredWell")), ..newcomer("n1") })));
    assert_eq!(run.course.verdict(), None);
}

#[test]
fn a_bad_pod_is_a_breach_that_cost_no_user_anything() {
    let mut run = at_the_gate();
    answers(&mut run, 0, 4);
    assert_eq!(run.verdict(), (VerdictKind::Breach, vec!["admission"]));
    assert_eq!((run.course.stage().0, run.course.newcomers()), (Stage::Aftermath, vec![]));
    let said = &run.course.verdict().unwrap().reasons[0].message;
    assert!(said.contains("failed 4 of 4 requests (response_timeout)"), "{said}");
    assert_eq!(permits(&mut run), []);
}

#[test]
fn a_pod_that_could_not_be_let_in_is_not_the_versions_fault() {
    let mut run = at_the_gate();
    for _ in 0..11 {
        answers(&mut run, 2, 0);
    }
    let outcome = Came::Failed { why: "forbidden (403)".into() };
    run.say(What::AdmissionEnded(Box::new(AdmissionEnded { uid: name("uid-n1"), outcome })));
    assert_eq!(run.verdict().0, VerdictKind::Inconclusive);
}

//! Pods at the gate, in the course of a run.

use super::{Run, SCENARIO};
use crate::domain::admission::{AdmissionEnded, Basis, Came, Permit};
use crate::domain::course::{Command, Stage};
use crate::domain::event::What;
use crate::domain::fixtures::lane;
use crate::domain::outcome::{Counts, Outcome};
use crate::domain::rollout::state::{ContainerState, Endpoint, EndpointsState, PodState};
use crate::domain::rollout::tests::{deployment, name, pod, set};
use crate::domain::slice::{Part, SLICE_MICROS, Slice};
use crate::domain::time::At;
use crate::domain::traffic::{Mode, PODS, TrafficPlan};
use crate::domain::verdict::VerdictKind;

fn newcomer() -> PodState {
    let mut state = PodState { gated: true, ..pod("n1", "new", false, false) };
    let ready = |c: ContainerState| ContainerState { ready: true, ..c };
    state.containers = state.containers.into_iter().map(ready).collect();
    state
}

/// In mid-rollout, with a new pod at the gate.
fn at_the_gate() -> Run {
    let mut run = Run::start_in(SCENARIO);
    run.say(What::Listed);
    let mut admission = lane("admission", Mode::Fresh, 25.0, vec![]);
    admission.request.connect_to = Some(PODS.into());
    let plan = super::traffic();
    let plan = TrafficPlan { lanes: plan.lanes.into_iter().chain([admission]).collect(), ..plan };
    run.say(What::TargetReady(Box::new(plan)));
    run.say(What::TrafficStarted);
    let endpoint = Endpoint {
        pod: Some(name("n1")),
        address: name("127.1.0.2"),
        port: Some(80),
        ready: false,
        serving: false,
        terminating: false,
    };
    run.say(What::EndpointSlice(Box::new(EndpointsState { name: name("e"), endpoints: vec![endpoint] })));
    run.traffic(10, 10, 0);
    run.step_ended(0, 2);
    run.say(What::ReplicaSet(Box::new(set("new", 2))));
    run.say(What::Deployment(Box::new(deployment(2, 2, 2, 2, [3, 1, 2, 2]))));
    assert_eq!(run.course.newcomers(), []);
    run.say(What::Pod(Box::new(newcomer())));
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

use super::*;
use crate::domain::outcome::{Counts, Outcome};
use crate::domain::rollout::state::{ContainerState, PodState};
use crate::domain::rollout::tests::{deployment, name, pod, set};
use crate::domain::slice::{Part, SLICE_MICROS};

/// An old version of two pods that was complete, and a new one of which the pods come.
struct Gate {
    rollout: Rollout,
    admission: Admission,
    tenths: u64,
}

fn newcomer(called: &str, revision: &str) -> PodState {
    let mut state = PodState { gated: true, ..pod(called, revision, false, false) };
    let ready = |c: ContainerState| ContainerState { ready: true, ..c };
    state.containers = state.containers.into_iter().map(ready).collect();
    state
}

impl Gate {
    fn new(bake: u64) -> Self {
        let mut rollout = Rollout::default();
        rollout.deployment(&deployment(1, 1, 1, 2, [2, 2, 2, 2]), At(0));
        rollout.replica_set(&set("old", 1), At(0));
        for old in ["o1", "o2"] {
            rollout.pod(&PodState { ready: true, verified: Some(name("Given")), ..newcomer(old, "old") }, At(0));
        }
        let mut admission = Admission::new(0.01, Duration::from_secs(bake));
        admission.ways = vec![(name("admission"), Some(0))];
        let mut gate = Self { rollout, admission, tenths: 0 };
        assert_eq!(gate.decide(Moment::Before), Decision::default());
        gate.rollout.begin();
        gate.rollout.replica_set(&set("new", 2), At(0));
        gate.rollout.deployment(&deployment(2, 2, 2, 2, [3, 1, 2, 2]), At(0));
        gate
    }

    fn now(&self) -> At {
        At(self.tenths * SLICE_MICROS)
    }

    fn decide(&mut self, moment: Moment) -> Decision {
        self.admission.decide(moment, &self.rollout, self.now())
    }

    fn comes(&mut self, called: &str, revision: &str) {
        self.rollout.pod(&newcomer(called, revision), self.now());
    }

    /// Tenths of a second with so many answers each; answers with the first decision that says something.
    fn asks(&mut self, pod: &str, tenths: u64, good: u64, bad: u64) -> Decision {
        for _ in 0..tenths {
            self.tenths += 1;
            let mut counts = Counts::default();
            counts.add(Outcome::Ok, good);
            counts.add(Outcome::AppStatus, bad);
            let parts = vec![Part { pod: Some(name(pod)), counts, slow: vec![0], ..Part::default() }];
            let slice = Slice { lane: name("admission"), end: self.now(), due: good + bad, parts, lag_max: 0 };
            self.admission.slice(&slice, &self.rollout);
            let decision = self.decide(Moment::Change);
            if decision != Decision::default() {
                return decision;
            }
        }
        Decision::default()
    }

    fn opened(&mut self, permit: &Permit) {
        self.admission.started(permit, self.now());
        let ended = AdmissionEnded { uid: permit.uid.clone(), outcome: Came::Opened { read_back: false } };
        assert_eq!(self.admission.ended(&ended, self.now()), None);
        let state = newcomer(&permit.pod, &permit.revision);
        let state = PodState { ready: true, verified: Some(name(permit.basis.reason())), ..state };
        self.rollout.pod(&state, self.now());
    }

    fn asked(&self) -> usize {
        self.admission.applicants.values().filter(|a| matches!(a.standing, Standing::Asked(_))).count()
    }
}

fn bases(decision: &Decision) -> Vec<(&str, Basis)> {
    decision.permits.iter().map(|p| (&*p.pod, p.basis)).collect()
}

#[test]
fn a_new_version_is_asked_and_let_in_by_its_answers_and_its_further_pods_at_once() {
    let mut gate = Gate::new(0);
    gate.comes("n1", "new");
    assert_eq!(gate.decide(Moment::Change), Decision::default());
    assert_eq!(gate.asked(), 1);
    let decision = gate.asks("n1", 20, 2, 0);
    assert_eq!(bases(&decision), [("n1", Basis::Evidence { answers: 22, bad: 0 })]);
    assert_eq!(gate.tenths, 11, "a second from the first answers to the last");
    assert_eq!(gate.decide(Moment::Change), Decision::default(), "once");
    gate.opened(&decision.permits[0]);
    gate.comes("n2", "new");
    gate.comes("o3", "old");
    assert_eq!(bases(&gate.decide(Moment::Change)), [("n2", Basis::Verified), ("o3", Basis::Verified)]);
    let records: Vec<_> = gate.admission.records().map(|r| (&*r.permit.pod, r.from, r.opened)).collect();
    assert_eq!(records, [("n1", At(0), Some(At(1_100_000)))]);
}

#[test]
fn a_version_that_fails_is_turned_away_with_all_its_pods_and_asked_no_more() {
    let mut gate = Gate::new(0);
    gate.comes("n1", "new");
    gate.decide(Moment::Change);
    let decision = gate.asks("n1", 20, 0, 2);
    let rejection = decision.rejected.unwrap();
    assert_eq!((rejection.answers, rejection.bad, rejection.outcome), (4, 4, Some(Outcome::AppStatus)));
    assert!(rejection.sentence().starts_with("revision new is not let in: pod n1"), "{}", rejection.sentence());
    gate.comes("n2", "new");
    assert_eq!(gate.asks("n2", 20, 5, 0), Decision::default());
    assert_eq!(gate.admission.targets(&gate.rollout), []);
    gate.comes("o3", "old");
    assert_eq!(bases(&gate.decide(Moment::Breached)), [("o3", Basis::Verified)], "the old version waits for nobody");
}

#[test]
fn after_a_breach_nobody_comes_in_of_what_is_not_verified() {
    let mut gate = Gate::new(0);
    gate.comes("n1", "new");
    gate.decide(Moment::Change);
    gate.asks("n1", 10, 2, 0);
    gate.tenths += 1;
    assert_eq!(gate.decide(Moment::Breached), Decision::default());
}

#[test]
fn the_first_pod_serves_for_a_time_before_others_come_in() {
    let mut gate = Gate::new(5);
    gate.comes("n1", "new");
    gate.decide(Moment::Change);
    let decision = gate.asks("n1", 20, 2, 0);
    assert_eq!(bases(&decision), [("n1", Basis::OneBox { answers: 22, bad: 0 })]);
    gate.opened(&decision.permits[0]);
    gate.comes("n2", "new");
    let until = gate.now() + Duration::from_secs(5);
    assert_eq!(gate.decide(Moment::Change), Decision { wake: Some(until), ..Decision::default() });
    assert_eq!(gate.decide(Moment::Breached), Decision::default());
    gate.tenths += 49;
    assert_eq!(gate.decide(Moment::Change).permits, []);
    gate.tenths += 1;
    assert_eq!(bases(&gate.decide(Moment::Change)), [("n2", Basis::Verified)]);
}

#[test]
fn a_first_pod_that_is_gone_has_proved_nothing() {
    let mut gate = Gate::new(5);
    gate.comes("n1", "new");
    gate.decide(Moment::Change);
    let decision = gate.asks("n1", 20, 2, 0);
    gate.opened(&decision.permits[0]);
    gate.rollout.pod_gone(&name("uid-n1"), gate.now());
    gate.tenths += 60;
    gate.comes("n2", "new");
    assert_eq!(gate.decide(Moment::Change), Decision::default());
    assert_eq!(bases(&gate.asks("n2", 20, 2, 0)), [("n2", Basis::OneBox { answers: 22, bad: 0 })]);
}

#[test]
fn what_people_opened_by_hand_verifies_nothing() {
    let mut gate = Gate::new(0);
    gate.rollout.pod(&PodState { ready: true, verified: Some(name("")), ..newcomer("n1", "new") }, At(0));
    gate.comes("n2", "new");
    assert_eq!(gate.decide(Moment::Change), Decision::default());
    assert_eq!(gate.asked(), 1);
}

#[test]
fn what_is_given_is_let_in_only_where_nothing_else_is() {
    let mut gate = Gate::new(0);
    gate.comes("n1", "new");
    assert_eq!(gate.decide(Moment::Given), Decision::default(), "a version that an earlier run has turned away, for all we know");
    let mut alone = Gate::new(0);
    alone.rollout.replica_set_gone(&name("rs-old"));
    alone.comes("n1", "new");
    alone.admission.verified.clear();
    assert_eq!(bases(&alone.decide(Moment::Given)), [("n1", Basis::Given)]);
}

#[test]
fn a_pod_that_is_not_ready_any_more_begins_anew_and_a_failed_patch_is_not_tried_again() {
    let mut gate = Gate::new(0);
    gate.comes("n1", "new");
    gate.decide(Moment::Change);
    gate.asks("n1", 9, 2, 0);
    gate.rollout.pod(&PodState { gated: true, ..pod("n1", "new", false, false) }, gate.now());
    gate.decide(Moment::Change);
    gate.comes("n1", "new");
    gate.decide(Moment::Change);
    assert_eq!(gate.asks("n1", 10, 2, 0), Decision::default(), "what it said before its restart is forgotten");
    let decision = gate.asks("n1", 1, 2, 0);
    assert_eq!(decision.permits.len(), 1);
    gate.admission.started(&decision.permits[0], gate.now());
    let outcome = Came::Failed { why: "forbidden (403)".into() };
    let why = gate.admission.ended(&AdmissionEnded { uid: name("uid-n1"), outcome }, gate.now());
    assert_eq!(why.as_deref(), Some("pod n1 could not be let in: forbidden (403)"));
    assert_eq!(gate.asks("n1", 30, 5, 0), Decision::default());
}

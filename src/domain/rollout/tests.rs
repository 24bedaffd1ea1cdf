use std::time::Duration;

use super::state::*;
use super::*;

pub(crate) fn name(s: &str) -> Name {
    Name::from(s)
}

pub(crate) fn deployment(generation: i64, observed: i64, revision: u64, replicas: u32, counts: [u32; 4]) -> DeploymentState {
    let [total, updated, ready, available] = counts;
    DeploymentState {
        uid: name("d1"),
        name: name("backend"),
        namespace: name("todo"),
        generation,
        observed,
        revision: Some(name(&revision.to_string())),
        replicas,
        paused: false,
        strategy: Strategy::RollingUpdate { max_surge: 1, max_unavailable: 0 },
        progress_deadline: Duration::from_mins(10),
        min_ready: Duration::ZERO,
        status: DeploymentCounts { replicas: total, updated, ready, available },
        conditions: Vec::new(),
        acted: None,
        writer: None,
    }
}

pub(crate) fn set(hash: &str, revision: u64) -> ReplicaSetState {
    ReplicaSetState {
        uid: name(&format!("rs-{hash}")),
        name: name(&format!("backend-{hash}")),
        hash: name(hash),
        revision,
        images: vec![(name("backend"), name("todo/backend:v1"))],
        template: TemplateState { container: name("backend"), grace: Duration::from_secs(30), ..TemplateState::default() },
        replicas: 2,
        ready: 0,
        available: 0,
        failure: None,
    }
}

pub(crate) fn pod(pod: &str, revision: &str, ready: bool, terminating: bool) -> PodState {
    PodState {
        uid: name(&format!("uid-{pod}")),
        name: name(pod),
        revision: name(revision),
        node: Some(name("node")),
        ip: Some(name("127.1.0.2")),
        phase: PodPhase::Running,
        ready,
        terminating: terminating.then_some(At::ZERO),
        unschedulable: None,
        gated: false,
        verified: None,
        containers: vec![container(ContainerNow::Running, 0, None)],
    }
}

pub(crate) fn container(now: ContainerNow, restarts: u32, last_exit: Option<Exit>) -> ContainerState {
    ContainerState { name: name("backend"), restarts, ready: false, now, last_exit }
}

fn waiting(reason: &str, message: &str) -> ContainerNow {
    ContainerNow::Waiting { reason: reason.into(), message: message.into() }
}

fn at(seconds: u64) -> At {
    At(seconds * 1_000_000)
}

#[test]
fn a_rolling_update_goes_through_its_phases() {
    let mut r = Rollout::default();
    r.deployment(&deployment(1, 1, 1, 2, [2, 2, 2, 2]), at(0));
    r.replica_set(&set("old", 1), at(0));
    r.pod(&pod("o1", "old", true, false), at(0));
    r.pod(&pod("o2", "old", true, false), at(0));
    assert_eq!((r.phase(), r.is_settled()), (Phase::Baseline, true));

    r.begin();
    r.wanted(2);
    assert_eq!((r.phase(), r.is_available()), (Phase::Surging, false), "status older than the change says nothing");
    assert_eq!(r.new_revision(), None);

    r.replica_set(&set("new", 2), at(1));
    r.deployment(&deployment(2, 2, 2, 2, [3, 1, 2, 2]), at(0));
    r.pod(&pod("n1", "new", false, false), at(1));
    assert_eq!((r.phase(), r.new_revision()), (Phase::Surging, Some(&name("new"))));

    r.pod(&pod("n1", "new", true, false), at(2));
    r.pod(&pod("o1", "old", true, true), at(2));
    assert_eq!(r.phase(), Phase::Replacing);
    assert_eq!(r.head_count(), HeadCount { old: 1, old_ready: 1, new: 1, new_ready: 1, terminating: 1 });

    r.deployment(&deployment(2, 2, 2, 2, [2, 2, 2, 2]), at(0));
    r.pod(&pod("n2", "new", true, false), at(3));
    assert_eq!(
        (r.phase(), r.is_settled()),
        (Phase::Terminating, false),
        "nobody has said yet that o2 is to end, but it is one too many"
    );
    r.pod(&pod("o2", "old", true, true), at(3));
    assert_eq!((r.phase(), r.is_available(), r.is_settled()), (Phase::Terminating, true, false));

    r.pod_gone(&name("uid-o1"), at(4));
    r.pod_gone(&name("uid-o2"), at(5));
    assert_eq!((r.phase(), r.is_settled()), (Phase::Settled, true));
    r.pod(&PodState { phase: PodPhase::Failed, ..pod("evicted", "new", false, false) }, at(6));
    assert!(r.is_settled(), "an evicted pod stays on the books and counts for nothing");
    let life = r.pod_named("o1").unwrap();
    assert_eq!((life.ready, life.terminating, life.gone), (Some(at(0)), Some(at(2)), Some(at(4))));
    assert_eq!(r.old_revision(), Some(&name("old")));
}

#[test]
fn a_pod_more_is_no_end_of_others_though_it_is_seen_before_more_are_wanted() {
    let mut r = Rollout::default();
    r.replica_set(&set("old", 1), at(0));
    r.replica_set(&set("new", 2), at(0));
    r.deployment(&deployment(1, 1, 1, 2, [2, 2, 2, 2]), at(0));
    r.begin();
    r.wanted(2);
    r.deployment(&deployment(2, 2, 2, 2, [2, 2, 2, 2]), at(1));
    for new in ["n1", "n2"] {
        r.pod(&pod(new, "new", true, false), at(1));
    }
    assert_eq!(r.phase(), Phase::Settled);
    r.pod(&pod("n3", "new", false, false), at(2));
    assert_eq!(r.phase(), Phase::Settled, "nobody has said yet that three are wanted");
    r.deployment(&deployment(3, 3, 2, 3, [3, 3, 2, 2]), at(2));
    assert_eq!(r.phase(), Phase::Replacing);
    r.pod(&pod("n3", "new", true, false), at(3));
    r.deployment(&deployment(3, 3, 2, 3, [3, 3, 3, 3]), at(3));
    assert_eq!(r.phase(), Phase::Settled);
    // The way back: which of them is to end comes later than that one is.
    r.deployment(&deployment(4, 4, 2, 2, [2, 2, 2, 2]), at(4));
    assert_eq!(r.phase(), Phase::Terminating);
    r.pod(&pod("n3", "new", true, true), at(4));
    assert_eq!(r.phase(), Phase::Terminating);
    r.pod_gone(&name("uid-n3"), at(5));
    assert_eq!(r.phase(), Phase::Settled);
    r.pod(&pod("stray", "old", false, false), at(6));
    assert_eq!(r.phase(), Phase::Terminating, "what is left of another version is on its way out");
}

#[test]
fn what_cannot_get_better_is_named_with_pod_and_reason_when_patience_ends() {
    let troubled = |c: ContainerState| {
        let mut r = Rollout::default();
        r.deployment(&deployment(2, 2, 2, 2, [3, 1, 2, 2]), at(0));
        r.replica_set(&set("new", 2), at(0));
        r.pod(&PodState { containers: vec![c], ..pod("n1", "new", false, false) }, at(10));
        r
    };
    let crash = troubled(container(waiting("CrashLoopBackOff", "back-off 10s"), 2, Some(Exit { code: 1, reason: "Error".into() })));
    assert_eq!(
        crash.stuck(at(10)).unwrap().sentence(),
        "the rollout cannot complete: pod n1 is in CrashLoopBackOff: container backend exited with code 1 (Error), 2 restarts"
    );
    let pull = troubled(container(waiting("ErrImagePull", "not found"), 0, None));
    assert_eq!(pull.stuck(at(11)), Err(Some(at(13))));
    assert_eq!(pull.stuck(at(13)).unwrap().reason, "ErrImagePull");
    let starting = troubled(container(waiting("ContainerCreating", ""), 0, None));
    assert_eq!(starting.stuck(at(500)), Err(None));

    let mut old = troubled(container(waiting("CrashLoopBackOff", ""), 9, None));
    old.replica_set(&set("newer", 3), at(12));
    old.deployment(&deployment(3, 3, 3, 2, [3, 1, 2, 2]), at(0));
    assert_eq!(old.stuck(at(20)), Err(None), "trouble of a revision that nobody wants any more stops nothing");
}

#[test]
fn an_exceeded_progress_deadline_and_a_refused_pod_are_stuck_too() {
    let condition = |kind: &str, status, reason: &str| Condition {
        kind: name(kind),
        status: Some(status),
        reason: reason.into(),
        message: "m".into(),
    };
    let mut r = Rollout::default();
    r.replica_set(&ReplicaSetState { failure: Some(condition("ReplicaFailure", true, "FailedCreate")), ..set("new", 2) }, at(5));
    r.deployment(&deployment(2, 2, 2, 2, [2, 0, 2, 2]), at(0));
    assert_eq!(r.stuck(at(6)), Err(Some(at(8))));
    assert_eq!(r.stuck(at(8)).unwrap().reason, "FailedCreate");

    let mut r = Rollout::default();
    r.wanted(3);
    let exceeded = DeploymentState {
        conditions: vec![condition("Progressing", false, "ProgressDeadlineExceeded")],
        ..deployment(3, 2, 2, 2, [2, 0, 2, 2])
    };
    r.deployment(&exceeded, at(0));
    assert_eq!(r.stuck(at(9)), Err(None), "a condition older than the change is not about it");
    r.deployment(&DeploymentState { observed: 3, ..exceeded }, at(0));
    assert_eq!(r.stuck(at(9)).unwrap().reason, "ProgressDeadlineExceeded");
}

#[test]
fn a_deadline_that_passed_while_pods_waited_at_their_gate_says_nothing_until_the_controller_speaks_again() {
    let late = |reason: &str| {
        let condition = Condition { kind: name("Progressing"), status: Some(false), reason: reason.into(), message: String::new() };
        DeploymentState { conditions: vec![condition], ..deployment(2, 2, 2, 2, [3, 1, 2, 2]) }
    };
    let ready = ContainerState { ready: true, ..container(ContainerNow::Running, 0, None) };
    let waits = PodState { gated: true, containers: vec![ready], ..pod("n1", "new", false, false) };
    let mut r = Rollout::default();
    r.deployment(&late("ProgressDeadlineExceeded"), at(0));
    r.replica_set(&set("new", 2), at(0));
    assert_eq!(r.stuck(at(1)).unwrap().reason, "ProgressDeadlineExceeded");
    r.pod(&waits, at(1));
    assert_eq!(r.stuck(at(1)), Err(None), "nobody let it in");
    r.pod(&PodState { verified: Some(name("AnsweredWell")), ..waits.clone() }, at(2));
    assert_eq!(r.stuck(at(2)), Err(None), "the controller has not seen yet that somebody did");
    r.deployment(&DeploymentState { conditions: Vec::new(), ..late("") }, at(3));
    r.deployment(&late("ProgressDeadlineExceeded"), at(9));
    assert_eq!(r.stuck(at(9)).unwrap().reason, "ProgressDeadlineExceeded", "it is late once more, and nobody waits");

    let mut r = Rollout::default();
    r.deployment(&late("ProgressDeadlineExceeded"), at(0));
    r.replica_set(&set("new", 2), at(0));
    r.pod(&PodState { revision: name("old"), ..waits }, at(0));
    assert!(r.stuck(at(1)).is_ok(), "who waits is of another version");
}

#[test]
fn a_deployment_of_another_uid_is_another_deployment() {
    let mut r = Rollout::default();
    r.deployment(&deployment(1, 1, 1, 2, [2, 2, 2, 2]), at(0));
    assert!(!r.is_lost());
    r.deployment(&DeploymentState { uid: name("d2"), ..deployment(1, 1, 1, 2, [2, 2, 2, 2]) }, at(0));
    assert!(r.is_lost());
}

#[test]
fn a_pods_turns_are_remembered_with_their_moments() {
    let mut r = Rollout::default();
    let running = |ready| pod("p1", "new", ready, false);
    r.pod(&running(false), at(1));
    r.pod(&running(true), at(2));
    let endpoint = |ready, terminating| Endpoint {
        pod: Some(name("p1")),
        address: name("10.0.0.1"),
        port: Some(80),
        ready,
        serving: true,
        terminating,
    };
    let slice = |endpoints| EndpointsState { name: name("s"), endpoints };
    r.endpoint_slice(&slice(vec![endpoint(true, false)]), at(3));
    let crashed = Exit { code: 1, reason: "Error".into() };
    let ended = PodState { containers: vec![container(ContainerNow::Terminated(crashed.clone()), 0, None)], ..running(false) };
    r.pod(&ended, at(4));
    r.pod(&PodState { containers: vec![container(ContainerNow::Running, 1, Some(crashed.clone()))], ..running(false) }, at(5));
    r.pod(
        &PodState { containers: vec![container(waiting("CrashLoopBackOff", ""), 2, Some(crashed.clone()))], ..running(false) },
        at(6),
    );
    r.pod(&pod("p1", "new", false, true), at(7));
    r.endpoint_slice(&slice(vec![endpoint(false, true)]), at(8));
    r.pod_gone(&name("uid-p1"), at(9));
    r.endpoint_slice(&slice(Vec::new()), at(10));
    let life = r.pod_named("p1").unwrap();
    assert_eq!(life.readiness, [(at(2), true), (at(4), false)]);
    assert_eq!(life.exits, [(at(4), crashed.clone()), (at(6), crashed)], "one entry for each end, however often it is reported");
    assert_eq!(life.membership, [(at(3), Membership::Ready), (at(8), Membership::Draining), (at(10), Membership::Out)]);
    assert_eq!(life.removed(), Some(at(8)));
}

mod admitting;
mod guarding;
mod observing;
mod putting_back;

use super::*;
use crate::domain::event::{StepEnded, WatchState, What};
use crate::domain::fixtures::{head, lane};
use crate::domain::rollout::state::{ContainerNow, DeploymentState, PodState, ReplicaSetState};
use crate::domain::rollout::tests::{container, deployment, name, pod, set};
use crate::domain::scenario;
use crate::domain::slice::SLICE_MICROS;
use crate::domain::tally::tests::slice;
use crate::domain::traffic::Mode;

const SCENARIO: &str = "
name: t
about: A run in a test.
target: {deployment: backend, namespace: todo}
given: {healthy_for: 1s}
traffic: {lanes: {fresh: {rate: 100}}}
when: [restart, wait: 500ms, scale: 3]
then: [availability >= 99%, longest_outage < 1s, deployed_within 1m]
window: 10s
soak: 1s
aftermath: 1s
deadline: 30s
";

/// Drives a course with hand-made events; remembers its commands.
struct Run {
    course: Course,
    commands: Vec<Command>,
    tenths: u64,
}

impl Run {
    fn start() -> Self {
        Self::start_in(SCENARIO)
    }

    fn start_in(scenario: &str) -> Self {
        let head = head(scenario::parse("t.yaml", scenario, &[]).unwrap());
        let (course, commands) = Course::begin(head);
        let mut run = Self { course, commands, tenths: 0 };
        assert_eq!(run.taken(), [Command::Prepare]);
        run.say(What::Deployment(Box::new(deployment(1, 1, 1, 2, [2, 2, 2, 2]))));
        run.say(What::ReplicaSet(Box::new(set("old", 1))));
        for old in ["o1", "o2"] {
            run.say(What::Pod(Box::new(pod(old, "old", true, false))));
        }
        run
    }

    /// Until the change begins.
    fn healthy() -> Self {
        Self::healthy_in(SCENARIO)
    }

    fn healthy_in(scenario: &str) -> Self {
        let mut run = Self::start_in(scenario);
        run.say(What::TargetReady(Box::new(traffic())));
        assert_eq!(run.taken(), [Command::StartTraffic]);
        run.say(What::TrafficStarted);
        run.traffic(10, 10, 0);
        assert_eq!((run.course.stage().0, run.taken()), (Stage::Changing, vec![Command::RunStep(0)]));
        run
    }

    fn say(&mut self, what: What) {
        let commands = self.course.apply(&Event { at: At(self.tenths * SLICE_MICROS), what });
        self.commands.extend(commands);
    }

    /// So many tenths of a second with good and bad answers each.
    fn traffic(&mut self, tenths: u64, good: u64, bad: u64) {
        for _ in 0..tenths {
            self.tenths += 1;
            let slice = slice("fresh", self.tenths, good + bad, good, bad);
            self.say(What::Slice(slice));
        }
    }

    fn step_ended(&mut self, step: usize, generation: i64) {
        self.say(What::StepStarted(step));
        self.say(What::StepEnded(StepEnded { step, generation: Some(generation), error: None }));
    }

    /// The controller has made the new version's first pod.
    fn surges(&mut self) {
        self.say(What::ReplicaSet(Box::new(set("new", 2))));
        self.say(What::Deployment(Box::new(deployment(2, 2, 2, 2, [3, 1, 2, 2]))));
    }

    fn rolled_out(&mut self, generation: i64) {
        self.say(What::ReplicaSet(Box::new(set("new", 2))));
        for new in ["n1", "n2", "n3"] {
            self.say(What::Pod(Box::new(pod(new, "new", true, false))));
        }
        for old in ["uid-o1", "uid-o2"] {
            self.say(What::PodGone(name(old)));
        }
        self.say(What::Deployment(Box::new(deployment(generation, generation, 2, 3, [3, 3, 3, 3]))));
    }

    fn taken(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    fn verdict(&self) -> (VerdictKind, Vec<&str>) {
        let verdict = self.course.verdict().expect("no verdict yet");
        (verdict.verdict, verdict.reasons.iter().map(|r| r.code.as_str()).collect())
    }
}

fn traffic() -> TrafficPlan {
    TrafficPlan { lanes: vec![lane("fresh", Mode::Fresh, 100.0, Vec::new())], seed: 1, run_id: "r".into() }
}

#[test]
fn a_healthy_rollout_goes_through_all_stages_to_a_pass() {
    let mut run = Run::healthy();
    run.step_ended(0, 2);
    run.traffic(4, 60, 0);
    assert_eq!(run.taken(), [], "the wait is not over");
    run.traffic(1, 60, 0);
    assert_eq!(run.taken(), [Command::RunStep(2)]);
    run.step_ended(2, 3);
    assert_eq!(run.course.stage().0, Stage::RollingOut);
    run.traffic(20, 60, 0);
    assert_eq!(run.course.stage().0, Stage::RollingOut, "status of generation 1 says nothing about generation 3");
    run.rolled_out(3);
    assert_eq!(run.course.stage().0, Stage::Soaking);
    run.traffic(9, 60, 0);
    assert_eq!(run.taken(), []);
    run.traffic(1, 60, 0);
    assert_eq!((run.course.stage().0, run.taken()), (Stage::Draining, vec![Command::StopTraffic]));
    run.say(What::TrafficStopped);
    assert_eq!((run.course.stage().0, run.taken()), (Stage::Done, vec![Command::Finish]));
    assert_eq!(run.verdict(), (VerdictKind::Pass, vec!["met"]));
    assert_eq!(run.course.tally.measured().due, 35 * 60, "the baseline is not part of what is judged");
    assert_eq!(run.course.phases().iter().map(|p| p.1).collect::<Vec<_>>(), [Phase::Baseline, Phase::Surging, Phase::Settled]);
}

#[test]
fn a_pass_waits_until_enough_was_seen_of_the_new_version() {
    let mut run = Run::healthy();
    run.step_ended(0, 2);
    run.traffic(5, 10, 0);
    run.step_ended(2, 3);
    run.rolled_out(3);
    run.traffic(49, 10, 0);
    assert_eq!(
        (run.course.stage().0, run.taken()),
        (Stage::Soaking, vec![Command::RunStep(2)]),
        "490 good answers prove too little"
    );
    run.traffic(1, 10, 0);
    assert_eq!(run.taken(), [Command::StopTraffic], "500 are enough");
    run.say(What::TrafficStopped);
    assert_eq!(run.verdict(), (VerdictKind::Pass, vec!["met"]));
}

#[test]
fn a_pass_that_cannot_be_certified_in_time_is_inconclusive_at_once_and_says_what_it_lacks() {
    let mut run = Run::healthy();
    run.step_ended(0, 2);
    run.traffic(5, 10, 0);
    run.step_ended(2, 3);
    run.traffic(245, 10, 0);
    run.rolled_out(3);
    run.traffic(10, 10, 0);
    assert_eq!(
        (run.course.stage().0, run.course.verdict()),
        (Stage::Draining, None),
        "399 more would take until after the deadline"
    );
    run.say(What::TrafficStopped);
    assert_eq!(run.verdict(), (VerdictKind::Inconclusive, vec!["sample"]));
    let message = &run.course.verdict().unwrap().reasons[0].message;
    assert!(
        message.starts_with("399 more good requests of the new version are needed to say PASS with 99.00 % certainty"),
        "{message}"
    );
}

#[test]
fn a_broken_version_is_a_breach_long_before_the_budget_is_spent() {
    let mut run = Run::healthy_in(&SCENARIO.replace("window: 10s", "window: 1m"));
    run.step_ended(0, 2);
    run.surges();
    run.say(What::Pod(Box::new(pod("n1", "new", true, false))));
    for _ in 0..7 {
        run.tenths += 1;
        let part = |pod: &str, good, bad| crate::domain::slice::Part {
            pod: Some(name(pod)),
            ..slice("fresh", 1, 0, good, bad).parts.remove(0)
        };
        let parts = vec![part("o1", 7, 0), part("n1", 0, 3)];
        run.say(What::Slice(crate::domain::slice::Slice { parts, ..slice("fresh", run.tenths, 10, 0, 0) }));
    }
    assert_eq!(run.verdict(), (VerdictKind::Breach, vec!["availability.new"]));
    let message = &run.course.verdict().unwrap().reasons[0].message;
    assert!(
        message.starts_with("the new version (new) failed 12 of 12 requests, too many for availability >= 99% (evidence "),
        "{message}"
    );
    assert_eq!(run.course.tally.measured().counts.bad(), 21, "of 60 that the plan allows at the end");
}

#[test]
fn a_breach_is_decided_at_once_measured_on_for_a_while_and_never_taken_back() {
    let mut run = Run::healthy();
    run.step_ended(0, 2);
    run.traffic(1, 0, 10);
    assert_eq!(run.course.verdict(), None, "10 of 1,000 planned are allowed");
    run.traffic(1, 9, 1);
    assert_eq!((run.verdict(), run.course.stage().0), ((VerdictKind::Breach, vec!["availability"]), Stage::Aftermath));
    run.traffic(9, 10, 0);
    assert_eq!(run.taken(), [], "no further step is taken, traffic goes on");
    run.traffic(1, 10, 0);
    assert_eq!(run.taken(), [Command::StopTraffic]);
    run.say(What::TrafficStopped);
    assert_eq!(run.verdict(), (VerdictKind::Breach, vec!["availability"]));
    let reason = &run.course.verdict().unwrap().reasons[0].message;
    assert!(reason.starts_with("11 of 120 requests failed, 1 are allowed"), "{reason}");
}

#[test]
fn a_rollout_that_cannot_complete_is_a_breach_with_pod_and_reason() {
    let mut run = Run::healthy();
    run.step_ended(0, 2);
    run.surges();
    let waiting = ContainerNow::Waiting { reason: "ImagePullBackOff".into(), message: "no such image".into() };
    let pulling = PodState { containers: vec![container(waiting, 0, None)], ..pod("n1", "new", false, false) };
    run.say(What::Watch(WatchState::Lost));
    run.say(What::Pod(Box::new(pulling)));
    assert_eq!(run.course.verdict(), None, "nobody knows whether it is so still");
    run.say(What::Watch(WatchState::Restored));
    assert_eq!(run.verdict(), (VerdictKind::Breach, vec!["stuck"]));
    let message = &run.course.verdict().unwrap().reasons[0].message;
    assert_eq!(message, "the rollout cannot complete: pod n1 is in ImagePullBackOff: container backend: no such image");
}

#[test]
fn a_service_that_was_sick_before_the_change_is_not_the_changes_fault() {
    let mut run = Run::start();
    run.say(What::TargetReady(Box::new(traffic())));
    run.say(What::TrafficStarted);
    run.traffic(9, 10, 0);
    run.traffic(1, 5, 5);
    assert_eq!((run.course.stage().0, run.verdict()), (Stage::Draining, (VerdictKind::Inconclusive, vec!["baseline"])));
}

#[test]
fn an_interrupt_aborts_a_deadline_and_a_lost_target_are_inconclusive_and_superseded() {
    let mut run = Run::healthy();
    run.say(What::Interrupted(2));
    assert_eq!((run.verdict().0, run.taken()), (VerdictKind::Aborted, vec![Command::StopTraffic]));

    let mut run = Run::healthy();
    run.step_ended(0, 2);
    run.traffic(290, 10, 0);
    assert_eq!((run.verdict(), run.course.stage().0), ((VerdictKind::Inconclusive, vec!["deadline"]), Stage::Draining));

    let mut run = Run::healthy();
    run.say(What::DeploymentGone);
    assert_eq!(run.verdict(), (VerdictKind::Superseded, vec!["target"]));

    let mut run = Run::start();
    run.say(What::TargetUnready("connection refused".into()));
    assert_eq!((run.verdict().0, run.taken()), (VerdictKind::Inconclusive, vec![Command::Finish]));
}

#[test]
fn what_somebody_else_went_back_to_is_not_deployed_before_the_news_of_its_replica_set() {
    let mut run = Run::healthy_in(&SCENARIO.replace("[restart, wait: 500ms, scale: 3]", "[restart]"));
    run.step_ended(0, 2);
    run.surges();
    run.say(What::Pod(Box::new(pod("n1", "new", false, false))));
    run.traffic(1, 10, 0);
    // Two watches: the Deployment's tells first that the old pods are the wanted ones again, and all there.
    run.say(What::Deployment(Box::new(deployment(3, 3, 3, 2, [2, 2, 2, 2]))));
    let at = |run: &Run| (run.course.phase_at(run.course.now()), run.course.deployed());
    assert_eq!((run.course.verdict(), at(&run)), (None, (Phase::Surging, None)));
    run.traffic(1, 10, 0);
    run.say(What::ReplicaSet(Box::new(set("old", 3))));
    assert_eq!((run.verdict(), run.course.deployed()), ((VerdictKind::Superseded, vec!["template"]), None));
    assert_eq!(run.course.phase_before(run.course.now()), Phase::Surging);
    run.say(What::PodGone(name("uid-n1")));
    assert_eq!(run.course.deployed(), None, "also not when it is complete");
}

#[test]
fn a_run_that_could_not_see_enough_is_inconclusive() {
    let mut run = Run::healthy();
    run.step_ended(0, 2);
    run.traffic(5, 10, 0);
    run.step_ended(2, 3);
    for _ in 0..3 {
        run.tenths += 1;
        let unseen = crate::domain::slice::Slice { due: 100, parts: Vec::new(), ..slice("fresh", run.tenths, 0, 0, 0) };
        run.say(What::Slice(unseen));
    }
    run.rolled_out(3);
    run.traffic(12, 60, 0);
    run.say(What::TrafficStopped);
    assert_eq!(run.verdict(), (VerdictKind::Inconclusive, vec!["validity"]));
}

#[test]
fn a_run_asks_to_be_woken_for_each_thing_it_waits_for() {
    let mut run = Run::start();
    assert_eq!(run.course.wake(), Some(At(30_000_000)), "the deadline");
    run.say(What::TargetReady(Box::new(traffic())));
    run.say(What::TrafficStarted);
    assert_eq!(run.course.wake(), Some(At(1_000_000)), "the end of the baseline");
}

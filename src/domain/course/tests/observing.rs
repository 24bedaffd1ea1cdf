//! A rollout that somebody else makes.

use super::*;

pub(super) const WATCH: &str = "
name: t
about: A rollout of somebody else's.
target: {deployment: backend, namespace: todo}
traffic: {lanes: {fresh: {rate: 100}}}
observe: {wait: WAIT}
given: {healthy_for: BASELINE}
then: [availability >= 99%, longest_outage < 1s]
window: 10s
soak: 1s
aftermath: 1s
deadline: 30s
";

/// Traffic flows, and everything was listed: the old version at rest, or a rollout from it under way.
fn watching(wait: bool, baseline: &str, under_way: bool) -> Run {
    let scenario = WATCH.replace("WAIT", &wait.to_string()).replace("BASELINE", baseline);
    let mut run = Run::start_in(&scenario);
    if under_way {
        begins(&mut run);
    } else {
        run.say(What::ReplicaSet(Box::new(ReplicaSetState { replicas: 0, ..set("older", 0) })));
    }
    run.say(What::TargetReady(Box::new(traffic())));
    assert_eq!(run.taken(), [Command::StartTraffic]);
    run.say(What::TrafficStarted);
    run.traffic(5, 10, 0);
    assert_eq!((run.course.stage().0, run.course.changed()), (Stage::Watching, None), "not everything was listed");
    run.say(What::Listed);
    run
}

fn begins(run: &mut Run) {
    run.surges();
    run.say(What::Pod(Box::new(pod("n1", "new", false, false))));
}

fn ends(run: &mut Run) {
    run.rolled_out(2);
    run.traffic(10, 60, 0);
    assert_eq!((run.course.stage().0, run.taken()), (Stage::Draining, vec![Command::StopTraffic]));
    run.say(What::TrafficStopped);
}

#[test]
fn a_rollout_under_way_is_followed_to_its_end_without_a_step() {
    let mut run = watching(false, "0s", true);
    assert_eq!((run.course.stage().0, run.taken()), (Stage::RollingOut, vec![]));
    assert_eq!(run.course.rollout.new_revision(), Some(&name("new")));
    assert_eq!(run.course.rollout.old_revision(), Some(&name("old")));
    run.traffic(10, 10, 0);
    ends(&mut run);
    assert_eq!(run.verdict(), (VerdictKind::Pass, vec!["met"]));
    assert_eq!(run.course.tally.measured().due, 700, "from the moment at which it was seen");
}

#[test]
fn without_a_rollout_the_version_that_was_rolled_out_last_is_measured_and_that_is_said() {
    let mut run = watching(false, "0s", false);
    assert_eq!(run.course.stage().0, Stage::Soaking);
    let notice = &run.course.notices().last().unwrap().1;
    assert_eq!(notice, "no rollout is under way: version old, rolled out before, is measured for 1s");
    run.traffic(2, 0, 60);
    assert_eq!(run.verdict(), (VerdictKind::Breach, vec!["availability"]));
}

#[test]
fn the_next_rollout_is_waited_for_and_a_scaling_is_none() {
    let mut run = watching(true, "0s", false);
    run.traffic(10, 10, 0);
    run.say(What::Deployment(Box::new(deployment(2, 2, 1, 3, [2, 2, 2, 2]))));
    run.traffic(10, 10, 0);
    assert_eq!(run.course.stage().0, Stage::Watching, "not all is available, but nothing is rolled out");
    begins(&mut run);
    assert_eq!(run.course.stage().0, Stage::RollingOut);
    run.traffic(10, 10, 0);
    ends(&mut run);
    assert_eq!(run.verdict(), (VerdictKind::Pass, vec!["met"]));
}

#[test]
fn a_service_that_must_have_been_healthy_before_and_was_not_is_not_judged() {
    let mut run = watching(true, "1s", false);
    run.traffic(10, 5, 5);
    begins(&mut run);
    assert_eq!(run.verdict(), (VerdictKind::Inconclusive, vec!["baseline"]));

    let mut run = watching(true, "1m", false);
    run.traffic(10, 5, 5);
    begins(&mut run);
    assert_eq!(run.course.stage().0, Stage::RollingOut);
    let notice = &run.course.notices().last().unwrap().1;
    assert_eq!(notice, "the rollout began before the service was seen healthy for 1m");
}

#[test]
fn no_rollout_and_no_end_of_one_are_inconclusive_and_say_so() {
    let message = |run: &Run| run.course.verdict().unwrap().reasons[0].message.clone();
    let mut run = watching(true, "0s", false);
    run.traffic(300, 10, 0);
    assert_eq!(run.verdict(), (VerdictKind::Inconclusive, vec!["deadline"]));
    assert_eq!(message(&run), "the run was not over after 30s: no rollout began");

    let mut run = watching(false, "0s", true);
    run.say(What::Deployment(Box::new(DeploymentState { paused: true, ..deployment(3, 3, 2, 2, [3, 1, 2, 2]) })));
    run.traffic(300, 10, 0);
    assert_eq!(run.verdict(), (VerdictKind::Inconclusive, vec!["deadline"]));
    assert_eq!(message(&run), "the run was not over after 30s: the Deployment was paused in the midst of its rollout");
}

#[test]
fn what_cannot_be_judged_is_said_before_any_traffic() {
    let told = |state: DeploymentState| {
        let mut run = Run::start_in(&WATCH.replace("WAIT", "true").replace("BASELINE", "0s"));
        run.say(What::Deployment(Box::new(state)));
        run.say(What::Listed);
        assert_eq!(run.taken(), [Command::Finish]);
        (run.verdict().0, run.course.verdict().unwrap().reasons[0].code.clone())
    };
    let state = deployment(1, 1, 1, 2, [2, 2, 2, 2]);
    assert_eq!(told(DeploymentState { paused: true, ..state.clone() }), (VerdictKind::Inconclusive, "paused".into()));
    assert_eq!(told(DeploymentState { replicas: 0, ..state.clone() }), (VerdictKind::Inconclusive, "replicas".into()));
    assert_eq!(told(DeploymentState { uid: name("another"), ..state }), (VerdictKind::Superseded, "target".into()));
}

#[test]
fn a_rollout_that_is_stuck_already_needs_no_traffic_to_be_a_breach() {
    let mut run = Run::start_in(&WATCH.replace("WAIT", "false").replace("BASELINE", "0s"));
    begins(&mut run);
    let waiting = ContainerNow::Waiting { reason: "CrashLoopBackOff".into(), message: String::new() };
    run.say(What::Pod(Box::new(PodState { containers: vec![container(waiting, 3, None)], ..pod("n1", "new", false, false) })));
    assert_eq!(run.course.verdict(), None, "not everything was listed");
    run.say(What::Listed);
    assert_eq!(run.taken(), [Command::StopTraffic], "there is none, but what comes after it is the guard's");
    run.say(What::TrafficStopped);
    assert_eq!(run.taken(), [Command::Finish]);
    assert_eq!(run.verdict(), (VerdictKind::Breach, vec!["stuck"]));
    let next = crate::domain::summary::Summary::of(&run.course).next;
    assert_eq!(next.as_deref(), Some("kubectl logs -n todo n1 --previous"));
}

#[test]
fn another_template_in_the_midst_of_it_supersedes_what_is_judged() {
    let mut run = watching(false, "0s", true);
    run.traffic(5, 10, 0);
    run.say(What::ReplicaSet(Box::new(set("newer", 3))));
    run.say(What::Deployment(Box::new(deployment(3, 3, 3, 2, [3, 1, 2, 2]))));
    assert_eq!(run.verdict(), (VerdictKind::Superseded, vec!["template"]));
}

#[test]
fn the_very_first_version_is_judged_from_its_first_good_answer() {
    let mut run = Run::start_in(&WATCH.replace("WAIT", "false").replace("BASELINE", "0s"));
    run.say(What::Deployment(Box::new(deployment(1, 1, 1, 2, [1, 1, 0, 0]))));
    run.say(What::TargetReady(Box::new(traffic())));
    run.say(What::TrafficStarted);
    run.say(What::Listed);
    run.traffic(20, 0, 10);
    assert_eq!((run.course.stage().0, run.course.verdict()), (Stage::Watching, None));
    run.traffic(1, 10, 0);
    assert_eq!(run.course.stage().0, Stage::RollingOut);
}

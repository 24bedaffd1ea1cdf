use super::*;

fn hooked(hook: Value, grace: i64) -> Value {
    pod(json!({"lifecycle": {"preStop": hook}}), json!({"terminationGracePeriodSeconds": grace}))
}

const WAY: [&str; 6] = ["Killing", "hook", "TERM", "KILL", "release", "delete"];

#[test]
fn a_deleted_pod_gets_term_ends_loses_its_address_and_is_removed() {
    let mut lab = Lab::new(pod(json!({}), json!({})));
    lab.on_term = Some((700, Exit::Code(0)));
    lab.run(5_000).delete(30).run(10_000);
    assert_eq!(
        lab.seen(&WAY),
        [(5000, "Killing: Stopping container c"), (5000, "TERM c"), (5700, "release"), (5700, "delete u 0")]
    );
    assert_eq!((&lab.status()["phase"], lab.condition("Ready")), (&json!("Succeeded"), vec![(0, false), (0, true), (5700, false)]));
    assert_eq!(lab.condition("PodReadyToStartContainers"), [(0, true), (5700, false)]);
    assert!(lab.machine.is_gone());
    assert_eq!(lab.machine.wake(), None);
}

#[test]
fn kill_comes_when_the_grace_period_is_over() {
    let mut lab = Lab::new(pod(json!({}), json!({})));
    lab.on_term = None;
    lab.run(1_000).delete(7).run(20_000);
    assert_eq!(lab.seen(&WAY)[1..], [(1000, "TERM c"), (8000, "KILL c"), (8000, "release"), (8000, "delete u 0")]);
    assert_eq!((&lab.status()["phase"], &lab.container()["state"]["terminated"]["exitCode"]), (&json!("Failed"), &json!(137)));
}

#[test]
fn a_pre_stop_sleep_delays_term_and_is_part_of_the_grace_period() {
    let mut lab = Lab::new(hooked(json!({"sleep": {"seconds": 3}}), 30));
    lab.on_term = None;
    lab.run(1_000).delete(10).run(20_000);
    assert_eq!(
        lab.seen(&["Killing", "TERM", "KILL"]),
        [(1000, "Killing: Stopping container c"), (4000, "TERM c"), (11_000, "KILL c")]
    );
}

#[test]
fn an_overrunning_pre_stop_is_left_behind_and_two_seconds_remain() {
    let mut lab = Lab::new(hooked(json!({"exec": {"command": ["drain"]}}), 5));
    lab.hook_takes = 60_000;
    lab.on_term = None;
    lab.run(0).delete(5).run(20_000);
    assert_eq!(lab.seen(&["hook", "TERM", "KILL"]), [(0, "hook PreStop"), (5000, "TERM c"), (7000, "KILL c")]);
}

#[test]
fn a_failing_pre_stop_is_told_and_does_not_hold_up_the_end() {
    let mut lab = Lab::new(hooked(json!({"httpGet": {"port": 8080}}), 30));
    lab.hook_takes = 1500;
    lab.hook_result = Err("connection refused".into());
    lab.run(0).delete(30).run(20_000);
    assert_eq!(
        lab.seen(&["hook", "!FailedPreStopHook", "TERM"]),
        [(0, "hook PreStop"), (1500, "!FailedPreStopHook: PreStopHook failed"), (1500, "TERM c")]
    );
}

#[test]
fn readiness_is_probed_until_the_end_and_the_other_probes_are_not() {
    let probe = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1});
    let container = json!({"readinessProbe": probe, "livenessProbe": probe, "lifecycle": {"preStop": {"sleep": {"seconds": 2}}}});
    let mut lab = Lab::new(pod(container, json!({})));
    lab = lab.probes(|_, now| if now < 3000 { ProbeResult::Success } else { ProbeResult::Failure("refused".into()) });
    lab.on_term = Some((2500, Exit::Code(0)));
    lab.run(1_500).delete(30).run(20_000);
    assert_eq!(
        lab.seen(&["probe"])[4..],
        [(2000, "probe readiness"), (3000, "probe readiness"), (4000, "probe readiness"), (5000, "probe readiness")]
    );
    // The endpoint stays serving while it answers, and is seen to be unready three failures later.
    assert_eq!(lab.condition("Ready"), [(0, false), (1, true), (5001, false)]);
}

#[test]
fn a_pod_that_never_started_a_container_fails_when_deleted() {
    let mut lab = Lab::new(pod(json!({}), json!({})));
    lab.pull = Pull::Unknown;
    lab.run(1_000).delete(30).run(2_000);
    assert_eq!(lab.seen(&WAY), [(1000, "release"), (1000, "delete u 0")]);
    assert_eq!(lab.status()["phase"], "Failed");
}

#[test]
fn a_pod_deleted_while_it_starts_is_stopped_as_soon_as_it_runs() {
    let mut lab = Lab::new(pod(json!({}), json!({})));
    // Deleted between the order to start and its answer.
    let actions = lab.machine.handle(Input::Tick, at(0));
    assert_eq!(actions.first(), Some(&Action::Pull(0)));
    let run = Run { container: 0, attempt: 0 };
    assert!(lab.machine.handle(Input::Pulled(0, Pull::Available), at(0)).contains(&Action::Start(run)));
    lab.delete(30);
    let deleting = Arc::new(lab.pod.clone());
    let signals = |actions: Vec<Action>| actions.into_iter().filter(|a| !matches!(a, Action::Write(_))).collect::<Vec<_>>();
    assert_eq!(signals(lab.machine.handle(Input::Changed(deleting), at(0))), []);
    assert_eq!(signals(lab.machine.handle(Input::Started(run), at(5))), [Action::Signal(run, Signal::Term)]);
}

#[test]
fn a_crash_looping_pod_ends_at_once_and_shows_how_it_crashed() {
    let mut lab = Lab::new(pod(json!({}), json!({}))).starts(|_, _| Start::RunsFor(10, Exit::Code(3)));
    lab.run(1_000);
    assert!(lab.container()["state"]["waiting"].is_object());
    lab.delete(30).run(2_000);
    assert_eq!(lab.seen(&WAY), [(1000, "release"), (1000, "delete u 0")]);
    assert_eq!(lab.container()["state"]["terminated"]["exitCode"], 3);
    assert_eq!(lab.seen(&["start"]).len(), 2);
}

#[test]
fn a_forcibly_removed_pod_is_still_stopped_with_its_own_grace_and_nothing_is_written() {
    let mut lab = Lab::new(pod(json!({}), json!({"terminationGracePeriodSeconds": 4})));
    lab.on_term = None;
    lab.run(1_000);
    let writes = lab.statuses.len();
    lab.later(0, Input::Removed);
    lab.run(10_000);
    assert_eq!(lab.seen(&["TERM", "KILL", "release", "delete"]), [(1000, "TERM c"), (5000, "KILL c"), (5000, "release")]);
    assert_eq!((lab.statuses.len(), lab.machine.is_gone()), (writes, true));
}

#[test]
fn a_second_deletion_with_less_grace_does_not_hurry_a_stop_under_way() {
    let mut lab = Lab::new(pod(json!({}), json!({})));
    lab.on_term = None;
    lab.run(0).delete(10).run(2_000);
    lab.delete(1).run(20_000);
    assert_eq!(lab.seen(&["TERM", "KILL"]), [(0, "TERM c"), (10_000, "KILL c")]);
}

#[test]
fn a_completed_pod_keeps_its_status_until_it_is_deleted() {
    let mut lab = Lab::new(pod(json!({}), json!({"restartPolicy": "Never"}))).starts(|_, _| Start::RunsFor(500, Exit::Code(0)));
    lab.run(5_000);
    assert_eq!(lab.seen(&WAY), [(500, "release")]);
    let before = lab.statuses.len();
    lab.delete(30).run(6_000);
    assert_eq!((lab.seen(&WAY), lab.statuses.len()), (vec![(500, "release"), (5000, "delete u 0")], before));
}

#[test]
fn a_pod_that_had_ended_before_it_came_is_left_alone_until_it_is_deleted() {
    let mut object = pod(json!({}), json!({}));
    object["status"] = json!({"phase": "Failed", "reason": "Evicted"});
    let mut lab = Lab::new(object);
    lab.run(5_000);
    assert_eq!((lab.log.len(), lab.statuses.len()), (0, 0));
    lab.delete(0).run(6_000);
    assert_eq!(lab.seen(&["delete"]), [(5000, "delete u 0")]);
}

#[test]
fn a_failed_post_start_hook_stops_the_container_and_counts_as_a_crash() {
    let container = json!({"lifecycle": {"postStart": {"exec": {"command": ["setup"]}}}});
    let mut lab = Lab::new(pod(container, json!({})));
    lab.hook_result = Err("exit status 1".into());
    lab.hook_takes = 100;
    lab.run(250);
    assert_eq!(
        lab.seen(&["start", "hook", "!FailedPostStartHook", "Killing", "TERM", "!BackOff"]),
        [
            (0, "start c/0"),
            (0, "hook PostStart"),
            (100, "!FailedPostStartHook: PostStartHook failed"),
            (100, "Killing: FailedPostStartHook"),
            (100, "TERM c"),
            (100, "start c/1"),
            (100, "hook PostStart"),
            (200, "!FailedPostStartHook: PostStartHook failed"),
            (200, "Killing: FailedPostStartHook"),
            (200, "TERM c"),
            (200, "!BackOff: Back-off restarting failed container c in pod p_n(u)"),
        ]
    );
}

use super::*;

const OK: ProbeResult = ProbeResult::Success;

fn bad() -> ProbeResult {
    ProbeResult::Failure("HTTP probe failed with statuscode: 503".into())
}

fn probe(extra: Value) -> Value {
    let mut probe = json!({"httpGet": {"port": 8080}, "periodSeconds": 1});
    json_patch::merge(&mut probe, &extra);
    probe
}

fn readiness(extra: Value) -> Value {
    pod(json!({"readinessProbe": probe(extra)}), json!({}))
}

#[test]
fn a_pod_is_ready_from_its_first_good_readiness_probe_and_not_before() {
    let mut lab = Lab::new(readiness(json!({}))).probes(|_, now| if now < 2500 { bad() } else { OK });
    lab.run(10_000);
    let probes: Vec<i64> = lab.seen(&["probe"]).iter().take(5).map(|p| p.0).collect();
    assert_eq!(probes, [0, 1000, 2000, 3000, 4000]);
    assert_eq!(lab.condition("Ready"), [(0, false), (3001, true)]);
    assert_eq!(lab.seen(&["!Unhealthy"]).len(), 3);
    assert_eq!(lab.seen(&["!Unhealthy"])[0], (1, "!Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503"));
}

#[test]
fn without_a_readiness_probe_a_running_container_is_ready() {
    let mut lab = Lab::new(pod(json!({}), json!({})));
    lab.run(100);
    assert_eq!(lab.condition("Ready"), [(0, false), (0, true)]);
}

#[test]
fn thresholds_count_results_in_a_row() {
    // Good for two seconds, then failures broken once by a success, then four failures, then good again.
    let results = |_, now: i64| match now / 1000 {
        0..=1 | 4 | 9.. => OK,
        _ => bad(),
    };
    let mut lab = Lab::new(readiness(json!({"successThreshold": 2, "failureThreshold": 3}))).probes(results);
    lab.run(20_000);
    assert_eq!(lab.condition("Ready"), [(0, false), (1001, true), (7001, false), (10_001, true)]);
}

#[test]
fn the_first_probe_waits_for_the_initial_delay() {
    let mut lab = Lab::new(readiness(json!({"initialDelaySeconds": 5, "periodSeconds": 2})));
    lab.run(8_000);
    assert_eq!(lab.seen(&["probe"]), [(5000, "probe readiness"), (7000, "probe readiness")]);
}

#[test]
fn a_probe_slower_than_its_period_is_followed_at_once_and_skips_ticks() {
    let mut lab = Lab::new(readiness(json!({"timeoutSeconds": 5})));
    lab.probe_takes = 2500;
    lab.run(8_000);
    let probes: Vec<i64> = lab.seen(&["probe"]).iter().map(|p| p.0).collect();
    assert_eq!(probes, [0, 2500, 5000, 7500]);
}

#[test]
fn until_the_startup_probe_passes_no_other_probe_runs() {
    let container = json!({"startupProbe": probe(json!({"failureThreshold": 30})), "readinessProbe": probe(json!({"periodSeconds": 5})),
        "livenessProbe": probe(json!({"periodSeconds": 2}))});
    let mut lab = Lab::new(pod(container, json!({}))).probes(|_, now| if now < 2500 { bad() } else { OK });
    lab.run(6_000);
    assert_eq!(
        lab.seen(&["probe"]),
        [
            (0, "probe startup"),
            (1000, "probe startup"),
            (2000, "probe startup"),
            (3000, "probe startup"),
            (3001, "probe readiness"),
            (4000, "probe liveness"),
            (6000, "probe liveness"),
        ]
    );
    assert_eq!(lab.condition("Ready"), [(0, false), (3002, true)]);
}

#[test]
fn a_container_whose_startup_probe_never_passes_is_restarted() {
    let container = json!({"startupProbe": probe(json!({"failureThreshold": 3}))});
    let mut lab = Lab::new(pod(container, json!({"terminationGracePeriodSeconds": 5}))).probes(|_, _| bad());
    lab.run(3_000);
    assert_eq!(
        lab.seen(&["start", "Killing", "TERM", "KILL"]),
        [
            (0, "start c/0"),
            (2001, "Killing: Container c failed startup probe, will be restarted"),
            (2001, "TERM c"),
            (2001, "start c/1")
        ]
    );
}

#[test]
fn liveness_failure_restarts_within_the_grace_period_of_the_probe() {
    let container = json!({"livenessProbe": probe(json!({"failureThreshold": 2, "terminationGracePeriodSeconds": 4}))});
    let mut lab = Lab::new(pod(container, json!({}))).probes(|_, now| if now < 3000 { OK } else { bad() });
    lab.on_term = None;
    lab.run(8_500);
    assert_eq!(
        lab.seen(&["start", "Killing", "TERM", "KILL", "!BackOff"]),
        [
            (0, "start c/0"),
            (4001, "Killing: Container c failed liveness probe, will be restarted"),
            (4001, "TERM c"),
            (8001, "KILL c"),
            (8001, "start c/1"),
        ]
    );
    let last = json!({"exitCode": 137, "reason": "Error", "containerID": "sandbox://u-c-0",
        "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "1970-01-01T00:00:08Z"});
    assert_eq!(lab.container()["lastState"]["terminated"], last);
    // The new container begins with a clean record; the next failure is already held back.
    lab.run(20_000);
    assert_eq!(lab.seen(&["!BackOff"]), [(13_002, "!BackOff: Back-off restarting failed container c in pod p_n(u)")]);
}

#[test]
fn liveness_failure_of_a_pod_that_never_restarts_ends_it() {
    let container = json!({"livenessProbe": probe(json!({"failureThreshold": 1}))});
    let mut lab = Lab::new(pod(container, json!({"restartPolicy": "Never"}))).probes(|_, _| bad());
    lab.on_term = Some((0, Exit::Signal(15)));
    lab.run(1_000);
    assert_eq!(lab.seen(&["Killing"]), [(1, "Killing: Container c failed liveness probe")]);
    assert_eq!((&lab.status()["phase"], &lab.container()["restartCount"]), (&json!("Failed"), &json!(0)));
}

#[test]
fn a_probe_that_cannot_be_run_changes_nothing() {
    let results = |_, now: i64| if now < 1000 { OK } else { ProbeResult::Error("no such handler".into()) };
    let mut lab = Lab::new(readiness(json!({}))).probes(results);
    lab.run(9_500);
    assert_eq!(lab.condition("Ready"), [(0, false), (1, true)]);
    assert_eq!(
        lab.seen(&["!Unhealthy"])[0],
        (1001, "!Unhealthy: Readiness probe errored and resulted in unknown state: no such handler")
    );
}

#[test]
fn the_answer_to_a_probe_of_an_earlier_run_is_ignored() {
    let mut lab = Lab::new(readiness(json!({})));
    lab = lab.starts(|_, attempt| if attempt == 0 { Start::RunsFor(1500, Exit::Code(1)) } else { Start::Runs });
    lab = lab.probes(|_, now| if now < 1500 { OK } else { bad() });
    lab.probe_takes = 700;
    lab.run(5_000);
    assert_eq!(lab.condition("Ready"), [(0, false), (700, true), (1500, false)]);
}

#[test]
fn probes_wait_for_the_post_start_hook() {
    let container = json!({"readinessProbe": probe(json!({})), "lifecycle": {"postStart": {"sleep": {"seconds": 3}}}});
    let mut lab = Lab::new(pod(container, json!({})));
    lab.run(3_500);
    assert_eq!(lab.seen(&["probe"]), [(3000, "probe readiness")]);
    assert_eq!(lab.states(), [(0, "waiting ContainerCreating".to_owned()), (3000, "running".to_owned())]);
}

use super::*;

const CRASH: Start = Start::RunsFor(1000, Exit::Code(1));

#[test]
fn a_crash_loop_restarts_at_once_and_then_after_ten_seconds_doubling_to_five_minutes() {
    let mut lab = Lab::new(pod(json!({}), json!({}))).starts(|_, _| CRASH);
    lab.run(1_000_000);
    let starts: Vec<i64> = lab.seen(&["start"]).iter().map(|(ms, _)| ms / 1000).collect();
    // One second of life each, then 0, 10, 20, 40, 80, 160, 300, 300 s of waiting.
    assert_eq!(starts, [0, 1, 12, 33, 74, 155, 316, 617, 918]);
}

#[test]
fn a_crash_looping_container_is_shown_as_the_kubelet_shows_it() {
    let mut lab = Lab::new(pod(json!({}), json!({}))).starts(|_, _| CRASH);
    lab.run(5_000);
    assert_eq!(
        lab.states(),
        [
            (0, "waiting ContainerCreating"),
            (0, "running"),
            (1000, "terminated Error"),
            (1000, "running"),
            (2000, "waiting CrashLoopBackOff"),
        ]
        .map(|(t, s)| (t, s.to_owned()))
    );
    let expected = json!({
        "name": "c", "image": "web:1", "imageID": "sandbox://web:1", "containerID": "sandbox://u-c-1",
        "ready": false, "started": false, "restartCount": 1,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container=c pod=p_n(u)"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "containerID": "sandbox://u-c-1",
            "startedAt": "1970-01-01T00:00:01Z", "finishedAt": "1970-01-01T00:00:02Z"}},
    });
    assert_eq!(lab.container(), &expected);
    assert_eq!(lab.status()["phase"], "Running");
    assert_eq!(lab.seen(&["!BackOff"]), [(2000, "!BackOff: Back-off restarting failed container c in pod p_n(u)")]);
}

#[test]
fn ten_quiet_minutes_end_the_back_off() {
    let life = |_: &str, attempt| if attempt < 2 { CRASH } else { Start::RunsFor(601_000, Exit::Code(1)) };
    let mut lab = Lab::new(pod(json!({}), json!({}))).starts(life);
    lab.run(700_000);
    let starts: Vec<i64> = lab.seen(&["start"]).iter().map(|(ms, _)| ms / 1000).collect();
    assert_eq!(starts, [0, 1, 12, 613]);
}

#[test]
fn a_shorter_back_off_can_be_asked_for() {
    let object = pod(json!({}), json!({}));
    let mut lab = Lab::new(object.clone()).starts(|_, _| CRASH);
    let mut settings = Settings::new(Ipv4Addr::LOCALHOST);
    settings.backoff.base = TimeDelta::milliseconds(500);
    let plan = PodPlan::read(&object).unwrap();
    lab.machine = Machine::new(Arc::new(object), plan, Ipv4Addr::LOCALHOST, settings, at(0));
    lab.run(10_000);
    let starts: Vec<i64> = lab.seen(&["start"]).iter().map(|(ms, _)| *ms).collect();
    assert_eq!(starts, [0, 1000, 2500, 4500, 7500]);
}

#[test]
fn the_restart_policy_decides_what_follows_an_exit() {
    let end = |policy: &str, code| {
        let mut lab = Lab::new(pod(json!({}), json!({"restartPolicy": policy})));
        lab = lab.starts(move |_, attempt| if attempt == 0 { Start::RunsFor(10, Exit::Code(code)) } else { Start::Runs });
        lab.run(100);
        let state = lab.states().pop().unwrap().1;
        (lab.status()["phase"].as_str().unwrap().to_owned(), lab.container()["restartCount"].as_i64().unwrap(), state)
    };
    let expect = |phase: &str, restarts, state: &str| (phase.to_owned(), restarts, state.to_owned());
    assert_eq!(end("Always", 0), expect("Running", 1, "running"));
    assert_eq!(end("Always", 1), expect("Running", 1, "running"));
    assert_eq!(end("OnFailure", 1), expect("Running", 1, "running"));
    assert_eq!(end("OnFailure", 0), expect("Succeeded", 0, "terminated Completed"));
    assert_eq!(end("Never", 0), expect("Succeeded", 0, "terminated Completed"));
    assert_eq!(end("Never", 1), expect("Failed", 0, "terminated Error"));
}

#[test]
fn exit_codes_count_signals_and_memory_as_a_container_runtime_does() {
    let ended = |exit: Exit| {
        let mut lab = Lab::new(pod(json!({}), json!({"restartPolicy": "Never"})));
        lab = lab.starts(move |_, _| Start::RunsFor(10, exit));
        lab.run(100);
        let state = &lab.container()["state"]["terminated"];
        (state["exitCode"].as_i64().unwrap(), state["reason"].as_str().unwrap().to_owned())
    };
    let all = [Exit::Code(0), Exit::Code(3), Exit::Signal(15), Exit::Signal(9), Exit::OutOfMemory].map(ended);
    let expected = [(0, "Completed"), (3, "Error"), (143, "Error"), (137, "Error"), (137, "OOMKilled")];
    assert_eq!(all, expected.map(|(c, r)| (c, r.to_owned())));
}

#[test]
fn an_unknown_image_is_pulled_again_with_back_off_until_it_is_there() {
    let mut lab = Lab::new(pod(json!({}), json!({})));
    lab.pull = Pull::Unknown;
    lab.run(33_000);
    let error = "rpc error: code = NotFound desc = failed to pull and unpack image \"web:1\": \
                 failed to resolve reference \"web:1\": web:1: not found";
    let expected = json!({"waiting": {"reason": "ImagePullBackOff", "message": format!("Back-off pulling image \"web:1\": ErrImagePull: {error}")}});
    assert_eq!(lab.container()["state"], expected);
    assert_eq!(lab.status()["phase"], "Pending");
    assert_eq!(
        lab.states().into_iter().map(|(ms, s)| (ms / 1000, s)).collect::<Vec<_>>(),
        [
            (0, "waiting ContainerCreating"),
            (0, "waiting ErrImagePull"),
            (2, "waiting ImagePullBackOff"),
            (10, "waiting ErrImagePull"),
            (12, "waiting ImagePullBackOff"),
            (30, "waiting ErrImagePull"),
            (32, "waiting ImagePullBackOff"),
        ]
        .map(|(t, s)| (t, s.to_owned()))
    );
    let failed = format!("!Failed: Failed to pull image \"web:1\": {error}");
    assert_eq!(
        lab.seen(&["Pulling", "!Failed", "BackOff"])[..5],
        [
            (0, "Pulling: Pulling image \"web:1\""),
            (0, failed.as_str()),
            (0, "!Failed: Error: ErrImagePull"),
            (2000, "BackOff: Back-off pulling image \"web:1\""),
            (2000, "!Failed: Error: ImagePullBackOff"),
        ]
    );
    lab.pull = Pull::Available;
    lab.run(80_000);
    assert_eq!(lab.seen(&["start"]), [(70_000, "start c/0")]);
    assert_eq!((&lab.container()["restartCount"], &lab.status()["phase"]), (&json!(0), &json!("Running")));
}

#[test]
fn the_pull_policy_decides_whether_the_registry_is_asked() {
    let told = |policy: &str, pull| {
        let mut lab = Lab::new(pod(json!({"imagePullPolicy": policy}), json!({})));
        lab.pull = pull;
        lab.run(100);
        lab.seen(&["Pull", "!ErrImageNeverPull"]).iter().map(|(_, l)| l.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told("Always", Pull::Present), ["Pulling:", "Pulled:"]);
    assert_eq!(told("IfNotPresent", Pull::Present), ["Pulled:"]);
    assert_eq!(told("IfNotPresent", Pull::Available), ["Pulling:", "Pulled:"]);
    assert_eq!(told("Never", Pull::Available), ["Pulled:"]);
    assert_eq!(told("Never", Pull::Unknown), ["!ErrImageNeverPull:"]);
}

#[test]
fn missing_configuration_is_tried_again_every_ten_seconds_and_is_no_restart() {
    let missing = || Start::Fails(StartError::Config("configmap \"x\" not found".into()));
    let mut lab = Lab::new(pod(json!({}), json!({})));
    lab.run(0);
    assert_eq!(lab.seen(&["start"]).len(), 1);
    let mut lab = Lab::new(pod(json!({}), json!({}))).starts(move |_, _| missing());
    lab.run(25_000);
    assert_eq!(lab.seen(&["start"]), [(0, "start c/0"), (10_000, "start c/0"), (20_000, "start c/0")]);
    assert_eq!(lab.seen(&["!Failed"])[0], (0, "!Failed: Error: configmap \"x\" not found"));
    let expected = json!({"waiting": {"reason": "CreateContainerConfigError", "message": "configmap \"x\" not found"}});
    assert_eq!((&lab.container()["state"], &lab.container()["restartCount"]), (&expected, &json!(0)));
    lab = lab.starts(|_, _| Start::Runs);
    lab.run(31_000);
    assert_eq!(lab.container()["state"], json!({"running": {"startedAt": "1970-01-01T00:00:30Z"}}));
}

#[test]
fn a_program_that_cannot_be_executed_is_a_start_error_and_then_a_crash_loop() {
    let error = || Start::Fails(StartError::Exec("exec: \"/nope\": stat /nope: no such file or directory".into()));
    let mut lab = Lab::new(pod(json!({}), json!({}))).starts(move |_, _| error());
    lab.run(0);
    assert_eq!(lab.seen(&["start"]), [(0, "start c/0"), (0, "start c/1")]);
    assert_eq!(
        lab.states().iter().map(|(_, s)| s.as_str()).collect::<Vec<_>>(),
        ["waiting ContainerCreating", "waiting RunContainerError", "waiting CrashLoopBackOff"]
    );
    let last = &lab.container()["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(128), &json!("StartError")));
    assert!(last["message"].as_str().unwrap().ends_with("exec: \"/nope\": stat /nope: no such file or directory"), "{last}");
    lab.run(10_000);
    assert_eq!(lab.seen(&["start"]).last(), Some(&(10_000, "start c/2")));
}

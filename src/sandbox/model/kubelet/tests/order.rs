use super::*;

fn several(init: &[Value], apps: &[&str], spec: Value) -> Value {
    let mut object = pod(json!({}), json!({}));
    object["spec"]["initContainers"] = init.to_vec().into();
    object["spec"]["containers"] = apps.iter().map(|name| json!({"name": name, "image": "web:1"})).collect();
    json_patch::merge(&mut object["spec"], &spec);
    object
}

fn init(name: &str) -> Value {
    json!({"name": name, "image": "web:1"})
}

fn sidecar(name: &str) -> Value {
    json!({"name": name, "image": "web:1", "restartPolicy": "Always"})
}

#[test]
fn init_containers_run_to_completion_one_after_the_other() {
    let mut lab = Lab::new(several(&[init("a"), init("b")], &["x", "y"], json!({})));
    lab = lab.starts(|name, _| if name < "x" { Start::RunsFor(1000, Exit::Code(0)) } else { Start::Runs });
    lab.run(500);
    assert_eq!(lab.container()["state"], json!({"waiting": {"reason": "PodInitializing"}}));
    let condition = lab.status()["conditions"][1].clone();
    assert_eq!(
        (&condition["reason"], &condition["message"]),
        (&json!("ContainersNotInitialized"), &json!("containers with incomplete status: [a b]"))
    );
    lab.run(5_000);
    assert_eq!(lab.seen(&["start"]), [(0, "start a/0"), (1000, "start b/0"), (2000, "start x/0"), (2000, "start y/0")]);
    assert_eq!(lab.condition("Initialized"), [(0, false), (2000, true)]);
    assert_eq!(lab.status()["initContainerStatuses"][0]["ready"], true);
}

#[test]
fn a_failing_init_container_is_tried_again_with_back_off() {
    let mut lab = Lab::new(several(&[init("a")], &["x"], json!({})));
    lab = lab.starts(|name, attempt| match (name, attempt) {
        ("a", 0..=2) => Start::RunsFor(1000, Exit::Code(1)),
        ("a", _) => Start::RunsFor(1000, Exit::Code(0)),
        _ => Start::Runs,
    });
    lab.run(60_000);
    assert_eq!(
        lab.seen(&["start"]),
        [(0, "start a/0"), (1000, "start a/1"), (12_000, "start a/2"), (33_000, "start a/3"), (34_000, "start x/0")]
    );
    assert_eq!(lab.status()["initContainerStatuses"][0]["restartCount"], 3);
}

#[test]
fn a_failed_init_container_of_a_pod_that_never_restarts_fails_the_pod() {
    let mut lab = Lab::new(several(&[init("a")], &["x"], json!({"restartPolicy": "Never"})));
    lab = lab.starts(|_, _| Start::RunsFor(1000, Exit::Code(1)));
    lab.run(60_000);
    assert_eq!((lab.seen(&["start"]), &lab.status()["phase"]), (vec![(0, "start a/0")], &json!("Failed")));
}

#[test]
fn one_container_with_a_bad_image_does_not_hold_up_the_others() {
    let mut object = several(&[], &["x", "y"], json!({}));
    object["spec"]["containers"][0]["imagePullPolicy"] = "Never".into();
    let mut lab = Lab::new(object);
    lab.pull = Pull::Unknown;
    lab.run(0);
    lab.pull = Pull::Available;
    lab.run(3_000);
    assert_eq!(lab.seen(&["start"]), []);
    lab.run(10_000);
    assert_eq!(lab.seen(&["start"]), [(10_000, "start x/0"), (10_000, "start y/0")]);
}

#[test]
fn containers_wait_for_the_post_start_hook_of_the_one_before() {
    let mut object = several(&[], &["x", "y"], json!({}));
    object["spec"]["containers"][0]["lifecycle"] = json!({"postStart": {"sleep": {"seconds": 2}}});
    let mut lab = Lab::new(object);
    lab.run(3_000);
    assert_eq!(lab.seen(&["start"]), [(0, "start x/0"), (2000, "start y/0")]);
}

#[test]
fn a_sidecar_starts_in_its_turn_is_restarted_and_ends_last() {
    let startup = json!({"tcpSocket": {"port": 1}, "periodSeconds": 1});
    let mut first = sidecar("s");
    first["startupProbe"] = startup;
    let mut lab = Lab::new(several(&[first, sidecar("t"), init("i")], &["x"], json!({})));
    lab = lab.starts(|name, attempt| match (name, attempt) {
        ("i", _) => Start::RunsFor(500, Exit::Code(0)),
        ("t", 0) => Start::RunsFor(4000, Exit::Code(1)),
        _ => Start::Runs,
    });
    lab = lab.probes(|_, now| if now < 1500 { ProbeResult::Failure("refused".into()) } else { ProbeResult::Success });
    lab.on_term = Some((1000, Exit::Code(0)));
    lab.run(10_000);
    assert_eq!(
        lab.seen(&["start"]),
        [(0, "start s/0"), (2001, "start t/0"), (2001, "start i/0"), (2501, "start x/0"), (6001, "start t/1")]
    );
    assert_eq!(lab.condition("Ready"), [(0, false), (2501, true), (6001, false), (6001, true)]);
    lab.delete(30).run(20_000);
    assert_eq!(
        lab.seen(&["TERM", "KILL", "release"]),
        [(10_000, "TERM x"), (11_000, "TERM t"), (12_000, "TERM s"), (13_000, "release")]
    );
}

#[test]
fn sidecars_are_stopped_when_the_work_of_the_pod_is_done() {
    let mut lab = Lab::new(several(&[sidecar("s")], &["x"], json!({"restartPolicy": "Never"})));
    lab = lab.starts(|name, _| if name == "x" { Start::RunsFor(1000, Exit::Code(0)) } else { Start::Runs });
    lab.on_term = Some((200, Exit::Signal(15)));
    lab.run(10_000);
    assert_eq!(lab.seen(&["start", "TERM", "release"]), [(0, "start s/0"), (0, "start x/0"), (1000, "TERM s"), (1200, "release")]);
    assert_eq!(lab.status()["phase"], "Succeeded");
}

#[test]
fn sidecars_that_outwait_their_turn_share_what_is_left_of_the_grace_period() {
    let mut lab = Lab::new(several(&[sidecar("s")], &["x"], json!({})));
    lab.on_term = None;
    lab.run(0).delete(5).run(20_000);
    assert_eq!(lab.seen(&["TERM", "KILL"]), [(0, "TERM x"), (5000, "TERM s"), (5000, "KILL x"), (7000, "KILL s")]);
}

#[test]
fn containers_of_a_deleted_pod_end_together() {
    let mut lab = Lab::new(several(&[], &["x", "y"], json!({})));
    lab.on_term = Some((300, Exit::Code(0)));
    lab.run(1_000).delete(30).run(5_000);
    assert_eq!(lab.seen(&["TERM", "release"]), [(1000, "TERM x"), (1000, "TERM y"), (1300, "release")]);
}

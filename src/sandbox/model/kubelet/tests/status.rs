use super::*;

#[test]
fn the_status_of_a_running_pod_is_complete() {
    let mut lab = Lab::new(pod(json!({}), json!({})));
    lab.run(2_000);
    let condition =
        |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z", "observedGeneration": 1});
    let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    let expected = json!({
        "phase": "Running",
        "conditions": conditions,
        "hostIP": "127.16.0.1", "hostIPs": [{"ip": "127.16.0.1"}],
        "podIP": "127.16.1.1", "podIPs": [{"ip": "127.16.1.1"}],
        "startTime": "1970-01-01T00:00:00Z",
        "qosClass": "BestEffort",
        "observedGeneration": 1,
        "containerStatuses": [{
            "name": "c", "image": "web:1", "imageID": "sandbox://web:1", "containerID": "sandbox://u-c-0",
            "ready": true, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": "1970-01-01T00:00:00Z"}}, "lastState": {},
        }],
    });
    assert_eq!(lab.status(), &expected);
    // Two writes: created, running. Nothing is written again when nothing has changed.
    assert_eq!(lab.statuses.len(), 2);
}

#[test]
fn an_unready_container_is_named_in_the_conditions() {
    let container = json!({"readinessProbe": {"tcpSocket": {"port": 1}}});
    let mut lab = Lab::new(pod(container, json!({}))).probes(|_, _| ProbeResult::Failure("refused".into()));
    lab.run(2_000);
    let unready = |kind: &str| {
        json!({"type": kind, "status": "False", "lastTransitionTime": "1970-01-01T00:00:00Z", "observedGeneration": 1,
            "reason": "ContainersNotReady", "message": "containers with unready status: [c]"})
    };
    let conditions = lab.status()["conditions"].as_array().unwrap();
    assert_eq!(conditions[2..4], [unready("Ready"), unready("ContainersReady")]);
}

#[test]
fn a_readiness_gate_holds_back_ready_until_its_condition_is_true() {
    let gate = "verifier.dev/verified";
    let mut lab = Lab::new(pod(json!({}), json!({"readinessGates": [{"conditionType": gate}]})));
    lab.run(2_000);
    assert_eq!((lab.condition("ContainersReady"), lab.condition("Ready")), (vec![(0, false), (0, true)], vec![(0, false)]));
    let ready = |lab: &Lab| {
        let found = lab.status()["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap().clone();
        (found["reason"].as_str().unwrap_or_default().to_owned(), found["message"].as_str().unwrap_or_default().to_owned())
    };
    let missing = format!("corresponding condition of pod readiness gate \"{gate}\" does not exist.");
    assert_eq!(ready(&lab), ("ReadinessGatesNotReady".into(), missing));

    let set = |lab: &mut Lab, status: &str, until| {
        let mut conditions = lab.status()["conditions"].as_array().unwrap().clone();
        conditions.retain(|c| c["type"] != gate);
        conditions.push(json!({"type": gate, "status": status, "lastTransitionTime": "1970-01-01T00:00:02Z"}));
        lab.change(&json!({"status": {"conditions": conditions}})).run(until);
    };
    set(&mut lab, "False", 3_000);
    let refused = format!("the status of pod readiness gate \"{gate}\" is not \"True\", but False");
    assert_eq!(ready(&lab), ("ReadinessGatesNotReady".into(), refused));
    set(&mut lab, "True", 4_000);
    assert_eq!(lab.condition("Ready"), [(0, false), (3000, true)]);
    let kept = lab.status()["conditions"].as_array().unwrap().iter().any(|c| c["type"] == gate && c["status"] == "True");
    assert!(kept, "the condition of the gate is carried along: {}", lab.status());
}

#[test]
fn a_status_write_that_met_a_newer_object_is_made_again_over_that_one() {
    let container = json!({"readinessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 1}});
    let mut lab = Lab::new(pod(container, json!({})))
        .probes(|_, now| if now < 2000 { ProbeResult::Failure("refused".into()) } else { ProbeResult::Success });
    lab.run(1_500);
    // Somebody writes a condition, and the kubelet hears of it only after it has tried to write its own.
    let mut conditions = lab.status()["conditions"].as_array().unwrap().clone();
    conditions.push(json!({"type": "example.com/x", "status": "True"}));
    json_patch::merge(&mut lab.pod, &json!({"metadata": {"resourceVersion": "900"}, "status": {"conditions": conditions}}));
    lab.version = 900;
    lab.later(1000, Input::Changed(Arc::new(lab.pod.clone())));
    lab.run(5_000);
    let types: Vec<_> = lab.status()["conditions"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(types[0], "example.com/x");
    assert_eq!(lab.status()["conditions"][3]["status"], "True");
}

#[test]
fn containers_are_listed_by_name() {
    let mut object = pod(json!({}), json!({}));
    object["spec"]["containers"] = json!([{"name": "z", "image": "web:1"}, {"name": "a", "image": "web:1"}]);
    let mut lab = Lab::new(object);
    lab.run(10);
    let names: Vec<_> = lab.status()["containerStatuses"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, ["a", "z"]);
}

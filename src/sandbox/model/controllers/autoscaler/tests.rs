//! What autoscalers make of what pods use.
#![expect(clippy::needless_pass_by_value, reason = "calls of fixtures read better")]

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::replicas::{Metric, Resource, Target};
use super::{Memory, PodMetrics, metrics::Usage, step};
use crate::sandbox::model::controllers::testing::*;
use crate::sandbox::model::controllers::view::View;
use crate::sandbox::model::object::{Now, resource, time};
use crate::sandbox::model::virtual_cluster::VirtualCluster;
use crate::sandbox::model::write::{Step, Write};

/// A pod that started and got ready `age` seconds ago and requests 100m.
fn pod(name: &str, age: i64, patch: Value) -> Value {
    let since = time(start() - seconds(age));
    let mut pod = json!({
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}}}]},
        "status": {"phase": "Running", "startTime": since, "conditions": [{"type": "Ready", "status": "True",
            "lastTransitionTime": since}]},
    });
    json_patch::merge(&mut pod, &patch);
    pod
}

fn usage(cpu_millis: i64) -> Usage {
    Usage { cpu_millis, memory: 50 << 20, at: start() - seconds(5), window: seconds(30) }
}

fn measured(uses: &[(&str, i64)]) -> PodMetrics {
    let mut metrics = PodMetrics::default();
    for (pod, cpu) in uses {
        metrics.insert(NAMESPACE, *pod, usage(*cpu));
    }
    metrics
}

fn view(pods: Vec<Value>) -> View {
    pods.into_iter().fold(Objects::default(), |o, pod| o.with(resource::PODS, pod)).view()
}

const CPU_AT_50_PERCENT: Metric<'static> = Metric { resource: Resource::Cpu, target: Target::Utilization(50), container: None };

fn propose(metric: Metric<'_>, current: i64, pods: Vec<Value>, uses: &[(&str, i64)]) -> Result<i64, String> {
    let view = view(pods);
    let pods: Vec<_> = view.pods.all().iter().collect();
    metric.propose(current, &pods, &measured(uses), start()).map(|p| p.replicas)
}

#[test]
fn replicas_follow_utilization_outside_the_tolerance() {
    let pods = || vec![pod("a", 900, json!({})), pod("b", 900, json!({}))];
    let at = |a, b| propose(CPU_AT_50_PERCENT, 2, pods(), &[("a", a), ("b", b)]).unwrap();
    // 50 % is wanted: within a tenth of it nothing happens.
    assert_eq!([at(50, 50), at(55, 55), at(45, 45), at(56, 56), at(44, 44), at(100, 100), at(10, 10)], [2, 2, 2, 3, 2, 4, 1]);
}

#[test]
fn average_values_and_memory_count_too() {
    let pods = || vec![pod("a", 900, json!({})), pod("b", 900, json!({}))];
    let uses = [("a", 90), ("b", 110)];
    let metric = |resource, target| propose(Metric { resource, target, container: None }, 2, pods(), &uses);
    assert_eq!(metric(Resource::Cpu, Target::AverageValue(50)), Ok(4));
    assert_eq!(metric(Resource::Memory, Target::AverageValue((25 << 20) * 1000)), Ok(4));
    assert_eq!(metric(Resource::Memory, Target::Utilization(25)), Ok(4));
}

#[test]
fn unready_pods_dampen_growth_and_are_not_believed() {
    let young = json!({"status": {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": time(start())}]}});
    let pods = |young: &Value| vec![pod("a", 900, json!({})), pod("b", 900, json!({})), pod("c", 20, young.clone())];
    let uses = [("a", 100), ("b", 100), ("c", 900)];
    // Of two at 200 % would come four; the third, taken to use nothing, makes it (2 x 100 / 3) / 50 = 1.33 of three.
    assert_eq!(propose(CPU_AT_50_PERCENT, 3, pods(&young), &uses), Ok(4));
    // Lately ready: the window reaches back before that.
    let lately =
        json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": time(start() - seconds(20))}]}});
    assert_eq!(propose(CPU_AT_50_PERCENT, 3, pods(&lately), &uses), Ok(4));
    let pending = json!({"status": {"phase": "Pending"}});
    assert_eq!(propose(CPU_AT_50_PERCENT, 3, pods(&pending), &[("a", 100), ("b", 100)]), Ok(4));
}

#[test]
fn unmeasured_pods_are_taken_for_whatever_changes_least() {
    let pods = || vec![pod("a", 900, json!({})), pod("b", 900, json!({})), pod("c", 900, json!({}))];
    // Much used elsewhere: the third uses nothing, (100 + 100) / 3 is 66 % of 50 %.
    assert_eq!(propose(CPU_AT_50_PERCENT, 3, pods(), &[("a", 100), ("b", 100)]), Ok(4));
    // Little used elsewhere: it uses all it requests, and the direction does not turn.
    assert_eq!(propose(CPU_AT_50_PERCENT, 3, pods(), &[("a", 10), ("b", 10)]), Ok(3));
    assert_eq!(propose(CPU_AT_50_PERCENT, 3, pods(), &[("a", 0), ("b", 0)]), Ok(2));
    // A guess may stop a change but never turn it round: with two guessed at 100 % it would be 80 % of 50 %.
    assert_eq!(propose(CPU_AT_50_PERCENT, 3, pods(), &[("a", 40)]), Ok(3));
}

#[test]
fn deleted_and_failed_pods_are_ignored_and_surge_pods_are_not() {
    let pods = vec![
        pod("a", 900, json!({})),
        pod("gone", 900, json!({"metadata": {"deletionTimestamp": time(start())}})),
        pod("failed", 900, json!({"status": {"phase": "Failed"}})),
    ];
    assert_eq!(propose(CPU_AT_50_PERCENT, 1, pods, &[("a", 50), ("gone", 500), ("failed", 500)]), Ok(1));
    // Five pods of four, in the middle of a rollout, each at 80 %.
    let pods: Vec<Value> = ["a", "b", "c", "d", "e"].iter().map(|name| pod(name, 900, json!({}))).collect();
    assert_eq!(propose(CPU_AT_50_PERCENT, 4, pods, &[("a", 80), ("b", 80), ("c", 80), ("d", 80), ("e", 80)]), Ok(8));
}

#[test]
fn what_cannot_be_computed_says_why() {
    let no_request = json!({"spec": {"containers": [{"name": "web"}]}});
    let errors = [
        propose(CPU_AT_50_PERCENT, 1, vec![], &[]),
        propose(CPU_AT_50_PERCENT, 1, vec![pod("a", 900, json!({}))], &[]),
        propose(CPU_AT_50_PERCENT, 1, vec![pod("a", 900, json!({"status": {"phase": "Pending"}}))], &[("a", 5)]),
        propose(CPU_AT_50_PERCENT, 1, vec![pod("a", 900, no_request)], &[("a", 5)]),
    ];
    let want = [
        "no pods returned by selector while calculating replica count",
        "unable to get metrics for resource cpu: no metrics returned from resource metrics API",
        "did not receive metrics for targeted pods (pods might be unready)",
        "missing request for cpu in container web of Pod a",
    ];
    assert_eq!(errors, want.map(|e| Err(e.to_owned())));
}

fn autoscaler(spec: Value) -> Value {
    let mut autoscaler = json!({
        "metadata": {"name": "hpa", "namespace": NAMESPACE, "uid": "hpa"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 10,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization",
                "averageUtilization": 50}}}],
        },
    });
    json_patch::merge(&mut autoscaler["spec"], &spec);
    autoscaler
}

/// One evaluation of an autoscaler over a Deployment of `replicas`.
fn evaluate(autoscaler: Value, replicas: i64, pods: Vec<Value>, uses: &[(&str, i64)]) -> Step {
    let objects = pods.into_iter().fold(Objects::default(), |o, pod| o.with(resource::PODS, pod));
    let objects = objects.with(resource::DEPLOYMENTS, deployment(replicas, "a", json!({})));
    let view = objects.with(resource::HORIZONTAL_POD_AUTOSCALERS, autoscaler).view();
    let (mut memory, metrics) = (Memory::default(), measured(uses));
    let early = step(&view, &mut memory, &|| panic!("not due yet"), start() - seconds(15));
    assert_eq!((early.writes, early.wake), (vec![], Some(start())));
    step(&view, &mut memory, &|| metrics.clone(), start())
}

fn status(step: &Step) -> &Value {
    let status =
        step.writes.iter().find_map(|w| if let Write::PatchStatus { patch, .. } = w { Some(&patch["status"]) } else { None });
    status.unwrap_or_else(|| panic!("{:#?}", step.writes))
}

/// Type, status and reason of each condition.
fn conditions(step: &Step) -> Vec<[String; 3]> {
    let conditions = status(step)["conditions"].as_array().unwrap();
    conditions.iter().map(|c| ["type", "status", "reason"].map(|f| c[f].as_str().unwrap_or_default().to_owned())).collect()
}

#[test]
fn a_rescale_patches_the_deployment_and_says_so() {
    let step = evaluate(autoscaler(json!({})), 1, vec![pod("a", 900, json!({}))], &[("a", 150)]);
    let [Write::Patch { patch, key, .. }, Write::Event { reason, message, .. }, Write::PatchStatus { .. }] = &step.writes[..]
    else {
        panic!("{:#?}", step.writes)
    };
    assert_eq!((key.name.as_str(), patch), ("web", &json!({"spec": {"replicas": 3}})));
    assert_eq!(
        (*reason, message.as_str()),
        ("SuccessfulRescale", "New size: 3; reason: cpu resource utilization (percentage of request) above target")
    );
    let current =
        json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 150, "averageValue": "150m"}}}]);
    let status = status(&step);
    let got = ["currentReplicas", "desiredReplicas", "lastScaleTime", "currentMetrics"].map(|f| &status[f]);
    assert_eq!(got, [&json!(1), &json!(3), &time(start()), &current]);
    let want = [
        ["AbleToScale", "True", "SucceededRescale"],
        ["ScalingActive", "True", "ValidMetricFound"],
        ["ScalingLimited", "False", "DesiredWithinRange"],
    ];
    assert_eq!(conditions(&step), want);
}

#[test]
fn limits_hold_and_are_reported() {
    let pods = |n: usize| (0..n).map(|i| pod(&format!("p{i}"), 900, json!({}))).collect::<Vec<_>>();
    let above = evaluate(autoscaler(json!({"maxReplicas": 4})), 2, pods(2), &[("p0", 300), ("p1", 300)]);
    assert_eq!(conditions(&above)[2], ["ScalingLimited", "True", "TooManyReplicas"]);
    assert_eq!(status(&above)["desiredReplicas"], 4);
    let too_many = evaluate(autoscaler(json!({"maxReplicas": 4})), 6, pods(6), &[]);
    let said =
        too_many.writes.iter().find_map(|w| if let Write::Event { message, .. } = w { Some(message.as_str()) } else { None });
    assert_eq!(said, Some("New size: 4; reason: Current number of replicas above Spec.MaxReplicas"));
    let too_few = evaluate(autoscaler(json!({"minReplicas": 3})), 1, pods(1), &[]);
    assert_eq!(status(&too_few)["desiredReplicas"], 3);
}

#[test]
fn what_is_scaled_to_zero_or_missing_is_not_touched() {
    let zero = evaluate(autoscaler(json!({})), 0, vec![], &[]);
    assert_eq!(conditions(&zero)[1], ["ScalingActive", "False", "ScalingDisabled"]);
    let lost = evaluate(autoscaler(json!({"scaleTargetRef": {"name": "absent"}})), 1, vec![], &[]);
    assert_eq!(conditions(&lost), [["AbleToScale", "False", "FailedGetScale"]]);
    assert!(
        lost.writes.iter().any(|w| matches!(w, Write::Event { message, .. } if message == "deployments.apps \"absent\" not found"))
    );
    for step in [zero, lost] {
        assert!(!step.writes.iter().any(|w| matches!(w, Write::Patch { .. })));
    }
}

#[test]
fn a_metric_that_fails_stops_shrinking_but_not_growing() {
    let metrics = json!({"metrics": [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 50}}},
        {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"averageValue": "10"}}},
    ]});
    let pods = || vec![pod("a", 900, json!({})), pod("b", 900, json!({}))];
    let grow = evaluate(autoscaler(metrics.clone()), 2, pods(), &[("a", 100), ("b", 100)]);
    assert_eq!(status(&grow)["desiredReplicas"], 4);
    let shrink = evaluate(autoscaler(metrics), 2, pods(), &[("a", 1), ("b", 1)]);
    assert_eq!(conditions(&shrink)[1], ["ScalingActive", "False", "FailedGetPodsMetric"]);
    assert!(!shrink.writes.iter().any(|w| matches!(w, Write::Patch { .. })));
}

#[test]
fn a_container_metric_looks_at_the_requests_of_that_container() {
    let sidecar = json!({"spec": {"containers": [
        {"name": "web", "resources": {"requests": {"cpu": "100m"}}}, {"name": "side", "resources": {"requests": {"cpu": "900m"}}},
    ]}});
    let metric = |container| Metric { container, ..CPU_AT_50_PERCENT };
    let of = |container| propose(metric(container), 1, vec![pod("a", 900, sidecar.clone())], &[("a", 100)]);
    assert_eq!((of(Some("web")), of(None)), (Ok(2), Ok(1)));
}

#[test]
fn load_moves_a_deployment_up_and_down_in_virtual_time() {
    let mut spec = deployment(1, "a", json!({}));
    spec["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m"}});
    let mut cluster = running(|_| QUICK, spec);
    create(&mut cluster, resource::HORIZONTAL_POD_AUTOSCALERS, autoscaler(json!({"maxReplicas": 5})));
    // 300m altogether, shared by whoever is there.
    let load = |cluster: &mut VirtualCluster, total: i64, minutes: i64| -> Vec<i64> {
        let mut sizes = vec![];
        for _ in 0..minutes * 4 {
            let pods = pods(cluster.store());
            cluster.metrics = PodMetrics::default();
            for pod in &pods {
                let share = total / i64::try_from(pods.len()).unwrap();
                let usage = Usage { cpu_millis: share, memory: 0, at: cluster.now(), window: TimeDelta::seconds(10) };
                cluster.metrics.insert(NAMESPACE, crate::sandbox::model::object::name(pod), usage);
            }
            cluster.advance(seconds(15));
            let size = web(cluster)["spec"]["replicas"].as_i64().unwrap();
            if sizes.last() != Some(&size) {
                sizes.push(size);
            }
        }
        sizes
    };
    let begun: Now = cluster.now();
    assert_eq!(load(&mut cluster, 20, 6).last(), Some(&1));
    assert_eq!(load(&mut cluster, 230, 6).last(), Some(&5));
    assert_eq!(load(&mut cluster, 20, 4), [5], "not before five minutes of agreement");
    assert_eq!(load(&mut cluster, 20, 3), [5, 1]);
    assert_eq!(cluster.now() - begun, TimeDelta::minutes(19));
}

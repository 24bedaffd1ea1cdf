//! Many rollouts at once, in one service.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::gate::Cluster;
use super::serve::Service;

const APPS: usize = 50;
/// The latest start of 99 of 100 slots after their time, in microseconds.
const LAG: u64 = 10_000;
/// Longer than fifty rollouts take on two cores.
const PATIENCE: Duration = Duration::from_mins(8);

/// An application of two pods with what leads to it; every second one will go bad.
fn app(n: usize, version: &str, error_ratio: &str) -> [Value; 3] {
    let name = format!("app-{n:02}");
    let meta = json!({"name": name, "namespace": "crowd"});
    let labels = json!({"app": name});
    let probe = json!({"httpGet": {"path": "/readyz", "port": 8000}, "periodSeconds": 2});
    let policy = json!({"path": "/api/todos", "soak": "5s", "probing": {"every": "5s"},
        "lanes": {"fresh": {"rate": 5}, "kept": {"rate": 5}}});
    let container = json!({
        "name": "app", "image": format!("todo/backend:{version}"), "ports": [{"containerPort": 8000}], "readinessProbe": probe,
        "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
        "env": [
            {"name": "PORT", "value": "8000"},
            {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "ERROR_RATIO", "value": error_ratio},
        ],
    });
    let backend = json!({"service": {"name": name, "port": {"number": 80}}});
    let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
    let mut annotated = meta.clone();
    annotated["annotations"] = json!({"verifier.dev/policy": policy.to_string()});
    [
        json!({"apiVersion": "v1", "kind": "Service", "metadata": meta,
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta,
            "spec": {"rules": [{"host": format!("{name}.example"), "http": {"paths": paths}}]}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": annotated, "spec": {
            "replicas": 2, "selector": {"matchLabels": labels}, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 15, "containers": [container]}}}}),
    ]
}

#[test]
#[ignore = "takes minutes, and the machine for itself: VERIFIER_TEST_PROGRAM names a release build"]
#[expect(clippy::print_stdout, reason = "the figures are for people to read")]
fn fifty_rollouts_at_once_are_all_judged_right() {
    let cluster = Cluster::start();
    cluster.install_kinds();
    cluster.create_namespace("crowd");
    let all = |version: &str, bad: &str| -> Vec<Value> {
        (0..APPS).flat_map(|n| app(n, version, if n % 2 == 1 { bad } else { "0" })).collect()
    };
    cluster.apply(&all("v1", "0"));
    let folder = tempfile::tempdir().unwrap();
    let (kubeconfig, recordings) = (cluster.kubeconfig().display().to_string(), folder.path().display().to_string());
    let service = Service::start(&["--kubeconfig", &kubeconfig, "--recordings", &recordings]);
    let start = Instant::now();
    let probed = || service.items("/api/v1/policies").iter().filter(|p| p["run"].is_null() && p["probing"]["last"] == "ok").count();
    while probed() < APPS {
        assert!(start.elapsed() < PATIENCE, "{} of {APPS} are probed", probed());
        std::thread::sleep(Duration::from_millis(500));
    }

    // The first rollouts of all, as far as the service saw them.
    let name = |v: &Value| v["name"].as_str().unwrap().to_owned();
    let first: BTreeSet<String> = service.items("/api/v1/verifications").iter().map(name).collect();
    cluster.apply(&all("v2", "1"));
    let (start, mut most) = (Instant::now(), 0.0);
    let ended = loop {
        let ended: Vec<Value> = service
            .items("/api/v1/verifications")
            .into_iter()
            .filter(|v| v["namespace"] == "crowd" && v["ended"].is_string() && !first.contains(&name(v)))
            .collect();
        if ended.len() >= APPS {
            break ended;
        }
        most = f64::max(most, service.gauge("verifier_runs"));
        assert!(start.elapsed() < PATIENCE, "{} of {APPS} are judged", ended.len());
        std::thread::sleep(Duration::from_millis(500));
    };
    println!("{APPS} rollouts, {most} at once, judged in {:?}", start.elapsed());
    let lags = lags(&recordings);
    let at = |permille: usize| lags[(lags.len() - 1) * permille / 1_000];
    println!("{} slots of these runs, timer lag: p50 {} us, p99 {} us, p99.9 {} us", lags.len(), at(500), at(990), at(999));
    for v in &ended {
        let n: usize = v["deployment"].as_str().unwrap()["app-".len()..].parse().unwrap();
        let wanted = if n % 2 == 1 { "breach" } else { "pass" };
        assert_eq!(v["verdict"], wanted, "{v:#}");
    }
    assert_eq!(ended.len(), APPS);
    assert!(at(990) < LAG, "{} us", at(990));
}

/// The delays of all slots of the runs whose recordings are kept, in microseconds, the smallest first.
fn lags(recordings: &str) -> Vec<u64> {
    let files = std::fs::read_dir(recordings).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let files: Vec<String> = files.collect();
    assert_eq!(files.len(), APPS, "the latest runs are recorded");
    let slices = files.iter().flat_map(|file| file.lines().filter(|line| line.contains(r#""event":"slice""#)));
    // At five slots a second no tenth has two: the latest of a tenth is each.
    let lag = |line: &str| {
        let slice = &serde_json::from_str::<Value>(line).unwrap()["of"];
        (slice["due"] != 0).then(|| slice["lag_max"].as_u64().unwrap_or(0))
    };
    let mut lags: Vec<u64> = slices.filter_map(lag).collect();
    lags.sort_unstable();
    lags
}

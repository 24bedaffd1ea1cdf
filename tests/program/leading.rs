//! Several `verifier serve` on one cluster: one leads, the others pass on what they are asked and take over.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::gate::{Cluster, says};
use super::serve::Service;
use super::{DEADLINE, LOOK, Program};

/// Whoever held the lease and is dead has it for so long, and the next one leads within 5 s thereafter.
const TAKEN_OVER: Duration = Duration::from_secs(15 + 5);
/// A lease that was given up.
const HANDED_OVER: Duration = Duration::from_secs(5);
/// Who could not renew for so long ends.
const RENEW_WITHIN: Duration = Duration::from_secs(10);

/// The lease; nothing before somebody has taken it.
fn lease(cluster: &Cluster) -> Value {
    let all = cluster.get("/apis/coordination.k8s.io/v1/namespaces/default/leases");
    all["items"].as_array().unwrap().iter().find(|lease| lease["metadata"]["name"] == "verifier").cloned().unwrap_or_default()
}

fn serve(cluster: &Cluster) -> Service {
    Service::start(&["--kubeconfig", &cluster.kubeconfig().display().to_string(), "--lease", "default/verifier"])
}

/// Waits until this one leads and knows of all Deployments, and answers with how long that took and what the lease says.
#[track_caller]
fn leads(cluster: &Cluster, service: &Service) -> (Duration, Value) {
    let start = Instant::now();
    while service.ask("/readyz", "anybody").status != 200 {
        assert!(start.elapsed() < DEADLINE, "not ready: {}", service.program.said("stderr"));
        std::thread::sleep(LOOK);
    }
    loop {
        let lease = lease(cluster);
        if lease["metadata"]["annotations"]["verifier.dev/address"] == *service.address {
            return (start.elapsed(), lease["spec"].clone());
        }
        assert!(start.elapsed() < DEADLINE, "{lease:#}\n{}", service.program.said("stderr"));
        std::thread::sleep(LOOK);
    }
}

/// Waits until one that does not lead knows who does.
#[track_caller]
fn stands_by(service: &Service) {
    let start = Instant::now();
    while service.ask("/api/v1/policies", &service.address).status != 200 {
        assert!(start.elapsed() < DEADLINE, "{}", service.program.said("stderr"));
        std::thread::sleep(LOOK);
    }
}

fn bare() -> Cluster {
    let mut program = Program::start(&["sandbox"]);
    program.wait_for("stdout", "ingress     http://127.");
    Cluster::of(program)
}

#[test]
fn one_leads_and_the_next_one_takes_over_whether_it_is_killed_or_told_to_end() {
    let cluster = Cluster::start();
    cluster.install_kinds();
    let policy = json!({"path": "/api/todos", "lanes": {"fresh": {"rate": 5}}});
    cluster.patch(&json!({"metadata": {"annotations": {"verifier.dev/policy": policy.to_string()}}}));

    let first = serve(&cluster);
    let (_, spec) = leads(&cluster, &first);
    assert_eq!((&spec["leaseTransitions"], &spec["leaseDurationSeconds"]), (&json!(0), &json!(15)));
    let second = serve(&cluster);
    stands_by(&second);
    assert_eq!(second.ask("/readyz", "anybody").status, 200, "{}", second.program.said("stderr"));
    // The page and the API are the leader's, metrics and health its own.
    let asked = |service: &Service| service.items("/api/v1/policies");
    first.until("policy", |s| asked(s).pop());
    for policy in [&asked(&first)[0], &asked(&second)[0]] {
        assert_eq!((&policy["namespace"], &policy["deployment"]), (&json!("todo"), &json!("backend")));
    }
    assert_eq!(first.get("/"), second.get("/"));
    assert!(!second.get("/metrics").contains("namespace=\"todo\""), "it does nothing of its own");
    assert_eq!(lease(&cluster)["spec"]["leaseTransitions"], 0);

    kill_process(first.program.pid(), Signal::KILL).unwrap();
    let (took, spec) = leads(&cluster, &second);
    assert!(took < TAKEN_OVER, "{took:?}");
    assert_eq!(spec["leaseTransitions"], 1);
    second.until("policy of its own", |s| asked(s).pop().filter(|_| s.get("/metrics").contains("namespace=\"todo\"")));

    let third = serve(&cluster);
    stands_by(&third);
    kill_process(second.program.pid(), Signal::TERM).unwrap();
    let (took, spec) = leads(&cluster, &third);
    assert!(took < HANDED_OVER, "{took:?}");
    assert_eq!(spec["leaseTransitions"], 2);
    assert_eq!(second.program.end().code(), 143);
}

#[test]
fn one_that_was_stopped_or_is_cut_off_ends_itself() {
    let cluster = bare();
    let first = serve(&cluster);
    leads(&cluster, &first);
    let second = serve(&cluster);
    stands_by(&second);

    kill_process(first.program.pid(), Signal::STOP).unwrap();
    let (took, _) = leads(&cluster, &second);
    assert!(took < TAKEN_OVER, "{took:?}");
    let woken = Instant::now();
    kill_process(first.program.pid(), Signal::CONT).unwrap();
    says(&first.program.end(), 4, &["the lease could not be kept"]);
    assert!(woken.elapsed() < Duration::from_secs(2), "{:?}", woken.elapsed());

    // The API is gone.
    let gone = Instant::now();
    drop(cluster);
    says(&second.program.end(), 4, &["the lease could not be kept"]);
    assert!(gone.elapsed() < RENEW_WITHIN + Duration::from_secs(2), "{:?}", gone.elapsed());
}

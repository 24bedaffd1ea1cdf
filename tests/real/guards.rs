//! Guards on a real cluster: how long a version that answers every request with an error lives. `VERIFIER_TEST_TIMES` says how often each
//! guard is tried (`tests/cluster/guards`); the figures are printed.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::{NAMESPACE, Real};
use crate::program::guards::{SCENARIO, times};
use crate::program::verifier;

/// From the decision to the accepted PATCH, in seconds: 99 of 100, and the median, which a busy machine leaves alone.
const ACCEPTED: f64 = 0.250;
/// From the first bad answer to the effect of a hold, in seconds: the median.
const HELD: f64 = 3.0;

/// Pods wanted of the version before and of the bad one; and whether a bad pod is in the endpoints.
fn state(real: &Real) -> (i32, i32, bool) {
    let client = &real.connection.reader;
    real.runtime.block_on(async {
        let all = ListParams::default();
        let sets = Api::<ReplicaSet>::namespaced(client.clone(), NAMESPACE).list(&all).await.unwrap().items;
        let is_bad = |set: &ReplicaSet| serde_json::to_string(set).unwrap().contains("ERROR_RATIO");
        let wanted =
            |bad: bool| sets.iter().filter(|s| is_bad(s) == bad).map(|s| s.spec.as_ref().unwrap().replicas.unwrap_or(1)).sum();
        let slices = Api::<EndpointSlice>::namespaced(client.clone(), NAMESPACE).list(&all).await.unwrap().items;
        let mut pods =
            slices.iter().flat_map(|s| &s.endpoints).filter(|e| e.conditions.as_ref().and_then(|c| c.ready) != Some(false));
        let bad: Vec<String> = sets.iter().filter(|s| is_bad(s)).map(ResourceExt::name_any).collect();
        let serves = pods.any(|e| {
            let name = e.target_ref.as_ref().and_then(|t| t.name.clone()).unwrap_or_default();
            bad.iter().any(|set| name.starts_with(&format!("{set}-")))
        });
        (wanted(false), wanted(true), serves)
    })
}

/// One run of the bad version under a guard, on a cluster without anything; its times, as [`times`] has them.
#[track_caller]
fn once(guard: &str) -> (f64, f64) {
    // A pause stops what has not happened yet, and two pods are replaced in the two seconds in which Traefik may not have learnt of the first one.
    let patient = SCENARIO.replace("replicas: 2,", "replicas: 2, minReadySeconds: 5,");
    let scenario = if guard == "pause" { &patient } else { SCENARIO };
    let real = Real::take();
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("run.jsonl").display().to_string();
    let args = ["--scenario", "s.yaml", "--guard", guard, "--keep", "--record", &recording];
    let ended = real.run_with(&args, |folder| std::fs::write(folder.join("s.yaml"), scenario).unwrap());
    let summary = ended.summary();
    let action = &summary["action"];
    assert_eq!((ended.code(), &action["outcome"], &action["verb"]), (1, &"effective".into(), &guard.into()), "{}", ended.stderr);
    is_as_the_guard_leaves_it(&real, guard, &summary);
    let again = verifier(&["replay", &recording, "-o", "json"]);
    assert_eq!((again.code(), again.stdout == ended.stdout), (1, true), "{}", again.stderr);
    times(&summary)
}

#[track_caller]
fn is_as_the_guard_leaves_it(real: &Real, guard: &str, summary: &Value) {
    let deployment = real.deployment();
    let spec = deployment.spec.as_ref().unwrap();
    let (old, new, serves) = state(real);
    let template_is_bad = serde_json::to_string(&spec.template).unwrap().contains("ERROR_RATIO");
    let told = (spec.paused == Some(true), template_is_bad);
    match guard {
        "pause" => assert!(told == (true, true) && old > 0, "{told:?} {old} {new}"),
        "hold" => assert_eq!((told, old, new, serves), ((true, true), 2, 0, false)),
        _ => assert_eq!((told, old, new, serves), ((false, false), 2, 0, false)),
    }
    assert_eq!(deployment.annotations()["verifier.dev/run"], summary["run"]["id"].as_str().unwrap());
}

/// The value that a share of all do not exceed.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank among a few dozen")]
    let index = rank as usize - 1;
    sorted[index]
}

#[track_caller]
#[expect(clippy::print_stdout, reason = "how long it took is for people to read")]
fn tried(guard: &str, times: usize) -> (Vec<f64>, Vec<f64>) {
    let times = std::env::var("VERIFIER_TEST_TIMES").ok().map_or(times, |n| n.parse::<usize>().unwrap());
    let (mut to_effect, mut to_acceptance): (Vec<f64>, Vec<f64>) = (0..times).map(|_| once(guard)).unzip();
    for all in [&mut to_effect, &mut to_acceptance] {
        all.sort_by(f64::total_cmp);
    }
    let of =
        |all: &[f64]| format!("median {:.3}, p99 {:.3}, max {:.3}", quantile(all, 0.5), quantile(all, 0.99), all[all.len() - 1]);
    println!("{guard}, {times} times: seconds from decision to acceptance: {}", of(&to_acceptance));
    println!("{guard}, {times} times: seconds from the first bad answer to the effect: {}", of(&to_effect));
    assert!(quantile(&to_acceptance, 0.99) < ACCEPTED, "{to_acceptance:?}");
    (to_effect, to_acceptance)
}

#[test]
#[ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG"]
fn a_hold_is_effective_three_seconds_after_the_first_bad_answer() {
    // It takes half a second or two to three, as Traefik happens to learn of the first bad pod: one run alone says little.
    let (to_effect, _) = tried("hold", 3);
    assert!(quantile(&to_effect, 0.5) < HELD, "{to_effect:?}");
}

#[test]
#[ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG"]
fn a_pause_stops_a_bad_version_where_it_is() {
    tried("pause", 1);
}

#[test]
#[ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG"]
fn an_undo_brings_the_old_version_and_its_template_back() {
    tried("undo", 1);
}

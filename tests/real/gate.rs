//! `verifier gate` and `run --target` on a real cluster: the same bodies as on the sandbox.

use super::Real;
use crate::program::gate::{names_what_cannot_come_up, passes_ten_replicas};
use crate::program::target::changes_and_restores;

#[test]
#[ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG"]
fn a_version_that_cannot_come_up_is_named_with_its_cause_within_ten_seconds() {
    names_what_cannot_come_up(&Real::with_backend());
}

#[test]
#[ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG"]
fn a_healthy_rollout_of_ten_replicas_passes() {
    let real = Real::with_backend();
    let recording = passes_ten_replicas(&real);
    let kubeconfig = std::fs::read_to_string(real.kubeconfig()).unwrap();
    for secret in ["token: ", "client-key-data: ", "password: "] {
        for line in kubeconfig.lines().filter_map(|line| line.split_once(secret)) {
            let value = line.1.split([',', '}']).next().unwrap_or_default().trim_matches(['"', ' ']);
            assert!(value.is_empty() || !recording.contains(value), "a recording holds no secret");
        }
    }
}

#[test]
#[ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG"]
fn a_scenarios_change_is_made_to_a_deployment_that_is_there_and_taken_back() {
    changes_and_restores(&Real::with_backend());
}

//! The policy that gives pods their readiness gate, on an API server that enforces it.

use std::process::Command;

use serde_json::Value;

use super::Real;
use crate::program::admission::{at_the_gate, eventually, serving};
use crate::program::gate::{is_complete, says};

/// kubectl on this cluster, in the folder of the project.
#[track_caller]
fn kubectl(real: &Real, args: &[&str]) -> String {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(real.kubeconfig()).args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    let done = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout).into_owned(), String::from_utf8_lossy(&done.stderr).into_owned());
    assert!(done.status.success(), "kubectl {args:?}: {err}");
    // That the kind is of a version that will go is known.
    let warned: Vec<&str> = err.lines().filter(|line| line.starts_with("Warning") && !line.contains("is deprecated")).collect();
    assert!(warned.is_empty(), "kubectl {args:?}: {warned:?}");
    out
}

/// Removes the policy again, however the test ends.
struct Policy<'a>(&'a Real);

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        kubectl(self.0, &["delete", "-k", "k8s/verifier/admission", "--ignore-not-found"]);
    }
}

#[test]
#[ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG"]
fn in_a_namespace_that_asks_for_it_new_pods_have_the_gate_and_are_let_in_by_their_answers() {
    let real = Real::with_backend();
    kubectl(&real, &["apply", "--dry-run=server", "-k", "k8s/verifier/admission"]);
    let before = serving(&real);
    let policy = Policy(&real);
    kubectl(&real, &["apply", "-k", "k8s/verifier/admission"]);
    kubectl(&real, &["label", "namespace", "todo", "verifier.dev/admission=enabled"]);
    // The API server learns of a policy some time after it was accepted: a pod that is only tried tells when it has.
    eventually("policy that is enforced", || {
        let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried", "namespace": "todo", "labels": {"pod-template-hash": "x"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "x"}]},
            "spec": {"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}, "containers": [{"name": "c",
            "image": "i", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}"#;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pod).unwrap();
        let path = file.path().display().to_string();
        let tried: Value =
            serde_json::from_str(&kubectl(&real, &["create", "--dry-run=server", "-o", "json", "-f", &path])).unwrap();
        let gates = &tried["spec"]["readinessGates"];
        if gates[0]["conditionType"] == "verifier.dev/verified" { Ok(()) } else { Err(gates.to_string()) }
    });

    real.roll("todo/backend:v2", &[]);
    eventually("new pod at the gate", || at_the_gate(&real).pop().ok_or_else(|| "none".to_owned()));
    assert_eq!(serving(&real), before, "it serves nobody");
    let ended = real.gate(&["--soak", "1s", "-o", "json"]).end();
    says(&ended, 0, &["asked at its own address, all", "its revision is verified"]);
    real.until("the new version, complete", |d| is_complete(d, 4));
    let template = real.deployment().spec.unwrap().template.spec.unwrap();
    assert_eq!(template.readiness_gates, None, "the Deployment was not changed");
    drop(policy);
}

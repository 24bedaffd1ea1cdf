//! `verifier lint`: manifests and live objects.

use serde_json::Value;

use super::gate::{Cluster, says};
use super::{Program, verifier};

#[test]
fn manifests_are_read_from_files_and_an_error_among_what_is_found_ends_with_one() {
    let ours = verifier(&["lint", "-f", "k8s/todo/backend", "-o", "json"]);
    assert_eq!((ours.code(), &ours.summary()["problems"]), (0, &Value::Array(Vec::new())), "{}", ours.stdout);
    let bare = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bare}\nspec: {template: {spec: {containers: [{name: c, image: i}]}}}\n";
    let write = |folder: &std::path::Path, _: &mut std::process::Command| std::fs::write(folder.join("d.yaml"), bare).unwrap();
    let ended = Program::start_with(&["lint", "-f", "d.yaml"], write).end();
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    for word in ["no-prestop (V101)", "Deployment default/bare: spec.template.spec.containers[c].lifecycle.preStop", "2 errors"] {
        assert!(ended.stdout.contains(word), "{word:?} is not in:\n{}", ended.stdout);
    }
    says(&verifier(&["lint", "-f", "k8s/todo/quota"]), 2, &["no Deployment among the manifests"]);
    says(&verifier(&["lint"]), 2, &["deploy/NAME"]);
    says(&verifier(&["lint", "deploy/x"]), 2, &["no cluster was named"]);
}

#[test]
fn a_live_deployment_is_read_with_what_stands_around_it() {
    let cluster = Cluster::start();
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let lint = || verifier(&["lint", "deploy/backend", "-n", "todo", "--kubeconfig", &kubeconfig, "-o", "json"]);
    let sound = lint();
    assert_eq!((sound.code(), &sound.summary()["problems"]), (0, &Value::Array(Vec::new())), "{}", sound.stdout);
    cluster.patch(&serde_json::json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}));
    let ended = lint();
    let problems = ended.summary()["problems"].clone();
    assert_eq!((ended.code(), &problems[0]["code"], &problems[0]["level"]), (1, &"V602".into(), &"error".into()), "{problems:#}");
}

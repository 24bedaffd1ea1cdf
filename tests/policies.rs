//! RolloutPolicies in the sandbox's API: what its schema refuses, and what the service makes of those that are there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Client, CustomResourceExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use verifier::cluster::fleet::{Sighting, follow};
use verifier::cluster::policy::RolloutPolicy;
use verifier::domain::policy::Source;
use verifier::domain::rollout::guard::Guard;

use crate::api::in_process;

const DEADLINE: Duration = Duration::from_secs(30);

/// The files of a folder of the project, by name.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    api.create(&PostParams::default(), &RolloutPolicy::crd()).await.unwrap();
}

fn policies(client: &Client) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), "default", &ApiResource::erase::<RolloutPolicy>(&()))
}

async fn create(client: &Client, object: Value) -> Result<DynamicObject, String> {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    policies(client).create(&PostParams::default(), &object).await.map_err(|e| e.to_string())
}

fn policy(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "verifier.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": name}, "spec": spec})
}

async fn deploy(client: &Client, name: &str, labels: &Value) {
    let object: Deployment = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]},
        }},
    }))
    .unwrap();
    Api::<Deployment>::namespaced(client.clone(), "default").create(&PostParams::default(), &object).await.unwrap();
}

async fn annotate(client: &Client, name: &str, annotations: Value) {
    let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    Api::<Deployment>::namespaced(client.clone(), "default").patch(name, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test]
async fn the_schema_takes_good_policies_and_refuses_bad_ones_as_far_as_it_can_tell() {
    let (_world, client) = in_process();
    install(&client).await;
    for path in files("tests/manifests/policies/good").into_iter().chain(files("tests/manifests/policies/bad")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let created = create(&client, serde_saphyr::from_str(&text).unwrap()).await;
        // The sandbox evaluates no rules in CEL.
        match text.lines().next().unwrap().strip_prefix("# refused by schema: ") {
            Some(words) => {
                let error = created.err().unwrap_or_else(|| panic!("{} is taken", path.display()));
                assert!(error.contains(words), "{}: {error}", path.display());
            }
            None => drop(created.unwrap_or_else(|e| panic!("{}: {e}", path.display()))),
        }
    }
}

#[tokio::test]
async fn examples_are_taken() {
    let (_world, client) = in_process();
    install(&client).await;
    for path in files("k8s/verifier/examples") {
        let object: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        if object["kind"] == "RolloutPolicy" {
            let spec = object["spec"].clone();
            create(&client, object).await.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let (whom, policy) = verifier::domain::policy::selection::read(spec);
            assert!(whom.is_ok() && policy.is_ok(), "{}: {whom:?} {policy:?}", path.display());
        } else {
            let text = object["metadata"]["annotations"]["verifier.dev/policy"].as_str().unwrap();
            verifier::domain::policy::spec::PolicySpec::parse(text).unwrap();
        }
    }
}

/// What is told, the next within the deadline.
async fn next(told: &mut mpsc::Receiver<Sighting>) -> String {
    let sighting = tokio::time::timeout(DEADLINE, told.recv()).await.expect("something is told in time").unwrap();
    match sighting {
        Sighting::Seen(key, watched) => {
            let guard = watched.policy.map_or(Guard::None, |policy| policy.guard);
            match watched.source {
                Source::Annotation => format!("{} {guard}", key.name),
                Source::Policy(policy) => format!("{} {guard} by {policy}", key.name),
            }
        }
        Sighting::Gone(key) => format!("{} gone", key.name),
        other => format!("{other:?}"),
    }
}

/// The policy's status, once its first condition has this reason and it has so many Deployments.
async fn status(client: &Client, name: &str, reason: &str, matched: u64) -> Value {
    let api = policies(client);
    let looking = async {
        loop {
            let status = api.get(name).await.unwrap().data["status"].clone();
            if status["conditions"][0]["reason"] == reason && status["matched"] == matched {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.expect("a status in time")
}

#[tokio::test]
async fn policies_are_followed_and_told_how_they_stand() {
    let (_world, client) = in_process();
    install(&client).await;
    deploy(&client, "a", &json!({"tier": "web"})).await;
    deploy(&client, "b", &json!({})).await;
    create(&client, policy("web", &json!({"selector": {"matchLabels": {"tier": "web"}}, "guard": "hold"}))).await.unwrap();
    let (out, mut told) = mpsc::channel(16);
    let following = tokio::spawn(follow(client.clone(), client.clone(), None, out));

    // Whichever list is there first.
    let mut first = vec![next(&mut told).await, next(&mut told).await];
    first.sort();
    assert_eq!(first, ["Listed", "a hold by web"]);
    let web = status(&client, "web", "Selected", 1).await;
    assert_eq!((&web["deployments"], &web["observedGeneration"]), (&json!(["a"]), &json!(1)));

    // As old as the other one, to the second: then the name decides.
    create(&client, policy("whole", &json!({"selector": {}, "guard": "pause"}))).await.unwrap();
    assert_eq!(next(&mut told).await, "b pause by whole");
    let rest = status(&client, "whole", "Overlapping", 1).await;
    assert!(rest["conditions"][0]["message"].as_str().unwrap().contains("1 more of the older policy `web`"), "{rest}");

    annotate(&client, "a", json!({"verifier.dev/policy": "guard: undo"})).await;
    assert_eq!(next(&mut told).await, "a undo");
    annotate(&client, "b", json!({"verifier.dev/skip": "true"})).await;
    assert_eq!(next(&mut told).await, "b gone");
    status(&client, "whole", "NothingSelected", 0).await;

    let edit = Patch::Merge(json!({"spec": {"then": ["availability >= 199%"]}}));
    policies(&client).patch("whole", &PatchParams::default(), &edit).await.unwrap();
    let wrong = status(&client, "whole", "InvalidPolicy", 0).await;
    assert_eq!((&wrong["conditions"][1]["status"], &wrong["observedGeneration"]), (&json!("True"), &json!(2)));
    annotate(&client, "b", json!({"verifier.dev/skip": null})).await;
    assert_eq!(next(&mut told).await, "b none by whole");
    policies(&client).delete("whole", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(&mut told).await, "b gone");

    drop(told);
    tokio::time::timeout(DEADLINE, following).await.expect("it ends with its receiver").unwrap();
}

#[tokio::test]
async fn without_the_kind_annotations_alone_are_followed() {
    let (_world, client) = in_process();
    deploy(&client, "a", &json!({})).await;
    annotate(&client, "a", json!({"verifier.dev/policy": ""})).await;
    let (out, mut told) = mpsc::channel(16);
    let following = tokio::spawn(follow(client.clone(), client.clone(), Some("default".into()), out));
    let mut first = vec![next(&mut told).await, next(&mut told).await];
    first.sort();
    assert_eq!(first, ["Listed", "a none"]);
    annotate(&client, "a", json!({"verifier.dev/policy": null})).await;
    assert_eq!(next(&mut told).await, "a gone");
    following.abort();
}

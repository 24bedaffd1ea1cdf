//! The manifests under `k8s/` say what Kubernetes understands, and agree with each other.

mod service;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::admissionregistration::v1beta1::{MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ResourceQuota, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const BACKEND: &str = "todo/backend";
/// What is laid over an object, and is none.
const PATCHES: [&str; 2] = ["todo/admission/gate.yaml", "verifier/examples/annotation.yaml"];

fn k8s() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s")
}

fn manifest(name: &str) -> Value {
    let [one] = <[Value; 1]>::try_from(documents(&format!("{BACKEND}/{name}"))).unwrap();
    one
}

/// The documents of a file below `k8s/`.
fn documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&std::fs::read_to_string(k8s().join(path)).unwrap()).unwrap()
}

/// The files below a folder of `k8s/`, by their paths from there.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(k8s().join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn is_yaml(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "yaml")
}

/// What a folder becomes: all objects, as `kubectl apply -k` applies them.
fn built(folder: &Path) -> Vec<Value> {
    let said = Command::new("kubectl").arg("kustomize").arg(folder).output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_saphyr::from_multiple(&String::from_utf8(said.stdout).unwrap()).unwrap()
}

/// The same value, whether it says 10 or 10.0.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(all) => all.into_iter().map(plain).collect(),
        Value::Object(all) => all.into_iter().map(|(name, one)| (name, plain(one))).collect(),
        other => other,
    }
}

fn again<T: Serialize + DeserializeOwned>(written: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(written.clone())?)
}

/// Reads a manifest as its Kubernetes type and back: a field that is misspelt or misplaced does not survive.
#[track_caller]
fn assert_known(place: &str, written: &Value) {
    let read = match written["kind"].as_str().unwrap() {
        "ClusterRole" => again::<ClusterRole>(written),
        "ClusterRoleBinding" => again::<ClusterRoleBinding>(written),
        "ConfigMap" => again::<ConfigMap>(written),
        "CustomResourceDefinition" => again::<CustomResourceDefinition>(written),
        "Deployment" => again::<Deployment>(written),
        "HorizontalPodAutoscaler" => again::<HorizontalPodAutoscaler>(written),
        "Ingress" => again::<Ingress>(written),
        "Job" => again::<Job>(written),
        "MutatingAdmissionPolicy" => again::<MutatingAdmissionPolicy>(written),
        "MutatingAdmissionPolicyBinding" => again::<MutatingAdmissionPolicyBinding>(written),
        "Namespace" => again::<Namespace>(written),
        "NetworkPolicy" => again::<NetworkPolicy>(written),
        "PodDisruptionBudget" => again::<PodDisruptionBudget>(written),
        "ResourceQuota" => again::<ResourceQuota>(written),
        "Role" => again::<Role>(written),
        "RoleBinding" => again::<RoleBinding>(written),
        "Service" => again::<Service>(written),
        "ServiceAccount" => again::<ServiceAccount>(written),
        other => panic!("{place}: {other} is not a kind that this test knows"),
    };
    let read = read.unwrap_or_else(|e| panic!("{place}: {e}"));
    assert_eq!(plain(read), plain(written.clone()), "{place}");
}

/// Whether it is of Kubernetes' own: not of kustomize, of another project, or a policy of ours, which has tests of its own.
fn is_kubernetes(object: &Value) -> bool {
    let groups = ["kustomize.config.k8s.io", "kustomize.toolkit.fluxcd.io", "monitoring.coreos.com", "verifier.dev"];
    let group = object["apiVersion"].as_str().unwrap().split('/').next().unwrap();
    !groups.contains(&group)
}

/// The objects of a kind.
fn all<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The only object of a kind.
#[track_caller]
fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let [one] = <[&Value; 1]>::try_from(all(objects, kind)).unwrap();
    one
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn every_field_is_one_that_kubernetes_knows() {
    let mut seen = 0;
    for path in ["todo", "verifier", "integrations"].into_iter().flat_map(files).filter(|path| is_yaml(path)) {
        if PATCHES.contains(&&*path) {
            continue;
        }
        for object in documents(&path).iter().filter(|object| is_kubernetes(object)) {
            assert_known(&path, object);
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen} objects");
}

#[test]
fn the_gate_of_manifests_is_the_one_that_is_opened() {
    use verifier::domain::admission::GATE;
    let gate = &documents("todo/admission/gate.yaml")[0];
    assert_eq!(gate["spec"]["template"]["spec"]["readinessGates"], json!([{"conditionType": GATE}]));
    let policy = &documents("verifier/admission/policy.yaml")[0];
    let (condition, mutation) = (&policy["spec"]["matchConditions"][1], &policy["spec"]["mutations"][0]["jsonPatch"]);
    for expression in [&condition["expression"], &mutation["expression"]] {
        assert!(expression.as_str().unwrap().contains(GATE), "{expression}");
    }
}

#[test]
fn the_kustomizations_name_every_file() {
    let folders = files("todo").into_iter().chain(files("verifier"));
    let folders: Vec<String> = folders.filter_map(|path| path.strip_suffix("/kustomization.yaml").map(str::to_owned)).collect();
    assert!(folders.len() >= 7, "{folders:?}");
    for folder in folders {
        let kustomization = &documents(&format!("{folder}/kustomization.yaml"))[0];
        let named = ["resources", "patches"].iter().flat_map(|field| kustomization[*field].as_array().cloned().unwrap_or_default());
        let named = named.map(|one| text(if one.is_object() { &one["path"] } else { &one }));
        let mut named: Vec<String> = named.filter(|name| is_yaml(name)).collect();
        named.push("kustomization.yaml".to_owned());
        named.sort();
        let there: Vec<String> = files(&folder).iter().map(|path| path[folder.len() + 1..].to_owned()).collect();
        assert_eq!(named, there, "{folder}");
    }
}

#[test]
#[cfg_attr(not(has_kubectl), ignore = "kubectl is not installed")]
fn every_folder_can_be_applied_and_every_field_of_it_is_known() {
    let folders = files("todo").into_iter().chain(files("verifier"));
    for folder in folders.filter_map(|path| path.strip_suffix("/kustomization.yaml").map(str::to_owned)) {
        let objects = built(&k8s().join(&folder));
        for object in objects.iter().filter(|object| is_kubernetes(object)) {
            assert_known(&folder, object);
        }
        let identity = |o: &Value| (text(&o["kind"]), text(&o["metadata"]["namespace"]), name(o).to_owned());
        let identities: BTreeSet<_> = objects.iter().map(identity).collect();
        assert_eq!(identities.len(), objects.len(), "{folder}: something is there twice");
    }
    let dashboards = built(&k8s().parent().unwrap().join("dashboards"));
    assert_known("dashboards", one(&dashboards, "ConfigMap"));
}

#[test]
fn names_selectors_ports_and_times_agree() {
    let (deployment, service, ingress) = (manifest("deployment.yaml"), manifest("service.yaml"), manifest("ingress.yaml"));
    let (budget, settings, account) = (manifest("pdb.yaml"), manifest("configmap.yaml"), manifest("serviceaccount.yaml"));
    let pod = &deployment["spec"]["template"];
    let container = &pod["spec"]["containers"][0];

    for selector in
        [&deployment["spec"]["selector"]["matchLabels"], &service["spec"]["selector"], &budget["spec"]["selector"]["matchLabels"]]
    {
        for (label, value) in selector.as_object().unwrap() {
            assert_eq!(&pod["metadata"]["labels"][label], value, "{label}");
        }
    }
    let backend = &ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
    assert_eq!(
        (&backend["name"], &backend["port"]["name"], &service["spec"]["ports"][0]["targetPort"]),
        (&service["metadata"]["name"], &service["spec"]["ports"][0]["name"], &container["ports"][0]["name"])
    );
    let [autoscaler] = <[Value; 1]>::try_from(documents("todo/autoscaler/hpa.yaml")).unwrap();
    let (scaled, place) = (&autoscaler["spec"]["scaleTargetRef"], |o: &Value| o["metadata"]["namespace"].clone());
    assert_eq!((&scaled["name"], place(&autoscaler)), (&deployment["metadata"]["name"], place(&deployment)));
    assert_eq!(container["ports"][0]["containerPort"].to_string(), settings["data"]["PORT"]);
    assert_eq!(container["envFrom"][0]["configMapRef"]["name"], settings["metadata"]["name"]);
    assert_eq!(pod["spec"]["serviceAccountName"], account["metadata"]["name"]);

    let seconds = |value: &Value| value.as_str().and_then(|v| v.strip_suffix('s')).unwrap().parse::<u64>().unwrap();
    let sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(sleep + seconds(&settings["data"]["DRAIN_TIMEOUT"]) < grace, "the drain must fit into the grace period");
    assert!(seconds(&settings["data"]["KEEP_ALIVE_TIMEOUT"]) > 60, "the proxy must close idle connections first");
}

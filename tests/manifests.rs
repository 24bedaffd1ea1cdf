//! The manifests under `k8s/` say what Kubernetes understands, and agree with each other.

use std::path::Path;

use k8s_openapi::api::admissionregistration::v1beta1::{MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const BACKEND: &str = "todo/backend";
const SERVICE: &str = "verifier/base";

fn manifest(name: &str) -> Value {
    manifest_of(BACKEND, name)
}

fn manifest_of(folder: &str, name: &str) -> Value {
    let [one] = <[Value; 1]>::try_from(documents(&format!("{folder}/{name}"))).unwrap();
    one
}

/// The documents of a file below `k8s/`.
fn documents(path: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s").join(path);
    let text = std::fs::read_to_string(path).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// Reads a manifest as its Kubernetes type and back: a field that is misspelt or misplaced does not survive.
#[track_caller]
fn assert_known<T: Serialize + DeserializeOwned>(name: &str) {
    assert_known_of::<T>(BACKEND, name);
}

#[track_caller]
fn assert_known_of<T: Serialize + DeserializeOwned>(folder: &str, name: &str) {
    assert_all_known::<T>(&format!("{folder}/{name}"));
}

/// The same of a file below `k8s/`.
#[track_caller]
fn assert_all_known<T: Serialize + DeserializeOwned>(path: &str) {
    for written in documents(path) {
        let read: T = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), written, "{path}");
    }
}

#[test]
fn every_field_is_one_that_kubernetes_knows() {
    assert_known::<Namespace>("namespace.yaml");
    assert_known::<ServiceAccount>("serviceaccount.yaml");
    assert_known::<ConfigMap>("configmap.yaml");
    assert_known::<Deployment>("deployment.yaml");
    assert_known::<Service>("service.yaml");
    assert_known::<Ingress>("ingress.yaml");
    assert_known::<PodDisruptionBudget>("pdb.yaml");
    for role in ["observer", "actor"] {
        assert_all_known::<ClusterRole>(&format!("verifier/rbac/{role}.yaml"));
    }
    assert_all_known::<RoleBinding>("verifier/rbac/binding.yaml");
    assert_all_known::<ServiceAccount>("verifier/rbac/serviceaccount.yaml");
    assert_all_known::<MutatingAdmissionPolicy>("verifier/admission/policy.yaml");
    assert_all_known::<MutatingAdmissionPolicyBinding>("verifier/admission/binding.yaml");
}

#[test]
fn the_gate_of_manifests_is_the_one_that_is_opened() {
    use verifier::domain::admission::GATE;
    let gate = &documents("todo/admission/gate.yaml")[0];
    assert_eq!(gate["spec"]["template"]["spec"]["readinessGates"], serde_json::json!([{"conditionType": GATE}]));
    let policy = &documents("verifier/admission/policy.yaml")[0];
    let (condition, mutation) = (&policy["spec"]["matchConditions"][1], &policy["spec"]["mutations"][0]["jsonPatch"]);
    for expression in [&condition["expression"], &mutation["expression"]] {
        assert!(expression.as_str().unwrap().contains(GATE), "{expression}");
    }
}

#[test]
fn every_field_of_the_service_is_one_that_kubernetes_knows() {
    assert_known_of::<CustomResourceDefinition>(SERVICE, "crds.yaml");
    assert_known_of::<Namespace>(SERVICE, "namespace.yaml");
    assert_known_of::<ServiceAccount>(SERVICE, "serviceaccount.yaml");
    assert_known_of::<ClusterRole>(SERVICE, "clusterrole.yaml");
    assert_known_of::<ClusterRoleBinding>(SERVICE, "clusterrolebinding.yaml");
    assert_known_of::<Deployment>(SERVICE, "deployment.yaml");
    assert_known_of::<Service>(SERVICE, "service.yaml");
}

#[test]
fn the_kustomizations_name_every_file() {
    for folder in [BACKEND, SERVICE] {
        let mut named: Vec<String> =
            serde_json::from_value(manifest_of(folder, "kustomization.yaml")["resources"].clone()).unwrap();
        named.push("kustomization.yaml".to_owned());
        named.sort();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s").join(folder);
        let mut there: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        there.sort();
        assert_eq!(named, there);
    }
}

#[test]
fn the_service_is_one_and_may_write_nothing_but_what_it_must() {
    let (deployment, service) = (manifest_of(SERVICE, "deployment.yaml"), manifest_of(SERVICE, "service.yaml"));
    let pod = &deployment["spec"]["template"];
    assert_eq!((&deployment["spec"]["replicas"], &deployment["spec"]["strategy"]["type"]), (&1.into(), &"Recreate".into()));
    assert_eq!(service["spec"]["selector"], deployment["spec"]["selector"]["matchLabels"]);
    assert_eq!(pod["metadata"]["annotations"]["prometheus.io/port"], service["spec"]["ports"][0]["port"].to_string());
    let role = manifest_of(SERVICE, "clusterrole.yaml");
    for rule in role["rules"].as_array().unwrap() {
        let named: Vec<&str> = ["apiGroups", "resources", "verbs"]
            .iter()
            .flat_map(|field| rule[field].as_array().unwrap())
            .map(|word| word.as_str().unwrap())
            .collect();
        assert!(!named.iter().any(|word| ["*", "secrets", "configmaps", "update", "deletecollection"].contains(word)), "{rule}");
    }
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
    assert_eq!(container["ports"][0]["containerPort"].to_string(), settings["data"]["PORT"]);
    assert_eq!(container["envFrom"][0]["configMapRef"]["name"], settings["metadata"]["name"]);
    assert_eq!(pod["spec"]["serviceAccountName"], account["metadata"]["name"]);

    let seconds = |value: &Value| value.as_str().and_then(|v| v.strip_suffix('s')).unwrap().parse::<u64>().unwrap();
    let sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(sleep + seconds(&settings["data"]["DRAIN_TIMEOUT"]) < grace, "the drain must fit into the grace period");
    assert!(seconds(&settings["data"]["KEEP_ALIVE_TIMEOUT"]) > 60, "the proxy must close idle connections first");
}

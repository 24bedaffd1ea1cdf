//! Namespaces, quotas, and what pods are given.

use serde_json::json;

use super::{Bench, deployment, pod};
use crate::sandbox::model::object::{Key, resource};
use crate::sandbox::model::store::{Body, DeleteOptions, Target};
use crate::sandbox::model::write::{Read, Write};

#[test]
fn nothing_is_created_in_a_namespace_that_is_missing_or_ending() {
    let mut bench = Bench::new();
    let target = Target { namespace: "shop".into(), ..bench.target("deployments/apps", "") };
    let create = |bench: &mut Bench| bench.store.create(&target, Body::from(deployment("x", 1)), &bench.options.clone(), bench.now);
    assert_eq!(create(&mut bench).unwrap_err().message(), "namespaces \"shop\" not found");

    bench.create("namespaces", json!({"metadata": {"name": "shop"}})).unwrap();
    create(&mut bench).unwrap();
    let shop = bench.target("namespaces", "shop");
    let done = bench.store.delete(&shop, &DeleteOptions::default(), bench.now).unwrap();
    assert_eq!(
        (done.deleted, &done.object["status"]["phase"], &done.object["spec"]["finalizers"]),
        (false, &json!("Terminating"), &json!(["kubernetes"]))
    );
    let error = create(&mut bench).unwrap_err();
    assert_eq!(
        error.message(),
        "deployments.apps \"x\" is forbidden: unable to create new content in namespace shop because it is being terminated"
    );
    assert_eq!(error.details().unwrap()["causes"][0]["reason"], "NamespaceTerminating");

    let key = Key::new(resource::NAMESPACES, "", "shop");
    let patch = json!({"spec": {"finalizers": null}});
    bench.store.apply(Write::Patch { key: key.clone(), if_version: None, patch }, bench.now).unwrap();
    assert_eq!(bench.store.get(&key), None);
}

#[test]
fn the_namespaces_of_the_system_stay() {
    let mut bench = Bench::new();
    let target = bench.target("namespaces", "default");
    let error = bench.store.delete(&target, &DeleteOptions::default(), bench.now).unwrap_err();
    assert_eq!(error.message(), "namespaces \"default\" is forbidden: this namespace may not be deleted");
}

#[test]
fn a_pod_is_given_account_priority_tolerations_and_a_phase() {
    let mut bench = Bench::new();
    let made = bench.create("pods", pod("p")).unwrap().object;
    assert_eq!(made["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
    let spec = &made["spec"];
    assert_eq!(
        (&spec["serviceAccountName"], &spec["priority"], &spec["preemptionPolicy"], spec["tolerations"].as_array().unwrap().len()),
        (&json!("default"), &json!(0), &json!("PreemptLowerPriority"), 2)
    );
    let mut other = pod("q");
    other["spec"]["serviceAccountName"] = "nobody".into();
    let error = bench.create("pods", other).unwrap_err();
    assert_eq!(
        error.message(),
        "pods \"q\" is forbidden: error looking up service account default/nobody: serviceaccount \"nobody\" not found"
    );
}

#[test]
fn a_quota_counts_and_refuses() {
    let mut bench = Bench::new();
    let hard = json!({"pods": "2", "requests.cpu": "1", "count/deployments.apps": "1"});
    bench.create("resourcequotas", json!({"metadata": {"name": "q"}, "spec": {"hard": hard}})).unwrap();
    let with_cpu = |name: &str, cpu: &str| {
        let mut object = pod(name);
        object["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": cpu}});
        object
    };
    let error = bench.create("pods", pod("p0")).unwrap_err();
    assert_eq!(error.message(), "pods \"p0\" is forbidden: failed quota: q: must specify requests.cpu for: c");
    bench.create("pods", with_cpu("p1", "600m")).unwrap();
    let error = bench.create("pods", with_cpu("p2", "500m")).unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (
            403,
            "pods \"p2\" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1"
        )
    );
    bench.create("pods", with_cpu("p2", "100m")).unwrap();
    let error = bench.create("pods", with_cpu("p3", "100m")).unwrap_err();
    assert_eq!(error.message(), "pods \"p3\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2");
    let quota = bench.get(&resource::RESOURCE_QUOTAS, "q").unwrap();
    assert_eq!(quota["status"]["used"], json!({"count/deployments.apps": "0", "pods": "2", "requests.cpu": "700m"}));

    let target = bench.target("pods", "p1");
    bench.store.delete(&target, &DeleteOptions::default(), bench.now).unwrap();
    bench.create("pods", with_cpu("p3", "100m")).unwrap();
    bench.create("deployments/apps", deployment("d", 1)).unwrap();
    let error = bench.create("deployments/apps", deployment("e", 1)).unwrap_err();
    assert_eq!(
        error.message(),
        "deployments.apps \"e\" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1"
    );
}

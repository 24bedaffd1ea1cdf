//! Revisions, annotations, undoing and cleaning up.

use serde_json::{Value, json};

use crate::sandbox::model::controllers::deployment::template;
use crate::sandbox::model::controllers::testing::*;
use crate::sandbox::model::object::{Object, annotation, label, name, resource, uid};
use crate::sandbox::model::store::Store;
use crate::sandbox::model::write::Read;

const REVISION: &str = "deployment.kubernetes.io/revision";

/// Image and revision of every ReplicaSet.
fn revisions(store: &Store) -> Vec<(String, String)> {
    let of = |s: &Object| {
        let image = s["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
        (image, annotation(s, REVISION).unwrap_or_default().to_owned())
    };
    let mut revisions: Vec<_> = store.list(&resource::REPLICA_SETS, Some(NAMESPACE)).iter().map(of).collect();
    revisions.sort();
    revisions
}

fn want<const N: usize>(revisions: [(&str, &str); N]) -> Vec<(String, String)> {
    revisions.iter().map(|(image, revision)| ((*image).to_owned(), (*revision).to_owned())).collect()
}

#[test]
fn the_replica_set_carries_hash_owner_and_annotations() {
    let mut object = deployment(2, "a", json!({"minReadySeconds": 1}));
    object["metadata"]["annotations"] = json!({
        "kubernetes.io/change-cause": "first", "kubectl.kubernetes.io/last-applied-configuration": "{}",
    });
    let cluster = running(|_| QUICK, object);
    let web = web(&cluster);
    let set = cluster.store().list(&resource::REPLICA_SETS, None).remove(0);
    let hash = template::hash(&web["spec"]["template"], None);
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid(&web), "controller": true,
        "blockOwnerDeletion": true,
    });
    assert_eq!(name(&set), format!("web-{hash}"));
    assert_eq!(set["metadata"]["ownerReferences"], json!([owner]));
    assert_eq!(set["metadata"]["labels"], json!({"app": "web", "pod-template-hash": hash}));
    assert_eq!(set["spec"]["selector"], json!({"matchLabels": {"app": "web", "pod-template-hash": hash}}));
    assert_eq!(set["spec"]["template"]["metadata"]["labels"], json!({"app": "web", "pod-template-hash": hash}));
    assert_eq!(set["spec"]["minReadySeconds"], 1);
    let annotations = json!({
        "kubernetes.io/change-cause": "first",
        "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "2",
        "deployment.kubernetes.io/max-replicas": "3",
    });
    assert_eq!(set["metadata"]["annotations"], annotations);
    assert_eq!(annotation(&web, REVISION), Some("1"));
    let pod = pods(cluster.store()).remove(0);
    assert_eq!(
        (label(&pod, "pod-template-hash"), &pod["metadata"]["generateName"]),
        (Some(hash.as_str()), &json!(format!("web-{hash}-")))
    );
}

#[test]
fn undoing_reuses_the_old_replica_set_under_a_new_revision() {
    let mut cluster = running(|_| QUICK, deployment(2, "a", json!({})));
    set_image(&mut cluster, "b");
    settled_rollout(&mut cluster);
    assert_eq!(revisions(cluster.store()), want([("a", "1"), ("b", "2")]));
    set_image(&mut cluster, "a");
    settled_rollout(&mut cluster);
    assert_eq!(revisions(cluster.store()), want([("a", "3"), ("b", "2")]));
    assert_eq!(shape(&cluster), "a:2 b:0");
    assert_eq!(annotation(&web(&cluster), REVISION), Some("3"));
    set_image(&mut cluster, "b");
    settled_rollout(&mut cluster);
    set_image(&mut cluster, "a");
    settled_rollout(&mut cluster);
    let sets = cluster.store().list(&resource::REPLICA_SETS, None);
    let a = sets.iter().find(|s| s["spec"]["template"]["spec"]["containers"][0]["image"] == "a").unwrap();
    assert_eq!(annotation(a, "deployment.kubernetes.io/revision-history"), Some("1,3"));
    assert_eq!(annotation(a, REVISION), Some("5"));
}

#[test]
fn an_undo_in_the_middle_of_a_rollout_goes_straight_back() {
    let never = crate::sandbox::model::virtual_node::Behavior { ready: None, ..QUICK };
    let mut cluster = running(move |image| if image == "b" { never } else { QUICK }, deployment(4, "a", rolling(1, 1)));
    set_image(&mut cluster, "b");
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:3 b:2");
    set_image(&mut cluster, "a");
    assert_eq!(super::shapes(&mut cluster), ["a:3 b:2", "a:3 b:0", "a:4 b:0"]);
    assert_eq!(revisions(cluster.store()), want([("a", "3"), ("b", "2")]));
}

#[test]
fn only_so_many_old_revisions_are_kept() {
    let mut cluster = running(|_| QUICK, deployment(1, "a", json!({"revisionHistoryLimit": 2})));
    for image in ["b", "c", "d", "e"] {
        set_image(&mut cluster, image);
        settled_rollout(&mut cluster);
        cluster.advance(seconds(5));
    }
    assert_eq!(revisions(cluster.store()), want([("c", "3"), ("d", "4"), ("e", "5")]));
}

#[test]
fn without_history_there_is_nothing_to_go_back_to() {
    let mut cluster = running(|_| QUICK, deployment(1, "a", json!({"revisionHistoryLimit": 0})));
    set_image(&mut cluster, "b");
    settled_rollout(&mut cluster);
    cluster.advance(seconds(5));
    assert_eq!(revisions(cluster.store()), want([("b", "2")]));
}

#[test]
fn a_hash_that_is_taken_is_counted_and_avoided() {
    let mut cluster = cluster(|_| QUICK);
    create(&mut cluster, resource::DEPLOYMENTS, deployment(1, "a", json!({})));
    let hash = template::hash(&web(&cluster)["spec"]["template"], None);
    let stranger = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": format!("web-{hash}"), "namespace": NAMESPACE},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "other"}},
            "template": {"metadata": {"labels": {"app": "other"}}}},
    });
    create(&mut cluster, resource::REPLICA_SETS, stranger);
    settled_rollout(&mut cluster);
    let web = web(&cluster);
    assert_eq!(web["status"]["collisionCount"], 1);
    let hash = template::hash(&web["spec"]["template"], Some(1));
    assert!(cluster.get(resource::REPLICA_SETS, NAMESPACE, &format!("web-{hash}")).is_some());
}

#[test]
fn orphans_are_adopted_and_those_that_no_longer_match_are_released() {
    let mut cluster = running(|_| QUICK, deployment(1, "a", json!({})));
    let set = name(&cluster.store().list(&resource::REPLICA_SETS, None)[0]).to_owned();
    let owner = |cluster: &crate::sandbox::model::virtual_cluster::VirtualCluster| {
        cluster.get(resource::REPLICA_SETS, NAMESPACE, &set).unwrap()["metadata"]["ownerReferences"].clone()
    };
    let owned = owner(&cluster);
    edit_object(&mut cluster, resource::REPLICA_SETS, &set, json!({"metadata": {"labels": {"app": "else"}}}));
    cluster.settle();
    assert_eq!(owner(&cluster), Value::Null);
    edit_object(&mut cluster, resource::REPLICA_SETS, &set, json!({"metadata": {"labels": {"app": "web"}}}));
    cluster.settle();
    assert_eq!(owner(&cluster), owned);
}

#[test]
fn a_label_selector_that_overlaps_takes_nothing_from_another_owner() {
    let mut cluster = running(|_| QUICK, deployment(2, "a", json!({})));
    let mut other = deployment(3, "z", json!({}));
    other["metadata"]["name"] = "other".into();
    create(&mut cluster, resource::DEPLOYMENTS, other);
    cluster.advance(seconds(10));
    assert_eq!(shape(&cluster), "a:2 z:3");
    assert_eq!(pods(cluster.store()).len(), 5);
}

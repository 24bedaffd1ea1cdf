//! A paused Deployment does not roll out, but it is no frozen one either.

use serde_json::json;

use super::shapes;
use crate::sandbox::model::controllers::testing::*;
use crate::sandbox::model::object::{Key, name, resource};
use crate::sandbox::model::virtual_cluster::VirtualCluster;
use crate::sandbox::model::virtual_node::Behavior;
use crate::sandbox::model::write::{Read, Write};

const NEVER: Behavior = Behavior { ready: None, ..QUICK };

fn stuck_rollout() -> VirtualCluster {
    let mut cluster = running(|image| if image == "b" { NEVER } else { QUICK }, deployment(4, "a", rolling(1, 1)));
    set_image(&mut cluster, "b");
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:3 b:2");
    cluster
}

/// Sets the size of the ReplicaSet of an image, as `kubectl scale rs` does.
fn scale_set(cluster: &mut VirtualCluster, image: &str, replicas: i64) {
    let sets = cluster.store().list(&resource::REPLICA_SETS, Some(NAMESPACE));
    let set = sets.iter().find(|s| s["spec"]["template"]["spec"]["containers"][0]["image"] == image).unwrap();
    let key = Key::new(resource::REPLICA_SETS, NAMESPACE, name(set));
    cluster.write(Write::Patch { key, if_version: None, patch: json!({"spec": {"replicas": replicas}}) });
}

#[test]
fn a_paused_deployment_does_not_roll_out_a_new_template() {
    let mut cluster = running(|_| QUICK, deployment(3, "a", json!({})));
    edit(&mut cluster, json!({"spec": {"paused": true}}));
    set_image(&mut cluster, "b");
    assert_eq!(shapes(&mut cluster), ["a:3"]);
    edit(&mut cluster, json!({"spec": {"paused": null}}));
    settled_rollout(&mut cluster);
    assert_eq!(shape(&cluster), "a:0 b:3");
}

#[test]
fn a_pause_in_the_middle_keeps_the_mixture_and_a_resume_goes_on() {
    let mut cluster = running(|_| QUICK, deployment(4, "a", rolling(1, 0)));
    set_image(&mut cluster, "b");
    cluster.settle();
    edit(&mut cluster, json!({"spec": {"paused": true}}));
    assert_eq!(shapes(&mut cluster), ["a:4 b:1"]);
    edit(&mut cluster, json!({"spec": {"paused": false}}));
    assert_eq!(shapes(&mut cluster).last().map(String::as_str), Some("a:0 b:4"));
}

#[test]
fn pausing_may_let_the_new_replica_set_grow_to_the_surge() {
    // With 4 + 1 allowed and 4 there, the pause gives the missing one away in proportion.
    let mut cluster = running(|image| if image == "b" { NEVER } else { QUICK }, deployment(4, "a", rolling(1, 1)));
    set_image(&mut cluster, "b");
    cluster.settle();
    scale_set(&mut cluster, "b", 1);
    edit(&mut cluster, json!({"spec": {"paused": true}}));
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:4 b:1");
}

#[test]
fn hold_pauses_and_empties_the_new_replica_set_and_the_old_one_is_restored_in_full() {
    let mut cluster = stuck_rollout();
    let template = web(&cluster)["spec"]["template"].clone();
    edit(&mut cluster, json!({"spec": {"paused": true}}));
    scale_set(&mut cluster, "b", 0);
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:4 b:0");
    assert_eq!(web(&cluster)["spec"]["template"], template, "the template stays as it was applied");
    assert_eq!(web(&cluster)["status"]["availableReplicas"], 4);
    cluster.advance(seconds(3600));
    assert_eq!(shape(&cluster), "a:4 b:0", "and it stays so");
}

#[test]
fn a_paused_deployment_still_scales() {
    let mut cluster = running(|_| QUICK, deployment(2, "a", json!({})));
    edit(&mut cluster, json!({"spec": {"paused": true, "replicas": 5}}));
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:5");
    edit(&mut cluster, json!({"spec": {"replicas": 0}}));
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:0");
    edit(&mut cluster, json!({"spec": {"replicas": 1}}));
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:1");
}

#[test]
fn a_pause_after_the_new_pods_are_all_there_lets_the_old_ones_go() {
    let mut cluster = running(|_| QUICK, deployment(2, "a", rolling(2, 0)));
    set_image(&mut cluster, "b");
    cluster.settle();
    assert_eq!(shape(&cluster), "a:2 b:2");
    edit(&mut cluster, json!({"spec": {"paused": true}}));
    cluster.settle();
    assert_eq!(shape(&cluster), "a:2 b:2", "not before they are available");
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:0 b:2");
}

#[test]
fn undo_by_one_patch_of_template_and_pause_works_on_a_paused_rollout() {
    let mut cluster = stuck_rollout();
    edit(&mut cluster, json!({"spec": {"paused": true}}));
    cluster.advance(seconds(5));
    let containers = json!([{"name": "web", "image": "a"}]);
    edit(&mut cluster, json!({"spec": {"paused": false, "template": {"spec": {"containers": containers}}}}));
    settled_rollout(&mut cluster);
    assert_eq!(shape(&cluster), "a:4 b:0");
}

#[test]
fn a_pause_between_the_halves_of_a_recreate_brings_the_newest_back() {
    let mut cluster = running(|_| QUICK, deployment(2, "a", json!({"strategy": {"type": "Recreate"}})));
    set_image(&mut cluster, "b");
    cluster.settle();
    assert_eq!(shape(&cluster), "a:0");
    edit(&mut cluster, json!({"spec": {"paused": true}}));
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:2", "the old version returns");
}

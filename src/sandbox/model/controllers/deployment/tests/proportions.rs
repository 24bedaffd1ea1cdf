//! Resizing in the middle of a rollout.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::super::{DESIRED_REPLICAS, MAX_REPLICAS, Sync};
use crate::sandbox::model::controllers::refusals::Refusals;
use crate::sandbox::model::controllers::testing::*;
use crate::sandbox::model::object::{resource, time};
use crate::sandbox::model::virtual_node::Behavior;

#[test]
fn the_example_of_the_documentation() {
    // 10 replicas, surge 3, unavailable 2, an image that does not come up; then 15 replicas.
    let never = Behavior { ready: None, ..QUICK };
    let mut cluster = running(move |image| if image == "b" { never } else { QUICK }, deployment(10, "a", rolling(3, 2)));
    set_image(&mut cluster, "b");
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:8 b:5");
    edit(&mut cluster, json!({"spec": {"replicas": 15}}));
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:11 b:7");
}

#[test]
fn scaling_down_to_zero_and_up_again_in_a_rollout() {
    let never = Behavior { ready: None, ..QUICK };
    let mut cluster = running(move |image| if image == "b" { never } else { QUICK }, deployment(4, "a", rolling(1, 1)));
    set_image(&mut cluster, "b");
    cluster.advance(seconds(5));
    edit(&mut cluster, json!({"spec": {"replicas": 0}}));
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:0 b:0");
    edit(&mut cluster, json!({"spec": {"replicas": 3}}));
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:0 b:3");
}

/// A case: the Deployment before and after, and its ReplicaSets from the new one to the oldest.
struct Case {
    name: &'static str,
    before: (i64, i64),
    after: (i64, i64),
    has_new: bool,
    sets: &'static [i64],
    want: &'static [i64],
}

fn scale(sync: &mut Sync<'_>) {
    sync.scale();
}

fn roll(sync: &mut Sync<'_>) {
    sync.roll();
}

/// What becomes of the sizes of a case, each ReplicaSet a minute older than the one before it. `act` is what the controller does.
fn sizes_after(case: &Case, available: &[i64], spec: Value, act: fn(&mut Sync<'_>)) -> Vec<i64> {
    let image = |i: usize| if case.has_new { format!("{i}") } else { format!("{}", i + 1) };
    let mut deployment = deployment(case.after.0, "0", spec);
    deployment["metadata"]["uid"] = "d".into();
    let mut objects = Objects::default().with(resource::DEPLOYMENTS, deployment);
    for (i, size) in case.sets.iter().enumerate() {
        let age = TimeDelta::minutes(i64::try_from(i).unwrap());
        let annotations: Value = json!({
            DESIRED_REPLICAS: case.before.0.to_string(), MAX_REPLICAS: (case.before.0 + case.before.1).to_string(),
            "deployment.kubernetes.io/revision": (9 - i).to_string(),
        });
        let set = json!({
            "metadata": {
                "name": format!("web-{i}"), "namespace": NAMESPACE, "uid": format!("s{i}"), "labels": {"app": "web"},
                "annotations": annotations,
                "creationTimestamp": time(start() - age),
                "ownerReferences": [{"kind": "Deployment", "name": "web", "uid": "d", "controller": true}],
            },
            "spec": {
                "replicas": size, "selector": {"matchLabels": {"app": "web", "pod-template-hash": i.to_string()}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image(i)}]}},
            },
            "status": {"availableReplicas": available.get(i)},
        });
        objects = objects.with(resource::REPLICA_SETS, set);
    }
    let (view, refusals) = (objects.view(), Refusals::default());
    let mut sync = Sync::begin(&view, &view.deployments.all()[0], &refusals, start()).unwrap();
    assert_eq!(sync.new.is_some(), case.has_new, "{}", case.name);
    act(&mut sync);
    sync.new.iter().chain(sync.old.iter().rev()).map(|d| d.replicas).collect()
}

#[test]
fn sizes_are_those_of_the_real_controller() {
    let case = |name, before, after, has_new, sets, want| Case { name, before, after, has_new, sets, want };
    let cases = [
        case("one alone grows", (10, 0), (12, 0), true, &[10][..], &[12][..]),
        case("one alone shrinks", (10, 0), (5, 0), true, &[10], &[5]),
        case("5 to 10", (5, 0), (10, 0), true, &[2, 3], &[4, 6]),
        case("5 to 3", (5, 0), (3, 0), true, &[2, 3], &[1, 2]),
        case("9 to 4", (9, 0), (4, 0), true, &[8, 1], &[4, 0]),
        case("7 to 10 in three", (7, 0), (10, 0), true, &[2, 3, 2], &[3, 4, 3]),
        case("13 to 8 in three", (13, 0), (8, 0), true, &[2, 8, 3], &[1, 5, 2]),
        case("what is left over goes to the newest", (3, 0), (4, 0), true, &[1, 1, 1], &[2, 1, 1]),
        case("what is too much is taken from the oldest", (3, 0), (2, 0), true, &[1, 1, 1], &[1, 1, 0]),
        case("without a new one the latest grows first", (4, 0), (5, 0), false, &[2, 2], &[3, 2]),
        case("down to nothing", (6, 0), (0, 0), true, &[3, 2, 1], &[0, 0, 0]),
        case("up from nothing", (6, 0), (6, 0), true, &[0, 0, 0], &[6, 0, 0]),
        case("with surge", (10, 2), (20, 2), true, &[6, 6], &[11, 11]),
        case("size and surge together", (10, 3), (50, 6), true, &[5, 8], &[22, 34]),
        case("size and template together", (10, 0), (14, 0), false, &[7, 3], &[10, 4]),
    ];
    for case in &cases {
        let sizes = sizes_after(case, &[], rolling(case.after.1, 0), scale);
        assert_eq!(sizes, case.want, "{}", case.name);
    }
}

#[test]
fn a_status_that_lags_behind_holds_the_rollout_back() {
    // Ten wanted, two may be missing, three may be too many. The old ReplicaSet was just told to have 8.
    let case = |sets| Case { name: "rollout", before: (10, 3), after: (10, 3), has_new: true, sets, want: &[] };
    let sizes = |sets, available: &[i64]| sizes_after(&case(sets), available, rolling(3, 2), roll);
    assert_eq!(sizes(&[5, 8], &[1, 10]), [5, 8], "its status still counts the two it has given up");
    assert_eq!(sizes(&[5, 8], &[1, 8]), [5, 7], "now one more may go");
    assert_eq!(sizes(&[5, 8], &[1, 6]), [5, 7], "an old one that serves nobody goes first, and no more");
    assert_eq!(sizes(&[4, 8], &[0, 8]), [5, 8], "growing comes before shrinking");
}

//! How many pods there are, and how many are available, at every moment of a rollout.

use chrono::TimeDelta;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::shapes;
use crate::sandbox::model::controllers::testing::*;
use crate::sandbox::model::controllers::view::meta::count;
use crate::sandbox::model::object::{Key, Object, is_deleting, resource};
use crate::sandbox::model::store::Store;
use crate::sandbox::model::virtual_node::Behavior;
use crate::sandbox::model::write::Write;

#[test]
fn surge_without_unavailability_goes_one_up_one_down() {
    let mut cluster = running(|_| QUICK, deployment(3, "a", rolling(1, 0)));
    set_image(&mut cluster, "b");
    assert_eq!(shapes(&mut cluster), ["a:3", "a:3 b:1", "a:2 b:1", "a:2 b:2", "a:1 b:2", "a:1 b:3", "a:0 b:3"]);
}

#[test]
fn unavailability_without_surge_goes_one_down_one_up() {
    let mut cluster = running(|_| QUICK, deployment(3, "a", rolling(0, 1)));
    set_image(&mut cluster, "b");
    assert_eq!(shapes(&mut cluster), ["a:3", "a:3 b:0", "a:2 b:0", "a:2 b:1", "a:1 b:1", "a:1 b:2", "a:0 b:2", "a:0 b:3"]);
}

#[test]
fn the_default_strategy_is_a_quarter_both_ways() {
    let mut cluster = running(|_| QUICK, deployment(4, "a", json!({})));
    set_image(&mut cluster, "b");
    assert_eq!(shapes(&mut cluster), ["a:4", "a:4 b:1", "a:3 b:1", "a:3 b:2", "a:1 b:2", "a:1 b:4", "a:0 b:4"]);
}

#[test]
fn a_strategy_that_rounds_to_nothing_still_moves() {
    let mut cluster = running(|_| QUICK, deployment(2, "a", rolling(0, "25%")));
    set_image(&mut cluster, "b");
    assert_eq!(shapes(&mut cluster), ["a:2", "a:2 b:0", "a:1 b:0", "a:1 b:1", "a:0 b:1", "a:0 b:2"]);
}

#[test]
fn recreate_waits_until_the_last_old_pod_is_gone() {
    let slow_end = Behavior { stops: TimeDelta::seconds(7), ..QUICK };
    let mut cluster = running(move |_| slow_end, deployment(2, "a", json!({"strategy": {"type": "Recreate"}})));
    set_image(&mut cluster, "b");
    let images = |store: &Store| -> Vec<String> {
        pods(store).iter().map(|p| p["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()).collect()
    };
    let mut mixed = false;
    let asked = cluster.now();
    let mut observe = |store: &Store, _| mixed |= images(store).windows(2).any(|w| w[0] != w[1]);
    cluster.settle_watched(&mut observe);
    assert_eq!(images(cluster.store()), ["a", "a"], "both terminate, and nothing new has come");
    while images(cluster.store()) != ["b", "b"] && cluster.tick(&mut observe) {}
    assert_eq!((cluster.now() - asked, mixed), (TimeDelta::seconds(7), false));
    settled_rollout(&mut cluster);
    assert_eq!(shape(&cluster), "a:0 b:2");
}

#[test]
fn pods_count_as_available_only_after_min_ready_seconds() {
    let spec = json!({"minReadySeconds": 10, "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}});
    let mut cluster = running(|_| QUICK, deployment(2, "a", spec));
    let asked = cluster.now();
    set_image(&mut cluster, "b");
    let first = cluster.run_until(seconds(60), |store| sizes(store) == [("a".into(), 1), ("b".into(), 2)]).unwrap();
    assert_eq!(first - asked, seconds(11), "a second to get ready, and ten more");
    assert_eq!(settled_rollout(&mut cluster) - asked, seconds(22));
}

#[test]
fn a_template_that_comes_during_a_rollout_takes_over_at_once() {
    let mut cluster =
        running(|image| Behavior { ready: (image != "b").then_some(seconds(1)), ..QUICK }, deployment(4, "a", rolling(1, 1)));
    set_image(&mut cluster, "b");
    cluster.advance(seconds(5));
    assert_eq!(shape(&cluster), "a:3 b:2");
    set_image(&mut cluster, "c");
    assert_eq!(
        shapes(&mut cluster),
        // The pods of b serve nobody and go first; c takes their place.
        ["a:3 b:2", "a:3 b:2 c:0", "a:3 b:0 c:0", "a:3 b:0 c:2", "a:1 b:0 c:2", "a:1 b:0 c:4", "a:0 b:0 c:4"]
    );
}

#[test]
fn pods_that_fail_or_are_deleted_are_replaced() {
    let mut cluster = running(|_| QUICK, deployment(2, "a", json!({})));
    let names =
        |store: &Store| -> Vec<String> { pods(store).iter().map(|p| p["metadata"]["name"].as_str().unwrap().to_owned()).collect() };
    let before = names(cluster.store());
    let key = |name: &str| Key::new(resource::PODS, NAMESPACE, name);
    let patch = json!({"status": {"phase": "Failed", "reason": "Evicted"}});
    cluster.write(Write::PatchStatus { key: key(&before[0]), if_version: None, patch });
    cluster.write(Write::Delete { key: key(&before[1]), uid: None, grace: None });
    cluster.advance(seconds(5));
    let after = names(cluster.store());
    let left = (after.len(), after.contains(&before[0]), after.contains(&before[1]));
    assert_eq!(left, (3, true, false), "the failed one stays for people to see");
    assert_eq!(web(&cluster)["status"]["availableReplicas"], 2);
}

/// An IntOrString.
fn amount() -> impl Strategy<Value = Value> {
    prop_oneof![(0..5_i64).prop_map(Value::from), (0..101_i64).prop_map(|p| format!("{p}%").into())]
}

/// What an amount comes to, worked out with fractions.
fn of(amount: &Value, total: i64, round: fn(f64) -> f64) -> i64 {
    match amount.as_str() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "at most ten")]
        Some(percent) => round(percent.trim_end_matches('%').parse::<f64>().unwrap() * total as f64 / 100.0) as i64,
        None => amount.as_i64().unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn surge_and_unavailability_are_never_exceeded(replicas in 1..11_i64, surge in amount(), unavailable in amount(), seed: u64) {
        prop_assume!(!(surge == 0 && unavailable == 0));
        let mut rng = StdRng::seed_from_u64(seed);
        let mut delay = move |most: i64| TimeDelta::milliseconds(rng.random_range(0..most));
        let behave = move |_: &str| Behavior { starts: delay(2000), ready: Some(delay(5000)), stops: delay(4000) };
        let mut cluster = running(behave, deployment(replicas, "a", rolling(surge.clone(), unavailable.clone())));
        let most_above = of(&surge, replicas, f64::ceil);
        let most_below = match (most_above, of(&unavailable, replicas, f64::floor)) {
            (0, 0) => 1,
            (_, below) => below.min(replicas),
        };
        let mut worst = Ok(());
        let mut observe = |store: &Store, now| {
            let (pods, sizes) = (pods(store), sizes(store));
            let is_ready = |p: &&Object| condition(p, "Ready").is_some_and(|c| c["status"] == "True");
            let active = count(pods.iter().filter(|p| !is_deleting(p)).count());
            let available = count(pods.iter().filter(|p| !is_deleting(p)).filter(is_ready).count());
            let wanted: i64 = sizes.iter().map(|(_, n)| n).sum();
            if active > replicas + most_above || wanted > replicas + most_above || available < replicas - most_below {
                worst = Err(format!("{now}: {sizes:?}, {active} active, {available} available"));
            }
        };
        set_image(&mut cluster, "b");
        cluster.settle_watched(&mut observe);
        let end = cluster.now() + seconds(150);
        while cluster.now() < end && cluster.tick(&mut observe) {}
        prop_assert_eq!(worst, Ok(()));
        settled_rollout(&mut cluster);
        prop_assert_eq!(shape(&cluster), format!("a:0 b:{replicas}"));
    }
}

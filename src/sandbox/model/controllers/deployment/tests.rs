//! Rollouts in virtual time.

mod arithmetic;
mod conditions;
mod history;
mod pausing;
mod proportions;

use crate::sandbox::model::controllers::testing::*;
use crate::sandbox::model::store::Store;
use crate::sandbox::model::virtual_cluster::VirtualCluster;

/// The shapes a rollout goes through until nothing moves any more.
fn shapes(cluster: &mut VirtualCluster) -> Vec<String> {
    let text = |store: &Store| sizes(store).iter().map(|(i, n)| format!("{i}:{n}")).collect::<Vec<_>>().join(" ");
    let mut seen = vec![text(cluster.store())];
    let mut observe = |store: &Store, _| {
        let now = text(store);
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    };
    let end = cluster.now() + seconds(60);
    cluster.settle_watched(&mut observe);
    while cluster.now() < end && cluster.tick(&mut observe) {}
    seen
}

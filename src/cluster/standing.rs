//! One look at a Deployment and what is of it, for who has no watch of it.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};

use super::{ClusterError, convert, discover};
use crate::clock::Clock;
use crate::domain::rollout::Rollout;

/// The Deployment with its ReplicaSets and pods, as they are now.
pub async fn look(client: &Client, clock: &Clock, namespace: &str, deployment: &str) -> Result<Rollout, ClusterError> {
    let (deployments, sets, pods): (Api<Deployment>, Api<ReplicaSet>, Api<Pod>) = (
        Api::namespaced(client.clone(), namespace),
        Api::namespaced(client.clone(), namespace),
        Api::namespaced(client.clone(), namespace),
    );
    let doing = |what: &str| ClusterError::new(format!("{what} of deployment {namespace}/{deployment}"));
    let found = deployments.get(deployment).await.map_err(doing("read the state"))?;
    let selector = found.spec.as_ref().map(|spec| discover::selector(&spec.selector)).unwrap_or_default();
    let selected = ListParams::default().labels(&selector);
    let sets = sets.list(&selected).await.map_err(doing("list replicasets"))?;
    let pods = pods.list(&selected).await.map_err(doing("list pods"))?;
    let owned = |set: &&ReplicaSet| {
        let mut owners = set.metadata.owner_references.iter().flatten();
        owners.any(|owner| Some(&owner.uid) == found.metadata.uid.as_ref())
    };
    let (mut rollout, now) = (Rollout::default(), clock.now());
    rollout.deployment(&convert::deployment(&found), now);
    sets.items.iter().filter(owned).for_each(|set| rollout.replica_set(&convert::replica_set(set), now));
    pods.items.iter().for_each(|pod| rollout.pod(&convert::pod(pod, clock), now));
    Ok(rollout)
}

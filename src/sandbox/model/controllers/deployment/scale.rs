//! Changing the size of a Deployment that is paused, or in the middle of a rollout: all its ReplicaSets grow or shrink in
//! proportion, so that the change does not hasten the rollout.

use std::cmp::Reverse;

use super::{DESIRED_REPLICAS, Draft, MAX_REPLICAS, Sync};
use crate::sandbox::model::controllers::view::workload::{Deployment, Strategy};

impl Sync<'_> {
    /// Was the Deployment resized since its ReplicaSets were?
    pub(super) fn is_scaling_event(&self) -> bool {
        self.active().any(|d| d.count(DESIRED_REPLICAS).is_some_and(|n| n != self.deployment.replicas))
    }

    /// Brings the ReplicaSets to the size of the Deployment without going on with the rollout.
    pub(super) fn scale(&mut self) {
        let deployment = self.deployment;
        let active = self.active().count();
        if active <= 1 {
            // The only one with pods has all of them; if none has, the newest.
            let one = match active {
                0 => self.new.as_mut().or(self.old.last_mut()),
                _ => self.old.iter_mut().chain(&mut self.new).find(|d| d.replicas > 0),
            };
            if let Some(draft) = one.filter(|d| d.replicas != deployment.replicas) {
                Self::resize(deployment, draft, deployment.replicas);
            }
        } else if self.new.as_ref().is_some_and(|n| is_saturated(n, deployment)) {
            for draft in self.old.iter_mut().filter(|d| d.replicas > 0) {
                Self::resize(deployment, draft, 0);
            }
        } else if matches!(deployment.strategy, Strategy::RollingUpdate { .. }) {
            self.scale_in_proportion();
        }
    }

    fn scale_in_proportion(&mut self) {
        let deployment = self.deployment;
        let surge = self.fences().surge;
        let allowed = if deployment.replicas > 0 { deployment.replicas + surge } else { 0 };
        let to_add = allowed - self.total();
        let mut drafts: Vec<&mut Draft<'_>> = self.old.iter_mut().chain(&mut self.new).filter(|d| d.replicas > 0).collect();
        // The largest first. Among equals the newer grow first, and the older shrink first.
        drafts.sort_by_key(|d| (d.set.meta.created, d.set.name()));
        if to_add > 0 {
            drafts.reverse();
        }
        drafts.sort_by_key(|d| Reverse(d.replicas));
        let mut sizes: Vec<i64> = Vec::with_capacity(drafts.len());
        let mut added = 0;
        for draft in &drafts {
            let share = proportion(draft, deployment, surge, to_add, added);
            sizes.push(draft.replicas + share);
            added += share;
        }
        // What rounding left over goes to the largest.
        if let Some(first) = sizes.first_mut().filter(|_| to_add != 0) {
            *first = (*first + to_add - added).max(0);
        }
        for (draft, size) in drafts.into_iter().zip(sizes) {
            Self::resize(deployment, draft, size);
        }
    }
}

/// Has the new ReplicaSet all the pods it should have, and are they available?
fn is_saturated(new: &Draft<'_>, deployment: &Deployment) -> bool {
    let wanted = deployment.replicas;
    new.replicas == wanted && new.set.status.available == wanted && new.count(DESIRED_REPLICAS) == Some(wanted)
}

/// How many of the `to_add` pods (negative: pods to remove) one ReplicaSet gets, `added` being given away already.
fn proportion(draft: &Draft<'_>, deployment: &Deployment, surge: i64, to_add: i64, added: i64) -> i64 {
    if to_add == added {
        return 0;
    }
    let share = fraction(draft, deployment, surge);
    if to_add > 0 { share.min(to_add - added) } else { share.max(to_add - added) }
}

fn fraction(draft: &Draft<'_>, deployment: &Deployment, surge: i64) -> i64 {
    if deployment.replicas == 0 {
        return -draft.replicas;
    }
    let before = match draft.count(MAX_REPLICAS) {
        Some(max) if max > 0 => max,
        // Somebody took the annotation away: the current size has to do.
        Some(_) | None => deployment.status.replicas,
    };
    if before <= 0 {
        return 0;
    }
    let grown = draft.replicas * (deployment.replicas + surge);
    // Rounded to the nearest, halves away from zero.
    (2 * grown + before).div_euclid(2 * before) - draft.replicas
}

//! The RollingUpdate strategy.

use super::Sync;
use crate::sandbox::model::controllers::view::workload::Strategy;

impl Sync<'_> {
    pub(super) fn roll(&mut self) {
        if self.new.is_none() {
            self.create_new();
        } else if !self.resize_new() && !self.shrink_old() && self.is_complete() {
            self.clean_up();
        }
        self.sync_rollout_status();
    }

    /// How large the new ReplicaSet, now of size `current`, may be at once.
    pub(super) fn size_of_new(&self, current: i64) -> i64 {
        let wanted = self.deployment.replicas;
        let Strategy::RollingUpdate { surge, .. } = self.deployment.strategy else { return wanted };
        let room = wanted + surge.round_up(wanted) - self.total();
        current + room.max(0).min(wanted - current)
    }

    /// Brings the new ReplicaSet towards its full size. `true` when it changed.
    fn resize_new(&mut self) -> bool {
        let wanted = self.deployment.replicas;
        let Some(current) = self.new.as_ref().map(|n| n.replicas) else { return false };
        let size = if current >= wanted { wanted } else { self.size_of_new(current) };
        if let Some(new) = self.new.as_mut().filter(|_| size != current) {
            Self::resize(self.deployment, new, size);
        }
        size != current
    }

    /// Takes pods from old ReplicaSets, as far as availability allows. `true` when some were.
    fn shrink_old(&mut self) -> bool {
        let Some(new) = &self.new else { return false };
        if self.old.iter().all(|d| d.replicas == 0) {
            return false;
        }
        let min_available = self.deployment.replicas - self.fences().unavailable;
        // What the new ReplicaSet has not got ready yet must not be made up for by taking old pods away.
        let new_unavailable = new.replicas - new.set.status.available;
        let most = self.total() - min_available - new_unavailable;
        if most <= 0 {
            return false;
        }
        let Some(cleaned) = self.shrink_unhealthy(most) else { return false };
        cleaned + self.shrink_healthy(min_available) > 0
    }

    /// Old pods that serve nobody go first, for they would hold the rollout up. `None` when a status lags behind what was asked
    /// for: nothing can be said before it has caught up.
    fn shrink_unhealthy(&mut self, most: i64) -> Option<i64> {
        let mut done = 0;
        for draft in self.old.iter_mut().filter(|d| d.replicas > 0) {
            let unhealthy = draft.replicas - draft.set.status.available;
            if done >= most {
                break;
            }
            if unhealthy < 0 {
                return None;
            }
            let fewer = unhealthy.min(most - done);
            if fewer > 0 {
                let size = draft.replicas - fewer;
                Self::resize(self.deployment, draft, size);
                done += fewer;
            }
        }
        Some(done)
    }

    /// Then available ones, oldest ReplicaSet first, down to the number that must stay available.
    fn shrink_healthy(&mut self, min_available: i64) -> i64 {
        let counted = self.old.iter().filter(|d| d.replicas > 0).chain(&self.new);
        let mut spare = counted.map(|d| d.set.status.available).sum::<i64>() - min_available;
        let mut done = 0;
        for draft in self.old.iter_mut().filter(|d| d.replicas > 0) {
            let fewer = draft.replicas.min(spare);
            if fewer <= 0 {
                break;
            }
            let size = draft.replicas - fewer;
            Self::resize(self.deployment, draft, size);
            spare -= fewer;
            done += fewer;
        }
        done
    }
}

//! Where a Deployment stands that others change: what there is to see for who only watches.

use super::Rollout;
use super::state::DeploymentState;
use crate::domain::traffic::Name;

/// Where a Deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its controller has not answered to its latest generation, or not everything about it was seen yet.
    Unknown,
    /// Its rollouts are on hold: none will complete, and none begins.
    Paused,
    /// It wants no pods.
    Empty,
    /// Not all that is wanted is there.
    UnderWay,
    /// The latest rollout has ended well. That not everything is available, because a pod crashed or more are wanted, begins no other one.
    Complete,
}

impl Rollout {
    /// Where the Deployment stands by the latest that it said.
    pub fn progress(&self) -> Progress {
        match &self.deployment {
            None => Progress::Unknown,
            Some(d) if d.paused => Progress::Paused,
            Some(d) if d.replicas == 0 => Progress::Empty,
            Some(d) if d.observed < d.generation || self.current().is_none() => Progress::Unknown,
            Some(d) if self.is_available() || is_rolled_out(d) => Progress::Complete,
            Some(_) => Progress::UnderWay,
        }
    }

    /// Begins in the midst of a rollout, or after it: the wanted revision counts as new, what ran before it as old. Of several others that
    /// is the latest of those that have pods wanted, or else the latest of all.
    pub fn begin_late(&mut self, complete: Option<&Name>) {
        if self.before.is_some() {
            return;
        }
        let current = self.current().map(|s| s.hash.clone());
        let others = self.sets.values().filter(|s| Some(&s.hash) != current.as_ref());
        let old = others.max_by_key(|s| (s.replicas > 0, s.revision)).map(|s| s.hash.clone());
        self.before_complete = old.is_some() && old.as_ref() == complete;
        self.before = Some(old.unwrap_or_else(|| Name::from("")));
        if let Some(generation) = self.deployment.as_ref().map(|d| d.generation) {
            self.wanted(generation);
        }
    }

    /// Nothing ran before the wanted revision, as far as the history goes.
    pub fn is_first(&self) -> bool {
        self.sets.len() == 1
    }
}

/// The controller says so, and all pods are of the wanted revision.
fn is_rolled_out(d: &DeploymentState) -> bool {
    let said = d.conditions.iter().any(|c| &*c.kind == "Progressing" && c.reason == "NewReplicaSetAvailable");
    said && d.status.updated == d.replicas && d.status.replicas == d.replicas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::state::{Condition, ReplicaSetState};
    use crate::domain::rollout::tests::{deployment, name, set};
    use crate::domain::time::At;

    fn of(d: &DeploymentState, sets: &[ReplicaSetState]) -> Rollout {
        let mut r = Rollout::default();
        r.deployment(d, At::ZERO);
        for set in sets {
            r.replica_set(set, At::ZERO);
        }
        r
    }

    #[test]
    fn status_older_than_the_spec_says_nothing_and_a_pause_says_that_nothing_will_come() {
        let sets = [set("old", 1), set("new", 2)];
        let complete = deployment(2, 2, 2, 2, [2, 2, 2, 2]);
        let progress = |d: &DeploymentState| of(d, &sets).progress();
        assert_eq!(Rollout::default().progress(), Progress::Unknown);
        assert_eq!(progress(&complete), Progress::Complete);
        assert_eq!(progress(&deployment(3, 2, 2, 2, [2, 2, 2, 2])), Progress::Unknown);
        assert_eq!(progress(&deployment(2, 2, 9, 2, [2, 2, 2, 2])), Progress::Unknown, "its ReplicaSet was not seen yet");
        assert_eq!(progress(&deployment(2, 2, 2, 2, [3, 1, 2, 2])), Progress::UnderWay);
        assert_eq!(progress(&deployment(2, 2, 2, 0, [0, 0, 0, 0])), Progress::Empty);
        let reason = |reason: &str| Condition {
            kind: name("Progressing"),
            status: Some(true),
            reason: reason.into(),
            message: String::new(),
        };
        let one_lacks = |conditions| DeploymentState { conditions, ..deployment(2, 2, 2, 2, [2, 2, 1, 1]) };
        assert_eq!(
            progress(&one_lacks(vec![reason("NewReplicaSetAvailable")])),
            Progress::Complete,
            "a pod crashed after its rollout"
        );
        assert_eq!(progress(&one_lacks(vec![reason("ReplicaSetUpdated")])), Progress::UnderWay);
        assert_eq!(progress(&DeploymentState { paused: true, ..complete }), Progress::Paused);
    }

    #[test]
    fn the_old_revision_is_the_latest_that_still_has_pods_or_else_the_latest() {
        let under_way = deployment(4, 4, 4, 2, [3, 1, 2, 2]);
        let idle = |s: ReplicaSetState| ReplicaSetState { replicas: 0, ..s };
        let old = |sets: &[ReplicaSetState]| {
            let mut r = of(&under_way, sets);
            r.begin_late(None);
            (r.old_revision().cloned(), r.new_revision().cloned())
        };
        let new = Some(name("new"));
        let sets = [set("a", 1), idle(set("b", 2)), idle(set("c", 3)), set("new", 4)];
        assert_eq!(old(&sets), (Some(name("a")), new.clone()));
        assert_eq!(old(&[idle(set("a", 1)), idle(set("b", 2)), set("new", 4)]), (Some(name("b")), new.clone()));
        assert_eq!(old(&[set("new", 4)]), (None, new));
    }
}

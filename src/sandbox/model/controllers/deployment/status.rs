//! The status of a Deployment: counts, conditions, and whether the rollout makes progress.

use serde_json::{Map, Value, json};

use super::{Draft, Sync};
use crate::sandbox::model::controllers::conditions::{self, updated};
use crate::sandbox::model::controllers::view::status_patch;
use crate::sandbox::model::controllers::view::workload::Counts;
use crate::sandbox::model::object::parse_time;
use crate::sandbox::model::write::Write;

const FIELDS: [&str; 9] = [
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "collisionCount",
    "conditions",
];

impl Sync<'_> {
    /// A pause is noted in the conditions, so that time spent paused is not held against the rollout.
    pub(super) fn note_pause(&mut self) {
        let paused = match conditions::reason(&self.conditions, "Progressing") {
            _ if self.deployment.deadline.is_none() => return,
            // A rollout that has failed stays failed.
            Some("ProgressDeadlineExceeded") => return,
            reason => reason == Some("DeploymentPaused"),
        };
        let condition = match (self.deployment.paused, paused) {
            (true, false) => updated("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", self.now),
            (false, true) => updated("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", self.now),
            (true, true) | (false, false) => return,
        };
        conditions::set(&mut self.conditions, condition);
    }

    /// The status of a Deployment that is not rolling out.
    pub(super) fn sync_status(&mut self) {
        let counts = self.counts();
        self.note_availability(counts.available);
        self.write_status(counts);
    }

    /// The status of a rollout, its progress included.
    pub(super) fn sync_rollout_status(&mut self) {
        let counts = self.counts();
        self.note_availability(counts.available);
        if self.deployment.deadline.is_some() {
            self.note_progress(&counts);
        } else {
            conditions::remove(&mut self.conditions, "Progressing");
        }
        self.note_replica_failure();
        self.write_status(counts);
    }

    /// Are all pods there, new and available, and no others? Judged by the last written status.
    pub(super) fn is_complete(&self) -> bool {
        self.completes(&self.deployment.status)
    }

    fn completes(&self, counts: &Counts) -> bool {
        let wanted = self.deployment.replicas;
        let all = [counts.updated, counts.replicas, counts.available];
        all == [wanted; 3] && counts.observed >= self.deployment.meta.generation
    }

    fn counts(&self) -> Counts {
        let sum = |count: fn(&Counts) -> i64| self.drafts().map(|d| count(&d.set.status)).sum();
        // A ReplicaSet nobody has looked at yet has no terminating pods; one that was looked at but does not say makes the sum
        // unknown.
        let known = self.drafts().filter(|d| d.set.status.observed > 0 || d.set.status.terminating.is_some());
        Counts {
            observed: self.deployment.meta.generation,
            replicas: sum(|s| s.replicas),
            updated: self.new.as_ref().map_or(0, |n| n.set.status.replicas),
            ready: sum(|s| s.ready),
            available: sum(|s| s.available),
            terminating: known.map(|d| d.set.status.terminating).sum(),
        }
    }

    fn note_availability(&mut self, available: i64) {
        let condition = if available >= self.deployment.replicas - self.fences().unavailable {
            updated("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", self.now)
        } else {
            updated("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", self.now)
        };
        conditions::set(&mut self.conditions, condition);
    }

    fn note_progress(&mut self, counts: &Counts) {
        let reason = conditions::reason(&self.conditions, "Progressing");
        if counts.replicas == counts.updated && reason == Some("NewReplicaSetAvailable") {
            // The last rollout is over; pods that come and go since are no progress of it.
            return;
        }
        let subject = match self.new.as_ref().map(|n| n.set.name()).or(self.created.as_deref()) {
            Some(name) => format!("ReplicaSet \"{name}\""),
            None => format!("Deployment \"{}\"", self.deployment.name()),
        };
        let now = self.now;
        if self.completes(counts) {
            let message = format!("{subject} has successfully progressed.");
            conditions::set(&mut self.conditions, updated("Progressing", "True", "NewReplicaSetAvailable", &message, now));
        } else if self.progresses(counts) {
            let message = format!("{subject} is progressing.");
            conditions::replace(&mut self.conditions, updated("Progressing", "True", "ReplicaSetUpdated", &message, now));
        } else if self.has_timed_out() {
            let message = format!("{subject} has timed out progressing.");
            conditions::set(&mut self.conditions, updated("Progressing", "False", "ProgressDeadlineExceeded", &message, now));
        }
    }

    /// Has anything moved since the last written status?
    fn progresses(&self, counts: &Counts) -> bool {
        let last = &self.deployment.status;
        counts.updated > last.updated
            || counts.replicas - counts.updated < last.replicas - last.updated
            || counts.ready > last.ready
            || counts.available > last.available
    }

    fn has_timed_out(&mut self) -> bool {
        let Some(condition) = conditions::find(&self.conditions, "Progressing") else { return false };
        match condition["reason"].as_str() {
            Some("NewReplicaSetAvailable") => return false,
            Some("ProgressDeadlineExceeded") => return true,
            Some(_) | None => {}
        }
        let (Some(since), Some(deadline)) = (parse_time(&condition["lastUpdateTime"]), self.deployment.deadline) else {
            return false;
        };
        let until = since + deadline;
        if until >= self.now {
            // Times are written in whole seconds, hence one more.
            self.step.wake_at(until + chrono::TimeDelta::seconds(1));
        }
        until < self.now
    }

    /// A ReplicaSet that cannot have its pods makes the Deployment say so; the new one is heard first.
    fn note_replica_failure(&mut self) {
        let failure = |d: &Draft<'_>| conditions::find(d.set.conditions(), "ReplicaFailure").cloned();
        match self.new.iter().chain(&self.old).find_map(failure) {
            None => conditions::remove(&mut self.conditions, "ReplicaFailure"),
            Some(found) => {
                let condition = json!({
                    "type": "ReplicaFailure",
                    "status": found["status"],
                    "lastUpdateTime": found["lastTransitionTime"],
                    "lastTransitionTime": found["lastTransitionTime"],
                    "reason": found["reason"],
                    "message": found["message"],
                });
                conditions::set(&mut self.conditions, condition);
            }
        }
    }

    fn write_status(&mut self, counts: Counts) {
        let unavailable = (self.total() - counts.available).max(0);
        let numbers = [counts.observed, counts.replicas, counts.updated, counts.ready, counts.available, unavailable];
        let mut status: Map<String, Value> =
            FIELDS.iter().zip(numbers).filter(|(_, n)| *n != 0).map(|(f, n)| ((*f).to_owned(), n.into())).collect();
        counts.terminating.into_iter().for_each(|n| drop(status.insert("terminatingReplicas".into(), n.into())));
        self.collisions.into_iter().for_each(|n| drop(status.insert("collisionCount".into(), n.into())));
        status.insert("conditions".into(), std::mem::take(&mut self.conditions).into());
        let mut patch = status_patch(&self.deployment.object, &FIELDS, status).unwrap_or_else(|| json!({}));
        if !self.annotations.is_empty() {
            // Written with the status, the revision does not count as a wish of the user's.
            patch["metadata"] = json!({"annotations": std::mem::take(&mut self.annotations)});
        }
        if patch != json!({}) {
            self.step.writes.push(Write::PatchStatus { key: self.key(), if_version: None, patch });
        }
    }
}

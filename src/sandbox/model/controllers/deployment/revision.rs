//! Revisions: finding, numbering and creating the ReplicaSet of the wanted template, and cleaning up old ones.

use serde_json::{Value, json};

use super::{DESIRED_REPLICAS, Draft, MAX_REPLICAS, REVISION, REVISION_HISTORY, Sync, template};
use crate::sandbox::model::controllers::view::workload::Strategy;
use crate::sandbox::model::controllers::{conditions, owner};
use crate::sandbox::model::object::{Key, Now, resource};
use crate::sandbox::model::write::{EventType, Write};

/// How much of a ReplicaSet's former revisions is remembered, in characters.
const HISTORY_CHARS: usize = 2000;
/// The longest name an object may have.
const NAME_CHARS: usize = 253;
/// Annotations that belong to one object alone and are not handed on.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

impl Sync<'_> {
    /// Numbers the new ReplicaSet, when there is one: it is the latest revision, even if it was an earlier one before.
    pub(super) fn sync_revision(&mut self) {
        let next = self.next_revision();
        let deployment = self.deployment;
        let Some(new) = &mut self.new else { return };
        new.min_ready = deployment.min_ready;
        for (key, value) in copied_annotations(&deployment.object) {
            new.annotate(key, value);
        }
        match new.annotation(REVISION).map(str::parse::<i64>) {
            None => new.annotate(REVISION, &next.to_string()),
            Some(Ok(old)) if old < next => {
                let history = history(new.annotation(REVISION_HISTORY).unwrap_or_default(), &old.to_string());
                new.annotate(REVISION, &next.to_string());
                if let Some(history) = history {
                    new.annotate(REVISION_HISTORY, &history);
                }
            }
            // Greater already, or not ours to understand.
            Some(Ok(_) | Err(_)) => {}
        }
        let revision = new.annotation(REVISION).unwrap_or_default().to_owned();
        self.set_revision(&revision);
        if deployment.deadline.is_some() && conditions::find(&self.conditions, "Progressing").is_none() {
            let message = format!("Found new replica set \"{}\"", self.new.as_ref().map_or("", |n| n.set.name()));
            conditions::set(
                &mut self.conditions,
                conditions::updated("Progressing", "True", "FoundNewReplicaSet", &message, self.now),
            );
        }
    }

    /// Creates the ReplicaSet of the wanted template. It is seen in the next pass.
    pub(super) fn create_new(&mut self) {
        let deployment = self.deployment;
        if self.view.is_closing(deployment.namespace()) {
            return;
        }
        if let Some(refusal) = self.refusal.filter(|r| r.stands(self.now)) {
            return self.report_refusal(&refusal.message.clone(), refusal.retry_at);
        }
        let spec = &deployment.object["spec"];
        let hash = template::hash(&spec["template"], self.collisions);
        let name = set_name(deployment.name(), &hash);
        if self.view.replica_sets.get(deployment.namespace(), &name).is_some() {
            // It is not the new one, or it would have been found as such: another template has the same hash.
            self.collisions = Some(self.collisions.unwrap_or(0) + 1);
            return;
        }
        let replicas = match deployment.strategy {
            Strategy::Recreate => deployment.replicas,
            Strategy::RollingUpdate { .. } => self.size_of_new(0),
        };
        let revision = self.next_revision().to_string();
        let object = self.new_set(&name, &hash, replicas, &revision);
        self.step.writes.push(Write::Create { resource: resource::REPLICA_SETS, object });
        if replicas > 0 {
            self.event(EventType::Normal, "ScalingReplicaSet", format!("Scaled up replica set {name} from 0 to {replicas}"));
        }
        self.set_revision(&revision);
        if deployment.deadline.is_some() {
            let message = format!("Created new replica set \"{name}\"");
            conditions::set(
                &mut self.conditions,
                conditions::updated("Progressing", "True", "NewReplicaSetCreated", &message, self.now),
            );
        }
        self.created = Some(name);
    }

    fn new_set(&self, name: &str, hash: &str, replicas: i64, revision: &str) -> Value {
        let deployment = self.deployment;
        let spec = &deployment.object["spec"];
        let mut template = spec["template"].clone();
        template["metadata"]["labels"][template::HASH_LABEL] = hash.into();
        let mut selector = spec["selector"].clone();
        selector["matchLabels"][template::HASH_LABEL] = hash.into();
        let mut annotations: serde_json::Map<String, Value> =
            copied_annotations(&deployment.object).map(|(k, v)| (k.to_owned(), v.into())).collect();
        annotations.insert(REVISION.into(), revision.into());
        annotations.insert(DESIRED_REPLICAS.into(), deployment.replicas.to_string().into());
        annotations.insert(MAX_REPLICAS.into(), (deployment.replicas + self.fences().surge).to_string().into());
        let mut object = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": name,
                "namespace": deployment.namespace(),
                "labels": template["metadata"]["labels"],
                "annotations": annotations,
                "ownerReferences": [owner::reference("apps/v1", "Deployment", deployment.name(), &deployment.meta.uid)],
            },
            "spec": {"replicas": replicas, "selector": selector, "template": template},
        });
        if deployment.min_ready > 0 {
            object["spec"]["minReadySeconds"] = deployment.min_ready.into();
        }
        object
    }

    /// The condition that tells people why there is no new ReplicaSet. (The event is recorded where the refusal arrives.)
    fn report_refusal(&mut self, message: &str, retry_at: Now) {
        if self.deployment.deadline.is_some() {
            let hash = template::hash(&self.deployment.object["spec"]["template"], self.collisions);
            let message = format!("Failed to create new replica set \"{}\": {message}", set_name(self.deployment.name(), &hash));
            let condition = conditions::updated("Progressing", "False", "ReplicaSetCreateError", &message, self.now);
            conditions::set(&mut self.conditions, condition);
        }
        self.step.wake_at(retry_at);
    }

    fn next_revision(&self) -> i64 {
        let numbers = self.old.iter().filter_map(|d| d.annotation(REVISION)?.parse::<i64>().ok());
        numbers.max().unwrap_or(0).max(0) + 1
    }

    fn set_revision(&mut self, revision: &str) {
        if self.deployment.object["metadata"]["annotations"][REVISION] != revision {
            self.annotations.insert(REVISION.into(), revision.into());
        }
    }

    /// Deletes the oldest ReplicaSets beyond the history limit, of those that have no pods.
    pub(super) fn clean_up(&mut self) {
        let Some(limit) = self.deployment.history_limit else { return };
        let mut candidates: Vec<&Draft<'_>> = self.old.iter().filter(|d| !d.set.meta.deleting).collect();
        let surplus = candidates.len().saturating_sub(limit);
        candidates.sort_by_key(|d| d.annotation(REVISION).and_then(|r| r.parse::<i64>().ok()).unwrap_or(0));
        let is_empty = |d: &&&Draft<'_>| {
            d.set.status.replicas == 0 && d.replicas == 0 && d.set.replicas == 0 && d.set.meta.generation <= d.set.status.observed
        };
        let gone = candidates.iter().take(surplus).filter(is_empty).map(|d| Write::Delete {
            key: Key::of(resource::REPLICA_SETS, &d.set.object),
            uid: Some(d.set.meta.uid.clone()),
            grace: None,
        });
        self.step.writes.extend(gone);
    }
}

fn copied_annotations(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    let all = object["metadata"]["annotations"].as_object().into_iter().flatten();
    all.filter(|(k, _)| !NOT_COPIED.contains(&k.as_str())).filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
}

/// The former revisions with one more; the oldest give way when they get too long.
fn history(former: &str, revision: &str) -> Option<String> {
    if former.is_empty() {
        return Some(revision.to_owned());
    }
    let mut kept = former;
    while kept.len() + 1 + revision.len() > HISTORY_CHARS {
        kept = kept.split_once(',')?.1;
    }
    Some(format!("{kept},{revision}"))
}

fn set_name(deployment: &str, hash: &str) -> String {
    let room = NAME_CHARS.saturating_sub(1 + hash.len());
    let prefix: String = deployment.chars().take(room).collect();
    format!("{prefix}-{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_keeps_the_latest_revisions_that_fit() {
        assert_eq!(history("", "1").as_deref(), Some("1"));
        assert_eq!(history("1,3", "5").as_deref(), Some("1,3,5"));
        let long = vec!["1234"; 400].join(",");
        let next = history(&long, "9999").unwrap();
        assert!(next.len() <= HISTORY_CHARS && next.ends_with(",1234,9999"), "{} chars", next.len());
    }

    #[test]
    fn long_names_leave_room_for_the_hash() {
        let name = set_name(&"a".repeat(253), "7d4b9c6f5d");
        assert_eq!((name.len(), name.ends_with("a-7d4b9c6f5d")), (253, true));
    }
}

//! All Deployments that a policy asks for: one watch for all of them.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use futures_util::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::mpsc;

use super::watch::stream;
use crate::domain::policy::plan::Watched;
use crate::domain::policy::spec::PolicySpec;
use crate::domain::policy::{ANNOTATION, Key};

/// Deployments are listed so many at a time.
const PAGE: u32 = 200;

/// What the watch tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Sighting {
    /// A Deployment that a policy asks for, or how it is now.
    Seen(Key, Box<Watched>),
    /// It is gone, or nobody asks for it any more.
    Gone(Key),
    /// All there are were told once.
    Listed,
    /// The API does not answer, and why.
    Lost(String),
    /// It answers again.
    Restored,
}

/// Watches until the receiver is gone. What breaks is retried. All namespaces, unless one is named.
pub async fn follow(client: Client, namespace: Option<String>, out: mpsc::Sender<Sighting>) {
    let api: Api<Deployment> = namespace.map_or_else(|| Api::all(client.clone()), |ns| Api::namespaced(client.clone(), &ns));
    let mut stream = std::pin::pin!(stream(api, watcher::Config::default().page_size(PAGE)));
    let (mut known, mut listed, mut broken) = (BTreeSet::new(), BTreeSet::new(), false);
    while let Some(item) = stream.next().await {
        let mut news = Vec::new();
        if broken && item.is_ok() {
            broken = false;
            news.push(Sighting::Restored);
        }
        match item {
            Err(error) if !broken => {
                broken = true;
                news.push(Sighting::Lost(super::chain(&error)));
            }
            Err(_) => {}
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                let key = key(&object);
                if let Some(watched) = watched(&object) {
                    listed.insert(key.clone());
                    known.insert(key.clone());
                    news.push(Sighting::Seen(key, Box::new(watched)));
                } else if known.remove(&key) {
                    news.push(Sighting::Gone(key));
                }
            }
            Ok(watcher::Event::InitDone) => {
                news.extend(known.difference(&listed).cloned().map(Sighting::Gone));
                known.retain(|key| listed.contains(key));
                news.push(Sighting::Listed);
            }
            Ok(watcher::Event::Delete(object)) => {
                let key = key(&object);
                if known.remove(&key) {
                    news.push(Sighting::Gone(key));
                }
            }
        }
        for sighting in news {
            if out.send(sighting).await.is_err() {
                return;
            }
        }
    }
}

fn key(d: &Deployment) -> Key {
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    Key::new(&text(&d.metadata.namespace), &text(&d.metadata.name))
}

/// What matters of a Deployment; nothing when nobody asks for it.
fn watched(d: &Deployment) -> Option<Watched> {
    let asked = d.metadata.annotations.as_ref()?.get(ANNOTATION)?;
    let spec = d.spec.clone().unwrap_or_default();
    let replicas = spec.replicas.unwrap_or(1);
    let generation = d.metadata.generation.unwrap_or(0);
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(&spec.template).unwrap_or_default().hash(&mut hasher);
    Some(Watched {
        uid: d.metadata.uid.clone().unwrap_or_default(),
        policy: PolicySpec::parse(asked),
        paused: spec.paused.unwrap_or(false),
        replicas,
        template: hasher.finish(),
        generation,
        complete: is_complete(d, replicas, generation),
    })
}

/// The latest template is rolled out; that not everything is available, because a pod crashed since, does not change that.
fn is_complete(d: &Deployment, replicas: i32, generation: i64) -> bool {
    let status = d.status.clone().unwrap_or_default();
    let count = |n: Option<i32>| n.unwrap_or(0) == replicas;
    let said = status
        .conditions
        .iter()
        .flatten()
        .any(|c| c.type_ == "Progressing" && c.reason.as_deref() == Some("NewReplicaSetAvailable"));
    status.observed_generation.unwrap_or(0) >= generation
        && count(status.replicas)
        && count(status.updated_replicas)
        && (said || count(status.available_replicas))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn deployment(change: impl FnOnce(&mut Value)) -> Option<Watched> {
        let mut object = json!({
            "metadata": {"name": "backend", "namespace": "todo", "uid": "u", "generation": 3, "annotations": {ANNOTATION: "{}"}},
            "spec": {"replicas": 4, "selector": {}, "template": {"spec": {"containers": [{"name": "c", "image": "i:1"}]}}},
            "status": {"observedGeneration": 3, "replicas": 4, "updatedReplicas": 4, "availableReplicas": 4},
        });
        change(&mut object);
        watched(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn only_what_is_annotated_is_watched_and_templates_are_told_apart() {
        let usual = deployment(|_| {}).unwrap();
        assert!(usual.complete && !usual.paused && usual.replicas == 4 && usual.policy == Ok(PolicySpec::default()));
        assert_eq!(deployment(|d| d["metadata"]["annotations"] = json!({"other": "{}"})), None);
        let rolled = deployment(|d| d["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2".into()).unwrap();
        assert_ne!(rolled.template, usual.template);
        let paused = deployment(|d| d["spec"]["paused"] = true.into()).unwrap();
        assert!(paused.paused && paused.template == usual.template);
        assert!(deployment(|d| d["metadata"]["annotations"][ANNOTATION] = "guard: pray".into()).unwrap().policy.is_err());
    }

    #[test]
    fn a_rollout_is_complete_when_its_controller_has_seen_it_and_all_pods_are_of_it() {
        let complete = |change: fn(&mut Value)| deployment(change).unwrap().complete;
        assert!(!complete(|d| d["metadata"]["generation"] = 4.into()));
        assert!(!complete(|d| d["status"]["updatedReplicas"] = 3.into()));
        assert!(!complete(|d| d["status"]["replicas"] = 5.into()));
        assert!(!complete(|d| d["status"]["availableReplicas"] = 3.into()));
        let crashed_since = |d: &mut Value| {
            d["status"]["availableReplicas"] = 3.into();
            d["status"]["conditions"] = json!([{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]);
        };
        assert!(complete(crashed_since));
    }
}

//! The controllers together: what they cost, and what they do about refusals.

use chrono::TimeDelta;
use serde_json::json;

use super::testing::*;
use super::{Cluster, Controllers, Outcome, PodMetrics, apply};
use crate::sandbox::model::object::{Key, Now, Object, Resource, name, resource};
use crate::sandbox::model::store::Store;
use crate::sandbox::model::virtual_cluster::VirtualCluster;
use crate::sandbox::model::write::{EventType, Read, Write};

/// A store with a quota of pods, which remembers the events.
#[derive(Default)]
struct Limited {
    store: Store,
    most: usize,
    now: Option<Now>,
    events: Vec<(EventType, &'static str, String)>,
    writes: usize,
    fails_sets: bool,
}

impl Cluster for Limited {
    fn version(&self) -> u64 {
        self.store.version()
    }
    fn read(&self, look: &mut dyn FnMut(&dyn Read)) {
        look(&self.store);
    }
    fn write(&mut self, writes: Vec<Write>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut done = true;
        for write in writes {
            self.writes += 1;
            let outcome = match &write {
                Write::Create { resource, object } if *resource == resource::PODS && self.pods() >= self.most => {
                    let name = object["metadata"]["name"].as_str().unwrap();
                    Outcome::Refused(format!("pods \"{name}\" is forbidden: exceeded quota"))
                }
                Write::Create { resource, .. } if *resource == resource::REPLICA_SETS && self.fails_sets => {
                    Outcome::Refused("replicasets.apps is forbidden".into())
                }
                Write::Event { kind, reason, message, .. } => {
                    if done {
                        self.events.push((*kind, reason, message.clone()));
                    }
                    outcomes.push(Outcome::Done);
                    continue;
                }
                _ => apply(&mut self.store, vec![write], self.now.unwrap()).remove(0),
            };
            done = outcome == Outcome::Done;
            outcomes.push(outcome);
        }
        outcomes
    }
}

impl Limited {
    fn pods(&self) -> usize {
        self.store.list(&resource::PODS, None).len()
    }
    fn user(&mut self, write: Write) {
        assert_eq!(apply(&mut self.store, vec![write], start()), [Outcome::Done]);
    }
    fn settle(&mut self, controllers: &mut Controllers, now: Now) -> super::Settled {
        self.now = Some(now);
        controllers.settle(self, &PodMetrics::default, now)
    }
    fn object(&self, resource: &Resource) -> Object {
        self.store.list(resource, None).remove(0)
    }
}

fn with_deployment(most: usize) -> (Limited, Controllers) {
    let mut limited = Limited { most, ..Limited::default() };
    limited.user(Write::Create { resource: resource::DEPLOYMENTS, object: deployment(3, "a", json!({})) });
    (limited, Controllers::new(1))
}

#[test]
fn a_refused_pod_is_reported_and_tried_again_ever_more_slowly() {
    let (mut limited, mut controllers) = with_deployment(2);
    let first = limited.settle(&mut controllers, start());
    assert_eq!((first.calm, first.wake), (true, Some(start() + TimeDelta::milliseconds(5))));
    let set = limited.object(&resource::REPLICA_SETS);
    let failure = condition(&set, "ReplicaFailure").unwrap();
    assert_eq!((&failure["status"], &failure["reason"]), (&json!("True"), &json!("FailedCreate")));
    let message = failure["message"].as_str().unwrap();
    assert!(message.ends_with("is forbidden: exceeded quota"), "{message}");
    assert_eq!(set["status"]["replicas"], 2);
    let web = limited.object(&resource::DEPLOYMENTS);
    assert_eq!(condition(&web, "ReplicaFailure").map(|c| &c["message"]), Some(&failure["message"]));
    let count = |limited: &Limited, reason| limited.events.iter().filter(|(_, r, _)| *r == reason).count();
    assert_eq!((count(&limited, "SuccessfulCreate"), count(&limited, "FailedCreate")), (2, 1));

    let mut wake = first.wake;
    let mut waits = Vec::new();
    for _ in 0..4 {
        let now = wake.unwrap();
        wake = limited.settle(&mut controllers, now).wake;
        waits.push((wake.unwrap() - now).num_milliseconds());
    }
    assert_eq!((waits, count(&limited, "FailedCreate")), (vec![10, 20, 40, 80], 5));

    limited.most = 3;
    limited.settle(&mut controllers, wake.unwrap());
    assert_eq!(limited.pods(), 3);
    assert_eq!(condition(&limited.object(&resource::REPLICA_SETS), "ReplicaFailure"), None);
    assert_eq!(condition(&limited.object(&resource::DEPLOYMENTS), "ReplicaFailure"), None);

    // The next refusal is a new story.
    let key = Key::new(resource::DEPLOYMENTS, NAMESPACE, "web");
    limited.user(Write::Patch { key, if_version: None, patch: json!({"spec": {"replicas": 4}}) });
    let now = start() + seconds(60);
    assert_eq!(limited.settle(&mut controllers, now).wake, Some(now + TimeDelta::milliseconds(5)));
}

#[test]
fn a_refused_replica_set_is_reported_on_the_deployment() {
    let (mut limited, mut controllers) = with_deployment(10);
    limited.fails_sets = true;
    let settled = limited.settle(&mut controllers, start());
    let web = limited.object(&resource::DEPLOYMENTS);
    let progressing = condition(&web, "Progressing").unwrap();
    assert_eq!((&progressing["status"], &progressing["reason"]), (&json!("False"), &json!("ReplicaSetCreateError")));
    let message = progressing["message"].as_str().unwrap();
    assert!(
        message.starts_with("Failed to create new replica set \"web-") && message.ends_with("replicasets.apps is forbidden"),
        "{message}"
    );
    assert_eq!(
        limited.events.last().map(|(kind, reason, _)| (*kind, *reason)),
        Some((EventType::Warning, "ReplicaSetCreateError"))
    );
    limited.fails_sets = false;
    limited.settle(&mut controllers, settled.wake.unwrap());
    assert_eq!(limited.pods(), 3);
    assert_eq!(reason(&limited.object(&resource::DEPLOYMENTS), "Progressing"), Some("ReplicaSetUpdated"));
}

#[test]
fn what_is_in_order_is_left_alone() {
    let (mut limited, mut controllers) = with_deployment(10);
    assert!(limited.settle(&mut controllers, start()).calm);
    let (version, writes) = (limited.version(), limited.writes);
    let idle = limited.settle(&mut controllers, start() + seconds(1));
    assert_eq!((idle.rounds, idle.writes, limited.version(), limited.writes), (1, 0, version, writes));
    // A change that concerns nobody.
    let object = json!({"metadata": {"name": "c", "namespace": NAMESPACE}});
    limited.user(Write::Create { resource: resource::CONFIG_MAPS, object });
    assert_eq!(limited.settle(&mut controllers, start() + seconds(2)).writes, 0);
}

#[test]
fn new_controllers_over_an_old_store_find_nothing_to_do() {
    let (mut limited, mut controllers) = with_deployment(10);
    limited.settle(&mut controllers, start());
    let writes = limited.settle(&mut Controllers::new(2), start() + seconds(1)).writes;
    assert_eq!(writes, 0);
}

#[test]
fn the_events_of_a_rollout_are_those_kubectl_describe_shows() {
    let (mut limited, mut controllers) = with_deployment(10);
    limited.settle(&mut controllers, start());
    let set = name(&limited.object(&resource::REPLICA_SETS)).to_owned();
    let scaled: Vec<_> =
        limited.events.iter().filter(|(_, reason, _)| *reason == "ScalingReplicaSet").map(|(_, _, m)| m.as_str()).collect();
    assert_eq!(scaled, [format!("Scaled up replica set {set} from 0 to 3")]);
    let key = Key::new(resource::DEPLOYMENTS, NAMESPACE, "web");
    limited.user(Write::Patch { key, if_version: None, patch: json!({"spec": {"replicas": 1}}) });
    limited.settle(&mut controllers, start());
    assert_eq!(
        limited.events.iter().rfind(|(_, r, _)| *r == "ScalingReplicaSet").map(|(_, _, m)| m.clone()),
        Some(format!("Scaled down replica set {set} from 3 to 1"))
    );
}

#[test]
#[ignore = "a measurement, not a check"]
#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "this one measures real time, and tells")]
fn how_long_fifty_deployments_of_ten_pods_take() {
    let mut cluster = cluster(|_| QUICK);
    let named = |i: usize| {
        let app = format!("web-{i:02}");
        let mut web = deployment(10, "a", json!({"selector": {"matchLabels": {"app": app}}}));
        web["metadata"]["name"] = app.clone().into();
        web["spec"]["template"]["metadata"]["labels"]["app"] = app.clone().into();
        let spec = json!({"clusterIP": "None", "selector": {"app": app}, "ports": [{"port": 80}]});
        (web, json!({"metadata": {"name": app, "namespace": NAMESPACE}, "spec": spec}))
    };
    for i in 0..50 {
        let (web, service) = named(i);
        create(&mut cluster, resource::DEPLOYMENTS, web);
        create(&mut cluster, resource::SERVICES, service);
    }
    let mut measure = |what: &str, act: &mut dyn FnMut(&mut VirtualCluster) -> String| {
        let before = std::time::Instant::now();
        let said = act(&mut cluster);
        eprintln!("{what}: {:?} {said}", before.elapsed());
    };
    measure("create", &mut |c| format!("{:?}", c.settle()));
    measure("get ready", &mut |c| {
        c.advance(seconds(5));
        format!("{} pods", pods(c.store()).len())
    });
    measure("idle", &mut |c| format!("{:?}", c.settle()));
    measure("one change", &mut |c| {
        let object = json!({"metadata": {"name": "c", "namespace": NAMESPACE}});
        create(c, resource::CONFIG_MAPS, object);
        format!("{:?}", c.settle())
    });
    measure("one rollout", &mut |c| {
        let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "b"}]}}}});
        edit_object(c, resource::DEPLOYMENTS, "web-07", patch);
        let before = c.now();
        c.advance(seconds(60));
        format!("{}", c.now() - before)
    });
}

#[test]
#[ignore = "a measurement, not a check"]
#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "this one measures real time, and tells")]
fn how_long_two_hundred_rollouts_of_ten_pods_take() {
    let mut cluster = running(|_| QUICK, deployment(10, "a", json!({})));
    let before = std::time::Instant::now();
    for i in 0..200 {
        set_image(&mut cluster, &format!("image-{i}"));
        settled_rollout(&mut cluster);
    }
    eprintln!("{:?}, and {} virtual seconds", before.elapsed(), (cluster.now() - start()).num_seconds());
}

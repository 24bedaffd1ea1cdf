//! Objects and a small cluster for the controllers' tests.

use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::Outcome;
use super::view::{Part, View};
use crate::sandbox::model::object::{Key, Now, Object, Resource, name, parse_time, resource};
use crate::sandbox::model::store::{Store, StoreConfig};
use crate::sandbox::model::virtual_cluster::VirtualCluster;
use crate::sandbox::model::virtual_node::{Behavior, VirtualNode};
use crate::sandbox::model::write::{Read, Write};

pub(crate) const NAMESPACE: &str = "shop";

/// When every test begins.
pub(crate) fn start() -> Now {
    parse_time(&"2026-01-01T00:00:00Z".into()).unwrap()
}

pub(crate) fn seconds(n: i64) -> TimeDelta {
    TimeDelta::seconds(n)
}

/// A pod that runs and is ready a second after it was scheduled, and ends in one.
pub(crate) const QUICK: Behavior =
    Behavior { starts: TimeDelta::zero(), ready: Some(TimeDelta::seconds(1)), stops: TimeDelta::seconds(1) };

#[expect(clippy::needless_pass_by_value, reason = "calls of fixtures read better")]
pub(crate) fn deployment(replicas: i64, image: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": image}]},
            },
        },
    });
    json_patch::merge(&mut object["spec"], &spec);
    object
}

pub(crate) fn rolling(surge: impl Into<Value>, unavailable: impl Into<Value>) -> Value {
    json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge.into(),
        "maxUnavailable": unavailable.into()}}})
}

/// A cluster whose pods do what `behave` says of their image.
pub(crate) fn cluster(mut behave: impl FnMut(&str) -> Behavior + Send + 'static) -> VirtualCluster {
    let image = |pod: &Value| pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
    let node = VirtualNode::new("node-1", move |pod| behave(&image(pod)));
    // Who owns which field is nothing to the controllers.
    let store = Store::bare(StoreConfig { managers: false, ..StoreConfig::default() });
    VirtualCluster::new(store, node, 1, start())
}

/// The same with a Deployment that has come up.
pub(crate) fn running(behave: impl FnMut(&str) -> Behavior + Send + 'static, deployment: Value) -> VirtualCluster {
    let mut cluster = cluster(behave);
    create(&mut cluster, resource::DEPLOYMENTS, deployment);
    settled_rollout(&mut cluster);
    cluster
}

pub(crate) fn create(cluster: &mut VirtualCluster, resource: Resource, object: Value) {
    assert_eq!(cluster.write(Write::Create { resource, object }), Outcome::Done);
}

/// Changes the Deployment as a user would: a change of the specification is a new generation.
pub(crate) fn edit(cluster: &mut VirtualCluster, patch: Value) {
    edit_object(cluster, resource::DEPLOYMENTS, "web", patch);
}

pub(crate) fn edit_object(cluster: &mut VirtualCluster, resource: Resource, name: &str, mut patch: Value) {
    let generation = cluster.get(resource.clone(), NAMESPACE, name).unwrap()["metadata"]["generation"].as_i64().unwrap_or(0);
    if patch["spec"].is_object() {
        json_patch::merge(&mut patch, &json!({"metadata": {"generation": generation + 1}}));
    }
    let key = Key::new(resource, NAMESPACE, name);
    assert_eq!(cluster.write(Write::Patch { key, if_version: None, patch }), Outcome::Done);
}

pub(crate) fn set_image(cluster: &mut VirtualCluster, image: &str) {
    edit(cluster, json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}}));
}

/// Lets time pass until the rollout is complete.
pub(crate) fn settled_rollout(cluster: &mut VirtualCluster) -> Now {
    let done = cluster.run_until(seconds(3600), |store| {
        let web = store.get(&Key::new(resource::DEPLOYMENTS, NAMESPACE, "web")).unwrap();
        let status = &web["status"];
        reason(&web, "Progressing") == Some("NewReplicaSetAvailable")
            && status["updatedReplicas"].as_i64().unwrap_or(0) == web["spec"]["replicas"].as_i64().unwrap_or(1)
            && status["replicas"] == status["updatedReplicas"]
            && status["observedGeneration"] == web["metadata"]["generation"]
    });
    done.unwrap_or_else(|stuck| panic!("{stuck}: {:#}", web(cluster)["status"]))
}

pub(crate) fn web(cluster: &VirtualCluster) -> Object {
    cluster.get(resource::DEPLOYMENTS, NAMESPACE, "web").unwrap()
}

pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

pub(crate) fn reason<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    condition(object, kind)?["reason"].as_str()
}

/// The image and size of each ReplicaSet, by image.
pub(crate) fn sizes(store: &Store) -> Vec<(String, i64)> {
    let size = |s: &Object| {
        let image = s["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
        (image.to_owned(), s["spec"]["replicas"].as_i64().unwrap())
    };
    let mut sizes: Vec<_> = store.list(&resource::REPLICA_SETS, Some(NAMESPACE)).iter().map(size).collect();
    sizes.sort();
    sizes
}

/// The same as short text: `a:3 b:1`.
pub(crate) fn shape(cluster: &VirtualCluster) -> String {
    let sizes = sizes(cluster.store());
    sizes.iter().map(|(image, n)| format!("{image}:{n}")).collect::<Vec<_>>().join(" ")
}

pub(crate) fn pods(store: &Store) -> Vec<Object> {
    store.list(&resource::PODS, Some(NAMESPACE))
}

/// A fixed set of objects to look at.
#[derive(Default)]
pub(crate) struct Objects(Vec<(Resource, Object)>);

impl Objects {
    pub(crate) fn with(mut self, resource: Resource, object: Value) -> Self {
        self.0.push((resource, Arc::new(object)));
        self.0.sort_by(|a, b| (&a.0, key(&a.1)).cmp(&(&b.0, key(&b.1))));
        self
    }

    pub(crate) fn view(&self) -> View {
        let mut view = View::default();
        let parts = [
            Part::Namespaces,
            Part::Deployments,
            Part::ReplicaSets,
            Part::Pods,
            Part::Nodes,
            Part::Services,
            Part::Slices,
            Part::Budgets,
            Part::Autoscalers,
            Part::Events,
            Part::Everything,
        ];
        view.update(&parts, self, 1);
        view
    }
}

fn key(object: &Object) -> (String, String) {
    (object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(), name(object).to_owned())
}

impl Read for Objects {
    fn get(&self, key: &Key) -> Option<Object> {
        self.list(&key.resource, Some(&key.namespace)).into_iter().find(|o| name(o) == key.name)
    }
    fn list(&self, resource: &Resource, namespace: Option<&str>) -> Vec<Object> {
        let of = self.0.iter().filter(|(r, o)| r == resource && namespace.is_none_or(|n| key(o).0 == n));
        of.map(|(_, o)| o.clone()).collect()
    }
}

//! The roles that are shipped grant what the program asks an API for, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, runtime::wait::await_condition};
use serde_json::{Value, json};
use tokio::task::block_in_place;
use verifier::cluster::act;
use verifier::sandbox::Sandbox;

use super::gate::is_complete;
use super::{DEADLINE, Ended, LOOK, Program};
use crate::api::sandbox;

/// Verb, group and resource (with its subresource).
type Grant = (String, String, String);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a role grants. Nothing in it is a wildcard, and nothing about what others keep in confidence.
fn role(name: &str) -> BTreeSet<Grant> {
    let path = root().join("k8s/verifier/rbac").join(format!("{name}.yaml"));
    let role: ClusterRole = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(role.metadata.name, Some(format!("verifier-{name}")));
    let mut grants = BTreeSet::new();
    for rule in role.rules.unwrap() {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                assert!(!["*", "secrets", "configmaps"].contains(&&**resource), "{name} is about {resource}");
                for verb in &rule.verbs {
                    let new = grants.insert((verb.clone(), group.clone(), resource.clone()));
                    assert!(new && verb != "*", "{name}: {verb} {resource}");
                }
            }
        }
    }
    grants
}

/// What the program has asked the sandbox's API for so far: clients of the test itself have no name.
fn asked(sandbox: &Sandbox) -> BTreeSet<Grant> {
    let counts = sandbox.world().audit().counts();
    let ours = counts.into_keys().filter(|a| a.agent == "verifier");
    ours.map(|a| {
        let sub = if a.sub.is_empty() { String::new() } else { format!("/{}", a.sub) };
        (format!("{:?}", a.verb).to_lowercase(), a.group, format!("{}{sub}", a.resource))
    })
    .collect()
}

fn scenario(image: &str) -> String {
    format!(
        "name: bad-version
about: The new version answers every request with an error.
target: {{deployment: backend, namespace: todo}}
given: {{healthy_for: 1s}}
traffic: {{path: /api/todos, lanes: {{fresh: {{rate: 200}}}}}}
when: [set: {{image: {image:?}, env: {{ERROR_RATIO: '1'}}}}]
then: [availability >= 99%]
aftermath: 1s
"
    )
}

struct Cluster {
    sandbox: Sandbox,
    client: Client,
    folder: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let sandbox = sandbox(Duration::from_millis(300)).await;
        let client = Client::try_from(sandbox.config().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        sandbox.write_kubeconfig(&folder.path().join("kubeconfig")).unwrap();
        let cluster = Self { sandbox, client, folder };
        let manifest = |name: &str| -> Value {
            let path = root().join("k8s/todo/backend").join(name);
            serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
        };
        let names = ["namespace", "serviceaccount", "configmap", "deployment", "service", "ingress"];
        let mut objects: Vec<Value> = names.iter().map(|name| manifest(&format!("{name}.yaml"))).collect();
        objects[3]["spec"]["replicas"] = 2.into();
        act::apply(&cluster.client, &objects, "todo").await.unwrap();
        cluster.complete().await;
        cluster
    }

    /// Complete, and pods of no other version are left that the ingress may still send to.
    async fn complete(&self) {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), "todo");
        let complete = await_condition(api, "backend", |d: Option<&Deployment>| d.is_some_and(|d| is_complete(d, 2)));
        tokio::time::timeout(DEADLINE, complete).await.expect("a complete backend").unwrap();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "todo");
        let alone = async {
            while pods.list(&ListParams::default()).await.unwrap().items.len() != 2 {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(DEADLINE, alone).await.expect("two pods and no more");
    }

    async fn patch(&self, spec: &Value) {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), "todo");
        api.patch("backend", &PatchParams::default(), &Patch::Strategic(json!({"spec": spec}))).await.unwrap();
    }

    fn verifier(&self, args: &[&str]) -> Ended {
        let kubeconfig = self.folder.path().join("kubeconfig").display().to_string();
        block_in_place(|| Program::start(&[args, &["-n", "todo", "--kubeconfig", &kubeconfig]].concat()).end())
    }

    fn gate(&self) -> Ended {
        self.verifier(&["gate", "deploy/backend", "--path", "/api/todos", "--soak", "1s"])
    }

    /// A bad version under a guard; thereafter the version of before is back.
    async fn guarded(&self, guard: &str) {
        let file = self.folder.path().join(format!("{guard}.yaml"));
        std::fs::write(&file, scenario(&format!("todo/backend:{guard}"))).unwrap();
        let file = file.display().to_string();
        let ended = self.verifier(&["run", "--scenario", &file, "--target", "deploy/backend", "--yes", "--guard", guard]);
        assert_eq!(ended.code(), 1, "{guard}: {}", ended.stderr);
        let env = json!([{"name": "ERROR_RATIO", "$patch": "delete"}]);
        let containers = json!([{"name": "backend", "image": "todo/backend:v1", "env": env}]);
        self.patch(&json!({"paused": false, "template": {"spec": {"containers": containers}}})).await;
        self.complete().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shipped_roles_grant_what_is_asked_for_and_nothing_else() {
    let (observer, actor) = (role("observer"), role("actor"));
    assert!(observer.is_disjoint(&actor), "each grant stands in one role");
    let cluster = Cluster::start().await;
    assert_eq!(asked(&cluster.sandbox), BTreeSet::new());

    let ended = cluster.gate();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert_eq!(asked(&cluster.sandbox), observer, "who only watches");

    for guard in ["pause", "hold", "undo"] {
        cluster.guarded(guard).await;
    }
    let gates = json!([{"conditionType": "verifier.dev/verified"}]);
    let containers = json!([{"name": "backend", "image": "todo/backend:v2"}]);
    cluster.patch(&json!({"template": {"spec": {"readinessGates": gates, "containers": containers}}})).await;
    let ended = cluster.gate();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("is let in"), "{}", ended.stderr);
    assert_eq!(asked(&cluster.sandbox), &observer | &actor, "who acts as well");
    cluster.sandbox.stop().await.unwrap();
}

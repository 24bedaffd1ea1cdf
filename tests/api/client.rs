//! A Kubernetes client library against the API server, without a socket: what its calls come back with.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{
    Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use kube::core::{NamespaceResourceScope, Resource, ResourceExt};
use kube::{Client, Error};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use verifier::sandbox::model::controllers::PodMetrics;
use verifier::sandbox::model::store::StoreConfig;
use verifier::sandbox::wire::control;
use verifier::sandbox::wire::world::World;

use super::{in_process, in_process_with};

const DEADLINE: Duration = Duration::from_secs(20);

fn api<K>(client: &Client) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    Api::namespaced(client.clone(), "default")
}

fn read<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "JSON is written where it is needed")]
fn config_map(name: &str, labels: Value) -> ConfigMap {
    read(json!({"metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}))
}

fn deployment(replicas: i32) -> Deployment {
    read(json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "a"}]}}}}))
}

fn pod(name: &str) -> Pod {
    read(json!({"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}}))
}

/// Code and reason of a refusal.
#[track_caller]
fn refusal<T: std::fmt::Debug>(answer: Result<T, Error>) -> (u16, String) {
    match answer {
        Err(Error::Api(status)) => (status.code, status.reason.clone()),
        other => panic!("{other:?}"),
    }
}

fn names<K: ResourceExt>(items: &[K]) -> Vec<String> {
    items.iter().map(ResourceExt::name_any).collect()
}

async fn create<K>(api: &Api<K>, object: &K) -> K
where
    K: Clone + DeserializeOwned + std::fmt::Debug + serde::Serialize,
{
    api.create(&PostParams::default(), object).await.unwrap()
}

/// The events of a watch of one second, in short: `added a`, `bookmark`.
async fn watched(api: &Api<ConfigMap>, params: WatchParams, from: &str) -> Vec<String> {
    let events = api.watch(&params.timeout(1), from).await.unwrap();
    let short = events.map(|event| match event.unwrap() {
        WatchEvent::Added(o) => format!("added {}", o.name_any()),
        WatchEvent::Modified(o) => format!("modified {}", o.name_any()),
        WatchEvent::Deleted(o) => format!("deleted {}", o.name_any()),
        WatchEvent::Bookmark(_) => "bookmark".into(),
        WatchEvent::Error(e) => format!("error {}", e.code),
    });
    timeout(DEADLINE, short.collect()).await.unwrap()
}

#[tokio::test]
async fn a_watch_tells_what_enters_and_leaves_its_selector_and_ends_with_a_bookmark() {
    let (_world, client) = in_process();
    let maps = api::<ConfigMap>(&client);
    let from = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    create(&maps, &config_map("a", json!({"tier": "front"}))).await;
    create(&maps, &config_map("b", json!({}))).await;
    for (name, tier) in [("b", "front"), ("a", "back"), ("b", "front")] {
        let patch = json!({"metadata": {"labels": {"tier": tier}}});
        maps.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
    maps.delete("b", &DeleteParams::default()).await.unwrap();
    let params = WatchParams::default().labels("tier=front");
    let by_name = WatchParams::default().fields("metadata.name=b");
    let (front, b) = tokio::join!(watched(&maps, params, &from), watched(&maps, by_name, &from));
    assert_eq!(front, ["added a", "added b", "deleted a", "deleted b", "bookmark"]);
    assert_eq!(b, ["added b", "modified b", "deleted b", "bookmark"]);
}

#[tokio::test]
async fn what_has_fallen_out_of_the_history_is_gone() {
    let (_world, client) = in_process_with(&StoreConfig { history: 4, ..StoreConfig::default() });
    let maps = api::<ConfigMap>(&client);
    let from = create(&maps, &config_map("m-0", json!({}))).await.resource_version().unwrap();
    let page = maps.list(&ListParams::default().limit(1)).await.unwrap();
    assert_eq!(page.metadata.continue_, None, "one object is one page");
    create(&maps, &config_map("m-1", json!({}))).await;
    let token = maps.list(&ListParams::default().limit(1)).await.unwrap().metadata.continue_.unwrap();
    for i in 2..10 {
        create(&maps, &config_map(&format!("m-{i}"), json!({}))).await;
    }
    let mut events = maps.watch(&WatchParams::default(), &from).await.unwrap().boxed();
    let first = timeout(DEADLINE, events.try_next()).await.unwrap();
    let code = match first {
        Ok(Some(WatchEvent::Error(status))) | Err(Error::Api(status)) => status.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code, 410);
    let expired = maps.list(&ListParams::default().limit(1).continue_token(&token)).await;
    assert_eq!(refusal(expired), (410, "Expired".into()));
}

#[tokio::test]
async fn a_list_in_pages_is_of_one_moment() {
    let (_world, client) = in_process();
    let maps = api::<ConfigMap>(&client);
    for name in ["a", "b", "c", "d", "e"] {
        create(&maps, &config_map(name, json!({"odd": (name == "a" || name == "c").to_string()}))).await;
    }
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!((names(&first.items), first.metadata.remaining_item_count), (vec!["a".to_owned(), "b".into()], Some(3)));
    maps.delete("d", &DeleteParams::default()).await.unwrap();
    let next = ListParams::default().limit(5).continue_token(&first.metadata.continue_.unwrap());
    let second = maps.list(&next).await.unwrap();
    assert_eq!((names(&second.items), second.metadata.continue_), (vec!["c".to_owned(), "d".into(), "e".into()], None));
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);
    let selected = maps.list(&ListParams::default().labels("odd in (true)").fields("metadata.name!=a")).await.unwrap();
    assert_eq!(names(&selected.items), ["c"]);
}

#[tokio::test]
async fn a_stale_write_conflicts() {
    let (_world, client) = in_process();
    let maps = api::<ConfigMap>(&client);
    let mut old = create(&maps, &config_map("a", json!({}))).await;
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"a": "2"}}))).await.unwrap();
    old.data = Some([("a".to_owned(), "3".to_owned())].into());
    assert_eq!(refusal(maps.replace("a", &PostParams::default(), &old).await), (409, "Conflict".into()));
    let wanted = Preconditions { uid: Some("another".into()), ..Preconditions::default() };
    let deletion = maps.delete("a", &DeleteParams::default().preconditions(wanted)).await;
    assert_eq!(refusal(deletion), (409, "Conflict".into()));
    assert_eq!(refusal(maps.create(&PostParams::default(), &config_map("a", json!({}))).await), (409, "AlreadyExists".into()));
    assert_eq!(maps.get("a").await.unwrap().data.unwrap()["a"], "2");
}

#[tokio::test]
async fn three_kinds_of_patches_do_what_they_say() {
    let (_world, client) = in_process();
    let deployments = api::<Deployment>(&client);
    create(&deployments, &deployment(1)).await;
    let params = PatchParams::default();
    let container = json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "b"}]}}}});
    let added = deployments.patch("web", &params, &Patch::Strategic(&container)).await.unwrap();
    let replaced = deployments.patch("web", &params, &Patch::Merge(&container)).await.unwrap();
    let operations = json!([{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "last", "image": "c"}}]);
    let appended = deployments.patch("web", &params, &Patch::<()>::Json(read(operations))).await.unwrap();
    let containers = |d: &Deployment| {
        let spec = d.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
        spec.containers.iter().map(|c| c.name.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!([&added, &replaced, &appended].map(containers), ["side web", "side", "side last"]);
    assert_eq!(appended.metadata.generation, Some(4));
}

#[tokio::test]
async fn an_apply_that_takes_a_field_from_another_conflicts_unless_forced() {
    let (_world, client) = in_process();
    let maps = api::<ConfigMap>(&client);
    let config = |value: &str| Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": value}}));
    maps.patch("a", &PatchParams::apply("one"), &config("1")).await.unwrap();
    let Err(Error::Api(status)) = maps.patch("a", &PatchParams::apply("two"), &config("2")).await else { panic!("no conflict") };
    assert_eq!((status.code, status.message.as_str()), (409, "Apply failed with 1 conflict: conflict with \"one\": .data.a"));
    let taken = maps.patch("a", &PatchParams::apply("two").force(), &config("2")).await.unwrap();
    assert_eq!(taken.data.clone().unwrap()["a"], "2");
    let managers: Vec<_> = taken.managed_fields().iter().map(|m| m.manager.clone().unwrap()).collect();
    assert_eq!(managers, ["two"]);
}

#[tokio::test]
async fn subresources_change_what_is_theirs() {
    let (_world, client) = in_process();
    let deployments = api::<Deployment>(&client);
    create(&deployments, &deployment(1)).await;
    let patch = json!({"spec": {"replicas": 9}, "status": {"replicas": 1, "observedGeneration": 1}});
    let changed = deployments.patch_status("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    assert_eq!(
        (changed.spec.unwrap().replicas, changed.status.unwrap().replicas, changed.metadata.generation),
        (Some(1), Some(1), Some(1))
    );
    let scale = Patch::Merge(json!({"spec": {"replicas": 4}}));
    let scaled = deployments.patch_scale("web", &PatchParams::default(), &scale).await.unwrap();
    assert_eq!((scaled.spec.unwrap().replicas, scaled.status.unwrap().replicas), (Some(4), 1));
    assert_eq!(deployments.get_scale("web").await.unwrap().spec.unwrap().replicas, Some(4));
    assert_eq!(deployments.get("web").await.unwrap().metadata.generation, Some(2));
}

#[tokio::test]
async fn an_eviction_respects_the_budget() {
    let (_world, client) = in_process();
    let (pods, budgets) = (api::<Pod>(&client), api::<PodDisruptionBudget>(&client));
    for name in ["a", "b"] {
        create(&pods, &pod(name)).await;
        let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(ready)).await.unwrap();
    }
    let spec = json!({"metadata": {"name": "web"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    create(&budgets, &read(spec)).await;
    let allows = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2}});
    budgets.patch_status("web", &PatchParams::default(), &Patch::Merge(allows)).await.unwrap();
    assert_eq!(pods.evict("a", &EvictParams::default()).await.unwrap().code, 201);
    let second = pods.evict("b", &EvictParams::default()).await;
    assert_eq!(refusal(second), (429, "TooManyRequests".into()));
    assert_eq!(budgets.get("web").await.unwrap().status.unwrap().disruptions_allowed, 0);
}

#[tokio::test]
async fn a_finalizer_keeps_an_object_and_a_dry_run_changes_nothing() {
    let (_world, client) = in_process();
    let maps = api::<ConfigMap>(&client);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let tried = maps.create(&dry, &config_map("a", json!({}))).await.unwrap();
    assert!(tried.uid().is_some());
    assert_eq!(maps.get_opt("a").await.unwrap(), None);
    let mut kept = config_map("a", json!({}));
    kept.metadata.finalizers = Some(vec!["example.com/kept".into()]);
    create(&maps, &kept).await;
    maps.delete("a", &DeleteParams::default().dry_run()).await.unwrap();
    assert_eq!(maps.get("a").await.unwrap().metadata.deletion_timestamp, None);
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(maps.get("a").await.unwrap().metadata.deletion_timestamp.is_some());
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("a", &PatchParams::default(), &free).await.unwrap();
    assert_eq!(maps.get_opt("a").await.unwrap(), None);
}

/// Looks at the world until `look` says so.
async fn until(world: &World, what: &str, look: impl AsyncFn() -> bool) {
    let mut changes = world.watch();
    let waiting = async {
        while !look().await {
            changes.changed().await.unwrap();
        }
    };
    assert!(timeout(DEADLINE, waiting).await.is_ok(), "never: {what}");
}

#[tokio::test]
async fn what_is_owned_goes_with_its_owner_or_is_left_as_asked() {
    let (world, client) = in_process();
    let stop = CancellationToken::new();
    let controllers = control::run(world.clone(), 1, Arc::new(PodMetrics::default), stop.clone());
    let user = async {
        let (deployments, sets, pods) = (api::<Deployment>(&client), api::<ReplicaSet>(&client), api::<Pod>(&client));
        let everything = ListParams::default();
        let pods_are = async |n: usize| pods.list(&everything).await.unwrap().items.len() == n;
        create(&deployments, &deployment(2)).await;
        until(&world, "two pods", async || pods_are(2).await).await;
        deployments.delete("web", &DeleteParams::orphan()).await.unwrap();
        until(&world, "the Deployment is gone", async || deployments.get_opt("web").await.unwrap().is_none()).await;
        let left = sets.list(&everything).await.unwrap().items;
        assert_eq!((left.len(), left[0].owner_references()), (1, &[][..]));
        assert!(pods_are(2).await);
        create(&deployments, &deployment(2)).await;
        let adopted = async || {
            let sets = sets.list(&everything).await.unwrap().items;
            sets.len() == 1 && !sets[0].owner_references().is_empty()
        };
        until(&world, "the ReplicaSet is adopted", adopted).await;
        deployments.delete("web", &DeleteParams::foreground()).await.unwrap();
        until(&world, "everything is gone", async || {
            deployments.get_opt("web").await.unwrap().is_none() && sets.list(&everything).await.unwrap().items.is_empty()
        })
        .await;
        assert!(pods_are(0).await);
        stop.cancel();
    };
    timeout(DEADLINE * 2, async { tokio::join!(controllers, user) }).await.unwrap();
}

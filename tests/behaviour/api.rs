//! The API server.

use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Error, ResourceExt};
use serde_json::{Value, json};

use super::Stage;

/// Code and reason of a refusal.
#[track_caller]
fn refusal<T: std::fmt::Debug>(answer: Result<T, Error>) -> (u16, String) {
    match answer {
        Err(Error::Api(status)) => (status.code, status.reason.clone()),
        other => panic!("{other:?}"),
    }
}

async fn map(stage: &Stage, data: Value) -> ConfigMap {
    stage.create(json!({"metadata": {"name": "a"}, "data": data})).await
}

fn data(map: &ConfigMap) -> Value {
    json!(map.data)
}

/// A watch from a version tells everything that came after it, in order, also to who comes late.
pub(super) async fn a_watch_resumes(stage: Stage) {
    let maps = stage.api::<ConfigMap>();
    let from = map(&stage, json!({"n": "0"})).await.resource_version().unwrap();
    for n in ["1", "2"] {
        maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"n": n}}))).await.unwrap();
    }
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    map(&stage, json!({"n": "3"})).await;
    let params = WatchParams::default().timeout(20).fields("metadata.name=a");
    let told = |event: Result<WatchEvent<ConfigMap>, Error>| match event.unwrap() {
        WatchEvent::Added(o) => format!("added {}", data(&o)["n"]),
        WatchEvent::Modified(o) => format!("modified {}", data(&o)["n"]),
        WatchEvent::Deleted(o) => format!("deleted {}", data(&o)["n"]),
        other => format!("{other:?}"),
    };
    let read = async |from: &str, count: usize| {
        let events = maps.watch(&params, from).await.unwrap().take(count).map(told).collect::<Vec<String>>();
        tokio::time::timeout(Duration::from_secs(20), events).await.unwrap()
    };
    assert_eq!(read(&from, 4).await, [r#"modified "1""#, r#"modified "2""#, r#"deleted "2""#, r#"added "3""#]);
    // And from where a list was made.
    let list = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"n": "4"}}))).await.unwrap();
    assert_eq!(read(&list, 1).await, [r#"modified "4""#]);
}

/// A watch from a version that is no longer remembered is refused with 410, so that who watches lists anew. A real API server forgets what was
/// before its cache began; ours, what was thousands of writes ago.
pub(super) async fn a_watch_from_too_long_ago_is_gone(stage: Stage) {
    let maps = stage.api::<ConfigMap>();
    let code = async || {
        let mut events = match maps.watch(&WatchParams::default().timeout(20), "1").await {
            Ok(events) => events.boxed(),
            Err(Error::Api(status)) => return Some(status.code),
            Err(other) => panic!("{other:?}"),
        };
        match tokio::time::timeout(Duration::from_secs(20), events.next()).await.unwrap() {
            Some(Ok(WatchEvent::Error(status)) | Err(Error::Api(status))) => Some(status.code),
            Some(Ok(_)) => None,
            other => panic!("{other:?}"),
        }
    };
    map(&stage, json!({"n": "0"})).await;
    let mut written = 0;
    let refused = loop {
        if let Some(code) = code().await {
            break code;
        }
        assert!(written < 6_000, "version 1 is remembered after {written} writes");
        let write = async |n: usize| {
            maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"n": n.to_string()}}))).await.unwrap();
        };
        futures_util::stream::iter(written..written + 1_000).for_each_concurrent(16, write).await;
        written += 1_000;
    };
    assert_eq!(refused, 410, "after {written} writes");
    // And a list makes a watch possible again.
    let list = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"n": "last"}}))).await.unwrap();
    let mut events = maps.watch(&WatchParams::default().timeout(20).fields("metadata.name=a"), &list).await.unwrap().boxed();
    let first = tokio::time::timeout(Duration::from_secs(20), events.next()).await.unwrap();
    assert!(matches!(first, Some(Ok(WatchEvent::Modified(_)))), "{first:?}");
}

/// Merge patches remove by null, strategic ones merge lists by name, JSON patches test.
pub(super) async fn patch_types(stage: Stage) {
    let maps = stage.api::<ConfigMap>();
    map(&stage, json!({"x": "1", "y": "2"})).await;
    let none = PatchParams::default();
    let merged = maps.patch("a", &none, &Patch::Merge(json!({"data": {"x": null, "z": "3"}}))).await.unwrap();
    assert_eq!(data(&merged), json!({"y": "2", "z": "3"}));
    let json_patch = |steps: Value| Patch::<()>::Json(serde_json::from_value(steps).unwrap());
    let steps = json!([{"op": "test", "path": "/data/y", "value": "2"}, {"op": "remove", "path": "/data/y"}]);
    let patched = maps.patch("a", &none, &json_patch(steps.clone())).await.unwrap();
    assert_eq!(data(&patched), json!({"z": "3"}));
    assert_eq!(refusal(maps.patch("a", &none, &json_patch(steps)).await), (422, "Invalid".into()));
    stage.web(0, json!({})).await;
    let deployment = stage.patch(super::env("LATENCY", "1ms")).await;
    let containers = deployment.spec.unwrap().template.spec.unwrap().containers;
    let mut names: Vec<&str> = containers[0].env.iter().flatten().map(|e| &*e.name).collect();
    names.sort_unstable();
    assert_eq!((containers.len(), names), (1, vec!["DRAIN", "HOST", "LATENCY"]));
}

/// What one manager applied, another one may not change unless it insists; then it is that one's. What a manager applies no more is gone.
pub(super) async fn field_ownership(stage: Stage) {
    let maps = stage.api::<ConfigMap>();
    let apply = async |manager: &str, data: Value, force: bool| {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
        let params = PatchParams { force, ..PatchParams::apply(manager) };
        maps.patch("a", &params, &Patch::Apply(object)).await
    };
    apply("one", json!({"x": "1", "y": "1"}), false).await.unwrap();
    assert_eq!(refusal(apply("two", json!({"x": "2"}), false).await), (409, "Conflict".into()));
    let forced = apply("two", json!({"x": "2"}), true).await.unwrap();
    assert_eq!(data(&forced), json!({"x": "2", "y": "1"}));
    let gone = apply("one", json!({}), false).await.unwrap();
    assert_eq!(data(&gone), json!({"x": "2"}));
    let owners: Vec<String> = gone.managed_fields().iter().filter_map(|f| f.manager.clone()).collect();
    assert!(owners.contains(&"two".to_owned()), "{owners:?}");
}

/// An object that has changed since it was read is not overwritten.
pub(super) async fn a_stale_write_is_a_conflict(stage: Stage) {
    let maps = stage.api::<ConfigMap>();
    let stale = map(&stage, json!({"x": "1"})).await;
    maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"x": "2"}}))).await.unwrap();
    assert_eq!(refusal(maps.replace("a", &PostParams::default(), &stale).await), (409, "Conflict".into()));
    let mut versioned = json!({"metadata": {"resourceVersion": stale.resource_version()}, "data": {"x": "3"}});
    assert_eq!(refusal(maps.patch("a", &PatchParams::default(), &Patch::Merge(&versioned)).await), (409, "Conflict".into()));
    versioned["metadata"]["resourceVersion"] = maps.get("a").await.unwrap().resource_version().into();
    let written = maps.patch("a", &PatchParams::default(), &Patch::Merge(&versioned)).await.unwrap();
    assert_eq!(data(&written), json!({"x": "3"}));
}

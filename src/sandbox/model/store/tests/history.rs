//! Lists as of a version, and what watchers see.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{Bench, pod};
use crate::sandbox::model::object::{name, resource};
use crate::sandbox::model::selector::LabelSelector;
use crate::sandbox::model::store::{DeleteOptions, ListQuery, Selection, StoreConfig, Version, event_of};

fn names(page: &crate::sandbox::model::store::Page) -> Vec<String> {
    page.items.iter().map(|s| name(&s.object).to_owned()).collect()
}

fn three(bench: &mut Bench) {
    for name in ["a", "b", "c"] {
        bench.create("pods", pod(name)).unwrap();
    }
}

#[test]
fn pages_show_one_moment_whatever_happens_in_between() {
    let mut bench = Bench::new();
    three(&mut bench);
    let query = ListQuery { limit: Some(2), ..ListQuery::default() };
    let first = bench.store.page(&resource::PODS, &query).unwrap();
    assert_eq!((names(&first), first.remaining), (vec!["a".into(), "b".into()], Some(1)));

    let target = bench.target("pods", "c");
    bench.store.delete(&target, &DeleteOptions::default(), bench.now).unwrap();
    bench.create("pods", pod("d")).unwrap();
    let rest = bench.store.page(&resource::PODS, &ListQuery { resume: first.resume, ..query }).unwrap();
    assert_eq!((names(&rest), rest.version, rest.resume), (vec!["c".into()], first.version, None));
    let now = bench.store.page(&resource::PODS, &ListQuery::default()).unwrap();
    assert_eq!(names(&now), ["a", "b", "d"]);
    let then = ListQuery { version: Version::Exact(first.version), ..ListQuery::default() };
    assert_eq!(names(&bench.store.page(&resource::PODS, &then).unwrap()), ["a", "b", "c"]);
}

#[test]
fn a_page_that_is_too_old_offers_to_go_on_all_the_same() {
    let mut bench = Bench::with(&StoreConfig { history: 2, ..StoreConfig::default() });
    three(&mut bench);
    let query = ListQuery { limit: Some(1), ..ListQuery::default() };
    let first = bench.store.page(&resource::PODS, &query).unwrap();
    for name in ["d", "e", "f"] {
        bench.create("pods", pod(name)).unwrap();
    }
    let error = bench.store.page(&resource::PODS, &ListQuery { resume: first.resume, ..query.clone() }).unwrap_err();
    assert_eq!((error.code(), error.reason()), (410, "Expired"));
    let token = error.to_status()["metadata"]["continue"].as_str().unwrap().to_owned();
    let rest = bench.store.page(&resource::PODS, &ListQuery { resume: Some(token), limit: None, ..query }).unwrap();
    assert_eq!(names(&rest), ["b", "c", "d", "e", "f"]);
}

#[test]
fn a_version_that_is_not_yet_or_no_longer_known_is_refused() {
    let mut bench = Bench::with(&StoreConfig { history_age: TimeDelta::seconds(60), ..StoreConfig::default() });
    three(&mut bench);
    let early = bench.store.version() - 1;
    let future = ListQuery { version: Version::NotOlderThan(9999), ..ListQuery::default() };
    let error = bench.store.page(&resource::PODS, &future).unwrap_err();
    assert_eq!(
        (error.code(), error.message().to_owned()),
        (504, format!("Timeout: Too large resource version: 9999, current: {}", early + 1))
    );
    assert_eq!(bench.store.changes(&resource::PODS, early, 10).unwrap().len(), 1);
    bench.pass(120);
    bench.create("pods", pod("d")).unwrap();
    let error = bench.store.changes(&resource::PODS, early, 10).unwrap_err();
    assert_eq!((error.code(), error.message().to_owned()), (410, format!("too old resource version: {early} ({})", early + 1)));
}

#[test]
fn a_watcher_sees_objects_enter_change_and_leave_its_selection() {
    let mut bench = Bench::new();
    let mut object = pod("p");
    object["metadata"]["labels"] = json!({"app": "x"});
    let start = bench.store.version();
    let mut object = bench.create("pods", object).unwrap().object;
    object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    for labels in [json!({"app": "a"}), json!({"app": "a", "more": "1"}), json!({"app": "x"}), json!({"app": "a"})] {
        object["metadata"]["labels"] = labels;
        bench.replace("pods", object.clone()).unwrap();
    }
    let target = bench.target("pods", "p");
    bench.store.delete(&target, &DeleteOptions::default(), bench.now).unwrap();

    let selection = Selection { labels: LabelSelector::parse("app=a").unwrap(), ..Selection::default() };
    let changes = bench.store.changes(&resource::PODS, start, 100).unwrap();
    let seen: Vec<(&str, Value, String)> = changes
        .iter()
        .filter_map(|c| event_of(c, Some("default"), &selection))
        .map(|e| {
            (
                e.kind,
                e.stored.object["metadata"]["labels"].clone(),
                e.stored.object["metadata"]["resourceVersion"].as_str().unwrap().into(),
            )
        })
        .collect();
    let version = |n: u64| (start + n).to_string();
    assert_eq!(
        seen,
        [
            ("ADDED", json!({"app": "a"}), version(2)),
            ("MODIFIED", json!({"app": "a", "more": "1"}), version(3)),
            ("DELETED", json!({"app": "a", "more": "1"}), version(4)),
            ("ADDED", json!({"app": "a"}), version(5)),
            ("DELETED", json!({"app": "a"}), version(6)),
        ]
    );
    assert!(changes.iter().all(|c| event_of(c, Some("elsewhere"), &Selection::default()).is_none()));
}

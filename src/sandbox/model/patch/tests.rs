//! What each patch does to a Deployment's pod spec.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Format, patched};
use crate::sandbox::model::schema::builtin;

fn strategic(pod: &Value, patch: &Value) -> Result<Value, String> {
    let set = builtin();
    let object = json!({"spec": pod});
    let patch = json!({"spec": patch});
    let done = patched(set.named("io.k8s.api.core.v1.Pod").unwrap(), Format::Strategic, &object, patch);
    done.map(|o| o["spec"].clone()).map_err(|e| e.to_string())
}

#[test]
fn containers_merge_by_name_and_keep_their_order() {
    let pod =
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1", "env": [{"name": "X", "value": "x"}]}]});
    let patch = json!({"containers": [{"name": "b", "image": "2", "env": [{"name": "Y", "value": "y"}]}]});
    assert_eq!(
        strategic(&pod, &patch).unwrap(),
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2", "env": [{"name": "Y", "value": "y"}, {"name": "X", "value": "x"}]}]})
    );
}

#[test]
fn directives_delete_replace_and_reorder() {
    let pod = json!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
    assert_eq!(
        strategic(&pod, &json!({"containers": [{"$patch": "delete", "name": "b"}]})).unwrap(),
        json!({"containers": [{"name": "a"}, {"name": "c"}]})
    );
    assert_eq!(
        strategic(&pod, &json!({"containers": [{"$patch": "replace"}, {"name": "z"}]})).unwrap(),
        json!({"containers": [{"name": "z"}]})
    );
    assert_eq!(
        strategic(
            &pod,
            &json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}], "containers": [{"name": "a", "image": "2"}]})
        )
        .unwrap(),
        json!({"containers": [{"name": "b"}, {"name": "c"}, {"name": "a", "image": "2"}]})
    );
    assert_eq!(
        strategic(&json!({"nodeSelector": {"a": "1", "b": "2"}}), &json!({"nodeSelector": {"$patch": "replace", "c": "3"}}))
            .unwrap(),
        json!({"nodeSelector": {"c": "3"}})
    );
    assert_eq!(
        strategic(&pod, &json!({"containers": [{"image": "x"}]})),
        Err("map: {\"image\":\"x\"} does not contain declared merge key: name".into())
    );
}

#[test]
fn retained_keys_drop_the_others_and_nulls_delete() {
    let set = builtin();
    let object = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}, "paused": true}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}, "paused": null}});
    let done = patched(set.named("io.k8s.api.apps.v1.Deployment").unwrap(), Format::Strategic, &object, patch).unwrap();
    assert_eq!(done, json!({"spec": {"strategy": {"type": "Recreate"}}}));
}

#[test]
fn primitive_lists_are_joined_and_thinned() {
    let set = builtin();
    let of = set.named("io.k8s.api.core.v1.Pod").unwrap();
    let object = json!({"metadata": {"finalizers": ["a", "b"]}});
    let merged = patched(of, Format::Strategic, &object, json!({"metadata": {"finalizers": ["c"]}})).unwrap();
    assert_eq!(merged, json!({"metadata": {"finalizers": ["c", "a", "b"]}}));
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}});
    assert_eq!(patched(of, Format::Strategic, &object, patch).unwrap(), json!({"metadata": {"finalizers": ["b"]}}));
}

#[test]
fn lists_without_a_key_are_replaced() {
    let pod = json!({"containers": [{"name": "a", "args": ["x", "y"]}]});
    assert_eq!(
        strategic(&pod, &json!({"containers": [{"name": "a", "args": ["z"]}]})).unwrap(),
        json!({"containers": [{"name": "a", "args": ["z"]}]})
    );
}

#[test]
fn a_json_patch_applies_wholly_or_not_at_all() {
    let set = builtin();
    let of = set.named("io.k8s.api.apps.v1.Deployment").unwrap();
    let object = json!({"spec": {"replicas": 1}});
    let patch =
        json!([{"op": "replace", "path": "/spec/replicas", "value": 2}, {"op": "add", "path": "/spec/paused", "value": true}]);
    assert_eq!(patched(of, Format::Json, &object, patch).unwrap(), json!({"spec": {"replicas": 2, "paused": true}}));
    let failing =
        json!([{"op": "replace", "path": "/spec/replicas", "value": 2}, {"op": "test", "path": "/spec/replicas", "value": 3}]);
    let error = patched(of, Format::Json, &object, failing).unwrap_err();
    assert_eq!((error.code(), error.message()), (422, "the server rejected our request due to an error in our request"));
}

proptest! {
    /// What one patch sets, a second time changes nothing.
    #[test]
    fn a_strategic_patch_is_idempotent(have in proptest::collection::vec("[a-d]", 0..4), want in proptest::collection::vec("[a-f]", 0..4)) {
        let list = |names: &[String], image: &str| {
            let mut names = names.to_vec();
            names.sort();
            names.dedup();
            Value::Array(names.into_iter().map(|n| json!({"name": n, "image": image})).collect())
        };
        let pod = json!({"containers": list(&have, "1")});
        let patch = json!({"containers": list(&want, "2")});
        let once = strategic(&pod, &patch).unwrap();
        prop_assert_eq!(strategic(&once, &patch).unwrap(), once);
    }
}

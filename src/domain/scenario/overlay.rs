//! Laying one manifest over another.

use serde_json::Value;

/// Merges `over` into `base`: maps key by key, `null` removes, lists whose elements all have a `name` merge by it, other lists replace.
pub fn merge_by_name(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.remove(key);
                } else if let Some(below) = base.get_mut(key) {
                    merge_by_name(below, value);
                } else {
                    base.insert(key.clone(), value.clone());
                }
            }
        }
        (Value::Array(base), Value::Array(over)) if named(base) && named(over) => {
            for value in over {
                match base.iter_mut().find(|b| b["name"] == value["name"]) {
                    Some(below) => merge_by_name(below, value),
                    None => base.push(value.clone()),
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn named(list: &[Value]) -> bool {
    list.iter().all(|v| v["name"].is_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn maps_merge_named_lists_merge_by_name_and_null_removes() {
        let mut base = json!({"spec": {"replicas": 4, "containers": [{"name": "a", "image": "x", "lifecycle": {"preStop": {}}, "args": ["1", "2"]}, {"name": "b"}]}});
        merge_by_name(
            &mut base,
            &json!({"spec": {"containers": [{"name": "a", "lifecycle": null, "args": ["3"], "env": [{"name": "K", "value": "v"}]}, {"name": "c"}]}}),
        );
        assert_eq!(
            base,
            json!({"spec": {"replicas": 4, "containers": [{"name": "a", "image": "x", "args": ["3"], "env": [{"name": "K", "value": "v"}]}, {"name": "b"}, {"name": "c"}]}})
        );
    }
}

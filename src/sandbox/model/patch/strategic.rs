//! Strategic merge patch: a merge patch that knows which lists are keyed, with directives for what a merge cannot say.

use serde_json::{Map, Value};

use crate::sandbox::model::schema::{List, Shape, Type};

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const REMOVE: &str = "$deleteFromPrimitiveList/";

/// Merges a patch into an object of the given type; an unknown type merges as plain JSON.
pub(super) fn merge_map(
    of: Option<Type<'_>>,
    original: &mut Map<String, Value>,
    mut patch: Map<String, Value>,
) -> Result<(), String> {
    match patch.shift_remove(PATCH) {
        None => {}
        Some(Value::String(word)) if word == "replace" => {
            *original = patch;
            return Ok(());
        }
        Some(Value::String(word)) if word == "delete" => {
            original.clear();
            return Ok(());
        }
        Some(Value::String(word)) if word == "merge" => {}
        Some(other) => return Err(format!("Unknown patch type found: {other}")),
    }
    retain_keys(original, &mut patch)?;
    ordered_lists(of, original, &mut patch)?;
    for (key, value) in patch {
        if let Some(name) = key.strip_prefix(REMOVE) {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (original.get_mut(name), value) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if value.is_null() {
            original.shift_remove(&key);
            continue;
        }
        let below = of.and_then(|t| t.under(&key));
        match (original.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge_map(below, old, new)?,
            (Some(Value::Array(old)), Value::Array(new)) => *old = merge_list(below, std::mem::take(old), new)?,
            (_, value) => {
                if let Some(value) = without_directives(value) {
                    original.insert(key, value);
                }
            }
        }
    }
    Ok(())
}

/// `$retainKeys` names all keys that are to be there; others go.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), String> {
    let Some(list) = patch.shift_remove(RETAIN) else { return Ok(()) };
    let Value::Array(keys) = list else { return Err("invalid patch format of retainKeys".into()) };
    let kept = |key: &String| keys.iter().any(|k| k == key);
    if !patch.iter().filter(|(k, v)| !k.starts_with('$') && !v.is_null()).all(|(k, _)| kept(k)) {
        return Err("invalid patch format of retainKeys".into());
    }
    original.retain(|key, _| kept(key));
    Ok(())
}

/// `$setElementOrder/x` gives the order of the list `x` after the merge. It is applied together with the patch's own `x`.
fn ordered_lists(of: Option<Type<'_>>, original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), String> {
    let directives: Vec<String> = patch.keys().filter(|k| k.starts_with(ORDER)).cloned().collect();
    for directive in directives {
        let name = directive[ORDER.len()..].to_owned();
        let Some(Value::Array(order)) = patch.shift_remove(&directive) else {
            return Err(format!("invalid patch format of setElementOrder list for {name}"));
        };
        let below = of.and_then(|t| t.under(&name));
        let key = keyed(below).and_then(|list| list.merge_key.as_deref());
        let old = match original.get(&name) {
            Some(Value::Array(items)) => Some(items.clone()),
            _ => None,
        };
        let new = match patch.shift_remove(&name) {
            Some(Value::Array(items)) => Some(items),
            Some(other) => {
                patch.insert(name, other);
                continue;
            }
            None => None,
        };
        if let Some(new) = &new {
            consistent(new, &order, key)?;
        }
        let merged = match (&old, new) {
            (Some(old), Some(new)) => merge_list(below, old.clone(), new)?,
            (Some(old), None) => old.clone(),
            (None, Some(new)) => new.into_iter().filter_map(without_directives).collect(),
            (None, None) => continue,
        };
        original.insert(name, Value::Array(arrange(merged, &order, &old.unwrap_or_default(), key)));
    }
    Ok(())
}

/// The patch's items come in the order of the order list.
fn consistent(patch: &[Value], order: &[Value], key: Option<&str>) -> Result<(), String> {
    let mut from = 0;
    for item in patch.iter().filter(|item| item.get(PATCH).is_none()) {
        match order[from..].iter().position(|o| same(o, item, key)) {
            Some(step) => from += step + 1,
            None => return Err("The order in patch list doesn't match the setElementOrder list".into()),
        }
    }
    Ok(())
}

fn keyed(of: Option<Type<'_>>) -> Option<&List> {
    match of?.shape() {
        Shape::List(list) if list.merge => Some(list),
        _ => None,
    }
}

fn same(a: &Value, b: &Value, key: Option<&str>) -> bool {
    match key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    }
}

fn merge_list(of: Option<Type<'_>>, mut original: Vec<Value>, patch: Vec<Value>) -> Result<Vec<Value>, String> {
    let Some(list) = keyed(of) else {
        return Ok(patch.into_iter().filter_map(without_directives).collect());
    };
    let Some(key) = list.merge_key.as_deref() else {
        let mut merged = original.clone();
        for item in &patch {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok(arrange(merged, &patch, &original, None));
    };
    let mut plain = Vec::new();
    let mut replace = false;
    for mut item in patch {
        let Some(map) = item.as_object_mut() else {
            return Err(format!("list item is no map, although its list is merged by {key}"));
        };
        let directive = map.get(PATCH).and_then(Value::as_str).map(str::to_owned);
        match directive.as_deref() {
            Some("delete") => {
                let Some(value) = map.get(key) else { return Err(format!("delete patch type with no merge key defined: {item}")) };
                original.retain(|o| o.get(key) != Some(value));
            }
            Some("replace") => {
                replace = true;
                map.shift_remove(PATCH);
                if !map.is_empty() {
                    plain.push(item);
                }
            }
            Some("merge") | None => {
                map.shift_remove(PATCH);
                if map.get(key).is_none() {
                    return Err(format!("map: {item} does not contain declared merge key: {key}"));
                }
                plain.push(item);
            }
            Some(other) => return Err(format!("Unknown patch type found: {other}")),
        }
    }
    if replace {
        return Ok(plain.into_iter().filter_map(without_directives).collect());
    }
    let item_type = of.map(|t| t.at(list.items));
    let server_order = original.clone();
    for item in &plain {
        match original.iter_mut().find(|o| same(o, item, Some(key))) {
            Some(Value::Object(old)) => merge_map(item_type, old, item.as_object().cloned().unwrap_or_default())?,
            _ => original.extend(without_directives(item.clone())),
        }
    }
    Ok(arrange(original, &plain, &server_order, Some(key)))
}

/// Items that the patch names in the patch's order, the others in the server's, the two interleaved as the server had them.
fn arrange(items: Vec<Value>, patch_order: &[Value], server_order: &[Value], key: Option<&str>) -> Vec<Value> {
    let index = |order: &[Value], item: &Value| order.iter().position(|o| same(o, item, key));
    let (mut named, mut others): (Vec<Value>, Vec<Value>) = items.into_iter().partition(|item| index(patch_order, item).is_some());
    named.sort_by_key(|item| index(patch_order, item));
    others.sort_by_key(|item| index(server_order, item));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut out = Vec::new();
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (Some(other), Some(name)) => {
                matches!((index(server_order, other), index(server_order, name)), (Some(o), Some(n)) if o < n)
            }
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return out,
        };
        out.extend(if other_first { others.next() } else { named.next() });
    }
}

/// A value that was not there before: directives in it have nothing to act on. Nothing is left of an item to be deleted.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) => {
            if map.get(PATCH).is_some_and(|p| p == "delete") {
                return None;
            }
            let kept = map
                .into_iter()
                .filter(|(k, v)| !v.is_null() && k != PATCH && k != RETAIN && !k.starts_with(ORDER) && !k.starts_with(REMOVE));
            Some(Value::Object(kept.filter_map(|(k, v)| Some((k, without_directives(v)?))).collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}

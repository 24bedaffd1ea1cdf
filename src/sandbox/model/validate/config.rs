//! ConfigMaps and Secrets.

use base64::Engine;
use serde_json::Value;

use super::text;
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::names;

const LARGEST: usize = 1024 * 1024;

/// A ConfigMap.
pub fn config_map(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    frozen(new, old, causes);
    let size = keys(new, "data", causes) + keys(new, "binaryData", causes);
    for key in new["data"].as_object().into_iter().flat_map(|d| d.keys()).filter(|k| !new["binaryData"][k.as_str()].is_null()) {
        causes.invalid(&Path::Root.field("data").key(key), key.as_str(), "duplicate of key present in binaryData");
    }
    if size > LARGEST {
        causes.too_long(&Path::Root.field("[]"), LARGEST);
    }
}

/// A Secret.
pub fn secret(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let root = Path::Root;
    super::immutable(new, old, "type", &root, causes);
    frozen(new, old, causes);
    if keys(new, "data", causes) > LARGEST {
        causes.too_long(&root.field("data"), LARGEST);
    }
    let required: &[&str] = match text(new, "type") {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/basic-auth" if new["data"]["username"].is_null() && new["data"]["password"].is_null() => {
            &["username", "password"]
        }
        _ => &[],
    };
    for key in required.iter().filter(|k| new["data"].get(**k).is_none()) {
        causes.required(&root.field("data").key(key), "");
    }
    for (key, value) in new["data"].as_object().into_iter().flatten() {
        if value.as_str().is_some_and(|t| base64::engine::general_purpose::STANDARD.decode(t).is_err()) {
            causes.invalid(&root.field("data").key(key), "<secret contents redacted>", "illegal base64 data");
        }
    }
}

fn keys(object: &Value, bag: &str, causes: &mut Causes) -> usize {
    let at = Path::Root.field(bag);
    let mut size = 0;
    for (key, value) in object[bag].as_object().into_iter().flatten() {
        size += value.as_str().map_or(0, str::len);
        causes.all_invalid(&at.key(key), &key.as_str().into(), names::config_key(key));
    }
    size
}

fn frozen(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let Some(old) = old.filter(|o| o["immutable"] == true) else { return };
    let changed = ["immutable", "data", "binaryData"].into_iter().filter(|key| old[*key] != new[*key]);
    for key in changed {
        causes.forbidden(&Path::Root.field(key), "field is immutable when `immutable` is set");
    }
}

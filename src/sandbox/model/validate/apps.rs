//! Deployments and ReplicaSets.

use serde_json::Value;

use super::{count_or_percent, immutable, label_selector, not_negative, text};
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::names;
use crate::sandbox::model::selector::LabelSelector;

/// A Deployment.
pub fn deployment(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &new["spec"];
    let at = Path::Root.field("spec");
    not_negative(spec, "replicas", &at, causes);
    selector_and_template(spec, &at, causes);
    strategy(&spec["strategy"], &at.field("strategy"), causes);
    for key in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        not_negative(spec, key, &at, causes);
    }
    if let Some(deadline) = spec["progressDeadlineSeconds"].as_i64()
        && deadline <= spec["minReadySeconds"].as_i64().unwrap_or(0)
    {
        causes.invalid(&at.field("progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds");
    }
    immutable(spec, old.map(|o| &o["spec"]), "selector", &at, causes);
}

/// A ReplicaSet.
pub fn replica_set(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let spec = &new["spec"];
    let at = Path::Root.field("spec");
    not_negative(spec, "replicas", &at, causes);
    not_negative(spec, "minReadySeconds", &at, causes);
    selector_and_template(spec, &at, causes);
    immutable(spec, old.map(|o| &o["spec"]), "selector", &at, causes);
}

fn selector_and_template(spec: &Value, at: &Path<'_>, causes: &mut Causes) {
    let selector = &spec["selector"];
    let at_selector = at.field("selector");
    if selector.is_null() {
        causes.required(&at_selector, "");
    } else {
        label_selector(selector, &at_selector, causes);
        if selector.as_object().is_some_and(serde_json::Map::is_empty) {
            causes.invalid(&at_selector, selector.clone(), "empty selector is invalid for deployment");
        }
    }
    let template = &spec["template"];
    let at = at.field("template");
    let labels = &template["metadata"]["labels"];
    match LabelSelector::of_object(selector) {
        None if !selector.is_null() => {
            causes.invalid(&at_selector, selector.clone(), "invalid label selector");
            return;
        }
        // No selector selects nothing, so it cannot match the labels either.
        Some(read) if read.is_empty() || read.matches(labels) => {}
        Some(_) | None => {
            causes.invalid(&at.field("metadata").field("labels"), labels.clone(), "`selector` does not match template `labels`");
        }
    }
    super::pod::template(template, &at, causes);
    if !["", "Always"].contains(&text(&template["spec"], "restartPolicy")) {
        causes.not_supported(&at.field("spec").field("restartPolicy"), text(&template["spec"], "restartPolicy"), &["Always"]);
    }
    if !template["spec"]["activeDeadlineSeconds"].is_null() {
        causes.forbidden(&at.field("spec").field("activeDeadlineSeconds"), "activeDeadlineSeconds in ReplicaSet is not Supported");
    }
}

fn strategy(strategy: &Value, at: &Path<'_>, causes: &mut Causes) {
    let rolling = &strategy["rollingUpdate"];
    let at_rolling = at.field("rollingUpdate");
    match text(strategy, "type") {
        "Recreate" if !rolling.is_null() => {
            causes.forbidden(&at_rolling, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" => {
            let amount = |key: &str| match &rolling[key] {
                Value::String(text) => names::percent(text),
                other => other.as_i64(),
            };
            for key in ["maxUnavailable", "maxSurge"] {
                count_or_percent(&rolling[key], &at_rolling.field(key), causes);
            }
            let at_unavailable = at_rolling.field("maxUnavailable");
            if amount("maxUnavailable") == Some(0) && amount("maxSurge") == Some(0) {
                causes.invalid(&at_unavailable, rolling["maxUnavailable"].clone(), "may not be 0 when `maxSurge` is 0");
            }
            if rolling["maxUnavailable"].as_str().and_then(names::percent).is_some_and(|p| p > 100) {
                causes.invalid(&at_unavailable, rolling["maxUnavailable"].clone(), "must not be greater than 100%");
            }
        }
        _ => {
            // Quoted as the API server's own struct.
            let quoted = serde_json::json!({"Type": strategy["type"], "RollingUpdate": rolling});
            causes.not_supported(at, quoted, &["Recreate", "RollingUpdate"]);
        }
    }
}

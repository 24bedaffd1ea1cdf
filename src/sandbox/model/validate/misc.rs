//! The smaller kinds.

use serde_json::Value;

use super::{count_or_percent, label_selector, list, one_of, text};
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::names;
use crate::sandbox::model::quantity::Quantity;

/// A Node.
pub fn node(new: &Value, _: Option<&Value>, causes: &mut Causes) {
    for (i, taint) in list(&new["spec"], "taints").iter().enumerate() {
        let at = Path::Root.field("spec");
        let at = at.field("taints");
        let at = at.index(i);
        causes.all_invalid(&at.field("key"), &taint["key"], names::qualified(text(taint, "key")));
        if text(taint, "effect").is_empty() {
            causes.required(&at.field("effect"), "");
        }
        one_of(taint, "effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"], &at, causes);
    }
}

/// A ResourceQuota.
pub fn quota(new: &Value, _: Option<&Value>, causes: &mut Causes) {
    let at = Path::Root.field("spec");
    let at = at.field("hard");
    for (name, amount) in new["spec"]["hard"].as_object().into_iter().flatten() {
        let at = at.key(name);
        causes.all_invalid(&at, &name.as_str().into(), names::qualified(name));
        if amount.as_str().and_then(|a| a.parse::<Quantity>().ok()).is_some_and(|q| q.nanos() < 0) {
            causes.invalid(&at, amount.clone(), "must be greater than or equal to 0");
        }
    }
}

/// A PodDisruptionBudget.
pub fn disruption_budget(new: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &new["spec"];
    let at = Path::Root.field("spec");
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        causes.invalid(&at, spec.clone(), "minAvailable and maxUnavailable cannot be both set");
    }
    for key in ["minAvailable", "maxUnavailable"] {
        let at = at.field(key);
        count_or_percent(&spec[key], &at, causes);
        if spec[key].as_str().and_then(names::percent).is_some_and(|p| p > 100) {
            causes.invalid(&at, spec[key].clone(), "must not be greater than 100%");
        }
    }
    label_selector(&spec["selector"], &at.field("selector"), causes);
    one_of(spec, "unhealthyPodEvictionPolicy", &["AlwaysAllow", "IfHealthyBudget"], &at, causes);
}

/// A Lease.
pub fn lease(new: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &new["spec"];
    let at = Path::Root.field("spec");
    if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|s| *s <= 0) {
        causes.invalid(&at.field("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    if let Some(count) = spec["leaseTransitions"].as_i64().filter(|s| *s < 0) {
        causes.invalid(&at.field("leaseTransitions"), count, "must be greater than or equal to 0");
    }
}

/// A HorizontalPodAutoscaler.
pub fn autoscaler(new: &Value, _: Option<&Value>, causes: &mut Causes) {
    let spec = &new["spec"];
    let at = Path::Root.field("spec");
    let (least, most) = (spec["minReplicas"].as_i64(), spec["maxReplicas"].as_i64().unwrap_or(0));
    if let Some(least) = least.filter(|n| *n < 1) {
        causes.invalid(&at.field("minReplicas"), least, "must be greater than or equal to 1");
    }
    if most < 1 {
        causes.invalid(&at.field("maxReplicas"), most, "must be greater than 0");
    }
    if least.is_some_and(|least| most < least) {
        causes.invalid(&at.field("maxReplicas"), most, "must be greater than or equal to `minReplicas`");
    }
    for key in ["kind", "name"].into_iter().filter(|k| text(&spec["scaleTargetRef"], k).is_empty()) {
        causes.required(&at.field("scaleTargetRef").field(key), "");
    }
    let version = text(&spec["scaleTargetRef"], "apiVersion");
    if !version.contains('/') {
        causes.invalid(&at.field("scaleTargetRef").field("apiVersion"), version, "apiVersion must specify API group");
    }
    if least == Some(0) && !list(spec, "metrics").iter().any(|m| ["Object", "External"].contains(&text(m, "type"))) {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        causes.forbidden(&at.field("metrics"), why);
    }
    let sources = [
        ("ContainerResource", "containerResource"),
        ("External", "external"),
        ("Object", "object"),
        ("Pods", "pods"),
        ("Resource", "resource"),
    ];
    for (i, metric) in list(spec, "metrics").iter().enumerate() {
        let at = at.field("metrics");
        let at = at.index(i);
        match sources.iter().find(|(kind, _)| *kind == text(metric, "type")) {
            None if text(metric, "type").is_empty() => causes.required(&at.field("type"), "must specify a metric source type"),
            None => causes.not_supported(&at.field("type"), text(metric, "type"), &sources.map(|s| s.0)),
            Some((_, field)) => {
                if metric[*field].is_null() {
                    causes.required(&at.field(field), "must populate information for the given metric source");
                }
                for (_, other) in sources.iter().filter(|(_, f)| f != field && !metric[*f].is_null()) {
                    causes.forbidden(&at.field(other), "must populate the given metric source only");
                }
            }
        }
    }
}

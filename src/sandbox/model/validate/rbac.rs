//! Roles and bindings: stored, not enforced.

use serde_json::Value;

use super::{list, text};
use crate::sandbox::model::field::{Causes, Path};

/// A Role or ClusterRole.
pub fn role(new: &Value, _: Option<&Value>, causes: &mut Causes) {
    for (i, rule) in list(new, "rules").iter().enumerate() {
        let at = Path::Root.field("rules");
        let at = at.index(i);
        if list(rule, "verbs").is_empty() {
            causes.required(&at.field("verbs"), "verbs must contain at least one value");
        }
        if list(rule, "nonResourceURLs").is_empty() {
            if list(rule, "apiGroups").is_empty() {
                causes.required(&at.field("apiGroups"), "resource rules must supply at least one api group");
            }
            if list(rule, "resources").is_empty() {
                causes.required(&at.field("resources"), "resource rules must supply at least one resource");
            }
        }
    }
}

/// A RoleBinding or ClusterRoleBinding.
pub fn binding(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let root = Path::Root;
    let at = root.field("roleRef");
    if !["Role", "ClusterRole"].contains(&text(&new["roleRef"], "kind")) {
        causes.not_supported(&at.field("kind"), text(&new["roleRef"], "kind"), &["Role", "ClusterRole"]);
    }
    if text(&new["roleRef"], "name").is_empty() {
        causes.required(&at.field("name"), "");
    }
    if old.is_some_and(|o| o["roleRef"] != new["roleRef"]) {
        causes.invalid(&at, new["roleRef"].clone(), "cannot change roleRef");
    }
    for (i, subject) in list(new, "subjects").iter().enumerate() {
        let at = root.field("subjects");
        let at = at.index(i);
        if text(subject, "name").is_empty() {
            causes.required(&at.field("name"), "");
        }
        match text(subject, "kind") {
            "ServiceAccount" if new["kind"] == "ClusterRoleBinding" && text(subject, "namespace").is_empty() => {
                causes.required(&at.field("namespace"), "");
            }
            "ServiceAccount" | "User" | "Group" => {}
            other => causes.not_supported(&at.field("kind"), other, &["ServiceAccount", "User", "Group"]),
        }
    }
}

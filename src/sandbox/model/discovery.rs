//! Discovery: which groups, versions and resources are served, in both forms that clients ask for.

use serde_json::{Map, Value, json};

use super::kinds::{Kind, Registry};
use super::object::resource;

/// The order in which clients look for a resource; groups of custom resources follow by name.
const ORDER: [&str; 13] = [
    "",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
];
const ALL: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const SINGLE: [&str; 3] = ["get", "patch", "update"];

/// A kind that is answered and not stored.
#[derive(Debug)]
pub struct Question {
    /// API group; all are in version `v1`.
    pub group: &'static str,
    /// Plural, as in paths.
    pub plural: &'static str,
    /// Kind.
    pub kind: &'static str,
    namespaced: bool,
}

/// The kinds that are answered and not stored.
pub const QUESTIONS: [Question; 6] = [
    Question { group: "", plural: "bindings", kind: "Binding", namespaced: true },
    Question { group: "authentication.k8s.io", plural: "selfsubjectreviews", kind: "SelfSubjectReview", namespaced: false },
    Question { group: "authentication.k8s.io", plural: "tokenreviews", kind: "TokenReview", namespaced: false },
    Question {
        group: "authorization.k8s.io",
        plural: "selfsubjectaccessreviews",
        kind: "SelfSubjectAccessReview",
        namespaced: false,
    },
    Question {
        group: "authorization.k8s.io",
        plural: "selfsubjectrulesreviews",
        kind: "SelfSubjectRulesReview",
        namespaced: false,
    },
    Question { group: "authorization.k8s.io", plural: "subjectaccessreviews", kind: "SubjectAccessReview", namespaced: false },
];

/// A subresource: its name, the group and version of what it takes, that kind, its verbs.
type Subresource = (&'static str, &'static str, &'static str, String, &'static [&'static str]);

fn subresources(kind: &Kind) -> Vec<Subresource> {
    let mut all: Vec<Subresource> = Vec::new();
    if kind.resource == resource::PODS {
        all.push(("binding", "", "", "Binding".into(), &["create"]));
        all.push(("eviction", "policy", "v1", "Eviction".into(), &["create"]));
        all.push(("log", "", "", "Pod".into(), &["get"]));
    }
    if kind.resource == resource::NAMESPACES {
        all.push(("finalize", "", "", "Namespace".into(), &["update"]));
    }
    if kind.status {
        all.push(("status", "", "", kind.kind.clone(), &SINGLE));
    }
    if kind.scale.is_some() {
        all.push(("scale", "autoscaling", "v1", "Scale".into(), &SINGLE));
    }
    if kind.custom.is_none() {
        all.sort_by_key(|(name, ..)| *name);
    }
    all
}

fn verbs(kind: &Kind) -> Vec<&'static str> {
    // The order is that of the server that serves custom resources.
    if kind.custom.is_some() {
        return vec!["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
    }
    ALL.into_iter().filter(|v| kind.resource != resource::NAMESPACES || *v != "deletecollection").collect()
}

fn rank(group: &str) -> (usize, String) {
    (ORDER.iter().position(|g| *g == group).unwrap_or(ORDER.len()), group.to_owned())
}

/// All groups but the core one, in the order in which clients look.
pub fn groups(registry: &Registry) -> Vec<String> {
    let mut groups: Vec<String> = registry
        .all()
        .map(|k| k.group.clone())
        .chain(QUESTIONS.iter().map(|q| q.group.to_owned()))
        .filter(|g| !g.is_empty())
        .collect();
    groups.sort_by_key(|g| rank(g));
    groups.dedup();
    groups
}

/// The versions of a group, the preferred one first.
pub fn versions(registry: &Registry, group: &str) -> Vec<String> {
    let mut versions: Vec<String> = registry.all().filter(|k| k.group == group).map(|k| k.version.clone()).collect();
    if QUESTIONS.iter().any(|q| q.group == group) {
        versions.push("v1".into());
    }
    versions.sort_by_key(|v| std::cmp::Reverse(priority(v)));
    versions.dedup();
    versions
}

/// Stable before beta before alpha, then the higher number.
fn priority(version: &str) -> (u8, u64, u64, String) {
    let rest = version.strip_prefix('v').unwrap_or(version);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, tail) = (rest[..end].parse().unwrap_or(0), &rest[end..]);
    let minor = |prefix: &str| tail.strip_prefix(prefix).and_then(|n| n.parse().ok());
    match (tail, minor("beta"), minor("alpha")) {
        ("", _, _) if end > 0 => (3, major, 0, String::new()),
        (_, Some(minor), _) => (2, major, minor, String::new()),
        (_, _, Some(minor)) => (1, major, minor, String::new()),
        _ => (0, 0, 0, version.to_owned()),
    }
}

fn kinds<'a>(registry: &'a Registry, group: &str, version: &str) -> impl Iterator<Item = &'a Kind> {
    registry.all().map(AsRef::as_ref).filter(move |k| k.group == group && k.version == version)
}

/// `/api`
pub fn core_versions(address: &str) -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]})
}

fn group_version(group: &str, version: &str) -> Value {
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({"groupVersion": group_version, "version": version})
}

fn group_body(registry: &Registry, group: &str) -> Map<String, Value> {
    let versions: Vec<Value> = versions(registry, group).iter().map(|v| group_version(group, v)).collect();
    let mut body = Map::new();
    body.insert("name".into(), group.into());
    let preferred = versions.first().cloned().unwrap_or_default();
    body.insert("versions".into(), versions.into());
    body.insert("preferredVersion".into(), preferred);
    body
}

/// `/apis`
pub fn group_list(registry: &Registry) -> Value {
    let groups: Vec<Value> = groups(registry).iter().map(|g| Value::Object(group_body(registry, g))).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`; nothing when the group is not served.
pub fn group(registry: &Registry, group: &str) -> Option<Value> {
    if !groups(registry).iter().any(|g| g == group) {
        return None;
    }
    let mut body = json!({"kind": "APIGroup", "apiVersion": "v1"});
    body.as_object_mut()?.extend(group_body(registry, group));
    Some(body)
}

/// `/api/v1` or `/apis/GROUP/VERSION`; nothing when that is not served.
pub fn resource_list(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut all: Vec<Value> = Vec::new();
    for kind in kinds(registry, group, version) {
        let mut one = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind, "verbs": verbs(kind)
        });
        for (key, list) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
            if !list.is_empty() {
                one[key] = list.clone().into();
            }
        }
        all.push(one);
        for (name, group, version, takes, verbs) in subresources(kind) {
            let mut one = json!({"name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced});
            if !group.is_empty() {
                one["group"] = group.into();
                one["version"] = version.into();
            }
            one["kind"] = takes.into();
            one["verbs"] = verbs.into();
            all.push(one);
        }
    }
    for question in QUESTIONS.iter().filter(|q| q.group == group && version == "v1") {
        all.push(json!({
            "name": question.plural, "singularName": question.kind.to_lowercase(), "namespaced": question.namespaced,
            "kind": question.kind, "verbs": ["create"]
        }));
    }
    all.sort_by_key(|one| one["name"].as_str().and_then(|n| n.split('/').next()).unwrap_or_default().to_owned());
    let group_version = group_version(group, version)["groupVersion"].clone();
    (!all.is_empty())
        .then(|| json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": all}))
}

/// The aggregated form of `/api` (the core group) or of `/apis` (all others).
pub fn aggregated(registry: &Registry, core: bool) -> Value {
    let groups = if core { vec![String::new()] } else { groups(registry) };
    let items: Vec<Value> = groups.iter().map(|g| aggregated_group(registry, g)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_group(registry: &Registry, group: &str) -> Value {
    let versions: Vec<Value> = versions(registry, group)
        .iter()
        .map(|version| {
            let mut resources: Vec<Value> = kinds(registry, group, version).map(aggregated_kind).collect();
            for question in QUESTIONS.iter().filter(|q| q.group == group && version == "v1") {
                resources.push(json!({
                    "resource": question.plural, "responseKind": response_kind("", "", question.kind),
                    "scope": if question.namespaced { "Namespaced" } else { "Cluster" },
                    "singularResource": question.kind.to_lowercase(), "verbs": ["create"]
                }));
            }
            resources.sort_by_key(|one| one["resource"].as_str().unwrap_or_default().to_owned());
            json!({"version": version, "resources": resources, "freshness": "Current"})
        })
        .collect();
    let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
    json!({"metadata": metadata, "versions": versions})
}

fn response_kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

fn aggregated_kind(kind: &Kind) -> Value {
    let mut one = json!({
        "resource": kind.plural, "responseKind": response_kind(&kind.group, &kind.version, &kind.kind),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" }, "singularResource": kind.singular, "verbs": verbs(kind)
    });
    for (key, list) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
        if !list.is_empty() {
            one[key] = list.clone().into();
        }
    }
    let below: Vec<Value> = subresources(kind)
        .into_iter()
        .map(|(name, group, version, takes, verbs)| {
            let (group, version) = if group.is_empty() { (kind.group.as_str(), kind.version.as_str()) } else { (group, version) };
            json!({"subresource": name, "responseKind": response_kind(group, version, &takes), "verbs": verbs})
        })
        .collect();
    if !below.is_empty() {
        one["subresources"] = below.into();
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_preferred_by_stability_and_number() {
        let mut versions = ["v1alpha1", "v2", "foo", "v1", "v1beta2", "v1beta10"];
        versions.sort_by_key(|v| std::cmp::Reverse(priority(v)));
        assert_eq!(versions, ["v2", "v1", "v1beta10", "v1beta2", "v1alpha1", "foo"]);
        assert_eq!(super::versions(&Registry::builtin(), "autoscaling"), ["v2", "v1"]);
    }

    #[test]
    fn both_forms_know_the_same_resources() {
        let registry = Registry::builtin();
        let names = |list: &Value, key: &str| {
            list.as_array().unwrap().iter().map(|r| r[key].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let legacy = resource_list(&registry, "apps", "v1").unwrap();
        assert_eq!(
            names(&legacy["resources"], "name"),
            ["deployments", "deployments/scale", "deployments/status", "replicasets", "replicasets/scale", "replicasets/status"]
        );
        let aggregated = aggregated(&registry, false);
        let apps = aggregated["items"].as_array().unwrap().iter().find(|g| g["metadata"]["name"] == "apps").unwrap();
        assert_eq!(names(&apps["versions"][0]["resources"], "resource"), ["deployments", "replicasets"]);
        assert_eq!(
            apps["versions"][0]["resources"][0]["subresources"][0]["responseKind"],
            json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
        );
        assert_eq!(resource_list(&registry, "apps", "v2"), None);
        assert_eq!(group(&registry, "nothing"), None);
    }
}

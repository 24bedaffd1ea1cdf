//! Pods and pod templates.

use std::collections::BTreeSet;

use serde_json::Value;

use super::container::{Around, containers, init_containers};
use super::{list, one_of, text};
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::names;

/// A new pod, or one that replaces `old`.
pub fn pod(new: &Value, old: Option<&Value>, causes: &mut Causes) {
    let at = Path::Root.field("spec");
    spec(&new["spec"], &at, causes);
    if let Some(old) = old {
        unchanged(&new["spec"], &old["spec"], &at, causes);
    }
}

/// A pod template: metadata and spec.
pub fn template(template: &Value, at: &Path<'_>, causes: &mut Causes) {
    let meta = at.field("metadata");
    super::labels(&template["metadata"]["labels"], &at.field("labels"), causes);
    for key in template["metadata"]["annotations"].as_object().into_iter().flat_map(|a| a.keys()) {
        causes.all_invalid(&meta.field("annotations"), &key.as_str().into(), names::qualified(&key.to_lowercase()));
    }
    spec(&template["spec"], &at.field("spec"), causes);
    if !list(&template["spec"], "ephemeralContainers").is_empty() {
        causes.forbidden(&at.field("spec").field("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// Things worth a warning: the object is stored, but hardly as it was meant.
pub fn warnings(spec: &Value, at: &Path<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    for kind in ["initContainers", "containers"] {
        let at = at.field(kind);
        for (i, container) in list(spec, kind).iter().enumerate() {
            let at = at.index(i);
            let env = list(container, "env");
            let at_env = at.field("env");
            for (j, variable) in env.iter().enumerate() {
                let name = text(variable, "name");
                let refers = text(variable, "value").contains(&format!("$({name})"));
                if !refers && env[..j].iter().any(|earlier| text(earlier, "name") == name) {
                    warnings.push(format!(
                        "{}: hides previous definition of {name:?}, which may be dropped when using apply",
                        at_env.index(j)
                    ));
                }
            }
            let ports = list(container, "ports");
            let at_ports = at.field("ports");
            for (j, port) in ports.iter().enumerate() {
                let same =
                    |other: &&Value| other["containerPort"] == port["containerPort"] && other["protocol"] == port["protocol"];
                let fields = || match text(port, "name") {
                    "" => String::new(),
                    name => format!(", name: {name:?}"),
                };
                if let Some(first) = ports[..j].iter().position(|p| same(&p)) {
                    warnings.push(format!(
                        "{}: duplicate port definition with {}{}",
                        at_ports.index(j),
                        at_ports.index(first),
                        fields().replace(", name", ", but different name")
                    ));
                }
            }
        }
    }
    warnings
}

type Judge = fn(&str) -> Vec<String>;

fn spec(spec: &Value, at: &Path<'_>, causes: &mut Causes) {
    let grace = spec["terminationGracePeriodSeconds"].as_i64();
    if let Some(seconds) = grace.filter(|g| *g < 0) {
        causes.invalid(&at.field("terminationGracePeriodSeconds"), seconds, "must be greater than or equal to 0");
    }
    let around = Around { volumes: volumes(spec, &at.field("volumes"), causes), grace };
    containers(spec, &around, at, causes);
    init_containers(spec, &around, at, causes);
    one_of(spec, "restartPolicy", &["Always", "OnFailure", "Never"], at, causes);
    one_of(spec, "dnsPolicy", &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"], at, causes);
    super::labels(&spec["nodeSelector"], &at.field("nodeSelector"), causes);
    for (i, gate) in list(spec, "readinessGates").iter().enumerate() {
        let kind = &gate["conditionType"];
        causes.all_invalid(
            &at.field("readinessGates").index(i).field("conditionType"),
            kind,
            names::qualified(kind.as_str().unwrap_or_default()),
        );
    }
    for (i, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        let at = at.field("topologySpreadConstraints");
        let at = at.index(i);
        if let Some(skew) = constraint["maxSkew"].as_i64().filter(|n| *n <= 0) {
            causes.invalid(&at.field("maxSkew"), skew, "must be greater than zero");
        }
        if text(constraint, "topologyKey").is_empty() {
            causes.required(&at.field("topologyKey"), "can not be empty");
        }
        one_of(constraint, "whenUnsatisfiable", &["DoNotSchedule", "ScheduleAnyway"], &at, causes);
        super::label_selector(&constraint["labelSelector"], &at.field("labelSelector"), causes);
    }
    for (i, toleration) in list(spec, "tolerations").iter().enumerate() {
        tolerations(toleration, &at.field("tolerations").index(i), causes);
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64().filter(|s| !(1..=2_147_483_647).contains(s)) {
        causes.invalid(&at.field("activeDeadlineSeconds"), seconds, "must be between 1 and 2147483647, inclusive");
    }
    let judged: [(&str, Judge); 5] = [
        ("serviceAccountName", names::subdomain),
        ("nodeName", names::subdomain),
        ("hostname", names::label),
        ("subdomain", names::label),
        ("priorityClassName", names::subdomain),
    ];
    for (key, judge) in judged {
        if !text(spec, key).is_empty() {
            causes.all_invalid(&at.field(key), &spec[key], judge(text(spec, key)));
        }
    }
}

fn volumes<'a>(spec: &'a Value, at: &Path<'_>, causes: &mut Causes) -> BTreeSet<&'a str> {
    let mut known = BTreeSet::new();
    for (i, volume) in list(spec, "volumes").iter().enumerate() {
        let at = at.index(i);
        let name = text(volume, "name");
        let before = causes.0.len();
        if name.is_empty() {
            causes.required(&at.field("name"), "");
        } else {
            causes.all_invalid(&at.field("name"), &volume["name"], names::label(name));
        }
        let sources: Vec<&String> = volume.as_object().into_iter().flat_map(|v| v.keys()).filter(|k| *k != "name").collect();
        if let Some(second) = sources.get(1) {
            causes.forbidden(&at.field(second), "may not specify more than 1 volume type");
        }
        for (source, key) in
            [("configMap", "name"), ("secret", "secretName"), ("hostPath", "path"), ("persistentVolumeClaim", "claimName")]
        {
            if volume[source].is_object() && text(&volume[source], key).is_empty() {
                causes.required(&at.field(source).field(key), "");
            }
        }
        if known.contains(name) {
            causes.duplicate(&at.field("name"), name);
        }
        // Only a sound volume counts: for the next of its name, and for those who mount it.
        if causes.0.len() == before {
            known.insert(name);
        }
    }
    known
}

fn tolerations(toleration: &Value, at: &Path<'_>, causes: &mut Causes) {
    let operator = text(toleration, "operator");
    let key = text(toleration, "key");
    if !key.is_empty() {
        causes.all_invalid(&at.field("key"), &toleration["key"], names::qualified(key));
    } else if operator != "Exists" {
        causes.invalid(
            &at.field("operator"),
            operator,
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        );
    }
    if !toleration["tolerationSeconds"].is_null() && text(toleration, "effect") != "NoExecute" {
        causes.invalid(
            &at.field("effect"),
            text(toleration, "effect"),
            "effect must be 'NoExecute' when `tolerationSeconds` is set",
        );
    }
    one_of(toleration, "operator", &["Equal", "Exists"], at, causes);
    if operator == "Exists" && !text(toleration, "value").is_empty() {
        causes.invalid(&at.field("operator"), text(toleration, "value"), "value must be empty when `operator` is 'Exists'");
    }
    one_of(toleration, "effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"], at, causes);
}

/// A pod's spec stays as it is, but for a few fields.
fn unchanged(new: &Value, old: &Value, at: &Path<'_>, causes: &mut Causes) {
    for kind in ["containers", "initContainers"] {
        if list(new, kind).len() != list(old, kind).len() {
            causes.forbidden(&at.field(kind), "pod updates may not add or remove containers");
            return;
        }
    }
    let tolerations = list(new, "tolerations");
    if !list(old, "tolerations").iter().all(|t| tolerations.contains(t)) {
        causes.forbidden(&at.field("tolerations"), "existing toleration can not be modified except its tolerationSeconds");
    }
    let mut munged = new.clone();
    for kind in ["containers", "initContainers"] {
        for (i, container) in munged.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten().enumerate() {
            container["image"] = old[kind][i]["image"].clone();
        }
    }
    for key in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        let Some(spec) = munged.as_object_mut() else { return };
        match old.get(key) {
            Some(value) => spec.insert(key.into(), value.clone()),
            None => spec.remove(key),
        };
    }
    if munged != *old {
        let mut changed: Vec<&String> =
            munged.as_object().into_iter().flatten().filter(|(k, v)| old[k.as_str()] != **v).map(|(k, _)| k).collect();
        changed.extend(old.as_object().into_iter().flat_map(|o| o.keys()).filter(|k| munged.get(k.as_str()).is_none()));
        let differs: Vec<String> = changed.iter().map(|k| format!("spec.{k}")).collect();
        let detail = format!(
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n{}",
            differs.join(", ")
        );
        causes.forbidden(at, &detail);
    }
}

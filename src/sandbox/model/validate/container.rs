//! Containers of pods and of pod templates.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{list, not_negative, one_of, port_reference, text};
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::names;
use crate::sandbox::model::quantity::Quantity;

/// What containers may refer to.
pub(super) struct Around<'a> {
    pub(super) volumes: BTreeSet<&'a str>,
    pub(super) grace: Option<i64>,
}

/// The containers of a pod, which must have one.
pub(super) fn containers(spec: &Value, around: &Around<'_>, at: &Path<'_>, causes: &mut Causes) {
    let at = at.field("containers");
    let all = list(spec, "containers");
    if all.is_empty() {
        causes.required(&at, "");
    }
    let mut names = BTreeSet::new();
    for (i, container) in all.iter().enumerate() {
        let at = at.index(i);
        common(container, around, &at, causes);
        if !names.insert(text(container, "name")) {
            causes.duplicate(&at.field("name"), text(container, "name"));
        }
        lifecycle_and_probes(container, around, &at, causes);
        if container["restartPolicy"].is_string() {
            causes.forbidden(&at.field("restartPolicy"), "may not be set for non-init containers");
        }
    }
}

/// The init containers of a pod.
pub(super) fn init_containers(spec: &Value, around: &Around<'_>, at: &Path<'_>, causes: &mut Causes) {
    let at = at.field("initContainers");
    let mut names: BTreeSet<&str> = list(spec, "containers").iter().map(|c| text(c, "name")).collect();
    for (i, container) in list(spec, "initContainers").iter().enumerate() {
        let at = at.index(i);
        common(container, around, &at, causes);
        one_of(container, "restartPolicy", &["Always"], &at, causes);
        if !names.insert(text(container, "name")) {
            causes.duplicate(&at.field("name"), text(container, "name"));
        }
        if text(container, "restartPolicy") == "Always" {
            lifecycle_and_probes(container, around, &at, causes);
        } else {
            for key in
                ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"].into_iter().filter(|k| container[*k].is_object())
            {
                causes.forbidden(&at.field(key), "may not be set for init containers without restartPolicy=Always");
            }
        }
    }
}

fn common(container: &Value, around: &Around<'_>, at: &Path<'_>, causes: &mut Causes) {
    match text(container, "name") {
        "" => causes.required(&at.field("name"), ""),
        name => causes.all_invalid(&at.field("name"), &container["name"], names::label(name)),
    }
    if text(container, "image").is_empty() {
        causes.required(&at.field("image"), "");
    }
    one_of(container, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"], at, causes);
    ports(list(container, "ports"), &at.field("ports"), causes);
    for (i, variable) in list(container, "env").iter().enumerate() {
        environment(variable, &at.field("env").index(i), causes);
    }
    for (i, source) in list(container, "envFrom").iter().enumerate() {
        environment_source(source, &at.field("envFrom"), i, causes);
    }
    mounts(container, around, &at.field("volumeMounts"), causes);
    one_of(container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], at, causes);
    resources(&container["resources"], &at.field("resources"), causes);
    security(&container["securityContext"], &at.field("securityContext"), causes);
}

fn ports(ports: &[Value], at: &Path<'_>, causes: &mut Causes) {
    let mut names = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = at.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            let wrong = names::port(name);
            if wrong.is_empty() && !names.insert(name) {
                causes.duplicate(&at.field("name"), name);
            }
            causes.all_invalid(&at.field("name"), &port["name"], wrong);
        }
        match port["containerPort"].as_i64().unwrap_or(0) {
            0 => causes.required(&at.field("containerPort"), ""),
            number => causes.all_invalid(&at.field("containerPort"), &number.into(), names::port_number(number)),
        }
        if let Some(number) = port["hostPort"].as_i64().filter(|n| *n != 0) {
            causes.all_invalid(&at.field("hostPort"), &number.into(), names::port_number(number));
        }
        one_of(port, "protocol", &["SCTP", "TCP", "UDP"], &at, causes);
    }
}

fn environment(variable: &Value, at: &Path<'_>, causes: &mut Causes) {
    match text(variable, "name") {
        "" => causes.required(&at.field("name"), ""),
        name => causes.all_invalid(&at.field("name"), &variable["name"], names::environment(name)),
    }
    let Some(source) = variable["valueFrom"].as_object() else { return };
    let at = at.field("valueFrom");
    for (key, selector) in source {
        let at = at.field(key);
        let required: &[&str] = match key.as_str() {
            "fieldRef" => &["fieldPath"],
            "resourceFieldRef" => &["resource"],
            _ => &["name", "key"],
        };
        for field in required.iter().filter(|f| text(selector, f).is_empty()) {
            causes.required(&at.field(field), "");
        }
        if key == "fieldRef" {
            field_path(text(selector, "fieldPath"), &at.field("fieldPath"), causes);
        }
    }
    if source.is_empty() {
        causes.invalid(&at, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`");
    } else if !text(variable, "value").is_empty() {
        causes.invalid(&at, "", "may not be specified when `value` is not empty");
    }
    if source.len() > 1 {
        causes.invalid(&at, "", "may not have more than one field specified at a time");
    }
}

fn field_path(path: &str, at: &Path<'_>, causes: &mut Causes) {
    const KNOWN: [&str; 9] = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    let subscript = ["metadata.labels['", "metadata.annotations['"].iter().any(|p| path.starts_with(p)) && path.ends_with("']");
    if path.is_empty() || subscript || KNOWN.contains(&path) {
        return;
    }
    if ["metadata.labels", "metadata.annotations", "spec.restartPolicy", "spec.schedulerName", "status.phase"].contains(&path) {
        causes.not_supported(at, path, &KNOWN);
    } else {
        causes.invalid(at, path, &format!("error converting fieldPath: field label not supported: {path}"));
    }
}

fn environment_source(source: &Value, list: &Path<'_>, index: usize, causes: &mut Causes) {
    let at = list.index(index);
    let kinds: Vec<&str> = ["configMapRef", "secretRef"].into_iter().filter(|k| source[*k].is_object()).collect();
    for kind in &kinds {
        if text(&source[*kind], "name").is_empty() {
            causes.required(&at.field(kind).field("name"), "");
        }
    }
    match kinds.len() {
        0 => causes.invalid(list, "", "must specify one of: `configMapRef` or `secretRef`"),
        1 => {}
        _ => causes.invalid(list, "", "may not have more than one field specified at a time"),
    }
}

fn mounts(container: &Value, around: &Around<'_>, at: &Path<'_>, causes: &mut Causes) {
    let mut paths = BTreeSet::new();
    for (i, mount) in list(container, "volumeMounts").iter().enumerate() {
        let at = at.index(i);
        let (name, path) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            causes.required(&at.field("name"), "");
        }
        if !around.volumes.contains(name) {
            causes.not_found(&at.field("name"), name);
        }
        if path.is_empty() {
            causes.required(&at.field("mountPath"), "");
        }
        if !paths.insert(path) {
            causes.invalid(&at.field("mountPath"), path, "must be unique");
        }
    }
}

fn amount(resources: &Value, list: &str, name: &str) -> Option<Quantity> {
    resources[list].get(name)?.as_str()?.parse().ok()
}

/// Resources that need no domain; not all of them are for containers.
const STANDARD: [&str; 6] = ["cpu", "memory", "ephemeral-storage", "pods", "services", "storage"];

fn resources(resources: &Value, at: &Path<'_>, causes: &mut Causes) {
    for kind in ["limits", "requests"] {
        let list = at.field(kind);
        for (name, value) in resources[kind].as_object().into_iter().flatten() {
            let at = list.key(name);
            causes.all_invalid(&at, &name.as_str().into(), names::qualified(name));
            if !name.contains('/') && !STANDARD.contains(&name.as_str()) && !name.starts_with("hugepages-") {
                causes.invalid(&at, name.as_str(), "must be a standard resource type or fully qualified");
            }
            if !name.contains('/')
                && !["cpu", "memory", "ephemeral-storage"].contains(&name.as_str())
                && !name.starts_with("hugepages-")
            {
                causes.invalid(&at, name.as_str(), "must be a standard resource for containers");
            }
            if value.as_str().and_then(|v| v.parse::<Quantity>().ok()).is_some_and(|q| q.nanos() < 0) {
                causes.invalid(&at, value.clone(), "must be greater than or equal to 0");
            }
            if kind == "requests"
                && let (Some(request), Some(limit)) = (amount(resources, "requests", name), amount(resources, "limits", name))
                && request > limit
            {
                causes.invalid(&list, value.clone(), &format!("must be less than or equal to {name} limit of {limit}"));
            }
        }
    }
}

fn security(context: &Value, at: &Path<'_>, causes: &mut Causes) {
    for key in ["runAsUser", "runAsGroup"] {
        if let Some(id) = context[key].as_i64().filter(|id| !(0..=2_147_483_647).contains(id)) {
            causes.invalid(&at.field(key), id, "must be between 0 and 2147483647, inclusive");
        }
    }
    let escalates = context["allowPrivilegeEscalation"] == false;
    if escalates && context["privileged"] == true {
        causes.invalid(at, context.clone(), "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
}

fn lifecycle_and_probes(container: &Value, around: &Around<'_>, at: &Path<'_>, causes: &mut Causes) {
    for hook in ["postStart", "preStop"] {
        if container["lifecycle"][hook].is_object() {
            handler(&container["lifecycle"][hook], around.grace, &at.field("lifecycle").field(hook), causes);
        }
    }
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = &container[key];
        if !probe.is_object() {
            continue;
        }
        let at = at.field(key);
        handler(probe, None, &at, causes);
        for number in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
            not_negative(probe, number, &at, causes);
        }
        let grace = &probe["terminationGracePeriodSeconds"];
        if key == "readinessProbe" && !grace.is_null() {
            causes.invalid(&at.field("terminationGracePeriodSeconds"), grace.clone(), "must not be set for readinessProbes");
        } else if grace.as_i64().is_some_and(|g| g <= 0) {
            causes.invalid(&at.field("terminationGracePeriodSeconds"), grace.clone(), "must be greater than 0");
        }
        if key != "readinessProbe" && probe["successThreshold"].as_i64().is_some_and(|n| n != 1) {
            causes.invalid(&at.field("successThreshold"), probe["successThreshold"].clone(), "must be 1");
        }
    }
}

/// Exactly one way to ask or to tell a container something.
fn handler(handler: &Value, grace: Option<i64>, at: &Path<'_>, causes: &mut Causes) {
    let mut one = false;
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        let action = &handler[kind];
        if !action.is_object() {
            continue;
        }
        let at = at.field(kind);
        if std::mem::replace(&mut one, true) {
            causes.forbidden(&at, "may not specify more than 1 handler type");
            continue;
        }
        match kind {
            "exec" if list(action, "command").is_empty() => causes.required(&at.field("command"), ""),
            "httpGet" => {
                port_reference(&action["port"], &at.field("port"), causes);
                one_of(action, "scheme", &["HTTP", "HTTPS"], &at, causes);
                for header in list(action, "httpHeaders") {
                    let name = text(header, "name");
                    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                        let detail = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
                        causes.invalid(&at.field("httpHeaders"), name, detail);
                    }
                }
            }
            "tcpSocket" | "grpc" => port_reference(&action["port"], &at.field("port"), causes),
            "sleep" => {
                let seconds = action["seconds"].as_i64().unwrap_or(0);
                if let Some(grace) = grace.filter(|g| seconds < 0 || seconds > *g) {
                    causes.invalid(
                        &at,
                        seconds,
                        &format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})"),
                    );
                }
            }
            _ => {}
        }
    }
    if !one {
        causes.required(at, "must specify a handler type");
    }
}

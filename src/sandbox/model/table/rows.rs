//! How the other built-in kinds are printed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::text::{age, ago, count, items, joined, labels, number_or_text, or, some_of};
use crate::sandbox::model::object::{Now, name};
use crate::sandbox::model::selector::LabelSelector;

fn n(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn selector(selector: &Value) -> String {
    match LabelSelector::of_object(selector) {
        Some(read) if read.is_empty() => "<none>".into(),
        Some(read) => read.to_string(),
        None => "<none>".into(),
    }
}

/// Names and images of a template's containers.
fn containers(spec: &Value) -> [Value; 2] {
    ["name", "image"].map(|field| {
        let texts: Vec<&str> = items(&spec["template"]["spec"], "containers").iter().map(|c| or(&c[field], "")).collect();
        texts.join(",").into()
    })
}

pub(super) fn deployment(object: &Value, now: Now) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(spec);
    vec![
        name(object).into(),
        format!("{}/{}", n(&status["readyReplicas"]), n(&spec["replicas"])).into(),
        n(&status["updatedReplicas"]).into(),
        n(&status["availableReplicas"]).into(),
        age(object, now),
        names,
        images,
        selector(&spec["selector"]).into(),
    ]
}

pub(super) fn replica_set(object: &Value, now: Now) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(spec);
    vec![
        name(object).into(),
        n(&spec["replicas"]).into(),
        n(&status["replicas"]).into(),
        n(&status["readyReplicas"]).into(),
        age(object, now),
        names,
        images,
        selector(&spec["selector"]).into(),
    ]
}

fn load_balancer(status: &Value) -> String {
    let all: BTreeSet<&str> =
        items(&status["loadBalancer"], "ingress").iter().map(|i| or(&i["ip"], or(&i["hostname"], ""))).collect();
    all.into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(",")
}

pub(super) fn service(object: &Value, now: Now) -> Vec<Value> {
    let spec = &object["spec"];
    let external: Vec<String> = items(spec, "externalIPs").iter().filter_map(|i| i.as_str().map(str::to_owned)).collect();
    let kind = or(&spec["type"], "");
    let shown = match kind {
        "ExternalName" => or(&spec["externalName"], "").to_owned(),
        "LoadBalancer" => {
            let mut all = external;
            all.splice(0..0, Some(load_balancer(&object["status"])).filter(|t| !t.is_empty()));
            joined(&all, "<pending>")
        }
        _ => joined(&external, "<none>"),
    };
    let ports: Vec<String> = items(spec, "ports")
        .iter()
        .map(|p| match n(&p["nodePort"]) {
            0 => format!("{}/{}", n(&p["port"]), or(&p["protocol"], "")),
            node => format!("{}:{node}/{}", n(&p["port"]), or(&p["protocol"], "")),
        })
        .collect();
    vec![
        name(object).into(),
        kind.into(),
        or(&spec["clusterIPs"][0], or(&spec["clusterIP"], "<none>")).into(),
        shown.into(),
        joined(&ports, "<none>").into(),
        age(object, now),
        labels(&spec["selector"]).into(),
    ]
}

pub(super) fn ingress(object: &Value, now: Now) -> Vec<Value> {
    let spec = &object["spec"];
    let hosts: Vec<String> = items(spec, "rules").iter().map(|r| or(&r["host"], "").to_owned()).filter(|h| !h.is_empty()).collect();
    vec![
        name(object).into(),
        or(&spec["ingressClassName"], "<none>").into(),
        if hosts.is_empty() { "*".into() } else { some_of(&hosts, 3).into() },
        load_balancer(&object["status"]).into(),
        if items(spec, "tls").is_empty() { "80" } else { "80, 443" }.into(),
        age(object, now),
    ]
}

pub(super) fn ingress_class(object: &Value, now: Now) -> Vec<Value> {
    let parameters = &object["spec"]["parameters"];
    let group = parameters["apiGroup"].as_str().map(|g| format!(".{g}")).unwrap_or_default();
    let shown = if parameters.is_object() {
        format!("{}{group}/{}", or(&parameters["kind"], ""), or(&parameters["name"], ""))
    } else {
        "<none>".into()
    };
    vec![name(object).into(), or(&object["spec"]["controller"], "").into(), shown.into(), age(object, now)]
}

pub(super) fn node(object: &Value, now: Now) -> Vec<Value> {
    let status = &object["status"];
    let ready = items(status, "conditions").iter().find(|c| c["type"] == "Ready");
    let mut state = match ready {
        Some(condition) if condition["status"] == "True" => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if object["spec"]["unschedulable"] == true {
        state.push_str(",SchedulingDisabled");
    }
    let mut roles = BTreeSet::new();
    for (key, value) in object["metadata"]["labels"].as_object().into_iter().flatten() {
        if let Some(role) = key.strip_prefix("node-role.kubernetes.io/").filter(|r| !r.is_empty()) {
            roles.insert(role.to_owned());
        } else if key == "kubernetes.io/role" {
            roles.insert(or(value, "").to_owned());
        }
    }
    let address = |kind: &str| {
        items(status, "addresses").iter().find(|a| a["type"] == kind).map_or("<none>", |a| or(&a["address"], "<none>"))
    };
    let info = &status["nodeInfo"];
    vec![
        name(object).into(),
        state.into(),
        joined(&roles.into_iter().collect::<Vec<_>>(), "<none>").into(),
        age(object, now),
        or(&info["kubeletVersion"], "").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        or(&info["osImage"], "<unknown>").into(),
        or(&info["kernelVersion"], "<unknown>").into(),
        or(&info["containerRuntimeVersion"], "<unknown>").into(),
    ]
}

pub(super) fn namespace(object: &Value, now: Now) -> Vec<Value> {
    vec![name(object).into(), or(&object["status"]["phase"], "").into(), age(object, now)]
}

pub(super) fn secret(object: &Value, now: Now) -> Vec<Value> {
    vec![name(object).into(), or(&object["type"], "").into(), count(&object["data"]).into(), age(object, now)]
}

pub(super) fn config_map(object: &Value, now: Now) -> Vec<Value> {
    vec![name(object).into(), (count(&object["data"]) + count(&object["binaryData"])).into(), age(object, now)]
}

pub(super) fn service_account(object: &Value, now: Now) -> Vec<Value> {
    vec![name(object).into(), count(&object["secrets"]).into(), age(object, now)]
}

pub(super) fn event(object: &Value, now: Now) -> Vec<Value> {
    let first = if object["firstTimestamp"].is_null() { &object["eventTime"] } else { &object["firstTimestamp"] };
    let mut last = if object["lastTimestamp"].is_null() { first } else { &object["lastTimestamp"] };
    let mut times = n(&object["count"]).max(1);
    if object["series"].is_object() {
        last = &object["series"]["lastObservedTime"];
        times = n(&object["series"]["count"]);
    }
    let about = &object["involvedObject"];
    let kind = or(&about["kind"], "").to_lowercase();
    let target = match or(&about["name"], "") {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = or(&object["source"]["component"], or(&object["reportingComponent"], ""));
    let source = match or(&object["source"]["host"], or(&object["reportingInstance"], "")) {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    };
    vec![
        ago(last, now).into(),
        or(&object["type"], "").into(),
        or(&object["reason"], "").into(),
        target.into(),
        or(&about["fieldPath"], "").into(),
        source.into(),
        or(&object["message"], "").trim().into(),
        ago(first, now).into(),
        times.into(),
        name(object).into(),
    ]
}

fn metric(spec: &Value, status: &Value) -> String {
    let (key, named) = match or(&spec["type"], "") {
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "External" => ("external", false),
        _ => return "<unknown type>".into(),
    };
    let (target, current) = (&spec[key]["target"], &status[key]["current"]);
    let average = !target["averageValue"].is_null();
    let shown = if named && !average {
        let percent = |value: &Value, otherwise: &str| value.as_i64().map_or_else(|| otherwise.to_owned(), |p| format!("{p}%"));
        format!("{}/{}", percent(&current["averageUtilization"], "<unknown>"), percent(&target["averageUtilization"], "<auto>"))
    } else {
        let field = if average { "averageValue" } else { "value" };
        let note = if average && (key == "object" || key == "external") { " (avg)" } else { "" };
        format!("{}/{}{note}", number_or_text(&current[field], "<unknown>"), number_or_text(&target[field], ""))
    };
    if named { format!("{}: {shown}", or(&spec[key]["name"], "")) } else { shown }
}

pub(super) fn autoscaler(object: &Value, now: Now) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let all: Vec<String> =
        items(spec, "metrics").iter().enumerate().map(|(i, m)| metric(m, &status["currentMetrics"][i])).collect();
    let targets = match all.len() {
        0 => "<none>".into(),
        n if n > 2 => format!("{} + {} more...", all[..2].join(", "), n - 2),
        _ => all.join(", "),
    };
    let reference = &spec["scaleTargetRef"];
    vec![
        name(object).into(),
        format!("{}/{}", or(&reference["kind"], ""), or(&reference["name"], "")).into(),
        targets.into(),
        number_or_text(&spec["minReplicas"], "<unset>").into(),
        n(&spec["maxReplicas"]).into(),
        n(&status["currentReplicas"]).into(),
        age(object, now),
    ]
}

pub(super) fn disruption_budget(object: &Value, now: Now) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object).into(),
        number_or_text(&spec["minAvailable"], "N/A").into(),
        number_or_text(&spec["maxUnavailable"], "N/A").into(),
        n(&object["status"]["disruptionsAllowed"]).into(),
        age(object, now),
    ]
}

pub(super) fn endpoint_slice(object: &Value, now: Now) -> Vec<Value> {
    let ports: Vec<String> = items(object, "ports")
        .iter()
        .map(|p| p["port"].as_i64().map_or_else(|| or(&p["name"], "*").to_owned(), |n| n.to_string()))
        .collect();
    let addresses: Vec<String> = items(object, "endpoints")
        .iter()
        .flat_map(|e| items(e, "addresses"))
        .filter_map(|a| a.as_str().map(str::to_owned))
        .collect();
    vec![
        name(object).into(),
        or(&object["addressType"], "").into(),
        some_of(&ports, 3).into(),
        some_of(&addresses, 3).into(),
        age(object, now),
    ]
}

pub(super) fn lease(object: &Value, now: Now) -> Vec<Value> {
    vec![name(object).into(), or(&object["spec"]["holderIdentity"], "").into(), age(object, now)]
}

pub(super) fn quota(object: &Value, now: Now) -> Vec<Value> {
    let status = &object["status"];
    let mut names: Vec<&String> = status["hard"].as_object().into_iter().flat_map(|h| h.keys()).collect();
    names.sort();
    let text = |limits: bool| {
        let of = names.iter().filter(|n| n.starts_with("limits.") == limits);
        let all: Vec<String> =
            of.map(|n| format!("{n}: {}/{}", or(&status["used"][n.as_str()], "0"), or(&status["hard"][n.as_str()], "0"))).collect();
        all.join(", ")
    };
    vec![name(object).into(), text(false).into(), text(true).into(), age(object, now)]
}

pub(super) fn binding(object: &Value, now: Now) -> Vec<Value> {
    let role = &object["roleRef"];
    let mut cells =
        vec![name(object).into(), format!("{}/{}", or(&role["kind"], ""), or(&role["name"], "")).into(), age(object, now)];
    for kind in ["User", "Group", "ServiceAccount"] {
        let subjects = items(object, "subjects").iter().filter(|s| s["kind"] == kind);
        let texts: Vec<String> = subjects
            .map(|s| match (kind, or(&s["namespace"], "")) {
                ("ServiceAccount", namespace) => format!("{namespace}/{}", or(&s["name"], "")),
                _ => or(&s["name"], "").to_owned(),
            })
            .collect();
        cells.push(texts.join(", ").into());
    }
    cells
}

pub(super) fn network_policy(object: &Value, now: Now) -> Vec<Value> {
    vec![name(object).into(), selector(&object["spec"]["podSelector"]).into(), age(object, now)]
}

pub(super) fn priority_class(object: &Value, now: Now) -> Vec<Value> {
    vec![
        name(object).into(),
        n(&object["value"]).into(),
        (object["globalDefault"] == true).into(),
        age(object, now),
        or(&object["preemptionPolicy"], "").into(),
    ]
}

pub(super) fn storage_class(object: &Value, now: Now) -> Vec<Value> {
    let default = object["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true";
    vec![
        format!("{}{}", name(object), if default { " (default)" } else { "" }).into(),
        or(&object["provisioner"], "").into(),
        or(&object["reclaimPolicy"], "Delete").into(),
        or(&object["volumeBindingMode"], "Immediate").into(),
        (object["allowVolumeExpansion"] == true).into(),
        age(object, now),
    ]
}

pub(super) fn created(object: &Value, _: Now) -> Vec<Value> {
    vec![name(object).into(), object["metadata"]["creationTimestamp"].clone()]
}

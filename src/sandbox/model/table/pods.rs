//! How a pod is printed: one word for all that may be the matter with it.

use serde_json::Value;

use super::text::{age, ago, items, or};
use crate::sandbox::model::object::{Now, is_deleting, name, parse_time};

pub(super) fn cells(pod: &Value, now: Now) -> Vec<Value> {
    let status = &pod["status"];
    let summary = summary(pod);
    let restarts = match &summary.last_restart {
        Some(last) if summary.restarts != 0 => format!("{} ({} ago)", summary.restarts, ago(last, now)),
        _ => summary.restarts.to_string(),
    };
    vec![
        name(pod).into(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(pod, now),
        or(&status["podIPs"][0]["ip"], "<none>").into(),
        or(&pod["spec"]["nodeName"], "<none>").into(),
        or(&status["nominatedNodeName"], "<none>").into(),
        gates(pod).into(),
    ]
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    items(&pod["status"], "conditions").iter().find(|c| c["type"] == kind)
}

fn is_true(pod: &Value, kind: &str) -> bool {
    condition(pod, kind).is_some_and(|c| c["status"] == "True")
}

fn gates(pod: &Value) -> String {
    let gates = items(&pod["spec"], "readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let open = gates.iter().filter(|g| g["conditionType"].as_str().is_some_and(|kind| is_true(pod, kind))).count();
    format!("{open}/{}", gates.len())
}

struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Value>,
}

impl Summary {
    /// Counts the restarts of a container.
    fn restarted(&mut self, container: &Value) {
        self.restarts += container["restartCount"].as_i64().unwrap_or(0);
        let finished = &container["lastState"]["terminated"]["finishedAt"];
        if parse_time(finished) > self.last_restart.as_ref().and_then(parse_time) {
            self.last_restart = Some(finished.clone());
        }
    }
}

fn ended(terminated: &Value, prefix: &str) -> String {
    match (or(&terminated["reason"], ""), terminated["signal"].as_i64().unwrap_or(0)) {
        ("", 0) => format!("{prefix}ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
        ("", signal) => format!("{prefix}Signal:{signal}"),
        (reason, _) => format!("{prefix}{reason}"),
    }
}

fn summary(pod: &Value) -> Summary {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let phase = or(&status["phase"], "");
    let is_sidecar =
        |name: &Value| items(spec, "initContainers").iter().any(|c| c["name"] == *name && c["restartPolicy"] == "Always");
    let sidecars = items(spec, "initContainers").iter().filter(|c| c["restartPolicy"] == "Always").count();
    let mut summary = Summary {
        reason: or(&status["reason"], phase).to_owned(),
        ready: 0,
        total: items(spec, "containers").len() + sidecars,
        restarts: 0,
        last_restart: None,
    };
    if condition(pod, "PodScheduled").is_some_and(|c| c["reason"] == "SchedulingGated") {
        summary.reason = "SchedulingGated".into();
    }
    let mut of_sidecars = Summary { reason: String::new(), ready: 0, total: 0, restarts: 0, last_restart: None };
    let mut initializing = false;
    for (i, container) in items(status, "initContainerStatuses").iter().enumerate() {
        summary.restarted(container);
        let sidecar = is_sidecar(&container["name"]);
        if sidecar {
            of_sidecars.restarted(container);
        }
        let state = &container["state"];
        if state["terminated"]["exitCode"] == 0 {
            continue;
        }
        if sidecar && container["started"] == true {
            summary.ready += usize::from(container["ready"] == true);
            continue;
        }
        initializing = true;
        summary.reason = if state["terminated"].is_object() {
            ended(&state["terminated"], "Init:")
        } else {
            match or(&state["waiting"]["reason"], "PodInitializing") {
                "PodInitializing" => format!("Init:{i}/{}", items(spec, "initContainers").len()),
                reason => format!("Init:{reason}"),
            }
        };
        break;
    }
    if !initializing || is_true(pod, "Initialized") {
        (summary.restarts, summary.last_restart) = (of_sidecars.restarts, of_sidecars.last_restart);
        let mut running = false;
        for container in items(status, "containerStatuses").iter().rev() {
            summary.restarted(container);
            let state = &container["state"];
            let waiting = or(&state["waiting"]["reason"], "");
            if !waiting.is_empty() {
                waiting.clone_into(&mut summary.reason);
            } else if state["terminated"].is_object() {
                summary.reason = ended(&state["terminated"], "");
            } else if container["ready"] == true && state["running"].is_object() {
                running = true;
                summary.ready += 1;
            }
        }
        if summary.reason == "Completed" && running {
            summary.reason = if is_true(pod, "Ready") { "Running" } else { "NotReady" }.into();
        }
    }
    if is_deleting(pod) && status["reason"] == "NodeLost" {
        summary.reason = "Unknown".into();
    } else if is_deleting(pod) && phase != "Succeeded" && phase != "Failed" {
        summary.reason = "Terminating".into();
    }
    summary
}

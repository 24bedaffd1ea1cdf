//! Rules about the Deployment and its pods.

use serde_json::{Value, json};

use super::view::{Deployment, Strategy, Surroundings, name_of};
use super::{Level, Problem};
use crate::domain::display::plural;

/// How long ingresses go on sending to a pod that was told to end, in seconds: the usual throttle of Traefik.
const PROPAGATION: u64 = 2;
/// A preStop sleep that covers it with room to spare.
const PRE_STOP: u64 = 5;
/// What is left of the grace period after preStop, for requests under way.
const DRAIN: u64 = 5;
/// The grace period when it is left out.
const GRACE: u64 = 30;
/// A progress deadline from which a stuck rollout is called so too late.
const LATE: u64 = 300;
/// A start up to this long is not unusual; a liveness probe that ends it sooner restarts pods for ever.
const START: u64 = 30;

pub(super) fn problems(d: &Deployment<'_>, around: &Surroundings<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    found.extend(strategy(d));
    found.extend(replicas(d, around));
    if let Some(container) = d.serving() {
        found.extend(termination(d, container));
        found.extend(readiness(d, container));
        found.extend(liveness(d, container));
    }
    found.extend(pace(d));
    d.containers().for_each(|c| found.extend(container_rules(d, c)));
    found
}

fn field(container: &Value, field: &str) -> String {
    format!("spec.template.spec.containers[{}].{field}", name_of(container))
}

fn strategy(d: &Deployment<'_>) -> Option<Problem> {
    let rolling = |title: String, code| {
        let patch = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}});
        let rule = if code == "V602" { "recreate" } else { "none-left" };
        let at = if code == "V602" { "spec.strategy.type" } else { "spec.strategy.rollingUpdate.maxUnavailable" };
        Problem::new(Level::Error, rule, &d.object(), at, title).code(code).patch(d.patch(&patch))
    };
    match d.strategy() {
        Strategy::Recreate => Some(
            rolling("strategy Recreate ends all pods before it starts a new one".into(), "V602")
                .loss("every request from the end of the last old pod until the first new one is ready and known to the ingress"),
        ),
        Strategy::Rolling { max_unavailable } if d.replicas > 0 && max_unavailable >= d.replicas => Some(
            rolling(
                format!("{max_unavailable} of {} may be unavailable at once: none need be left", plural(d.replicas, "pod")),
                "V601",
            )
            .loss("every request from the end of the last old pod until the first new one is ready"),
        ),
        Strategy::Rolling { .. } => None,
    }
}

fn replicas(d: &Deployment<'_>, around: &Surroundings<'_>) -> Option<Problem> {
    (d.replicas == 1 && around.autoscalers.is_empty()).then(|| {
        let title = "one replica: the drain of its node, or its crash, leaves nobody to serve";
        Problem::new(Level::Warning, "one-replica", &d.object(), "spec.replicas", title)
            .patch(d.patch(&json!({"replicas": 2})))
            .loss("every request until its successor is ready, when its node is drained or it crashes")
    })
}

fn termination(d: &Deployment<'_>, container: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    let grace = d.pod()["terminationGracePeriodSeconds"].as_u64().unwrap_or(GRACE);
    let pre_stop = &container["lifecycle"]["preStop"];
    let sleep = json!({"lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP}}}});
    let at = field(container, "lifecycle.preStop");
    let Some(seconds) = sleep_of(pre_stop) else {
        if pre_stop.is_null() {
            let title = "no preStop: SIGTERM comes while the ingress still sends to the pod";
            found.push(
                Problem::new(Level::Error, "no-prestop", &d.object(), &at, title)
                    .code("V101")
                    .patch(d.patch_container(container, sleep))
                    .loss(lost(d, PROPAGATION)),
            );
        }
        return found;
    };
    if seconds < PROPAGATION {
        let title = format!("preStop sleeps {seconds} s, and ingresses go on sending for {PROPAGATION} s or longer");
        found.push(
            Problem::new(Level::Warning, "short-prestop", &d.object(), &at, title)
                .code("V102")
                .patch(d.patch_container(container, sleep))
                .loss(lost(d, PROPAGATION - seconds)),
        );
    }
    if grace < seconds + DRAIN {
        let (level, title) = if grace <= seconds {
            (Level::Error, format!("SIGKILL comes after {grace} s, not later than the end of the preStop sleep of {seconds} s"))
        } else {
            (
                Level::Warning,
                format!("of a grace period of {grace} s preStop takes {seconds} s: little is left for requests under way"),
            )
        };
        let needed = json!({"template": {"spec": {"terminationGracePeriodSeconds": seconds + GRACE - PRE_STOP}}});
        found.push(
            Problem::new(level, "short-grace", &d.object(), "spec.template.spec.terminationGracePeriodSeconds", title)
                .code("V103")
                .patch(d.patch(&needed))
                .loss(format!("requests that take longer than {} s after SIGTERM break off", grace.saturating_sub(seconds))),
        );
    }
    found
}

/// The length of a preStop sleep, where it can be read: the action, or the command.
fn sleep_of(pre_stop: &Value) -> Option<u64> {
    let command = || {
        let words = pre_stop["exec"]["command"].as_array()?;
        let text = words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
        text.rsplit_once("sleep ")?.1.split_whitespace().next()?.trim_end_matches('s').parse().ok()
    };
    pre_stop["sleep"]["seconds"].as_u64().or_else(command)
}

/// Each of so many pods loses its share of the traffic for so many seconds: together that is all traffic for as long, once.
fn lost(d: &Deployment<'_>, seconds: u64) -> String {
    if d.replicas == 0 {
        return "nothing while there are no pods".into();
    }
    format!(
        "{} lose 1/{} of the traffic each for about {seconds} s: in a whole rollout as much as all traffic of {seconds} s, unless the \
         program serves on after SIGTERM",
        plural(d.replicas, "pod"),
        d.replicas
    )
}

fn readiness(d: &Deployment<'_>, container: &Value) -> Option<Problem> {
    container["readinessProbe"].is_null().then(|| {
        let title = "no readiness probe: a pod gets traffic as soon as its process runs, whether it serves or not";
        let port = container["ports"][0]["containerPort"].as_u64();
        let probe = port.map(|port| json!({"readinessProbe": {"httpGet": {"path": "/", "port": port}, "periodSeconds": 1}}));
        let problem =
            Problem::new(Level::Error, "no-readiness", &d.object(), &field(container, "readinessProbe"), title).code("V201").loss(
                "each new pod fails its share of the traffic from its start until it serves; a version that never serves rolls out",
            );
        match probe {
            Some(probe) => problem.patch(d.patch_container(container, probe)),
            None => problem,
        }
    })
}

fn liveness(d: &Deployment<'_>, container: &Value) -> Vec<Problem> {
    let probe = &container["livenessProbe"];
    if probe.is_null() {
        return Vec::new();
    }
    let number = |key: &str, usual: u64| probe[key].as_u64().unwrap_or(usual);
    let patience = number("periodSeconds", 10) * number("failureThreshold", 3);
    let mut found = Vec::new();
    if patience < 10 {
        let title = format!("the liveness probe restarts a pod that is busy for {patience} s");
        let patch = json!({"livenessProbe": {"periodSeconds": 10, "failureThreshold": 3}});
        found.push(
            Problem::new(Level::Warning, "hasty-liveness", &d.object(), &field(container, "livenessProbe"), title)
                .code("V203")
                .patch(d.patch_container(container, patch))
                .loss("what is under way in a pod when it is restarted, and its share of the traffic until it serves again"),
        );
    }
    let start = number("initialDelaySeconds", 0) + patience;
    if container["startupProbe"].is_null() && start < START {
        let title = format!("no startup probe: a pod whose start takes longer than {start} s is restarted for ever");
        let mut startup = probe.clone();
        startup["periodSeconds"] = 1.into();
        startup["failureThreshold"] = 60.into();
        found.push(
            Problem::new(Level::Warning, "no-startup", &d.object(), &field(container, "startupProbe"), title)
                .code("V204")
                .patch(d.patch_container(container, json!({"startupProbe": startup}))),
        );
    }
    found
}

fn pace(d: &Deployment<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    if d.spec()["minReadySeconds"].as_u64().unwrap_or(0) == 0 {
        let title = "minReadySeconds 0: the next old pod goes the moment a new one is ready, before the ingress knows of it";
        found.push(
            Problem::new(Level::Warning, "no-min-ready", &d.object(), "spec.minReadySeconds", title)
                .patch(d.patch(&json!({"minReadySeconds": PRE_STOP}))),
        );
    }
    let deadline = d.spec()["progressDeadlineSeconds"].as_u64().unwrap_or(600);
    if deadline >= LATE {
        let title = format!("a stuck rollout is called so only after {deadline} s");
        found.push(
            Problem::new(Level::Warning, "late-deadline", &d.object(), "spec.progressDeadlineSeconds", title)
                .code("V604")
                .patch(d.patch(&json!({"progressDeadlineSeconds": 120}))),
        );
    }
    if d.spec()["revisionHistoryLimit"].as_u64() == Some(0) {
        let title = "revisionHistoryLimit 0: there is no version to go back to";
        found.push(
            Problem::new(Level::Error, "no-history", &d.object(), "spec.revisionHistoryLimit", title)
                .patch(d.patch(&json!({"revisionHistoryLimit": 5}))),
        );
    }
    found
}

fn container_rules(d: &Deployment<'_>, container: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    let requests = &container["resources"]["requests"];
    if requests["cpu"].is_null() || requests["memory"].is_null() {
        let title = "no requests for CPU and memory: new pods land where there is no room, and are the first to be evicted";
        found.push(Problem::new(Level::Warning, "no-requests", &d.object(), &field(container, "resources.requests"), title));
    }
    let image = container["image"].as_str().unwrap_or_default();
    let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    if !image.contains('@') && matches!(tag, None | Some("latest")) {
        let title =
            format!("image `{image}` names no version: pods of one revision may run different ones, and none can be gone back to");
        found.push(Problem::new(Level::Warning, "latest", &d.object(), &field(container, "image"), title));
    }
    found
}

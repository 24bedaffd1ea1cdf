//! API objects become the small states of the domain. What an object lacks gets the API's own default.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use k8s_openapi::api::core::v1::{ContainerState as ApiContainerState, ContainerStatus, Event as ApiEvent, Pod, PodSpec, Probe};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::act::record;
use super::time::at;
use crate::clock::Clock;
use crate::domain::admission::GATE;
use crate::domain::rollout::guard::MANAGER;
use crate::domain::rollout::state::{
    Condition, ContainerNow, ContainerState, DeploymentCounts, DeploymentState, Endpoint, EndpointsState, Exit, KubeEvent,
    PodPhase, PodState, PreStop, ProbeState, ReplicaSetState, Strategy, TemplateState, Writer,
};
use crate::domain::traffic::Name;

const HASH_LABEL: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
/// It writes a Deployment's revision, not what is wanted of it.
const CONTROLLER: &str = "kube-controller-manager";
/// Messages of containers and Events are cut to this many characters.
const MAX_MESSAGE: usize = 300;

fn name(text: Option<&String>) -> Name {
    Name::from(text.map_or("", String::as_str))
}

fn count(n: Option<i32>) -> u32 {
    n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

fn seconds(n: i32) -> Duration {
    Duration::from_secs(u64::try_from(n).unwrap_or(0))
}

fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a String> {
    meta.annotations.as_ref()?.get(key)
}

fn hash(meta: &ObjectMeta) -> Name {
    name(meta.labels.as_ref().and_then(|l| l.get(HASH_LABEL)))
}

/// Cuts a text at a character boundary.
fn cut(text: &str) -> String {
    text.chars().take(MAX_MESSAGE).collect()
}

pub(super) fn deployment(d: &Deployment) -> DeploymentState {
    let spec = d.spec.clone().unwrap_or_default();
    let status = d.status.clone().unwrap_or_default();
    let replicas = spec.replicas.map_or(1, |n| u32::try_from(n).unwrap_or(0));
    DeploymentState {
        uid: name(d.metadata.uid.as_ref()),
        name: name(d.metadata.name.as_ref()),
        namespace: name(d.metadata.namespace.as_ref()),
        generation: d.metadata.generation.unwrap_or(0),
        observed: status.observed_generation.unwrap_or(0),
        revision: annotation(&d.metadata, REVISION).map(|r| Name::from(r.as_str())),
        replicas,
        paused: spec.paused.unwrap_or(false),
        strategy: strategy(&spec, replicas),
        progress_deadline: seconds(spec.progress_deadline_seconds.unwrap_or(600)),
        min_ready: seconds(spec.min_ready_seconds.unwrap_or(0)),
        status: DeploymentCounts {
            replicas: count(status.replicas),
            updated: count(status.updated_replicas),
            ready: count(status.ready_replicas),
            available: count(status.available_replicas),
        },
        conditions: status
            .conditions
            .unwrap_or_default()
            .into_iter()
            .map(|c| condition(&c.type_, &c.status, c.reason, c.message))
            .collect(),
        acted: record::read(&d.metadata),
        writer: writer(&d.metadata),
    }
}

/// The latest entry of `managedFields` about the specification; of entries of the same second one that is not the verifier's own.
fn writer(meta: &ObjectMeta) -> Option<Writer> {
    let entries = meta.managed_fields.iter().flatten();
    let of_spec = entries.filter(|e| {
        let spec = e.fields_v1.as_ref().is_some_and(|f| f.0.get("f:spec").is_some());
        spec && e.subresource.as_deref() != Some("status") && e.manager.as_deref() != Some(CONTROLLER)
    });
    let key = |e: &&ManagedFieldsEntry| (e.time.as_ref().map(|t| t.0.as_second()), e.manager.as_deref() != Some(MANAGER));
    let latest = of_spec.max_by_key(key)?;
    let time = latest.time.as_ref().map(|t| Name::from(t.0.to_string())).unwrap_or_default();
    Some(Writer { manager: name(latest.manager.as_ref()), time })
}

fn condition(kind: &str, status: &str, reason: Option<String>, message: Option<String>) -> Condition {
    let status = match status {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    };
    Condition { kind: Name::from(kind), status, reason: reason.unwrap_or_default(), message: cut(&message.unwrap_or_default()) }
}

fn strategy(spec: &DeploymentSpec, replicas: u32) -> Strategy {
    let Some(strategy) = &spec.strategy else {
        return Strategy::RollingUpdate { max_surge: share(None, replicas, true), max_unavailable: share(None, replicas, false) };
    };
    if strategy.type_.as_deref() == Some("Recreate") {
        return Strategy::Recreate;
    }
    let rolling = strategy.rolling_update.clone().unwrap_or_default();
    Strategy::RollingUpdate {
        max_surge: share(rolling.max_surge.as_ref(), replicas, true),
        max_unavailable: share(rolling.max_unavailable.as_ref(), replicas, false),
    }
}

/// A number, or a percentage of the replicas; surge rounds up and unavailable rounds down.
fn share(value: Option<&IntOrString>, replicas: u32, up: bool) -> u32 {
    let percent = match value {
        Some(IntOrString::Int(n)) => return u32::try_from(*n).unwrap_or(0),
        Some(IntOrString::String(text)) => text.trim_end_matches('%').parse::<u32>().unwrap_or(25),
        None => 25,
    };
    let whole = replicas.saturating_mul(percent);
    if up { whole.div_ceil(100) } else { whole / 100 }
}

pub(super) fn replica_set(rs: &ReplicaSet) -> ReplicaSetState {
    let spec = rs.spec.clone().unwrap_or_default();
    let status = rs.status.clone().unwrap_or_default();
    let containers = spec.template.as_ref().and_then(|t| t.spec.as_ref()).map(|s| s.containers.as_slice()).unwrap_or_default();
    ReplicaSetState {
        uid: name(rs.metadata.uid.as_ref()),
        name: name(rs.metadata.name.as_ref()),
        hash: hash(&rs.metadata),
        revision: annotation(&rs.metadata, REVISION).and_then(|r| r.parse().ok()).unwrap_or(0),
        template: template(spec.template.as_ref().and_then(|t| t.spec.as_ref())),
        images: containers.iter().map(|c| (Name::from(c.name.as_str()), name(c.image.as_ref()))).collect(),
        replicas: count(spec.replicas.or(Some(1))),
        ready: count(status.ready_replicas),
        available: count(status.available_replicas),
        failure: status
            .conditions
            .unwrap_or_default()
            .into_iter()
            .find(|c| c.type_ == "ReplicaFailure" && c.status == "True")
            .map(|c| condition(&c.type_, &c.status, c.reason, c.message)),
    }
}

fn template(spec: Option<&PodSpec>) -> TemplateState {
    let Some((spec, container)) = spec.and_then(|s| Some((s, s.containers.first()?))) else { return TemplateState::default() };
    let stop = container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref());
    let limits = container.resources.as_ref().and_then(|r| r.limits.as_ref());
    TemplateState {
        container: Name::from(container.name.as_str()),
        grace: spec
            .termination_grace_period_seconds
            .map_or(Duration::from_secs(30), |s| Duration::from_secs(u64::try_from(s).unwrap_or(0))),
        pre_stop: stop.map(|s| match &s.sleep {
            Some(sleep) => PreStop::Sleep { length: Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0)) },
            None => PreStop::Other,
        }),
        startup: container.startup_probe.as_ref().map(probe),
        readiness: container.readiness_probe.as_ref().map(probe),
        liveness: container.liveness_probe.as_ref().map(probe),
        memory_limit: limits.and_then(|l| l.get("memory")).map(|q| Name::from(q.0.as_str())),
        gates: spec.readiness_gates.iter().flatten().map(|g| Name::from(g.condition_type.as_str())).collect(),
    }
}

fn probe(probe: &Probe) -> ProbeState {
    let asks = match (&probe.http_get, &probe.tcp_socket, &probe.exec) {
        (Some(get), _, _) => format!("GET {}", get.path.as_deref().unwrap_or("/")),
        (_, Some(_), _) => "tcp".into(),
        (_, _, Some(_)) => "exec".into(),
        _ => "grpc".into(),
    };
    let port = probe.http_get.as_ref().map(|get| &get.port).or(probe.tcp_socket.as_ref().map(|tcp| &tcp.port));
    ProbeState {
        asks: Name::from(asks.as_str()),
        port: port.map(|port| match port {
            IntOrString::Int(number) => Name::from(number.to_string()),
            IntOrString::String(name) => Name::from(name.as_str()),
        }),
        initial_delay: seconds(probe.initial_delay_seconds.unwrap_or(0)),
        period: seconds(probe.period_seconds.unwrap_or(10)),
        timeout: seconds(probe.timeout_seconds.unwrap_or(1)),
        failure_threshold: count(probe.failure_threshold.or(Some(3))),
    }
}

pub(super) fn pod(pod: &Pod, clock: &Clock) -> PodState {
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let containers = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    PodState {
        uid: name(pod.metadata.uid.as_ref()),
        name: name(pod.metadata.name.as_ref()),
        revision: hash(&pod.metadata),
        node: pod.spec.as_ref().and_then(|s| s.node_name.as_ref()).map(|n| Name::from(n.as_str())),
        ip: status.pod_ip.as_deref().map(Name::from),
        phase: match status.phase.as_deref() {
            Some("Running") => PodPhase::Running,
            Some("Succeeded") => PodPhase::Succeeded,
            Some("Failed") => PodPhase::Failed,
            Some("Unknown") => PodPhase::Unknown,
            _ => PodPhase::Pending,
        },
        ready: conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"),
        terminating: pod.metadata.deletion_timestamp.as_ref().map(|t| {
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            at(clock, t) - Duration::from_secs(u64::try_from(grace).unwrap_or(0))
        }),
        unschedulable: conditions
            .iter()
            .find(|c| c.type_ == "PodScheduled" && c.status == "False" && c.reason.as_deref() == Some("Unschedulable"))
            .map(|c| cut(c.message.as_deref().unwrap_or_default())),
        gated: pod
            .spec
            .as_ref()
            .and_then(|s| s.readiness_gates.as_ref())
            .is_some_and(|gates| gates.iter().any(|g| g.condition_type == GATE)),
        verified: conditions
            .iter()
            .find(|c| c.type_ == GATE && c.status == "True")
            .map(|c| Name::from(c.reason.as_deref().unwrap_or_default())),
        containers: containers.map(container).collect(),
    }
}

fn container(c: &ContainerStatus) -> ContainerState {
    ContainerState {
        name: Name::from(c.name.as_str()),
        restarts: u32::try_from(c.restart_count).unwrap_or(0),
        ready: c.ready,
        now: c.state.as_ref().map_or_else(not_started, now),
        last_exit: c.last_state.as_ref().and_then(exit),
    }
}

fn not_started() -> ContainerNow {
    ContainerNow::Waiting { reason: String::new(), message: String::new() }
}

fn now(state: &ApiContainerState) -> ContainerNow {
    if state.running.is_some() {
        return ContainerNow::Running;
    }
    if let Some(exit) = exit(state) {
        return ContainerNow::Terminated(exit);
    }
    state.waiting.as_ref().map_or_else(not_started, |w| ContainerNow::Waiting {
        reason: w.reason.clone().unwrap_or_default(),
        message: cut(w.message.as_deref().unwrap_or_default()),
    })
}

fn exit(state: &ApiContainerState) -> Option<Exit> {
    state.terminated.as_ref().map(|t| Exit { code: t.exit_code, reason: t.reason.clone().unwrap_or_default() })
}

pub(super) fn endpoints(slice: &EndpointSlice) -> EndpointsState {
    let port = slice.ports.iter().flatten().find_map(|p| p.port).and_then(|p| u16::try_from(p).ok());
    let endpoint = |e: &k8s_openapi::api::discovery::v1::Endpoint| {
        let conditions = e.conditions.clone().unwrap_or_default();
        let ready = conditions.ready.unwrap_or(true);
        Endpoint {
            pod: e.target_ref.as_ref().filter(|t| t.kind.as_deref() == Some("Pod")).map(|t| name(t.name.as_ref())),
            address: name(e.addresses.first()),
            port,
            ready,
            serving: conditions.serving.unwrap_or(ready),
            terminating: conditions.terminating.unwrap_or(false),
        }
    };
    EndpointsState { name: name(slice.metadata.name.as_ref()), endpoints: slice.endpoints.iter().map(endpoint).collect() }
}

pub(super) fn kube_event(event: &ApiEvent) -> KubeEvent {
    KubeEvent {
        warning: event.type_.as_deref() == Some("Warning"),
        kind: name(event.involved_object.kind.as_ref()),
        name: name(event.involved_object.name.as_ref()),
        reason: name(event.reason.as_ref()),
        message: cut(event.message.as_deref().unwrap_or_default()),
        count: event.count.map_or(1, |n| u32::try_from(n).unwrap_or(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deployment_is_read_with_the_apis_defaults() {
        let d: Deployment = serde_json::from_value(json!({
            "metadata": {"uid": "u", "name": "backend", "namespace": "todo", "generation": 3, "annotations": {REVISION: "2"}},
            "spec": {"replicas": 5, "selector": {}, "template": {}},
            "status": {"observedGeneration": 2, "replicas": 6, "updatedReplicas": 1, "readyReplicas": 5, "availableReplicas": 5,
                "conditions": [{"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused"}]}
        }))
        .unwrap();
        let state = deployment(&d);
        assert_eq!((state.generation, state.observed, state.revision.as_deref()), (3, 2, Some("2")));
        assert_eq!(state.strategy, Strategy::RollingUpdate { max_surge: 2, max_unavailable: 1 });
        assert_eq!(state.status, DeploymentCounts { replicas: 6, updated: 1, ready: 5, available: 5 });
        assert_eq!(state.progress_deadline, Duration::from_mins(10));
        assert_eq!((state.conditions[0].status, state.conditions[0].reason.as_str()), (None, "DeploymentPaused"));
    }

    #[test]
    fn a_template_is_read_with_what_decides_the_cost_of_a_rollout() {
        let rs: ReplicaSet = serde_json::from_value(json!({
            "metadata": {"uid": "u", "name": "rs", "labels": {HASH_LABEL: "abc"}, "annotations": {REVISION: "7"}},
            "spec": {"replicas": 2, "selector": {}, "template": {"spec": {"terminationGracePeriodSeconds": 45, "containers": [{
                "name": "c", "image": "i:1", "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": 80}, "periodSeconds": 1},
                "livenessProbe": {"tcpSocket": {"port": 80}}, "resources": {"limits": {"memory": "64Mi"}}}]}}}
        }))
        .unwrap();
        let state = replica_set(&rs);
        assert_eq!((state.revision, &state.images[..]), (7, &[(Name::from("c"), Name::from("i:1"))][..]));
        let t = state.template;
        assert_eq!((t.grace, t.pre_stop), (Duration::from_secs(45), Some(PreStop::Sleep { length: Duration::from_secs(5) })));
        let readiness = t.readiness.unwrap();
        assert_eq!(
            (&*readiness.asks, readiness.port.as_deref(), readiness.period, readiness.timeout),
            ("GET /readyz", Some("80"), Duration::from_secs(1), Duration::from_secs(1))
        );
        assert_eq!((&*t.liveness.unwrap().asks, t.startup, t.memory_limit.as_deref()), ("tcp", None, Some("64Mi")));
    }

    #[test]
    fn a_pod_is_read_with_its_trouble_and_its_end() {
        let clock = Clock::start();
        let deleted = (clock.wall_start() + chrono::TimeDelta::seconds(35)).to_rfc3339();
        let p: Pod = serde_json::from_value(json!({
            "metadata": {"uid": "u", "name": "p", "labels": {HASH_LABEL: "abc"}, "deletionTimestamp": deleted, "deletionGracePeriodSeconds": 30},
            "spec": {"nodeName": "n1", "containers": []},
            "status": {"phase": "Running", "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "False"}, {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}],
                "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}
        }))
        .unwrap();
        let state = pod(&p, &clock);
        let terminating = state.terminating.unwrap();
        assert!((4_999_000..=5_001_000).contains(&terminating.0), "{terminating}");
        assert_eq!((&*state.revision, state.unschedulable.as_deref(), state.ready), ("abc", Some("no room"), false));
        assert_eq!(
            state.containers,
            [ContainerState {
                name: Name::from("c"),
                restarts: 3,
                ready: false,
                now: ContainerNow::Waiting { reason: "CrashLoopBackOff".into(), message: "back-off".into() },
                last_exit: Some(Exit { code: 137, reason: "OOMKilled".into() }),
            }]
        );
    }

    #[test]
    fn an_endpoint_without_conditions_is_ready() {
        let s: EndpointSlice = serde_json::from_value(json!({
            "metadata": {"name": "s"}, "addressType": "IPv4", "ports": [{"port": 8000}],
            "endpoints": [{"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "p"}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}}]
        }))
        .unwrap();
        let state = endpoints(&s);
        assert_eq!(
            state.endpoints.iter().map(|e| (e.pod.as_deref(), e.port, e.ready, e.serving, e.terminating)).collect::<Vec<_>>(),
            [(Some("p"), Some(8000), true, true, false), (None, Some(8000), false, true, true)]
        );
    }
}

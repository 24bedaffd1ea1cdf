//! What a pod's spec asks of the node, with the API's defaults filled in and named ports resolved.

use chrono::TimeDelta;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Lifecycle, LifecycleHandler, PodSpec, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use crate::sandbox::model::quantity;

/// A pod's spec, read once.
#[derive(Clone, Debug)]
pub struct PodPlan {
    /// The typed spec.
    pub spec: PodSpec,
    /// What happens to a container that ended.
    pub restart: RestartPolicy,
    /// `terminationGracePeriodSeconds`
    pub grace: i64,
    /// Conditions that must be True before the pod is Ready.
    pub gates: Vec<String>,
    /// All containers: first the init containers, in order, then the others.
    pub containers: Vec<ContainerPlan>,
}

/// `restartPolicy` of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Restart whatever the exit code.
    Always,
    /// Restart after a non-zero exit code.
    OnFailure,
    /// Leave it.
    Never,
}

/// What a container is in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to completion before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: starts in its turn, runs along, ends last.
    Sidecar,
    /// An ordinary container.
    App,
}

/// `imagePullPolicy`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Ask the registry each time.
    Always,
    /// Only when the node does not have the image.
    IfNotPresent,
    /// Only what the node has.
    Never,
}

/// One container of a pod.
#[derive(Clone, Debug)]
pub struct ContainerPlan {
    /// Its part in the pod.
    pub role: Role,
    /// The typed container.
    pub spec: Container,
    /// When to pull.
    pub pull: PullPolicy,
    /// Startup probe.
    pub startup: Option<ProbePlan>,
    /// Readiness probe.
    pub readiness: Option<ProbePlan>,
    /// Liveness probe.
    pub liveness: Option<ProbePlan>,
    /// Runs right after the start.
    pub post_start: Option<Handler>,
    /// Runs before the termination signal.
    pub pre_stop: Option<Handler>,
    /// `resources.limits.memory` in bytes.
    pub memory_limit: Option<u64>,
}

/// A probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    /// What to do.
    pub handler: Handler,
    /// From the container's start to the first probe.
    pub initial_delay: TimeDelta,
    /// From probe to probe.
    pub period: TimeDelta,
    /// How long one may take.
    pub timeout: TimeDelta,
    /// Successes in a row that count as success.
    pub successes: u32,
    /// Failures in a row that count as failure.
    pub failures: u32,
    /// Grace period, in seconds, when this probe's failure stops the container.
    pub grace: Option<i64>,
}

/// What a probe or a lifecycle hook does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// An HTTP GET.
    Http(HttpGet),
    /// A TCP connect; without a host, to the pod.
    Tcp {
        /// Another host than the pod.
        host: Option<String>,
        /// The port.
        port: u16,
    },
    /// A command run beside the container's process.
    Exec(Vec<String>),
    /// A pause of so many seconds (hooks only).
    Sleep(i64),
    /// Nothing this node can do; the text says why.
    Unsupported(String),
}

/// An HTTP GET of a probe or a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGet {
    /// Over TLS (whose certificate is not checked)?
    pub tls: bool,
    /// Another host than the pod.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
    /// Path and query.
    pub path: String,
    /// Further request headers.
    pub headers: Vec<(String, String)>,
}

/// A pod spec that could not be understood.
#[derive(Debug, thiserror::Error)]
#[error("reading the pod's spec")]
pub struct PlanError(#[from] serde_json::Error);

impl PodPlan {
    /// Reads `spec` of a pod object.
    pub fn read(pod: &Value) -> Result<Self, PlanError> {
        let spec: PodSpec = serde_json::from_value(pod["spec"].clone())?;
        let init = spec.init_containers.iter().flatten().map(|c| {
            let role = if c.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init };
            ContainerPlan::new(c, role)
        });
        let containers = init.chain(spec.containers.iter().map(|c| ContainerPlan::new(c, Role::App))).collect();
        Ok(Self {
            restart: match spec.restart_policy.as_deref() {
                Some("Never") => RestartPolicy::Never,
                Some("OnFailure") => RestartPolicy::OnFailure,
                _ => RestartPolicy::Always,
            },
            grace: spec.termination_grace_period_seconds.unwrap_or(30),
            gates: spec.readiness_gates.iter().flatten().map(|g| g.condition_type.clone()).collect(),
            containers,
            spec,
        })
    }

    /// The TCP ports that somebody may connect to: those declared, and those that are probed.
    pub fn ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.containers.iter().flat_map(ContainerPlan::ports).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

impl ContainerPlan {
    fn new(container: &Container, role: Role) -> Self {
        let lifecycle = container.lifecycle.as_ref();
        let hook = |of: fn(&Lifecycle) -> Option<&LifecycleHandler>| lifecycle.and_then(of).map(|h| hook_handler(h, container));
        let probe = |p: &Option<Probe>| p.as_ref().map(|p| ProbePlan::new(p, container));
        let limits = container.resources.as_ref().and_then(|r| r.limits.as_ref());
        Self {
            role,
            pull: pull_policy(container),
            startup: probe(&container.startup_probe),
            readiness: probe(&container.readiness_probe),
            liveness: probe(&container.liveness_probe),
            post_start: hook(|l| l.post_start.as_ref()),
            pre_stop: hook(|l| l.pre_stop.as_ref()),
            memory_limit: limits.and_then(|l| u64::try_from(quantity::units(&l.get("memory")?.0)?).ok()).filter(|&b| b > 0),
            spec: container.clone(),
        }
    }

    /// The image as written.
    pub fn image(&self) -> &str {
        self.spec.image.as_deref().unwrap_or_default()
    }

    fn ports(&self) -> Vec<u16> {
        let declared = self.spec.ports.iter().flatten().filter(|p| p.protocol.as_deref().is_none_or(|p| p == "TCP"));
        let probed = [&self.startup, &self.readiness, &self.liveness].into_iter().flatten().filter_map(|p| match &p.handler {
            Handler::Http(get) if get.host.is_none() => Some(get.port),
            Handler::Tcp { host: None, port } => Some(*port),
            _ => None,
        });
        declared.filter_map(|p| u16::try_from(p.container_port).ok()).chain(probed).collect()
    }
}

fn pull_policy(container: &Container) -> PullPolicy {
    let image = container.image.as_deref().unwrap_or_default();
    match container.image_pull_policy.as_deref() {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        None if super::images::split(image).1 == "latest" => PullPolicy::Always,
        _ => PullPolicy::IfNotPresent,
    }
}

impl ProbePlan {
    fn new(probe: &Probe, container: &Container) -> Self {
        let seconds = |value: Option<i32>, default: i32| TimeDelta::seconds(value.filter(|&v| v > 0).unwrap_or(default).into());
        let times =
            |value: Option<i32>, default: u32| value.and_then(|v| u32::try_from(v).ok()).filter(|&v| v > 0).unwrap_or(default);
        let handler = match (&probe.http_get, &probe.tcp_socket, &probe.exec, &probe.grpc) {
            (Some(get), ..) => http_handler(get, container),
            (_, Some(tcp), ..) => match port_number(&tcp.port, container) {
                Ok(port) => Handler::Tcp { host: tcp.host.clone().filter(|h| !h.is_empty()), port },
                Err(why) => Handler::Unsupported(why),
            },
            (_, _, Some(exec), _) => Handler::Exec(exec.command.clone().unwrap_or_default()),
            (_, _, _, Some(_)) => Handler::Unsupported("gRPC probes are not supported by the sandbox's node".to_owned()),
            _ => Handler::Unsupported(format!("missing probe handler for {}", container.name)),
        };
        Self {
            handler,
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            successes: times(probe.success_threshold, 1),
            failures: times(probe.failure_threshold, 3),
            grace: probe.termination_grace_period_seconds,
        }
    }
}

fn hook_handler(hook: &LifecycleHandler, container: &Container) -> Handler {
    match (&hook.exec, &hook.http_get, &hook.sleep) {
        (Some(exec), ..) => Handler::Exec(exec.command.clone().unwrap_or_default()),
        (_, Some(get), _) => http_handler(get, container),
        (_, _, Some(sleep)) => Handler::Sleep(sleep.seconds.max(0)),
        _ => Handler::Unsupported("the hook has no handler this node can run".to_owned()),
    }
}

fn http_handler(get: &HTTPGetAction, container: &Container) -> Handler {
    let port = match port_number(&get.port, container) {
        Ok(port) => port,
        Err(why) => return Handler::Unsupported(why),
    };
    let path = get.path.as_deref().unwrap_or("/");
    Handler::Http(HttpGet {
        tls: get.scheme.as_deref() == Some("HTTPS"),
        host: get.host.clone().filter(|h| !h.is_empty()),
        port,
        path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        headers: get.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect(),
    })
}

fn port_number(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|p| p.name.as_ref() == Some(name))
            .map(|p| p.container_port)
            .or_else(|| name.parse().ok()),
    };
    number.and_then(|n| u16::try_from(n).ok()).filter(|&n| n > 0).ok_or_else(|| match port {
        IntOrString::Int(number) => format!("invalid port number: {number}"),
        IntOrString::String(name) => format!("couldn't find port: {name} in container {}", container.name),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_probe_gets_the_defaults_of_the_api_and_named_ports_are_resolved() {
        let pod = json!({"spec": {"containers": [{
            "name": "web", "image": "web:1",
            "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}],
            "readinessProbe": {"httpGet": {"path": "ready?x=1", "port": "http"}},
            "livenessProbe": {"tcpSocket": {"port": 9090}, "periodSeconds": 2, "failureThreshold": 6},
            "startupProbe": {"httpGet": {"port": "nope"}},
        }]}});
        let plan = PodPlan::read(&pod).unwrap();
        let web = &plan.containers[0];
        let get = HttpGet { tls: false, host: None, port: 8080, path: "/ready?x=1".into(), headers: vec![] };
        let expected = ProbePlan {
            handler: Handler::Http(get),
            initial_delay: TimeDelta::zero(),
            period: TimeDelta::seconds(10),
            timeout: TimeDelta::seconds(1),
            successes: 1,
            failures: 3,
            grace: None,
        };
        assert_eq!(web.readiness, Some(expected.clone()));
        let liveness =
            ProbePlan { handler: Handler::Tcp { host: None, port: 9090 }, period: TimeDelta::seconds(2), failures: 6, ..expected };
        assert_eq!(web.liveness, Some(liveness));
        assert_eq!(
            web.startup.as_ref().map(|p| p.handler.clone()),
            Some(Handler::Unsupported("couldn't find port: nope in container web".into()))
        );
        assert_eq!(plan.ports(), [8080, 9090]);
        assert_eq!((plan.restart, plan.grace, web.pull), (RestartPolicy::Always, 30, PullPolicy::IfNotPresent));
    }

    #[test]
    fn init_containers_come_first_and_a_restartable_one_is_a_sidecar() {
        let pod = json!({"spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5,
            "initContainers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x:2", "restartPolicy": "Always"}],
            "containers": [{"name": "c", "resources": {"limits": {"memory": "64Mi"}}, "lifecycle": {"preStop": {"sleep": {"seconds": 3}}}}]}});
        let plan = PodPlan::read(&pod).unwrap();
        let roles: Vec<_> = plan.containers.iter().map(|c| (c.spec.name.as_str(), c.role, c.pull)).collect();
        assert_eq!(
            roles,
            [
                ("a", Role::Init, PullPolicy::Always),
                ("b", Role::Sidecar, PullPolicy::IfNotPresent),
                ("c", Role::App, PullPolicy::Always)
            ]
        );
        assert_eq!((plan.restart, plan.grace), (RestartPolicy::Never, 5));
        assert_eq!(
            (plan.containers[2].memory_limit, plan.containers[2].pre_stop.clone()),
            (Some(64 << 20), Some(Handler::Sleep(3)))
        );
    }

    #[test]
    fn a_spec_of_the_wrong_shape_is_an_error() {
        assert!(PodPlan::read(&json!({"spec": {"containers": "web"}})).is_err());
    }
}

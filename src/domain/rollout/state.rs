//! The cluster as the verifier needs it: small plain states, made from API objects by `cluster`, recorded as events.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::guard::Record;
use crate::domain::time::{At, as_micros};
use crate::domain::traffic::Name;

/// The Deployment under watch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentState {
    /// `metadata.uid`
    pub uid: Name,
    /// `metadata.name`
    pub name: Name,
    /// `metadata.namespace`
    pub namespace: Name,
    /// `metadata.generation`
    pub generation: i64,
    /// `status.observedGeneration`
    pub observed: i64,
    /// `deployment.kubernetes.io/revision`
    pub revision: Option<Name>,
    /// `spec.replicas`
    pub replicas: u32,
    /// `spec.paused`
    pub paused: bool,
    /// RollingUpdate with its numbers, or Recreate.
    pub strategy: Strategy,
    /// `spec.progressDeadlineSeconds`
    #[serde(with = "as_micros")]
    pub progress_deadline: Duration,
    /// `spec.minReadySeconds`
    #[serde(with = "as_micros")]
    pub min_ready: Duration,
    /// Counters of `status`.
    pub status: DeploymentCounts,
    /// `status.conditions`, by type.
    pub conditions: Vec<Condition>,
    /// What a verifier did to it, by its annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acted: Option<Record>,
    /// Who wrote its `spec` last, controllers left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<Writer>,
}

/// An entry of `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// `manager`
    pub manager: Name,
    /// `time`, as the API writes it.
    pub time: Name,
}

/// `spec.strategy` with percentages resolved against `spec.replicas`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Old pods go before new ones come.
    Recreate,
    /// New pods come while old ones go.
    RollingUpdate {
        /// Pods above `replicas`.
        max_surge: u32,
        /// Pods below `replicas`.
        max_unavailable: u32,
    },
}

/// The counters of a Deployment's status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentCounts {
    /// `status.replicas`
    pub replicas: u32,
    /// `status.updatedReplicas`
    pub updated: u32,
    /// `status.readyReplicas`
    pub ready: u32,
    /// `status.availableReplicas`
    pub available: u32,
}

/// One condition of an object's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// `Progressing`, `Available`, `PodScheduled`, …
    #[serde(rename = "type")]
    pub kind: Name,
    /// `status: "True"`; nothing when it is `Unknown`.
    pub status: Option<bool>,
    /// CamelCase.
    #[serde(default)]
    pub reason: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// A ReplicaSet of the Deployment: one revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaSetState {
    /// `metadata.uid`
    pub uid: Name,
    /// `metadata.name`
    pub name: Name,
    /// `pod-template-hash`: the revision's name.
    pub hash: Name,
    /// `deployment.kubernetes.io/revision`
    pub revision: u64,
    /// Images of the template, by container.
    pub images: Vec<(Name, Name)>,
    /// What its pods are like.
    #[serde(default)]
    pub template: TemplateState,
    /// `spec.replicas`
    pub replicas: u32,
    /// `status.readyReplicas`
    pub ready: u32,
    /// `status.availableReplicas`
    pub available: u32,
    /// `ReplicaFailure` with its message: pods could not be created (quota, admission).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Condition>,
}

/// The fields of a pod template that decide what a rollout costs: of its first container, and of the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateState {
    /// The first container's name.
    pub container: Name,
    /// `terminationGracePeriodSeconds`
    #[serde(with = "as_micros")]
    pub grace: Duration,
    /// `lifecycle.preStop`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<PreStop>,
    /// `startupProbe`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<ProbeState>,
    /// `readinessProbe`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<ProbeState>,
    /// `livenessProbe`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<ProbeState>,
    /// `resources.limits.memory`, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<Name>,
    /// `readinessGates`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Name>,
}

/// What happens before SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PreStop {
    /// The pod goes on serving for this long.
    Sleep {
        /// In microseconds.
        #[serde(with = "as_micros")]
        length: Duration,
    },
    /// A command or a request whose length nobody can know.
    Other,
}

/// A probe with the API's defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeState {
    /// `GET /readyz`, `tcp`, `exec`, `grpc`
    pub asks: Name,
    /// The port that it asks, by number or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<Name>,
    /// `initialDelaySeconds`
    #[serde(with = "as_micros")]
    pub initial_delay: Duration,
    /// `periodSeconds`
    #[serde(with = "as_micros")]
    pub period: Duration,
    /// `timeoutSeconds`
    #[serde(with = "as_micros")]
    pub timeout: Duration,
    /// `failureThreshold`
    pub failure_threshold: u32,
}

/// A pod of the Deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodState {
    /// `metadata.uid`
    pub uid: Name,
    /// `metadata.name`
    pub name: Name,
    /// `pod-template-hash`
    pub revision: Name,
    /// `spec.nodeName`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// `status.podIP`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Name>,
    /// `status.phase`
    pub phase: PodPhase,
    /// Condition `Ready`.
    pub ready: bool,
    /// When the API says it was told to end: `deletionTimestamp` minus the grace period (whole seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminating: Option<At>,
    /// `PodScheduled=False`: why it has no node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unschedulable: Option<String>,
    /// It has the readiness gate `verifier.dev/verified`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gated: bool,
    /// Condition `verifier.dev/verified`, if it is true: its reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Name>,
    /// Init containers and containers, in order.
    pub containers: Vec<ContainerState>,
}

impl PodState {
    /// All that its containers have to say about its readiness is said: only readiness gates can still keep it from traffic.
    pub fn are_containers_ready(&self) -> bool {
        self.phase == PodPhase::Running && !self.containers.is_empty() && self.containers.iter().all(|c| c.ready)
    }
}

/// `status.phase` of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodPhase {
    /// Not all containers have started.
    Pending,
    /// At least one container runs.
    Running,
    /// All ended well.
    Succeeded,
    /// All ended, one of them badly.
    Failed,
    /// The node is not heard of.
    Unknown,
}

/// One container's status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerState {
    /// Its name.
    pub name: Name,
    /// Restarts so far.
    pub restarts: u32,
    /// `status.containerStatuses[].ready`
    pub ready: bool,
    /// What it does now.
    pub now: ContainerNow,
    /// How its previous life ended: exit code and reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<Exit>,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerNow {
    /// Not started, with reason and message (`ImagePullBackOff`, `CrashLoopBackOff`, …).
    Waiting {
        /// CamelCase.
        reason: String,
        /// For people.
        message: String,
    },
    /// Runs.
    Running,
    /// Ended.
    Terminated(Exit),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal when killed.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`, …
    pub reason: String,
}

/// One EndpointSlice of the Service in front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointsState {
    /// `metadata.name`
    pub name: Name,
    /// Its endpoints, in the slice's order.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The pod behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Name>,
    /// Its address.
    pub address: Name,
    /// The port that requests go to.
    pub port: Option<u16>,
    /// `conditions.ready`
    pub ready: bool,
    /// `conditions.serving`
    pub serving: bool,
    /// `conditions.terminating`
    pub terminating: bool,
}

/// A Kubernetes Event about the Deployment, its ReplicaSets or pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeEvent {
    /// `Warning`, or else Normal.
    pub warning: bool,
    /// `Pod`, `ReplicaSet`, `Deployment`.
    pub kind: Name,
    /// The object's name.
    pub name: Name,
    /// CamelCase.
    pub reason: Name,
    /// For people, at most 300 characters.
    pub message: String,
    /// How often it was seen.
    pub count: u32,
}

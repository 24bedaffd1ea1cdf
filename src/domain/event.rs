//! What happens in a run, in one vocabulary. A run is its event stream: every number shown anywhere is a fold over it, and a recording
//! is these events as JSON lines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::admission::{AdmissionEnded, Permit};
use super::rollout::guard::{Action, ActionEnded};
use super::rollout::state::{DeploymentState, EndpointsState, KubeEvent, PodState, ReplicaSetState};
use super::scenario::Scenario;
use super::slice::{Closed, Failure, Gap, LoadEvent, Slice};
use super::time::At;
use super::traffic::{Name, TrafficPlan};
use super::validity::Validity;
use super::verdict::Verdict;

/// The version of the recording's format; it changes when an old reader would read a new recording wrongly.
pub const FORMAT: u32 = 1;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, since the run began.
    pub at: At,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "of", rename_all = "snake_case")]
pub enum What {
    /// The run began; always the first event.
    RunStarted(Box<RunStarted>),
    /// The target is deployed and reachable, by this traffic plan.
    TargetReady(Box<TrafficPlan>),
    /// The target could not be deployed or reached.
    TargetUnready(String),
    /// Traffic flows.
    TrafficStarted,
    /// A step of the change began.
    StepStarted(usize),
    /// A step of the change ended.
    StepEnded(StepEnded),
    /// A tenth of a second of one lane.
    Slice(Slice),
    /// One failed slot.
    Failure(Failure),
    /// A stretch without a good answer.
    Gap(Gap),
    /// A kept connection ended outside a request.
    Closed(Closed),
    /// A second of the verifier's own condition.
    Validity(Box<Validity>),
    /// All slots have their outcome; no more slices come.
    TrafficStopped,
    /// All that there is of the target was told once; from now on it is told what changes.
    Listed,
    /// The Deployment changed.
    Deployment(Box<DeploymentState>),
    /// The Deployment is gone.
    DeploymentGone,
    /// A ReplicaSet changed.
    ReplicaSet(Box<ReplicaSetState>),
    /// A ReplicaSet is gone, by uid.
    ReplicaSetGone(Name),
    /// A pod changed.
    Pod(Box<PodState>),
    /// A pod is gone, by uid.
    PodGone(Name),
    /// An EndpointSlice changed.
    EndpointSlice(Box<EndpointsState>),
    /// An EndpointSlice is gone, by name.
    EndpointSliceGone(Name),
    /// Kubernetes recorded an Event.
    Kube(KubeEvent),
    /// The watch of the cluster broke off or came back.
    Watch(WatchState),
    /// Something that the reader should know and that changes no verdict.
    Notice(String),
    /// Nothing happened until a moment that somebody waited for.
    Tick,
    /// The guard's action began.
    ActionStarted(Box<Action>),
    /// The guard's action ended.
    ActionEnded(Box<ActionEnded>),
    /// A pod is being let in.
    AdmissionStarted(Box<Permit>),
    /// That ended.
    AdmissionEnded(Box<AdmissionEnded>),
    /// A signal, by its number, asked the run to end.
    Interrupted(i32),
    /// The verdict fell, or a breach found further reasons; recorded so that a replay can be compared with it.
    Decided(Verdict),
    /// What the run changed was put back, as far as that could be done.
    PutBack(PutBack),
    /// The run is over; always the last event of a whole recording.
    RunEnded,
}

/// The head of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The writer's version.
    pub version: String,
    /// Names the run: sent with each request, printed in each report.
    pub run_id: String,
    /// Wall-clock time of `at` zero, RFC 3339.
    pub started: String,
    /// What is run.
    pub scenario: Scenario,
    /// Where: `sandbox`, or the context's name.
    pub cluster: String,
    /// Seeds every random choice of the run.
    pub seed: u64,
    /// The command that makes this run again.
    pub command: String,
    /// What the run changed is put back before it ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub put_back: bool,
}

/// What was put back after a run, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PutBack {
    /// What was done, for people: `deployment todo/backend is as it was`, `removed namespace todo`.
    pub done: Vec<String>,
    /// What could not be done, or was left alone, and why.
    pub left: Vec<String>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEnded {
    /// Which step of `when`.
    pub step: usize,
    /// The Deployment's generation after it, where the step changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Is the cluster seen?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchState {
    /// The API does not answer; what is known grows old.
    Lost,
    /// It answers again.
    Restored,
}

impl What {
    /// It may decide something about who is let in: of the traffic, tenths of a second do, and single requests, which may come by the thousand,
    /// do not.
    pub const fn moves_pods(&self) -> bool {
        !matches!(self, Self::Failure(_) | Self::Gap(_) | Self::Closed(_) | Self::Validity(_) | Self::Kube(_))
    }
}

impl From<LoadEvent> for What {
    fn from(event: LoadEvent) -> Self {
        match event {
            LoadEvent::Slice(slice) => Self::Slice(slice),
            LoadEvent::Failure(failure) => Self::Failure(failure),
            LoadEvent::Gap(gap) => Self::Gap(gap),
            LoadEvent::Closed(closed) => Self::Closed(closed),
            LoadEvent::Validity(validity) => Self::Validity(Box::new(validity)),
        }
    }
}

//! What goes into a pod's state machine and what comes out of it.

use std::net::Ipv4Addr;

use chrono::TimeDelta;

use super::backoff::BackoffSettings;
use crate::sandbox::model::object::Object;
use crate::sandbox::model::write::Write;

/// One run of one container: its place in [`PodPlan::containers`](super::plan::PodPlan) and how many runs came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// Which container.
    pub container: usize,
    /// 0 for the first run.
    pub attempt: u32,
}

/// The three probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    /// Gates the other two.
    Startup,
    /// Takes the pod out of its Services.
    Readiness,
    /// Restarts the container.
    Liveness,
}

impl ProbeKind {
    /// As Kubernetes writes it in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// The two lifecycle hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookKind {
    /// Right after the start.
    PostStart,
    /// Before the termination signal.
    PreStop,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The pod object, as the store has it now.
    Changed(Object),
    /// The object is gone from the store.
    Removed,
    /// Answers [`Action::Pull`].
    Pulled(usize, Pull),
    /// Answers [`Action::Start`]: the process runs.
    Started(Run),
    /// Answers [`Action::Start`]: it does not.
    StartFailed(Run, StartError),
    /// The process, and everything it had started, has ended.
    Exited(Run, Exit),
    /// Answers [`Action::Probe`].
    Probed(Run, ProbeKind, ProbeResult),
    /// Answers [`Action::Hook`]; with the reason when it failed.
    HookDone(Run, HookKind, Result<(), String>),
    /// Nothing but time has passed.
    Tick,
}

/// What is known of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// It is there from an earlier pull.
    Present,
    /// It was not there, and can be had.
    Available,
    /// Nobody knows it.
    Unknown,
}

/// Why a process did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The container's environment cannot be made: a ConfigMap, a Secret or a key is missing.
    Config(String),
    /// The program cannot be executed.
    Exec(String),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned a code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// The node killed it for its memory.
    OutOfMemory,
}

impl Exit {
    /// The exit code as a container runtime counts it.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
            Self::OutOfMemory => 137,
        }
    }

    /// The `reason` of the terminated state.
    pub fn reason(self) -> &'static str {
        match self {
            Self::OutOfMemory => "OOMKilled",
            _ if self.code() == 0 => "Completed",
            _ => "Error",
        }
    }
}

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// All is well.
    Success,
    /// Well enough; the text is told in an event.
    Warning(String),
    /// Not well.
    Failure(String),
    /// The probe itself could not be run.
    Error(String),
}

impl ProbeResult {
    /// Good or bad; nothing when the probe could not be run.
    pub fn is_success(&self) -> Option<bool> {
        match self {
            Self::Success | Self::Warning(_) => Some(true),
            Self::Failure(_) => Some(false),
            Self::Error(_) => None,
        }
    }
}

/// The signals a node sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, to the container's main process.
    Term,
    /// SIGKILL, to all of the container.
    Kill,
}

/// What the node has to do. Everything but a write is answered by an [`Input`].
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// See whether the image of this container can be had.
    Pull(usize),
    /// Start the container's process.
    Start(Run),
    /// Run a probe, once.
    Probe(Run, ProbeKind),
    /// Run a hook.
    Hook(Run, HookKind),
    /// Send a signal.
    Signal(Run, Signal),
    /// All processes are gone: take the pod's network away.
    ReleaseAddress,
    /// Change the store.
    Write(Write),
}

/// What all pods of a node have in common.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Restarts of containers and repeated image pulls.
    pub backoff: BackoffSettings,
    /// From a failed container configuration to the next try.
    pub config_retry: TimeDelta,
    /// The node's own address: `hostIP`.
    pub host: Ipv4Addr,
}

impl Settings {
    /// The kubelet's own times.
    pub fn new(host: Ipv4Addr) -> Self {
        Self { backoff: BackoffSettings::default(), config_retry: TimeDelta::seconds(10), host }
    }
}

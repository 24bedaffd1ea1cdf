//! A scenario: what to deploy, what traffic to send, what to change, and what must hold meanwhile. Read as given / when / then.

mod draft;
mod lane;
mod overlay;
mod parse;
mod request;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use draft::draft;
pub use lane::{Entry, Lane, LaneMode, Leg};
pub use overlay::merge_by_name;
pub use parse::{ScenarioError, parse, rejudge};
pub use request::{Assertions, Header, Kept, StatusRange, Tls};

use super::objective::{Objective, Ppm};
use super::rollout::guard::Guard;
use super::time::micros;
use super::traffic::{Expect, Micros, Name};
use super::verdict::VerdictKind;

/// A whole scenario file. Unknown fields are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name, an RFC 1123 label.
    pub name: String,
    /// A paragraph of prose: what is shown and why it matters.
    pub about: String,
    /// The Deployment that is changed and watched.
    pub target: Target,
    /// What stands before the change.
    #[serde(default)]
    pub given: Given,
    /// The requests that are sent meanwhile.
    pub traffic: Traffic,
    /// The change, step by step.
    #[serde(default)]
    pub when: Vec<Step>,
    /// Nothing is changed: a rollout that somebody else makes is watched instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<Observe>,
    /// What must hold from the first step to the end.
    pub then: Vec<Objective>,
    /// The planned length of rollout and soak: an error budget is at least that of the traffic planned for it.
    #[serde(with = "human", default = "default_window")]
    pub window: Duration,
    /// Measured on after the rollout is complete and old pods are gone.
    #[serde(with = "human", default = "default_soak")]
    pub soak: Duration,
    /// The run ends inconclusive when it has taken longer.
    #[serde(with = "human", default = "default_deadline")]
    pub deadline: Duration,
    /// How long the run goes on after a breach, to see its cause whole.
    #[serde(with = "human", default = "default_aftermath")]
    pub aftermath: Duration,
    /// How early the statistics may speak.
    #[serde(default)]
    pub judge: Judge,
    /// What a breach does to the workload.
    #[serde(default)]
    pub guard: Guard,
    /// How pods with the readiness gate `verifier.dev/verified` are let in. They are judged without it, too, if the target has the gate before
    /// the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
    /// How the embedded sandbox is set up; no meaning on a real cluster.
    #[serde(default)]
    pub sandbox: SandboxOptions,
    /// What this scenario must end in: the gate's proof that it can fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
}

impl Scenario {
    /// The latency limits of the objectives that are about this lane, in microseconds, ascending: what the driver counts by.
    pub fn thresholds(&self, lane: &str) -> Vec<Micros> {
        let about = self.then.iter().filter(|o| o.lane.as_deref().is_none_or(|l| l == lane));
        let mut limits: Vec<Micros> = about.filter_map(|o| o.goal.limit()).map(micros).collect();
        limits.sort_unstable();
        limits.dedup();
        limits
    }
}

/// Which rollout is watched: the one that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    /// When none is under way, waits for the next one, and `given.healthy_for` is demanded of the time before it. Otherwise the one that
    /// ended last is judged by what its version does now.
    #[serde(default)]
    pub wait: bool,
    /// Nothing is judged, and it goes on until a signal or the deadline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub endless: bool,
    /// What was known before it began, and decides it: a rollout that must not go on, or that cannot be judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruling: Option<Ruling>,
}

/// What decides a rollout before any request of its own was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ruling {
    /// Rollouts are frozen: less of the error budget is left than they need. A breach.
    BudgetSpent {
        /// What is left of it, in millionths; negative when more failed than may.
        left: i64,
        /// What must be left.
        least: Ppm,
    },
    /// The service was failing before the rollout began: what it does is not the rollout's fault. Inconclusive.
    Unhealthy {
        /// Failed requests before it.
        bad: u64,
        /// Requests before it.
        valid: u64,
    },
}

/// The Deployment under watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// `metadata.name`
    pub deployment: String,
    /// `metadata.namespace`
    #[serde(default = "default_namespace")]
    pub namespace: String,
}

/// What stands before the change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Manifest files or folders: embedded ones by name (`k8s/todo/backend`), others relative to the scenario file.
    #[serde(default)]
    pub apply: Vec<String>,
    /// Laid over the manifests before they are applied: objects named by `kind` and `metadata.name`; lists of named things merge by name.
    #[serde(default)]
    pub overlay: Vec<serde_json::Value>,
    /// Everything must have been available within this time.
    #[serde(with = "human", default = "default_ready_within")]
    pub ready_within: Duration,
    /// Traffic before the change; the objectives must hold in it, or the run is inconclusive.
    #[serde(with = "human", default = "default_baseline")]
    pub healthy_for: Duration,
}

impl Default for Given {
    fn default() -> Self {
        Self { apply: Vec::new(), overlay: Vec::new(), ready_within: default_ready_within(), healthy_for: default_baseline() }
    }
}

/// The requests that are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Asked for through the Ingress in front of the target, unless `url` is given.
    #[serde(default = "default_path")]
    pub path: String,
    /// A whole URL instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `GET` unless said otherwise: one that changes something must be named.
    #[serde(default = "default_method")]
    pub method: String,
    /// Sent with a method that has a body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Added to each request.
    #[serde(default)]
    pub headers: BTreeMap<String, Header>,
    /// What a good answer looks like.
    #[serde(default)]
    pub expect: Assertions,
    /// For `https://`.
    #[serde(default, skip_serializing_if = "Tls::is_default")]
    pub tls: Tls,
    /// Response headers that name the pod that answered, the first present wins. With none, no answer is put down to a version.
    #[serde(default = "default_pod_headers")]
    pub pod_headers: Vec<String>,
    /// From the intended start to the last byte.
    #[serde(with = "human", default = "default_timeout")]
    pub timeout: Duration,
    /// From the start of connecting.
    #[serde(with = "human", default = "default_connect_timeout")]
    pub connect_timeout: Duration,
    /// Ways of sending.
    pub lanes: BTreeMap<Name, Lane>,
}

/// How early the statistics may speak. Objectives say what must hold at the end; this says what a healthy rollout may do on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// A healthy rollout may fail this long completely at once, say when pods end, without being stopped for it. A quarter of the error
    /// budget of a rollout of two minutes when it is left out: 300 ms at 99 %, 30 ms at 99.9 %.
    #[serde(default, with = "human::optional")]
    pub burst_tolerance: Option<Duration>,
    /// What it means when the new version fails more than the old one does at the same time, be it within the objectives.
    #[serde(default)]
    pub compare_errors: Compare,
    /// What it means when the new version is slower than the old one was and is, be it within the objectives.
    #[serde(default = "default_compare_latency")]
    pub compare_latency: Compare,
}

impl Default for Judge {
    fn default() -> Self {
        Self { burst_tolerance: None, compare_errors: Compare::Breach, compare_latency: default_compare_latency() }
    }
}

/// What a difference between the versions means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// The rollout is a breach.
    #[default]
    Breach,
    /// Nothing.
    Ignore,
}

/// One step of the change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Server-side apply of manifest files, as in `given`.
    Apply(Vec<String>),
    /// Image and environment of the target's first container (or the one named): one patch, one rollout.
    Set(SetStep),
    /// A strategic merge patch of the target.
    Patch(serde_json::Value),
    /// As `kubectl rollout restart`.
    Restart,
    /// Sets the target's replicas.
    Scale(u32),
    /// Deletes this many of the target's pods, oldest first.
    DeletePods(u32),
    /// Waits: a duration, or `rollout` for its completion.
    Wait(Wait),
}

/// What `set` changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetStep {
    /// The container; the first one when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The new image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Variables to set.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// What a `wait` step waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Wait {
    /// The rollout is complete and old pods are gone.
    Rollout,
    /// Time passes.
    For(Duration),
}

impl TryFrom<String> for Wait {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if text == "rollout" {
            return Ok(Self::Rollout);
        }
        humantime::parse_duration(&text)
            .map(Self::For)
            .map_err(|_| format!("`{text}` is neither `rollout` nor a duration such as `3s`"))
    }
}

impl From<Wait> for String {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Rollout => "rollout".into(),
            Wait::For(d) => humantime::format_duration(d).to_string(),
        }
    }
}

/// How new pods are let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// The first pod of a version serves users for so long before any other one is let in; nothing when it is zero.
    #[serde(default, with = "human")]
    pub bake: Duration,
}

/// How the embedded sandbox is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxOptions {
    /// How long after a change of endpoints the ingress learns of it. Traefik's default throttle is 2 s.
    #[serde(with = "human", default = "default_ingress_lag")]
    pub ingress_lag: Duration,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self { ingress_lag: default_ingress_lag() }
    }
}

/// What a scenario must end in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The verdict.
    pub verdict: VerdictKind,
    /// Labels of reasons that must be among those given: `availability`, `longest_outage`, `stuck`, …
    #[serde(default)]
    pub because: Vec<String>,
    /// Codes of findings that must be made. Who must pass must make no other ones: none when it is healthy, or what it costs beside its users.
    #[serde(default)]
    pub findings: Vec<String>,
}

/// With one or two pods of a version, a slow node looks like a slow version.
const fn default_compare_latency() -> Compare {
    Compare::Ignore
}
fn default_namespace() -> String {
    "default".into()
}
fn default_path() -> String {
    "/".into()
}
const fn default_window() -> Duration {
    Duration::from_secs(30)
}
const fn default_soak() -> Duration {
    Duration::from_secs(3)
}
const fn default_deadline() -> Duration {
    Duration::from_mins(5)
}
const fn default_aftermath() -> Duration {
    Duration::from_secs(2)
}
const fn default_ready_within() -> Duration {
    Duration::from_mins(1)
}
const fn default_baseline() -> Duration {
    Duration::from_secs(3)
}
fn default_method() -> String {
    "GET".into()
}
fn default_pod_headers() -> Vec<String> {
    Expect::default().pod_headers
}
const fn default_timeout() -> Duration {
    Duration::from_secs(2)
}
const fn default_connect_timeout() -> Duration {
    Duration::from_secs(1)
}
const fn default_ingress_lag() -> Duration {
    Duration::from_secs(2)
}

/// Durations as people write them: `1m30s`, `250ms`.
pub mod human {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes `1m 30s`.
    pub fn serialize<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&humantime::format_duration(*d))
    }

    /// Reads `1m30s`.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        parsed(&String::deserialize(d)?)
    }

    fn parsed<E: Error>(text: &str) -> Result<Duration, E> {
        humantime::parse_duration(text).map_err(|_| E::custom(format!("`{text}` is no duration, as in `1m30s` or `250ms`")))
    }

    /// The same for what may be left out.
    pub mod optional {
        use super::{Deserialize, Deserializer, Duration, Serializer};

        /// Writes `1m 30s`.
        pub fn serialize<S: Serializer>(d: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
            match d {
                Some(d) => super::serialize(d, s),
                None => s.serialize_none(),
            }
        }

        /// Reads `1m30s`.
        pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
            let text = Option::<String>::deserialize(d)?;
            text.map(|text| super::parsed(&text)).transpose()
        }
    }
}

#[cfg(test)]
mod tests;

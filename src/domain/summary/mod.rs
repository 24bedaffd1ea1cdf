//! The summary of a run: every figure that any report shows, derived here and nowhere else. Published as JSON; [`Schema`] names its
//! version.

mod action;
mod admission;
mod failures;
mod objectives;
mod propagation;
mod rollout;
mod steps;
mod timeline;
mod traffic;
mod units;
mod validity;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use action::{Action, ActionOutcome};
pub use admission::{Admission, AdmissionBasis};
pub use failures::{Connection, Example, Failures, Group};
pub use objectives::{Budget, Expected, Interval, Objective, ObjectiveState};
pub use propagation::{Departure, Propagation};
pub use rollout::{EndpointTurn, ExitSeen, PhaseSpan, Pod, ReadyTurn, Revision, Rollout, Side};
pub use steps::Step;
pub use timeline::{LaneCell, LaneLine, Moment, Timeline};
pub use traffic::{Answers, Between, Figures, Intervals, Lane, Outage, PodTraffic, Quantiles, RevisionTraffic, Traffic};
pub use units::{Millis, Seconds};
pub use validity::Validity;

use super::course::Course;
use super::display::clean;
use super::event::PutBack;
use super::findings::{self, Finding};
use super::recording::Rejudged;
use super::verdict::{Reason, VerdictKind};

/// The version of the published form. It changes when a reader of the old form would read the new one wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Schema {
    /// The first.
    #[serde(rename = "verifier/summary/v1")]
    V1,
}

/// A run, summed up. Moments (`*_s`) are seconds since the run began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// The version of this form.
    pub schema: Schema,
    /// What the run ended in, and why.
    pub verdict: Decision,
    /// There when this was judged again by other objectives than the run's own: it is not what the run itself ended in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejudged: Option<Rejudged>,
    /// What to type to see more of what keeps the rollout from completing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether the run ended as its scenario says it must; nothing when the scenario says nothing, or nothing is decided.
    pub as_expected: Option<bool>,
    /// What the scenario says the run must end in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// What the guard did about a breach, or why it did nothing; nothing without a guard or a breach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Pods that were let in by their readiness gate, in order; nothing without such a gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub admission: Vec<Admission>,
    /// Which run this was.
    pub run: Run,
    /// What was promised, and what came of it.
    pub objectives: Vec<Objective>,
    /// What was sent, and how it was answered.
    pub traffic: Traffic,
    /// What failed, told apart.
    pub failures: Failures,
    /// Why it failed: diagnosed causes, the most costly first.
    pub findings: Vec<Finding>,
    /// How long it took until nobody sent to pods that were told to end; nothing when none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagation: Option<Propagation>,
    /// What the cluster did.
    pub rollout: Rollout,
    /// The steps of the change that were begun.
    pub steps: Vec<Step>,
    /// What was put back in the end; nothing when nothing was to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_back: Option<PutBack>,
    /// Answers over time.
    pub timeline: Timeline,
    /// Whether the measurement can be believed; nothing in the first second of traffic.
    pub validity: Option<Validity>,
    /// Warnings that Kubernetes recorded, oldest first, the last 200 Kubernetes Events considered.
    pub kubernetes: Vec<KubeWarning>,
    /// What else the reader should know, oldest first, at most the last 200.
    pub notices: Vec<Notice>,
}

/// The verdict. Nothing is decided while the run goes on and no objective is missed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// One of five.
    pub verdict: Option<VerdictKind>,
    /// When it fell.
    pub decided_at_s: Option<Seconds>,
    /// Why: the first one decided it.
    pub reasons: Vec<Reason>,
}

/// Which run this was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Sent with each request as `x-verifier-run`.
    pub id: String,
    /// The verifier's version.
    pub version: String,
    /// The scenario's name.
    pub scenario: String,
    /// What the scenario shows.
    pub about: String,
    /// The namespace of the target.
    pub namespace: String,
    /// The Deployment that was changed and watched.
    pub deployment: String,
    /// `sandbox`, or the context's name.
    pub cluster: String,
    /// RFC 3339.
    pub started: String,
    /// From the beginning of the run to its last event.
    pub duration_s: Seconds,
    /// Every random choice comes from it.
    pub seed: u64,
    /// The command that makes this run again.
    pub command: String,
}

/// A warning that Kubernetes recorded about the target, its ReplicaSets or pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KubeWarning {
    /// When the verifier saw it.
    pub at_s: Seconds,
    /// `Pod`, `ReplicaSet`, `Deployment`.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
    /// How often Kubernetes counted it.
    pub count: u32,
}

/// Something the reader should know and that changes no verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// When.
    pub at_s: Seconds,
    /// What.
    pub text: String,
}

impl Summary {
    /// Sums a run up, as far as it has come.
    pub fn of(course: &Course) -> Self {
        let decision = Decision::of(course);
        let findings = findings::find(course);
        let expected = course.head().scenario.expect.as_ref().map(|e| Expected::of(e, &decision, &findings));
        Self {
            schema: Schema::V1,
            as_expected: expected.as_ref().filter(|_| decision.verdict.is_some()).map(|e| e.missing.is_empty()),
            verdict: decision,
            next: course.stuck().map(|stuck| clean(&stuck.command(&course.head().scenario.target.namespace))),
            rejudged: None,
            action: Action::of(course),
            admission: Admission::all(course),
            expected,
            run: Run::of(course),
            objectives: Objective::all(course),
            traffic: Traffic::of(course),
            failures: Failures::of(course),
            findings,
            propagation: Propagation::of(course),
            rollout: Rollout::of(course),
            steps: Step::all(course),
            put_back: course.put_back().map(cleaned),
            timeline: Timeline::of(course),
            validity: Validity::of(course),
            kubernetes: KubeWarning::all(course),
            notices: Notice::all(course),
        }
    }
}

fn cleaned(put_back: &PutBack) -> PutBack {
    let all = |list: &[String]| list.iter().map(|text| clean(text)).collect();
    PutBack { done: all(&put_back.done), left: all(&put_back.left) }
}

impl Decision {
    /// What is decided so far.
    pub fn of(course: &Course) -> Self {
        let verdict = course.verdict();
        let cleaned = |r: &Reason| Reason::new(clean(&r.code), clean(&r.message));
        Self {
            verdict: verdict.map(|v| v.verdict),
            decided_at_s: verdict.map(|v| Seconds(v.at)),
            reasons: verdict.map(|v| v.reasons.iter().map(cleaned).collect()).unwrap_or_default(),
        }
    }
}

impl Run {
    fn of(course: &Course) -> Self {
        let head = course.head();
        Self {
            id: clean(&head.run_id),
            version: clean(&head.version),
            scenario: clean(&head.scenario.name),
            about: clean(head.scenario.about.trim()),
            namespace: clean(&head.scenario.target.namespace),
            deployment: clean(&head.scenario.target.deployment),
            cluster: clean(&head.cluster),
            started: clean(&head.started),
            duration_s: Seconds(course.now()),
            seed: head.seed,
            command: clean(&head.command),
        }
    }
}

impl KubeWarning {
    /// All that were kept.
    pub fn all(course: &Course) -> Vec<Self> {
        let warning = |(at, event): &(_, super::rollout::state::KubeEvent)| Self {
            at_s: Seconds(*at),
            kind: clean(&event.kind),
            name: clean(&event.name),
            reason: clean(&event.reason),
            message: clean(&event.message),
            count: event.count,
        };
        course.kube_events().filter(|(_, e)| e.warning).map(warning).collect()
    }
}

impl Notice {
    /// All that were kept.
    pub fn all(course: &Course) -> Vec<Self> {
        course.notices().map(|(at, text)| Self { at_s: Seconds(*at), text: clean(text) }).collect()
    }
}

#[cfg(test)]
mod tests;

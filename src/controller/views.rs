//! What is told of Deployments, their runs and their verifications, as the API has it.

use serde::Serialize;

use crate::domain::outcome::Outcome;
use crate::domain::policy::spec::PolicySpec;
use crate::domain::policy::verification::VerificationStatus;

/// The probing of a Deployment, since it was begun.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probing {
    /// Seconds from one request to the next.
    pub every: f64,
    /// The last request could be sent: there is a way.
    pub reached: bool,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How the last request ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Outcome>,
    /// Good answers.
    pub good: u64,
    /// Others.
    pub bad: u64,
}

/// A run that judges a rollout now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    /// Names it.
    pub run_id: String,
    /// RFC 3339.
    pub started: String,
    /// It has begun to judge: until then it looks for the way.
    pub judging: bool,
    /// The phase of the rollout.
    pub phase: &'static str,
    /// Good answers of the last seconds.
    pub good: u64,
    /// Bad ones.
    pub bad: u64,
}

/// What is asked of a Deployment, and what is being done about it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyView {
    /// Of the Deployment.
    pub namespace: String,
    /// Its name.
    pub deployment: String,
    /// What is asked; nothing when it cannot be read.
    pub policy: Option<PolicySpec>,
    /// The `RolloutPolicy` that asks; nothing when the Deployment's annotation does.
    pub policy_name: Option<String>,
    /// Whether it is reached by probes.
    pub ready: bool,
    /// Why nothing is sent, or why a rollout waits, in one word.
    pub reason: Option<&'static str>,
    /// The same for people.
    pub message: Option<String>,
    /// Its probing.
    pub probing: Option<Probing>,
    /// The share of the rolling day's error budget that is left.
    pub error_budget_left: Option<f64>,
    /// Its run.
    pub run: Option<Live>,
}

/// A rollout's verification.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationView {
    /// Of the object.
    pub name: String,
    /// Of the Deployment.
    pub namespace: String,
    /// The Deployment's name.
    pub deployment: String,
    /// When the rollout began, RFC 3339.
    pub began: String,
    /// When the run ended; nothing while it goes on.
    pub ended: Option<String>,
    /// `/api/v1/runs/ID/report` has its report.
    pub report: bool,
    /// How it stands.
    #[serde(flatten)]
    pub status: VerificationStatus,
}

//! The published form of a comparison.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::warnings::Warning;
use crate::domain::outcome::Outcome;
use crate::domain::summary::{Millis, Seconds};
use crate::domain::verdict::VerdictKind;

/// The version of the published form. It changes when a reader of the old form would read the new one wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Schema {
    /// The first.
    #[serde(rename = "verifier/compare/v1")]
    V1,
}

/// Two runs, compared. What is said of a difference is said of B against A.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The version of this form.
    pub schema: Schema,
    /// The run that is compared with.
    pub a: Which,
    /// The run that is compared.
    pub b: Which,
    /// Why the comparison may be one of different things.
    pub warnings: Vec<Warning>,
    /// What differs beyond chance, a sentence each; nothing when no difference can be told.
    pub differences: Vec<String>,
    /// All intervals together hold with this probability at least, as far as chance within the two runs goes.
    pub confidence: f64,
    /// All lanes together, when there is more than one.
    pub all: Option<Lane>,
    /// The lanes that both runs have.
    pub lanes: Vec<Lane>,
    /// Failures of the target by their outcome, all lanes together, as shares of valid requests.
    pub failures: Vec<Failures>,
    /// From the change to the completion of the rollout.
    pub deployed_after_s: Pair<Option<Seconds>>,
    /// Diagnosed causes of either run.
    pub findings: Vec<Finding>,
}

/// Which run this is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Which {
    /// The file.
    pub source: String,
    /// The run's name.
    pub run: String,
    /// The scenario's name.
    pub scenario: String,
    /// When it began, RFC 3339.
    pub started: String,
    /// What it ended in.
    pub verdict: Option<VerdictKind>,
}

/// The same of both runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pair<T> {
    /// Of the run that is compared with.
    pub a: T,
    /// Of the run that is compared.
    pub b: T,
}

/// What can be said of B against A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is more.
    Higher,
    /// It is less.
    Lower,
    /// No difference can be told.
    Untold,
}

/// One lane, or all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lane {
    /// Its name; `all lanes` for all of them.
    pub lane: String,
    /// Good ones of valid requests.
    pub availability: Share,
    /// Quantiles of good answers.
    pub latency: Vec<Quantile>,
    /// The longest stretch without a good answer; one observation each.
    pub longest_outage_ms: Pair<Millis>,
}

/// A share in parts per million of both runs, and the difference B − A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// In A.
    pub a_ppm: Option<u32>,
    /// In B.
    pub b_ppm: Option<u32>,
    /// The difference is not less than this.
    pub low_ppm: i64,
    /// The difference is not more than this.
    pub high_ppm: i64,
    /// What can be said of it.
    pub change: Change,
}

/// A latency quantile of both runs, and the ratio B / A.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantile {
    /// `p99`
    pub quantile: String,
    /// In A.
    pub a_ms: Option<Millis>,
    /// In B.
    pub b_ms: Option<Millis>,
    /// Bounds of the ratio; nothing when one of the two files holds no latencies but only their quantiles.
    pub ratio: Option<Interval>,
    /// What can be said of it.
    pub change: Change,
}

/// Failures of one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failures {
    /// The outcome.
    pub outcome: Outcome,
    /// How many there were.
    pub count: Pair<u64>,
    /// Their share of valid requests.
    #[serde(flatten)]
    pub share: Share,
}

/// A diagnosed cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// `V101`: see `verifier explain V101`.
    pub code: String,
    /// What it says of the run that has it; of B when both have.
    pub title: String,
    /// How many failures it explains; nothing where it was not found.
    pub failures: Pair<Option<u64>>,
}

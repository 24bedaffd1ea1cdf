//! Findings: diagnosed causes, each with the evidence it rests on and a prescription in terms of manifest fields. A pure reading of the
//! course; nothing here changes a verdict.
//!
//! Detectors are asked in a fixed order, the most specific first. Each takes the failures that it explains, so that no failure is
//! explained twice, and knows what was found before it, so that a consequence is not told beside its cause.

mod admission;
mod catalogue;
mod configuration;
mod elsewhere;
mod found;
mod latency;
mod patch;
mod seen;
mod start;
mod stuck;
mod termination;
mod version;

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::catalogue::{CATALOGUE, Entry, entry};
use self::found::Found;
pub use self::seen::attributed;
use self::seen::{Open, Seen};
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
    /// What to lay over the object in question to do it: a strategic merge patch with the object's `kind` and `metadata.name`, as an
    /// overlay of a scenario has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<serde_json::Value>,
    /// What can be expected of it.
    pub gain: String,
}

/// Looks for one cause among the failures that nothing has explained yet.
type Detector = fn(&Seen<'_>, &Open<'_>) -> Option<Found>;

/// In the order in which they are asked.
const DETECTORS: [Detector; 23] = [
    elsewhere::superseded,
    elsewhere::prober,
    start::out_of_memory,
    start::slow_without_startup_probe,
    start::killed_by_liveness,
    start::flapping_readiness,
    configuration::recreate,
    configuration::too_few_left,
    termination::grace_too_short,
    termination::pre_stop_too_short,
    termination::no_drain,
    start::lying_readiness,
    termination::keep_alive_race,
    version::errors_of_both,
    version::more_errors,
    latency::slower,
    admission::turned_away,
    stuck::crash_loop,
    stuck::image_pull,
    stuck::unschedulable,
    stuck::quota,
    configuration::late_deadline,
    configuration::inflated_by_surge,
];

/// All causes that can be told from what was seen, the most costly first.
pub fn find(course: &Course) -> Vec<Finding> {
    let seen = Seen::of(course);
    let mut open = Open::of(&seen);
    let mut findings = Vec::new();
    for detector in DETECTORS {
        if let Some(found) = detector(&seen, &open) {
            open.take(&found);
            findings.push(found.finding(&seen));
        }
    }
    // Stable: of equal cost, the more specific stays first.
    findings.sort_by_key(|f| std::cmp::Reverse(f.failures));
    findings
}

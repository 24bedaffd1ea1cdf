//! The objectives with what was measured, and whether the run ended as its scenario says it must.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Decision;
use crate::domain::course::Course;
use crate::domain::display::clean;
use crate::domain::findings::Finding;
use crate::domain::judge::{self, Standing, State};
use crate::domain::scenario::Expectation;
use crate::domain::verdict::VerdictKind;

/// An objective and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Objective {
    /// As people write it: `availability >= 99%`.
    pub objective: String,
    /// What was measured, with its unit.
    pub measured: Option<String>,
    /// Where the value behind it lies, for objectives about a share or a quantile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// How many may fail, where the objective is about a share.
    pub budget: Option<Budget>,
    /// Whether it is met.
    pub state: ObjectiveState,
    /// Why it is missed, or cannot be told.
    pub why: Option<String>,
}

/// Where a measured value lies: with probability 95 % between these two at all moments of the run at once, so that looking often costs nothing.
/// Written like the value itself, rounded outwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// At least.
    pub low: String,
    /// At most.
    pub high: String,
}

/// How many may fail, and how many did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// Requests that failed it.
    pub bad: u64,
    /// Requests that may.
    pub allowed: u64,
}

/// Whether an objective is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveState {
    /// Yes.
    Met,
    /// No, and it cannot be any more.
    Missed,
    /// It cannot be said (yet).
    Open,
}

impl Objective {
    /// All objectives, in the scenario's order.
    pub fn all(course: &Course) -> Vec<Self> {
        course.standings().into_iter().map(|standing| Self::of(standing, course)).collect()
    }

    fn of(standing: Standing, course: &Course) -> Self {
        let (state, why) = match standing.state {
            State::Met => (ObjectiveState::Met, None),
            State::Missed(reason) => (ObjectiveState::Missed, Some(clean(&reason.message))),
            State::Open(why) => (ObjectiveState::Open, Some(clean(&why))),
        };
        Self {
            objective: standing.objective.to_string(),
            measured: standing.measured,
            interval: judge::interval(&standing.objective, &course.tally).map(|(low, high)| Interval { low, high }),
            budget: standing.budget.map(|(bad, allowed)| Budget { bad, allowed }),
            state,
            why,
        }
    }
}

/// What the scenario says the run must end in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expected {
    /// The verdict.
    pub verdict: VerdictKind,
    /// Codes of reasons that must be given.
    pub because: Vec<String>,
    /// Codes of findings that must be made.
    pub findings: Vec<String>,
    /// What of it did not come.
    pub missing: Vec<String>,
}

impl Expected {
    /// Compares what came with what must come. A scenario that must pass must pass without a finding.
    pub(super) fn of(expectation: &Expectation, came: &Decision, findings: &[Finding]) -> Self {
        let mut missing = Vec::new();
        if came.verdict != Some(expectation.verdict) {
            missing.push(format!("verdict {}", expectation.verdict));
        }
        let absent = expectation.because.iter().filter(|code| !came.reasons.iter().any(|r| r.is(code)));
        missing.extend(absent.map(|code| format!("reason {code}")));
        let unmade = expectation.findings.iter().filter(|code| findings.iter().all(|f| f.code != **code));
        missing.extend(unmade.map(|code| format!("finding {code}")));
        if expectation.verdict == VerdictKind::Pass {
            let unwanted = findings.iter().filter(|f| !expectation.findings.contains(&f.code));
            missing.extend(unwanted.map(|f| format!("a run without finding {}", f.code)));
        }
        let clean_all = |list: &[String]| list.iter().map(|s| clean(s)).collect();
        Self {
            verdict: expectation.verdict,
            because: clean_all(&expectation.because),
            findings: clean_all(&expectation.findings),
            missing: clean_all(&missing),
        }
    }
}

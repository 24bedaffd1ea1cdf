//! What a run ends in, and why.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::At;

/// The five endings. Unknown is never pass and never breach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// Every objective was met, and enough was seen to say so.
    Pass,
    /// An objective was missed, or can no longer be met.
    Breach,
    /// Too little was seen, or seen too badly, to say either.
    Inconclusive,
    /// Somebody else changed the target meanwhile; what was measured is about neither revision.
    Superseded,
    /// Ended by a signal or by the caller.
    Aborted,
}

impl VerdictKind {
    /// The word in files and on screens.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Breach => "breach",
            Self::Inconclusive => "inconclusive",
            Self::Superseded => "superseded",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A verdict, when it fell, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which of the five.
    pub verdict: VerdictKind,
    /// When it was decided.
    pub at: At,
    /// Why: the first one decided it.
    pub reasons: Vec<Reason>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// A stable word: `availability`, `p99`, `longest_outage`, `deployed_within`, `stuck`, `baseline`, `validity`, `sample`, `deadline`, …
    /// What the statistics found before a budget was spent says of whom: `availability.new`, `p99.all`.
    pub code: String,
    /// A sentence with its figures.
    pub message: String,
}

impl Reason {
    /// A reason from its two parts.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// Whether `word` names it, or what it is about: `availability` names `availability.new` too.
    pub fn is(&self, word: &str) -> bool {
        self.code.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

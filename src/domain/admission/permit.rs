//! Who is let in, for what, and what came of it; and who is not.

use serde::{Deserialize, Serialize};

use crate::domain::display::count;
use crate::domain::outcome::Outcome;
use crate::domain::time::At;
use crate::domain::traffic::Name;

/// What a pod is let in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// It stood before the run changed anything, and there was nothing else.
    Given,
    /// Its revision is verified.
    Verified,
    /// It answered well; with that its revision is verified.
    Evidence {
        /// Answers.
        answers: u64,
        /// Of these, bad or late.
        bad: u64,
    },
    /// It answered well, and is the one pod of its revision that serves users until more are let in.
    OneBox {
        /// Answers.
        answers: u64,
        /// Of these, bad or late.
        bad: u64,
    },
}

impl Basis {
    const GIVEN: &str = "Given";
    const VERIFIED: &str = "RevisionVerified";
    const EVIDENCE: &str = "AnsweredWell";
    pub(super) const ONE_BOX: &str = "OneBox";

    /// The condition's reason.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Given => Self::GIVEN,
            Self::Verified => Self::VERIFIED,
            Self::Evidence { .. } => Self::EVIDENCE,
            Self::OneBox { .. } => Self::ONE_BOX,
        }
    }

    /// Whether a pod with this reason shows that its revision is verified: what people open by hand does not.
    pub(super) fn verifies(reason: &str) -> bool {
        [Self::GIVEN, Self::VERIFIED, Self::EVIDENCE].contains(&reason)
    }

    /// One sentence, for the condition's message.
    pub fn sentence(self) -> String {
        let asked = |answers, bad| {
            let answers = count(answers);
            if bad == 0 { format!("all {answers} answers were good") } else { format!("{bad} of {answers} answers were bad") }
        };
        match self {
            Self::Given => "it stood before anything was changed".into(),
            Self::Verified => "its revision is verified".into(),
            Self::Evidence { answers, bad } => format!("asked at its own address, {}", asked(answers, bad)),
            Self::OneBox { answers, bad } => {
                format!("asked at its own address, {}; it serves before others of its revision", asked(answers, bad))
            }
        }
    }
}

/// A pod that is to be let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// `metadata.uid`
    pub uid: Name,
    /// `metadata.name`
    pub pod: Name,
    /// `pod-template-hash`
    pub revision: Name,
    /// Why.
    pub basis: Basis,
}

/// How letting a pod in ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmissionEnded {
    /// `metadata.uid`
    pub uid: Name,
    /// How.
    pub outcome: Came,
}

/// What came of the patch of a pod's condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// The API has accepted it.
    Opened {
        /// Its answer was lost, and the condition found by reading.
        read_back: bool,
    },
    /// The pod is gone, or another one has its name.
    Gone,
    /// It was refused, or is not known to have been done. It is not tried again.
    Failed {
        /// Why.
        why: String,
    },
}

/// A pod that was let in, for the report.
#[derive(Clone, Debug, PartialEq)]
pub struct Admitted {
    /// Who, and why.
    pub permit: Permit,
    /// When its containers were first seen ready.
    pub from: At,
    /// When the API had accepted its condition.
    pub opened: Option<At>,
}

/// A version that is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The pod that was judged.
    pub pod: Name,
    /// Its revision.
    pub revision: Name,
    /// Answers.
    pub answers: u64,
    /// Of these, bad or late.
    pub bad: u64,
    /// The commonest failure; nothing when all answers were good and late.
    pub outcome: Option<Outcome>,
}

impl Rejection {
    /// One sentence.
    pub fn sentence(&self) -> String {
        let Self { pod, revision, answers, bad, outcome } = self;
        let how = outcome.map_or("too late", Outcome::label);
        format!(
            "revision {revision} is not let in: pod {pod}, asked at its own address before any user was, failed {bad} of {answers} requests \
             ({how})"
        )
    }
}

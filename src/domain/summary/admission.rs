//! Who was let in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Seconds;
use crate::domain::admission::{Admitted, Basis};
use crate::domain::course::Course;
use crate::domain::display::clean;

/// A pod that was let in by its readiness gate `verifier.dev/verified`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Admission {
    /// The pod.
    pub pod: String,
    /// Its revision, by its pod-template-hash.
    pub revision: String,
    /// Why it was let in.
    pub basis: AdmissionBasis,
    /// Its answers before that; none when its revision was verified by another pod's.
    pub answers: u64,
    /// Of these, bad or late.
    pub bad: u64,
    /// When its containers were first seen ready.
    pub containers_ready_s: Seconds,
    /// When the API had accepted its condition; nothing when it did not.
    pub opened_s: Option<Seconds>,
}

/// Why a pod was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdmissionBasis {
    /// It stood before the run changed anything, and there was nothing else.
    Given,
    /// Its revision was verified.
    Verified,
    /// It answered well.
    Evidence,
    /// It answered well, and served users before others of its revision were let in.
    OneBox,
}

impl Admission {
    /// All that were let in, the first 200 of the run.
    pub fn all(course: &Course) -> Vec<Self> {
        course.admission().records().map(Self::of).collect()
    }

    fn of(record: &Admitted) -> Self {
        let (basis, answers, bad) = match record.permit.basis {
            Basis::Given => (AdmissionBasis::Given, 0, 0),
            Basis::Verified => (AdmissionBasis::Verified, 0, 0),
            Basis::Evidence { answers, bad } => (AdmissionBasis::Evidence, answers, bad),
            Basis::OneBox { answers, bad } => (AdmissionBasis::OneBox, answers, bad),
        };
        Self {
            pod: clean(&record.permit.pod),
            revision: clean(&record.permit.revision),
            basis,
            answers,
            bad,
            containers_ready_s: Seconds(record.from),
            opened_s: record.opened.map(Seconds),
        }
    }
}

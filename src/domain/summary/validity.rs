//! Whether the measurement can be believed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::course::Course;
use crate::domain::validity::{Doubt, Limits, Record};

/// What the verifier itself did and could not do, and what of it makes the measurement doubtful. Times are in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Validity {
    /// Nothing makes it doubtful.
    pub valid: bool,
    /// What does.
    pub doubts: Vec<Doubt>,
    /// The verifier's own condition.
    #[serde(flatten)]
    pub record: Record,
}

impl Validity {
    /// Of the run so far; nothing before the driver has told of a second.
    pub fn of(course: &Course) -> Option<Self> {
        let limits = Limits::of(&course.traffic()?.lanes);
        let record = Some(course.validity()).filter(|r| r.time > 0)?.clone();
        let doubts = record.doubts(&limits);
        Some(Self { valid: doubts.is_empty(), doubts, record })
    }
}

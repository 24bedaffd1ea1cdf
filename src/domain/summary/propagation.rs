//! How long it took until nobody sent to a pod that was told to end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Millis, Seconds};
use crate::domain::course::Course;
use crate::domain::display::clean;
use crate::domain::findings::attributed;
use crate::domain::propagation::{self, profile};
use crate::domain::time::At;

/// Pods listed one by one, the first ones.
const LISTED: usize = 100;

/// What a preStop sleep has to cover, as it was measured. A last request is the last one that a pod answered, or that failed because of it,
/// to a tenth of a second; it is never put later than it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Propagation {
    /// From being told to end to leaving the EndpointSlices, of the slowest pod.
    pub slowest_removal_ms: Millis,
    /// From being told to end to the last request, of the slowest pod.
    pub slowest_last_request_ms: Millis,
    /// Pods that had served and were told to end, in that order, at most 100.
    pub pods: Vec<Departure>,
}

/// One pod's way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Departure {
    /// Which pod.
    pub pod: String,
    /// It was told to end.
    pub told_s: Seconds,
    /// How long after that the EndpointSlices stopped naming it as ready.
    pub removed_ms: Option<Millis>,
    /// How long after that it was sent the last request; nothing when it was sent none.
    pub last_request_ms: Option<Millis>,
    /// How long after that it was gone from the API.
    pub gone_ms: Option<Millis>,
}

impl Propagation {
    pub(super) fn of(course: &Course) -> Option<Self> {
        let profile = profile(&course.rollout, &course.tally, &attributed(course));
        (!profile.departures.is_empty()).then(|| Self {
            slowest_removal_ms: Millis(profile.slowest_removal),
            slowest_last_request_ms: Millis(profile.slowest_last_request),
            pods: profile.departures.iter().take(LISTED).map(Departure::of).collect(),
        })
    }
}

impl Departure {
    fn of(departure: &propagation::Departure) -> Self {
        let after = |at: Option<At>| at.map(|at| Millis(at.since(departure.told)));
        Self {
            pod: clean(&departure.pod),
            told_s: Seconds(departure.told),
            removed_ms: after(departure.removed),
            last_request_ms: after(departure.last_request),
            gone_ms: after(departure.gone),
        }
    }
}

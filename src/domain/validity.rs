//! Whether the measurement can be believed: what the verifier itself did in each second.

mod record;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::record::{Doubt, Limits, Record, Recorder};
use super::time::At;

/// One second of the verifier's own condition, over all lanes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validity {
    /// The end of the second.
    pub end: At,
    /// Slots whose intended start fell into the second.
    pub planned: u64,
    /// Slots acted on: a connection was opened or a request written for them.
    pub sent: u64,
    /// Slots dropped for lack of time, ports or descriptors.
    pub not_sent: u64,
    /// Slots sent whose end nobody saw, because the verifier was away.
    pub unseen: u64,
    /// Slots that found all connections of their lane busy and had to wait for one.
    pub waited: u64,
    /// Slots begun and not ended, at the end of the second.
    pub in_flight: u64,
    /// From intended start to action.
    pub lag: Lag,
    /// How long the workers were away (not scheduled, or behind with their work), in microseconds, the worst worker.
    pub away: u64,
    /// Open file descriptors of this process against their limit, where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<Headroom>,
    /// Local ports in use (waiting ones included) against those there are, where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Headroom>,
    /// CPU throttling of our own control group in this second, in microseconds, where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<u64>,
    /// CPU time of the driver's workers in this second, in microseconds.
    pub cpu: u64,
    /// Requests to an echo of our own, where there is one. They are in none of the other numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// What was counted and no longer listed.
    #[serde(default, skip_serializing_if = "Unlisted::is_empty")]
    pub unlisted: Unlisted,
}

/// Quantiles of a delay in one second, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lag {
    /// Half of the slots were this late at most.
    pub p50: u64,
    /// 99 % of the slots were this late at most.
    pub p99: u64,
    /// The latest slot.
    pub max: u64,
}

impl Lag {
    /// The worse of both, number by number.
    pub fn worse(&mut self, other: &Self) {
        self.p50 = self.p50.max(other.p50);
        self.p99 = self.p99.max(other.p99);
        self.max = self.max.max(other.max);
    }
}

/// The control lane in one second: a sick prober, node or network stack shows here too, a sick target does not. Times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Control {
    /// Slots whose intended start fell into the second.
    pub planned: u64,
    /// Slots that were not answered well in time, whatever the reason.
    pub failed: u64,
    /// 99 % of the answers took this long at most, from the intended start.
    pub p99: u64,
    /// The slowest answer.
    pub max: u64,
}

impl Control {
    /// Adds another second: the counts add up, the worse latencies stay.
    pub fn merge(&mut self, other: &Self) {
        self.planned += other.planned;
        self.failed += other.failed;
        self.p99 = self.p99.max(other.p99);
        self.max = self.max.max(other.max);
    }
}

/// How much of something is used, and how much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Headroom {
    /// In use.
    pub used: u64,
    /// In all.
    pub limit: u64,
}

/// What went beyond a bound in one second: it is in the counts, but has no event of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unlisted {
    /// Failures beyond the first few thousand of their lane.
    pub failures: u64,
    /// Closed connections beyond the first thousand of their lane.
    pub closed: u64,
    /// Gaps shorter than a slice beyond the first thousand of their lane.
    pub gaps: u64,
    /// Slots booked without their pod because too many pods answered within one slice.
    pub pods: u64,
    /// Slices that came late and were added to the next one, because a worker or the receiver was too slow.
    pub slices: u64,
}

impl Unlisted {
    /// Whether no bound was hit.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.failures += other.failures;
        self.closed += other.closed;
        self.gaps += other.gaps;
        self.pods += other.pods;
        self.slices += other.slices;
    }
}

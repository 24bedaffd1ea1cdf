//! Rollouts in virtual time, to see how often the judge stops a healthy one and how long it takes to stop a broken one. No sockets, no
//! processes, no clock: a seed makes every number again.
//!
//! Three of our own parts meet here, none of them imitated: the sandbox's controllers and virtual node roll a Deployment (`trace`), the
//! pacing says which requests are due (`traffic`), and the panel judges what comes of them (`rollout`, `delay`). What a request meets is a
//! probability of the moment (`world`): failures of either version, pods that refuse while they end, bursts, outages of everything.
//!
//! A rollout through the whole controllers takes some tens of milliseconds, a rollout of traffic one. So the controllers are asked for a
//! library of rollouts, and each is used with many draws of traffic: `verifier simulate` tells how many of each there were.
//!
//! What it does not show: sockets and what comes with them (`tests/program` does), latency objectives (slow requests are counted by the
//! same monitors as failures), and services whose trouble has another shape than those of `world`.

pub mod delay;
pub mod healthy;
pub mod proportion;
pub mod rollout;
pub mod spread;
pub mod trace;
pub mod traffic;
pub mod world;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use delay::DelayRow;
use healthy::HealthyRow;

/// What the judge is asked to hold: 99 % of requests are good.
pub const AVAILABILITY: crate::domain::objective::Ppm = crate::domain::objective::Ppm(990_000);
/// One minus that.
pub const MAY_FAIL: f64 = 0.01;
/// Slices of a verification at most: ten minutes.
pub const MAX_SLICES: u64 = 6_000;
/// Seconds of a slice.
pub const SLICE: f64 = 0.1;

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Simulation {
    /// Makes it again.
    pub seed: u64,
    /// Healthy rollouts, and how many of them were stopped.
    pub false_stops: Vec<HealthyRow>,
    /// Broken rollouts, and how long it took to stop them.
    pub delays: Vec<DelayRow>,
}

impl Simulation {
    /// What was promised and did not hold, for people. Empty when all did.
    pub fn broken_promises(&self) -> Vec<String> {
        let stops = self.false_stops.iter().filter_map(HealthyRow::broken_promise);
        stops.chain(self.delays.iter().filter_map(DelayRow::broken_promise)).collect()
    }

    /// The JSON Schema (draft 2020-12) of what `verifier simulate -o json` prints.
    pub fn schema() -> serde_json::Value {
        SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Self>().to_value()
    }
}

/// A seed for the `n`th rollout of a row, the same whichever other rows are asked for.
pub fn derive(seed: u64, row: &str, n: u64) -> u64 {
    // FNV-1a over the row's name, then the mixing function of SplitMix64.
    let name = row.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (seed ^ name).wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

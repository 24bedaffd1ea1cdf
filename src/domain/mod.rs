//! What the verifier knows and decides: pure. No I/O, no clock, no global RNG, no hash-map iteration.

pub mod admission;
pub mod attribution;
pub mod breakdown;
pub mod compare;
pub mod course;
pub mod display;
pub mod event;
pub mod findings;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod gaps;
pub mod judge;
pub mod latency;
pub mod lease;
pub mod lint;
pub mod objective;
pub mod outcome;
pub mod pacing;
pub mod policy;
pub mod propagation;
pub mod recording;
pub mod rollout;
pub mod scenario;
pub mod secret;
pub mod slice;
pub mod sparse;
pub mod summary;
pub mod tally;
pub mod time;
pub mod traffic;
pub mod validity;
pub mod verdict;
pub mod words;

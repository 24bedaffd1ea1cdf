//! What the verifier knows and decides: pure. No I/O, no clock, no global RNG, no hash-map iteration.

pub mod gaps;
pub mod latency;
pub mod outcome;
pub mod pacing;
pub mod slice;
pub mod time;
pub mod traffic;
pub mod validity;

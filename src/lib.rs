//! `verifier`: rollout health verifier and SLO probe service.

pub mod clock;
pub mod domain;
pub mod sandbox;
pub mod workload;

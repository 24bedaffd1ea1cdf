//! `verifier`: rollout health verifier and SLO probe service.

pub mod clock;
pub mod cluster;
pub mod domain;
pub mod sandbox;

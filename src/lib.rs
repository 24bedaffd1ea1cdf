//! `verifier`: rollout health verifier and SLO probe service.

pub mod clock;
pub mod domain;
pub mod load;
pub mod sandbox;

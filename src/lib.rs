//! `verifier`: rollout health verifier and SLO probe service.

pub mod sandbox;

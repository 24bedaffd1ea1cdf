//! The controllers of a Kubernetes control plane as pure functions: what they read and the time decide what they write.
//!
//! Each has a `step`. [`Controllers`] runs them all, and keeps what they remember: a typed view of the store, which objects are in
//! order, what the API refused. It holds no truth; a new one over the same store ends up in the same place.

mod apply;
pub mod autoscaler;
pub mod conditions;
pub mod deployment;
pub mod disruption;
pub mod endpoints;
pub mod events;
pub mod garbage;
pub mod owner;
pub mod queue;
pub mod refusals;
pub mod replica_set;
pub mod scheduler;
pub mod settle;
#[cfg(test)]
mod settle_tests;
#[cfg(test)]
mod testing;
pub mod view;

pub use self::apply::apply;
pub use self::autoscaler::metrics::{PodMetrics, Usage};
pub use self::settle::{Cluster, Controllers, Outcome, Settled};

//! Integration tests, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by failing")]

mod api;
mod behaviour;
mod cpu_group;
mod dashboards;
mod fuzz;
mod ingress;
mod layers;
mod load;
mod manifests;
mod node;
mod page;
mod policies;
mod program;
mod real;
mod workload;

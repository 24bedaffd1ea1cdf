//! The half of the sandbox that has sockets and processes.

pub mod api;
pub mod audit;
mod clock;
pub mod control;
mod follow;
pub mod ingress;
pub mod keeper;
pub mod logs;
pub mod node;
pub mod output;
mod proc;
pub mod proxies;
pub mod service;
mod tasks;
#[cfg(test)]
mod testing;
pub mod world;

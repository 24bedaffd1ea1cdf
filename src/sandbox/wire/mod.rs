//! The half of the sandbox that has sockets and processes.

mod clock;
mod follow;
pub mod ingress;
pub mod proxies;
pub mod service;
mod tasks;
#[cfg(test)]
mod testing;
pub mod world;

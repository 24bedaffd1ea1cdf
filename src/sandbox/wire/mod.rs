//! The half of the sandbox that has sockets and processes.

pub mod api;
pub mod audit;
pub mod logs;
pub mod world;

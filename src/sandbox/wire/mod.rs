//! The half of the sandbox that has sockets and processes.

pub mod control;
pub mod keeper;
pub mod node;
mod proc;
pub mod world;

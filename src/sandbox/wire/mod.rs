//! The half of the sandbox that has sockets and processes.

pub mod keeper;
mod proc;
pub mod world;

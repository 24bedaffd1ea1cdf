//! A small Kubernetes in one process: `model` is pure, `wire` has the sockets and processes.

pub mod model;
pub mod wire;

//! The pure half of the sandbox: objects, their rules, and controllers that are stepped by `now`. No I/O, no clock, no global RNG.

pub mod controllers;
pub mod endpoints;
pub mod kubelet;
pub mod object;
pub mod routes;
pub mod services;
pub mod store;
pub mod virtual_cluster;
pub mod virtual_node;
pub mod write;

//! The pure half of the sandbox: objects, their rules, and controllers that are stepped by `now`. No I/O, no clock, no global RNG.

pub mod apply;
pub mod controllers;
pub mod defaults;
pub mod discovery;
pub mod endpoints;
pub mod error;
pub mod field;
pub mod kinds;
pub mod kubelet;
pub mod names;
pub mod object;
pub mod patch;
pub mod quantity;
pub mod routes;
pub mod schema;
pub mod selector;
pub mod services;
pub mod store;
pub mod suffix;
pub mod table;
pub mod validate;
pub mod virtual_cluster;
pub mod virtual_node;
pub mod write;

//! The pure half of the sandbox: objects, their rules, and controllers that are stepped by `now`. No I/O, no clock, no global RNG.

pub mod apply;
pub mod defaults;
pub mod discovery;
pub mod error;
pub mod field;
pub mod kinds;
pub mod names;
pub mod object;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod store;
pub mod table;
pub mod validate;
pub mod write;

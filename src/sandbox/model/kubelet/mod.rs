//! What a kubelet decides, without doing any of it: a state machine per pod that is told what happened and the time, and says what
//! to do. `wire::node` does it.

pub mod addresses;
mod backoff;
mod conditions;
mod container;
pub mod env;
pub mod images;
pub mod io;
mod machine;
pub mod plan;
mod prober;
mod probing;
pub mod resources;
mod starting;
mod status;
mod stop;
#[cfg(test)]
mod tests;

pub use backoff::BackoffSettings;
pub use machine::Machine;

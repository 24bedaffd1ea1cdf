//! The sandbox's node: runs the pods that are assigned to it as local processes.

mod holes;
mod probe;
mod range;

pub use range::{Range, RangeError};

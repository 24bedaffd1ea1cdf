//! One run from its first event to its verdict: the dispatcher owns it, the executor carries out steps, the recorder writes it down.

mod dispatcher;
mod executor;
mod recorder;

pub use dispatcher::{Options, dispatch};
pub use recorder::Recorder;

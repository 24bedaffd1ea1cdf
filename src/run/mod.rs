//! One run from its first event to its verdict: the dispatcher owns it, the executor carries out steps, the recorder writes it down.

mod admission;
mod dispatcher;
mod executor;
mod keeper;
mod recorder;

pub use dispatcher::{Options, carry_out, dispatch};
pub use executor::Permit;
pub use keeper::PutBackWhat;
pub use recorder::Recorder;

//! The monotonic clock of the sandbox's sockets. Objects carry the wall clock of [`super::world::World::now`] instead.

use tokio::time::Instant;

/// Now, for measuring waits.
#[expect(clippy::disallowed_methods, reason = "this is where the sandbox's wires ask")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

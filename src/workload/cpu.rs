//! Using the processor on purpose.

use std::future::pending;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval};

use super::app::App;

/// A share of the processor is used in bits of so long a time, so that a request waits for no more than one of them.
const TICK: Duration = Duration::from_millis(10);

/// Uses the processor for this long, as measured by the thread's own clock: waiting for a busy machine does not count.
pub(super) fn burn(time: Duration) {
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or(Duration::MAX);
    if time.is_zero() {
        return;
    }
    let until = used().saturating_add(time);
    while used() < until {
        std::hint::spin_loop();
    }
}

/// Uses its share of a processor until it is warm, and then does nothing for ever.
pub(super) async fn warm_up(app: &App) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while app.up() < app.config.warm_up {
        ticks.tick().await;
        burn(TICK.mul_f64(app.config.warm_up_cpu));
        // With the whole processor as its share, the next bit is due already: requests have their turn first.
        yield_now().await;
    }
    pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burning_takes_the_threads_own_time() {
        let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let before = used();
        burn(Duration::from_millis(20));
        let took = used().saturating_sub(before);
        assert!((20..200).contains(&took.as_millis()), "{took:?}");
    }
}

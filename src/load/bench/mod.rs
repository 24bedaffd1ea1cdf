//! The bare driver as a tool of its own: sends a plan for a time and tells what came of it.

mod hdr;
mod report;

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::hdr::{HdrError, HdrLog, begin as begin_hdr, write as write_hdr};
use self::report::Fold;
pub use self::report::{Interval, LaneInterval, LaneReport, LatencyMs, LoadReport, ValidityReport};
use super::{Driver, JoinError, StartError};
use crate::clock::Clock;
use crate::domain::slice::{LoadEvent, SLICE_MICROS};
use crate::domain::time::At;
use crate::domain::traffic::TrafficPlan;

/// How long requests under way may go on when the run is called off.
const HURRY: Duration = Duration::from_millis(700);

/// Events under way.
const EVENTS: usize = 1_024;

/// What to send and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Bench<'a> {
    /// The lanes; they begin at once.
    pub plan: &'a TrafficPlan,
    /// Threads that send.
    pub workers: usize,
    /// Sent and not counted; rounded up to whole seconds.
    pub warm_up: Duration,
    /// Counted, after the warm-up.
    pub duration: Duration,
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The driver did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The driver came to no orderly end.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Whoever is told of each second could not write it down.
    #[error("could not write what was measured")]
    Told(#[source] io::Error),
}

/// Sends until the time is over or `stop` is cancelled, and tells `each` of every second. When it is called off, requests under way have
/// 0.7 seconds; those that have not ended then are `unfinished`.
pub async fn bench(
    bench: Bench<'_>,
    stop: &CancellationToken,
    mut each: impl FnMut(&Interval) -> io::Result<()>,
) -> Result<LoadReport, BenchError> {
    let clock = Clock::start();
    let (sender, mut events) = mpsc::channel(EVENTS);
    let driver = Driver::start_with(bench.plan, clock, bench.workers, sender)?;
    let from = At(bench.warm_up.as_secs() * 1_000_000 + u64::from(bench.warm_up.subsec_nanos() > 0) * 1_000_000);
    let end = from + bench.duration;
    let mut fold = Fold::new(&bench, from);
    let mut take =
        |fold: &mut Fold, event: LoadEvent| fold.event(event).map_or(Ok(()), |interval| each(&interval)).map_err(BenchError::Told);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep_until(clock.instant(end).into()) => break,
            event = events.recv() => match event {
                Some(event) => take(&mut fold, event)?,
                None => break,
            },
        }
    }
    let interrupted = stop.is_cancelled();
    fold.close(At(clock.now().min(end).0 / SLICE_MICROS * SLICE_MICROS), interrupted);
    driver.stop();
    let draining = async {
        while let Some(event) = events.recv().await {
            take(&mut fold, event)?;
        }
        Ok::<(), BenchError>(())
    };
    let called_off = async {
        stop.cancelled().await;
        tokio::time::sleep(HURRY).await;
    };
    tokio::select! {
        (ended, drained) = async { tokio::join!(driver.join(), draining) } => {
            drained?;
            ended?;
        }
        // Dropping the driver ends its threads.
        () = called_off => {}
    }
    Ok(fold.report())
}

#[cfg(test)]
mod tests;

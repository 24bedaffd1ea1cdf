//! The one place that asks the system for the time.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::domain::time::At;

/// A monotonic clock whose zero is the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: Instant,
    wall: DateTime<Utc>,
}

#[expect(clippy::disallowed_methods, reason = "this is the one place")]
impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        Self { zero: Instant::now(), wall: Utc::now() }
    }

    /// The time since the start.
    pub fn now(&self) -> At {
        At(u64::try_from(self.zero.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The wall-clock time now, by the monotonic clock: it does not jump.
    pub fn wall_now(&self) -> DateTime<Utc> {
        self.wall + chrono::TimeDelta::from_std(self.zero.elapsed()).unwrap_or_default()
    }

    /// The same as text, RFC 3339 to the second: as Kubernetes writes times.
    pub fn stamp(&self) -> String {
        self.wall_now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    }

    /// The wall-clock time of the start.
    pub fn wall_start(&self) -> DateTime<Utc> {
        self.wall
    }

    /// The instant to sleep until for `at`.
    pub fn instant(&self, at: At) -> Instant {
        self.zero + Duration::from_micros(at.0)
    }

    /// How long it is until `at`, to the nanosecond; zero when it has passed.
    pub fn until(&self, at: At) -> Duration {
        Duration::from_micros(at.0).saturating_sub(self.zero.elapsed())
    }

    /// Where a wall-clock time lies on this clock; before the start it is zero.
    pub fn at_wall(&self, wall: DateTime<Utc>) -> At {
        At(u64::try_from((wall - self.wall).num_microseconds().unwrap_or(0)).unwrap_or(0))
    }
}

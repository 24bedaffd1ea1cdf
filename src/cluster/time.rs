//! The one place where the Kubernetes client's time type becomes ours.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::clock::Clock;
use crate::domain::time::At;

/// Where an API timestamp lies on the run's clock; before its start it is zero.
pub(super) fn at(clock: &Clock, time: &Time) -> At {
    let start = clock.wall_start().timestamp_micros();
    At(u64::try_from(time.0.as_microsecond() - start).unwrap_or(0))
}

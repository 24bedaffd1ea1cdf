//! Latencies second by second as an HdrHistogram V2 interval log, which its tools and plotters read.

use std::io::Write;
use std::time::SystemTime;

use hdrhistogram::serialization::interval_log::{IntervalLogWriter, IntervalLogWriterBuilder, IntervalLogWriterError, Tag};
use hdrhistogram::serialization::{V2DeflateSerializeError, V2DeflateSerializer};
use thiserror::Error;

use super::super::fold::histogram;
use super::Interval;
use crate::domain::time::At;
use crate::domain::traffic::Name;

/// Why a second could not be written.
#[derive(Debug, Error)]
pub enum HdrError {
    /// The histogram could not be made or encoded.
    #[error("the histogram could not be encoded: {0}")]
    Encoding(String),
    /// The file could not be written.
    #[error("the interval log could not be written")]
    Io(#[from] std::io::Error),
}

impl From<IntervalLogWriterError<V2DeflateSerializeError>> for HdrError {
    fn from(error: IntervalLogWriterError<V2DeflateSerializeError>) -> Self {
        match error {
            IntervalLogWriterError::SerializeError(e) => Self::Encoding(e.to_string()),
            IntervalLogWriterError::IoError(e) => Self::Io(e),
        }
    }
}

impl From<HdrError> for std::io::Error {
    fn from(error: HdrError) -> Self {
        match error {
            HdrError::Io(error) => error,
            error @ HdrError::Encoding(_) => Self::other(error),
        }
    }
}

/// A log being written.
pub type HdrLog<'a, W> = IntervalLogWriter<'a, 'a, W, V2DeflateSerializer>;

/// Writes the head of a log whose times count from `start`.
pub fn begin<'a, W: Write>(
    file: &'a mut W,
    serializer: &'a mut V2DeflateSerializer,
    start: SystemTime,
) -> Result<HdrLog<'a, W>, HdrError> {
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("[Histogram log format version 1.3]");
    builder.add_comment("Values are microseconds, in buckets of three digits; the maximum is in milliseconds; one tag per lane");
    Ok(builder.with_start_time(start).with_base_time(start).with_max_value_divisor(1_000.0).begin_log_with(file, serializer)?)
}

/// Writes a second: one line for each lane that had good answers.
pub fn write<W: Write>(log: &mut HdrLog<'_, W>, lanes: &[Name], interval: &Interval) -> Result<(), HdrError> {
    for (name, lane) in lanes.iter().zip(&interval.lanes).filter(|(_, lane)| lane.latency.count() > 0) {
        let mut values = histogram().map_err(|e| HdrError::Encoding(e.to_string()))?;
        lane.latency.iter().for_each(|(micros, n)| values.saturating_record_n(micros, n));
        log.write_histogram(&values, interval.from.since(At::ZERO), interval.to.since(interval.from), Tag::new(name))?;
    }
    Ok(())
}

//! A rate that changes over time, as the number of slots up to each moment: exact and invertible, so that no change adds or loses a slot.

use std::time::Duration;

use super::super::time::At;
use super::super::traffic::Stage;

/// See the top of the file. Positions are numbers of slots; between two slots they are fractional.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Curve {
    /// Ascending, never empty; the last one lasts for ever.
    legs: Vec<Leg>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Leg {
    start: At,
    /// Slots a second at the start.
    rate: f64,
    /// Its change per second.
    slope: f64,
    /// The position at the start.
    first: f64,
}

impl Leg {
    fn position(&self, at: At) -> f64 {
        let t = at.since(self.start).as_secs_f64();
        self.first + self.rate * t + self.slope * t * t / 2.0
    }

    /// When the position is reached, if the leg goes on until then.
    fn reaches(&self, position: f64) -> At {
        let way = (position - self.first).max(0.0);
        let t = if self.slope == 0.0 {
            way / self.rate
        } else {
            // The form without cancellation; negative under the root when a falling rate never gets there.
            2.0 * way / (self.rate + (self.rate * self.rate + 2.0 * self.slope * way).sqrt())
        };
        let t = if way == 0.0 { 0.0 } else { t };
        self.start + Duration::try_from_secs_f64(t).unwrap_or(Duration::MAX)
    }
}

impl Curve {
    /// From `rate` through `stages`. `None` unless all rates are finite, none is negative, and at least one is positive.
    pub(super) fn new(start: At, rate: f64, stages: &[Stage]) -> Option<Self> {
        let rates = || stages.iter().map(|stage| stage.rate).chain([rate]);
        if !rates().all(|rate| rate.is_finite() && rate >= 0.0) || !rates().any(|rate| rate > 0.0) {
            return None;
        }
        let mut last = Leg { start, rate, slope: 0.0, first: 0.0 };
        let mut legs = Vec::new();
        for stage in stages {
            if !stage.over.is_zero() {
                last.slope = (stage.rate - last.rate) / stage.over.as_secs_f64();
                legs.push(last);
            }
            let start = last.start + stage.over;
            last = Leg { start, rate: stage.rate, slope: 0.0, first: last.position(start) };
        }
        legs.push(last);
        Some(Self { legs })
    }

    /// `rate` from `at` on; the position then is what it would have been. A curve that was to start at the end of time starts with it.
    pub(super) fn change(&self, at: At, rate: f64) -> Option<Self> {
        let at = if self.start() == At(u64::MAX) { at } else { at.max(self.start()) };
        let leg = Leg { start: at, rate, slope: 0.0, first: self.position(at) };
        (rate.is_finite() && rate >= 0.0).then(|| Self { legs: vec![leg] })
    }

    pub(super) fn start(&self) -> At {
        self.legs.first().map_or(At::ZERO, |leg| leg.start)
    }

    /// The position at `at`; before the start, that of the start.
    pub(super) fn position(&self, at: At) -> f64 {
        let after = self.legs.partition_point(|leg| leg.start <= at);
        self.legs.get(after.saturating_sub(1)).map_or(0.0, |leg| leg.position(at))
    }

    /// The first moment at which the position is reached; the end of time when it never is.
    pub(super) fn reaches(&self, position: f64) -> At {
        let index = self.legs.partition_point(|leg| leg.first < position).saturating_sub(1);
        let end = self.legs.get(index + 1).map_or(At(u64::MAX), |next| next.start);
        self.legs.get(index).map_or(end, |leg| leg.reaches(position).min(end))
    }
}

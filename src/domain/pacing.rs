//! When each slot of a lane is due: arithmetic, so that a stall can never slow the schedule.

mod curve;
mod poisson;
mod users;

use std::time::Duration;

use self::curve::Curve;
use self::poisson::Poisson;
pub use self::users::{BACKOFF, Users};
use super::time::{At, micros};
use super::traffic::Stage;

/// An open schedule: slots at a rate that may change over time, evenly spaced or as a Poisson process, computed from their number so that
/// rounding never adds up. The number of slots up to a moment and the moment of a slot are inverse to each other.
#[derive(Debug, PartialEq)]
pub struct Pacer {
    curve: Curve,
    arrivals: Laid,
}

/// Where the slots lie on the curve.
#[derive(Debug, PartialEq)]
enum Laid {
    Evenly,
    /// One to say when slots are due and one to count them: the two are asked at different places.
    Randomly(Box<(Poisson, Poisson)>),
}

impl Pacer {
    /// A schedule of `rate` slots a second whose slot 0 is due at `start`. `None` unless the rate is positive and finite.
    pub fn constant(start: At, rate: f64) -> Option<Self> {
        Self::staged(start, rate, &[])
    }

    /// A schedule that begins at `rate` slots a second and goes through `stages`; the last rate stays. `None` unless all rates are finite,
    /// none is negative and at least one is positive.
    pub fn staged(start: At, rate: f64, stages: &[Stage]) -> Option<Self> {
        Some(Self { curve: Curve::new(start, rate, stages)?, arrivals: Laid::Evenly })
    }

    /// The same rates, but slots that know nothing of each other: a Poisson process drawn from `seed`.
    #[must_use]
    pub fn poisson(self, seed: u64) -> Self {
        Self { arrivals: Laid::Randomly(Box::new((Poisson::new(seed), Poisson::new(seed)))), ..self }
    }

    /// Another rate from `at` on: numbers go on, and a half-elapsed interval stays half elapsed, so that frequent changes neither add slots
    /// nor lose any. Stages to come are dropped. At a rate of nothing no more slots are due. A schedule whose start is the end of time starts
    /// with its first change. `false`, and no change, when the rate is negative or not finite.
    pub fn change(&mut self, at: At, rate: f64) -> bool {
        let changed = self.curve.change(at, rate);
        let possible = changed.is_some();
        if let Some(curve) = changed {
            self.curve = curve;
        }
        possible
    }

    /// When slot `i` is due; slots of the time before a change are due at the change, slots that no rate reaches at the end of time.
    pub fn due(&mut self, i: u64) -> At {
        let position = self.position(i);
        self.curve.reaches(position)
    }

    /// When the last is due of as many slots as come within `most` after slot `i`, at the rate there, every `of`-th counted: for even arrivals the very
    /// moment at which the last of them is due, and that of slot `i` when the next one is further away.
    pub fn together(&mut self, i: u64, of: u64, most: Duration) -> At {
        let position = self.position(i);
        let first = self.curve.reaches(position);
        let distance = micros(self.curve.reaches(position + of as f64).since(first)).max(1);
        let more = micros(most) / distance;
        // Not beyond `most` when the rate falls.
        self.curve.reaches(position + (more * of) as f64).min(first + most)
    }

    fn position(&mut self, i: u64) -> f64 {
        match &mut self.arrivals {
            Laid::Evenly => i as f64,
            Laid::Randomly(both) => both.0.position(i),
        }
    }

    /// How many slots are due at or before `now`.
    pub fn due_by(&mut self, now: At) -> u64 {
        match &mut self.arrivals {
            Laid::Evenly => self.even_by(now),
            Laid::Randomly(both) => {
                let (curve, counted) = (&self.curve, &mut both.1);
                let (start, first) = (curve.start(), curve.position(curve.start()));
                counted.count(|position| if now < start { position < first } else { curve.reaches(position) <= now })
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked against `reaches`")]
    fn even_by(&self, now: At) -> u64 {
        let position = self.curve.position(now);
        if now < self.curve.start() {
            return position.ceil() as u64;
        }
        let mut n = position as u64;
        while self.curve.reaches(n as f64) <= now {
            n += 1;
        }
        while n > 0 && self.curve.reaches((n - 1) as f64) > now {
            n -= 1;
        }
        n
    }
}

#[cfg(test)]
mod tests;

//! When each slot of a lane is due: arithmetic, so that a stall can never slow the schedule.

use std::time::Duration;

use super::time::At;

/// A constant rate: slot `i` is due at `start + offset + i / rate`, computed from `i` so that rounding never adds up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pacer {
    start: At,
    rate: f64,
}

impl Pacer {
    /// A schedule of `rate` slots a second whose first slot is due at `start`. `None` unless the rate is positive and finite.
    pub fn constant(start: At, rate: f64) -> Option<Self> {
        (rate.is_finite() && rate > 0.0).then_some(Self { start, rate })
    }

    /// When slot `i` is due.
    pub fn due(&self, i: u64) -> At {
        self.start + Duration::from_secs_f64(i as f64 / self.rate)
    }

    /// How many slots are due at or before `now`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked against `due`")]
    pub fn due_by(&self, now: At) -> u64 {
        if now < self.start {
            return 0;
        }
        let mut n = (now.since(self.start).as_secs_f64() * self.rate) as u64;
        while self.due(n) <= now {
            n += 1;
        }
        while n > 0 && self.due(n - 1) > now {
            n -= 1;
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_and_due_by_are_inverse_and_never_drift() {
        for rate in [0.1, 1.0, 3.0, 7.0, 199.9, 200.0, 5_000.0, 33_333.3] {
            let pacer = Pacer::constant(At(17), rate).unwrap();
            for i in (0..2_000).chain(1_000_000..1_000_100) {
                let due = pacer.due(i);
                assert!(pacer.due_by(due) > i, "rate {rate}, slot {i}");
                assert!(due == At(17) || pacer.due_by(At(due.0 - 1)) <= i, "rate {rate}, slot {i}");
            }
            assert_eq!(pacer.due_by(At(16)), 0);
        }
        assert_eq!(Pacer::constant(At(0), 200.0).unwrap().due(720_000), At(3_600_000_000));
    }

    #[test]
    fn a_rate_that_is_no_rate_has_no_schedule() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Pacer::constant(At::ZERO, rate), None);
        }
    }
}

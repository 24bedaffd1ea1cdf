//! When each slot of a lane is due: arithmetic, so that a stall can never slow the schedule.

use std::time::Duration;

use super::time::At;

/// Slots at a constant rate, computed from their number so that rounding never adds up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pacer {
    start: At,
    rate: f64,
    /// The number of the slot due at `start`; between two slots it is fractional.
    first: f64,
}

impl Pacer {
    /// A schedule of `rate` slots a second whose slot 0 is due at `start`. `None` unless the rate is positive and finite.
    pub fn constant(start: At, rate: f64) -> Option<Self> {
        (rate.is_finite() && rate > 0.0).then_some(Self { start, rate, first: 0.0 })
    }

    /// The same schedule with another rate from `at` on: numbers go on, and a half-elapsed interval stays half elapsed, so that
    /// frequent changes neither add slots nor lose any. `None` as for [`Self::constant`].
    pub fn change(&self, at: At, rate: f64) -> Option<Self> {
        if at <= self.start {
            return Self::constant(self.start, rate).map(|p| Self { first: self.first, ..p });
        }
        let first = self.first + at.since(self.start).as_secs_f64() * self.rate;
        Self::constant(at, rate).map(|p| Self { first, ..p })
    }

    /// When slot `i` is due; slots of the time before a change are due at the change.
    #[expect(clippy::cast_precision_loss, reason = "exact for the slots of many years")]
    pub fn due(&self, i: u64) -> At {
        self.start + Duration::try_from_secs_f64(((i as f64 - self.first) / self.rate).max(0.0)).unwrap_or(Duration::MAX)
    }

    /// How many slots are due at or before `now`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked against `due`")]
    pub fn due_by(&self, now: At) -> u64 {
        if now < self.start {
            return self.first.ceil() as u64;
        }
        let mut n = (self.first + now.since(self.start).as_secs_f64() * self.rate) as u64;
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

    #[test]
    fn a_change_of_rate_goes_on_counting_where_the_old_rate_stood() {
        let slow = Pacer::constant(At(0), 1.0).unwrap();
        let fast = slow.change(At(2_500_000), 10.0).unwrap();
        assert_eq!((fast.due(3), fast.due(4)), (At(2_550_000), At(2_650_000)));
        assert_eq!(fast.due_by(At(2_549_999)), 3);
        assert_eq!(fast.due_by(At(0)), 3);
        assert_eq!(slow.change(At(2_500_000), 0.0), None);
    }

    #[test]
    fn ever_so_many_changes_add_no_slots() {
        let mut pacer = Pacer::constant(At(5), 3.0).unwrap();
        for tenth in 1..=1_000_u64 {
            pacer = pacer.change(At(5 + tenth * 100_000), 3.0).unwrap();
        }
        assert_eq!(pacer.due_by(At(5 + 100_000_000)), 301);
        let before_the_start = Pacer::constant(At(100), 3.0).unwrap().change(At(50), 6.0).unwrap();
        assert_eq!(before_the_start, Pacer::constant(At(100), 6.0).unwrap());
    }
}

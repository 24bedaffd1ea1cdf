//! How long a worker was away: not scheduled, or so deep in its work that answers had to wait for it.
//!
//! A deadline moves by as long as the worker was away between a slot's start and it: only *attended* time counts against the target.
//! An answer found after its nominal deadline but before the moved one may have come in time or not: nobody saw.

use crate::domain::time::At;

/// Shorter absences are the noise of a healthy machine, in microseconds.
pub(crate) const AWAY: u64 = 5_000;

/// Attended time: the clock without the absences, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attended(pub(crate) u64);

/// Watches the worker's own loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    away: u64,
    looked: At,
}

impl Attention {
    pub(crate) fn new(now: At) -> Self {
        Self { away: 0, looked: now }
    }

    /// The worker is about to wait: what it did since it last looked is known.
    pub(crate) fn before_wait(&mut self, now: At) {
        self.book(now.0.saturating_sub(self.looked.0));
        self.looked = now;
    }

    /// The worker woke, at `alarm` at the latest if all went well.
    pub(crate) fn after_wait(&mut self, now: At, alarm: At) {
        // A wait for what has already passed should return at once.
        self.book(now.0.saturating_sub(alarm.max(self.looked).0));
        self.looked = now;
    }

    /// Absences so far, in microseconds.
    pub(crate) fn away(&self) -> u64 {
        self.away
    }

    /// Attended time at `at`, at or after the last look.
    pub(crate) fn at(&self, at: At) -> Attended {
        let since = at.0.saturating_sub(self.looked.0).min(AWAY);
        Attended(self.looked.0.saturating_sub(self.away) + since)
    }

    /// When attended time will be `then`, if the worker stays.
    pub(crate) fn clock(&self, then: Attended) -> At {
        At(then.0.saturating_add(self.away))
    }

    fn book(&mut self, absence: u64) {
        if absence > AWAY {
            self.away += absence;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absences_do_not_count_as_attended_time() {
        let mut attention = Attention::new(At(1_000));
        attention.before_wait(At(2_000));
        attention.after_wait(At(50_000), At(50_000));
        assert_eq!((attention.away(), attention.at(At(50_300))), (0, Attended(50_300)), "waiting is attending");
        attention.before_wait(At(51_000));
        attention.after_wait(At(141_000), At(61_000));
        assert_eq!((attention.away(), attention.at(At(141_000))), (80_000, Attended(61_000)), "overslept by 80 ms");
        attention.before_wait(At(161_000));
        assert_eq!((attention.away(), attention.at(At(161_000))), (100_000, Attended(61_000)), "worked for 20 ms");
        attention.after_wait(At(181_000), At(0));
        assert_eq!((attention.away(), attention.at(At(181_000))), (120_000, Attended(61_000)), "a look that took 20 ms");
        assert_eq!(attention.clock(Attended(70_000)), At(190_000));
        assert_eq!(attention.at(At(999_000)), Attended(66_000), "what is not yet booked may still turn out to be an absence");
    }
}

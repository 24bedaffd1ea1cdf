//! How long a worker was away: not scheduled, or so deep in its work that answers had to wait for it.
//!
//! A deadline moves by as long as the worker was away between a slot's start and it: only *attended* time counts against the target.
//! An answer found after its nominal deadline but before the moved one may have come in time or not: nobody saw.
//!
//! A worker that is busy all the time is never away for long, and yet each thing that it does comes late: a queue that needs many turns of its
//! loop stands for want of turns. Such time, of short pieces of work that no rest makes up for, it is *behind*.
//!
//! A worker that is woken by an answer and then not scheduled cannot know how long that took; it only sees that its alarm is overdue.
//! So while slots are open its alarm is never further away than a [`HEARTBEAT`].

use crate::domain::time::At;

/// Shorter absences are the noise of a healthy machine, in microseconds.
pub(crate) const AWAY: u64 = 5_000;

/// In microseconds.
const HEARTBEAT: u64 = 10_000;

/// Attended time: the clock without the absences, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attended(pub(crate) u64);

/// Watches the worker's own loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    away: u64,
    behind: u64,
    /// Work that no rest has made up for yet, in microseconds.
    unrested: u64,
    /// All that had arrived by then has been handled, or is being handled.
    seen: At,
    asked: At,
}

impl Attention {
    pub(crate) fn new(now: At) -> Self {
        Self { away: 0, behind: 0, unrested: 0, seen: now, asked: now }
    }

    /// The worker is about to ask what is ready.
    pub(crate) fn before_wait(&mut self, now: At) {
        self.asked = now;
    }

    /// The worker got its answer, at `alarm` at the latest if all went well. `drained`: nothing else was ready; as long as there is
    /// more than it can take at once, it is behind.
    pub(crate) fn after_wait(&mut self, now: At, alarm: At, drained: bool) {
        if drained {
            let worked = self.asked.0.saturating_sub(self.seen.0);
            self.book(worked);
            // A wait for what has already passed should return at once.
            let in_time = alarm.max(self.asked).min(now);
            self.book(now.0.saturating_sub(in_time.0));
            if worked <= AWAY {
                self.unrested = (self.unrested + worked).saturating_sub(in_time.0.saturating_sub(self.asked.0));
            }
            if self.unrested > AWAY {
                self.behind += std::mem::take(&mut self.unrested);
            }
            self.seen = now;
        }
    }

    /// How long it was behind so far, in microseconds, absences not counted.
    pub(crate) fn behind(&self) -> u64 {
        self.behind
    }

    /// Absences so far, in microseconds.
    pub(crate) fn away(&self) -> u64 {
        self.away
    }

    /// Attended time up to which everything that arrived has been seen.
    pub(crate) fn seen(&self) -> Attended {
        Attended(self.seen.0.saturating_sub(self.away))
    }

    /// Attended time at `at`.
    pub(crate) fn at(&self, at: At) -> Attended {
        Attended(self.seen().0 + at.0.saturating_sub(self.seen.0).min(AWAY))
    }

    /// When attended time will be `then`, if the worker stays.
    pub(crate) fn clock(&self, then: Attended) -> At {
        At(then.0.saturating_add(self.away))
    }

    /// The next heartbeat after `now`.
    pub(crate) fn heartbeat(now: At) -> At {
        At((now.0 / HEARTBEAT + 1) * HEARTBEAT)
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

    fn wait(attention: &mut Attention, from: u64, to: u64, alarm: u64) {
        attention.before_wait(At(from));
        attention.after_wait(At(to), At(alarm), true);
    }

    #[test]
    fn absences_do_not_count_as_attended_time() {
        let mut attention = Attention::new(At(1_000));
        wait(&mut attention, 2_000, 50_000, 50_000);
        assert_eq!((attention.away(), attention.at(At(50_300))), (0, Attended(50_300)), "waiting is attending");
        wait(&mut attention, 51_000, 141_000, 61_000);
        assert_eq!((attention.away(), attention.seen()), (80_000, Attended(61_000)), "overslept by 80 ms");
        wait(&mut attention, 161_000, 161_000, 170_000);
        assert_eq!((attention.away(), attention.seen()), (100_000, Attended(61_000)), "worked for 20 ms");
        wait(&mut attention, 161_000, 181_000, 0);
        assert_eq!((attention.away(), attention.seen()), (120_000, Attended(61_000)), "a look that took 20 ms");
        assert_eq!(attention.clock(Attended(70_000)), At(190_000));
        assert_eq!(attention.at(At(999_000)), Attended(66_000), "what is not yet booked may still turn out to be an absence");
    }

    #[test]
    fn short_pieces_of_work_without_rest_are_time_behind_and_those_with_rest_are_not() {
        let mut attention = Attention::new(At(0));
        for step in 0..100 {
            // One millisecond of work, one and a half of rest.
            wait(&mut attention, step * 2_500 + 1_000, (step + 1) * 2_500, 9_999_999);
        }
        assert_eq!((attention.away(), attention.behind()), (0, 0));
        for step in 0..100 {
            wait(&mut attention, 251_000 + step * 1_000, 251_000 + step * 1_000, 9_999_999);
        }
        assert_eq!(attention.away(), 0);
        assert!((94_000..=100_000).contains(&attention.behind()), "{attention:?}");
    }

    #[test]
    fn a_worker_that_is_never_done_is_behind_and_not_attending() {
        let mut attention = Attention::new(At(0));
        for step in 0..10 {
            attention.before_wait(At(step * 2_000));
            attention.after_wait(At(step * 2_000 + 10), At(0), false);
        }
        assert_eq!(attention.at(At(20_000)), Attended(AWAY));
        wait(&mut attention, 20_000, 20_010, 0);
        assert_eq!((attention.away(), attention.seen()), (20_000, Attended(10)));
    }
}

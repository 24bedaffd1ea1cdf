//! When a lane's slots in one worker are due, whatever makes them so: the clock, or the end of an earlier request.

use std::time::Duration;

use super::super::plan::LaneSpec;
use crate::domain::outcome::Outcome;
use crate::domain::pacing::{Pacer, Users};
use crate::domain::time::At;
use crate::domain::traffic::{Arrivals, Mode};

/// On a lane whose slots are due closer together than this, those within it are begun together when the last of them is due: to wake, and to wake the
/// target, costs several times what a request does. Latency counts from when each was due, so this is in it.
const GATHER: Duration = Duration::from_micros(450);

/// Which slots of a lane are a worker's: every `of`-th, from number `which` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stride {
    pub(crate) which: u64,
    pub(crate) of: u64,
}

impl Stride {
    /// The share of worker `which` of `workers` in a lane; nothing when the lane has too few connections or users to share.
    pub(crate) fn new(spec: &LaneSpec, which: usize, workers: usize) -> Option<Self> {
        let connections = if let Mode::Kept { connections } = spec.mode { connections } else { workers };
        let users = if let Arrivals::Closed { users, .. } = spec.schedule.arrivals { users } else { workers };
        let of = workers.min(connections).min(users);
        (which < of).then_some(Self { which: which as u64, of: of as u64 })
    }

    /// How many of the first `n` slots are this worker's; so with connections and users.
    pub(crate) fn count(self, n: u64) -> u64 {
        (n + self.of - 1 - self.which) / self.of
    }
}

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) stride: Stride,
    /// When slots are due by the clock; for users: when at the earliest.
    pacer: Pacer,
    users: Option<Users>,
    /// Own slots begun.
    begun: u64,
    /// Own slots reported as due.
    counted: u64,
    stopped: bool,
}

impl Schedule {
    /// The schedule of a lane from `start` on; `None` when its rate is none. All workers of a lane get the same `seed`.
    pub(crate) fn new(spec: &LaneSpec, start: At, stride: Stride, seed: u64) -> Option<Self> {
        let pacer = Pacer::staged(start, spec.rate, &spec.schedule.stages)?;
        let (pacer, users) = match spec.schedule.arrivals {
            Arrivals::Even => (pacer, None),
            Arrivals::Poisson => (pacer.poisson(seed), None),
            Arrivals::Closed { users, think } => {
                let users = stride.count(users as u64);
                (pacer, Some(Users::new(users, think, start, seed.wrapping_add(stride.which))))
            }
        };
        Some(Self { stride, pacer, users, begun: 0, counted: 0, stopped: false })
    }

    /// Its number among those of all workers.
    fn next_slot(&self) -> u64 {
        self.stride.which + self.begun * self.stride.of
    }

    /// When the next slot is due; nothing once stopped, or while all users wait for answers.
    pub(crate) fn next_due(&mut self) -> Option<At> {
        if self.stopped {
            return None;
        }
        let by_clock = self.pacer.due(self.next_slot());
        match &self.users {
            None => Some(by_clock),
            Some(users) => users.next_due().map(|due| due.max(by_clock)),
        }
    }

    /// When the next slots are to be begun.
    pub(crate) fn next_begin(&mut self) -> Option<At> {
        // Users ask when they are answered: to let them wait would slow them down.
        if self.stopped || self.users.is_some() {
            return self.next_due();
        }
        Some(self.pacer.together(self.next_slot(), self.stride.of, GATHER))
    }

    /// The next slot begins.
    pub(crate) fn begin(&mut self) {
        self.begun += 1;
        if let Some(users) = &mut self.users {
            users.begin();
        }
    }

    /// A slot has ended at `at`.
    pub(crate) fn ended(&mut self, at: At, outcome: Outcome) {
        if let Some(users) = &mut self.users {
            use Outcome::{AppStatus, GatewayStatus, Ok, TooLarge, WrongBody};
            users.ended(at, matches!(outcome, Ok | AppStatus | GatewayStatus | TooLarge | WrongBody));
        }
    }

    /// Changes the rate as of `at`. Everything due by now has been begun.
    pub(crate) fn set_rate(&mut self, at: At, rate: f64) {
        // The driver has checked that it is a rate.
        self.pacer.change(at, rate);
    }

    /// No more slots are due.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    /// Slots that became due before `end` since the last call.
    pub(crate) fn newly_due(&mut self, end: At) -> u64 {
        let now = At(end.0.saturating_sub(1));
        let due = if self.stopped {
            self.begun
        } else {
            let by_clock = self.stride.count(self.pacer.due_by(now));
            match &self.users {
                None => by_clock,
                Some(users) => self.begun + users.due_by(now).min(by_clock.saturating_sub(self.begun)),
            }
        };
        let new = due.saturating_sub(self.counted);
        self.counted += new;
        new
    }
}

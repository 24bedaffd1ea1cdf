//! Users that ask, wait for the answer, think, and ask again. Closed by nature: when answers are slow, fewer requests are sent.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::super::time::At;
use super::poisson::exponential;

/// A user whose request found nobody to answer asks again after this at the earliest: a dead target is not stormed.
pub const BACKOFF: Duration = Duration::from_millis(100);

/// No think time is longer than so many times the mean, as in TPC-W.
const THINK_MAX: f64 = 10.0;

/// Some users, each with one request under way or none.
#[derive(Debug)]
pub struct Users {
    /// When those without a request under way will ask.
    thinking: BinaryHeap<Reverse<At>>,
    think: Duration,
    rng: StdRng,
}

impl Users {
    /// So many users, who think for `think` on average (exponentially distributed); without think time they ask as soon as they are answered.
    /// At `start` they have been thinking already, so that they do not all ask at once.
    pub fn new(users: u64, think: Duration, start: At, seed: u64) -> Self {
        let mut all = Self { thinking: BinaryHeap::new(), think, rng: StdRng::seed_from_u64(seed) };
        for _ in 0..users {
            let first = start + all.draw();
            all.thinking.push(Reverse(first));
        }
        all
    }

    /// When the next one asks; nothing while all wait for answers.
    pub fn next_due(&self) -> Option<At> {
        self.thinking.peek().map(|Reverse(at)| *at)
    }

    /// The next one asks.
    pub fn begin(&mut self) {
        self.thinking.pop();
    }

    /// One of those that wait got its answer at `at`, or a failure; `answered` when there was somebody who answered.
    pub fn ended(&mut self, at: At, answered: bool) {
        let think = self.draw();
        self.thinking.push(Reverse(at + if answered { think } else { think.max(BACKOFF) }));
    }

    /// How many will have asked by `now`, if none gets an answer before.
    pub fn due_by(&self, now: At) -> u64 {
        self.thinking.iter().filter(|Reverse(at)| *at <= now).count() as u64
    }

    fn draw(&mut self) -> Duration {
        if self.think.is_zero() {
            return Duration::ZERO;
        }
        self.think.mul_f64(exponential(&mut self.rng).min(THINK_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_think_time_a_user_asks_as_soon_as_it_is_answered() {
        let mut users = Users::new(2, Duration::ZERO, At(7), 1);
        assert_eq!((users.next_due(), users.due_by(At(6)), users.due_by(At(7))), (Some(At(7)), 0, 2));
        users.begin();
        users.begin();
        assert_eq!(users.next_due(), None, "both wait");
        users.ended(At(50), true);
        users.ended(At(40), false);
        assert_eq!((users.next_due(), users.due_by(At(50))), (Some(At(50)), 1));
        users.begin();
        assert_eq!(users.next_due(), Some(At(40) + BACKOFF), "nobody was there: it does not ask again at once");
    }

    #[test]
    fn a_thousand_thinking_users_ask_a_thousand_times_per_mean_think_time() {
        let think = Duration::from_secs(2);
        let mut users = Users::new(1_000, think, At::ZERO, 42);
        let (mut asked, end) = (0_u64, At::ZERO + think * 50);
        while let Some(due) = users.next_due().filter(|due| *due <= end) {
            users.begin();
            users.ended(due, true);
            asked += 1;
        }
        // 50,000 expected; the standard deviation is about 224.
        assert!((49_000..51_000).contains(&asked), "{asked}");
        let again = Users::new(1_000, think, At::ZERO, 42).next_due();
        assert_eq!(again, Users::new(1_000, think, At::ZERO, 42).next_due());
        assert_ne!(again, Users::new(1_000, think, At::ZERO, 43).next_due());
    }
}

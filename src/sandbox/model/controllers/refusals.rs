//! What the API refused to create for whom, and when to try again.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::sandbox::model::object::Now;

/// The refused creations by the uid of the owner they were for.
#[derive(Debug, Default)]
pub struct Refusals {
    by_owner: BTreeMap<String, Refusal>,
}

/// A refusal that still stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the API said.
    pub message: String,
    /// How many times in a row.
    pub attempts: u32,
    /// Not to be tried before this.
    pub retry_at: Now,
}

/// The first wait; it doubles with each attempt, as in the real controllers' queues.
const FIRST: TimeDelta = TimeDelta::milliseconds(5);
/// The longest wait. Real controllers go on to a quarter of an hour, but are woken by other events in between.
const LONGEST: TimeDelta = TimeDelta::seconds(16);
/// More than any sandbox has owners; beyond it the oldest uids are forgotten, and tried again at once.
const MOST: usize = 10_000;

impl Refusals {
    /// The refusal that stands for an owner.
    pub fn of(&self, uid: &str) -> Option<&Refusal> {
        self.by_owner.get(uid)
    }

    /// A creation was refused.
    pub fn refused(&mut self, uid: &str, message: String, now: Now) {
        let attempts = self.of(uid).map_or(0, |r| r.attempts).saturating_add(1);
        let wait = FIRST.checked_mul(1 << attempts.saturating_sub(1).min(16)).unwrap_or(LONGEST).min(LONGEST);
        self.by_owner.insert(uid.to_owned(), Refusal { message, attempts, retry_at: now + wait });
        while self.by_owner.len() > MOST {
            self.by_owner.pop_first();
        }
    }

    /// All that was asked for was created.
    pub fn accepted(&mut self, uid: &str) {
        self.by_owner.remove(uid);
    }
}

impl Refusal {
    /// Is it too early to try again?
    pub fn stands(&self, now: Now) -> bool {
        now < self.retry_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_end_with_success() {
        let mut refusals = Refusals::default();
        let now = Now::UNIX_EPOCH;
        let waits: Vec<_> = (0..15)
            .map(|_| {
                refusals.refused("a", "quota".into(), now);
                (refusals.of("a").unwrap().retry_at - now).num_milliseconds()
            })
            .collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240, 16000, 16000, 16000]);
        refusals.accepted("a");
        assert_eq!(refusals.of("a"), None);
    }
}

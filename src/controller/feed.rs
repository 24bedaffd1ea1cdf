//! The events of a run as they happen, for whoever looks on. Bounded: what a slow reader misses is counted and told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use crate::domain::event::{Event, What};

/// Events that are kept for who comes later; slices and seconds are not among them.
const BACKLOG: usize = 500;
/// Events that wait for a reader.
const QUEUE: usize = 2_048;

/// The events of one run.
#[derive(Clone, Debug)]
pub struct Feed {
    backlog: Arc<Mutex<VecDeque<Arc<str>>>>,
    live: broadcast::Sender<Arc<str>>,
}

/// What a reader is given: what was, and what comes.
#[derive(Debug)]
pub struct Follower {
    /// Oldest first.
    pub before: Vec<Arc<str>>,
    /// Ends with the run.
    pub live: broadcast::Receiver<Arc<str>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { backlog: Arc::default(), live: broadcast::channel(QUEUE).0 }
    }
}

impl Feed {
    /// Tells an event.
    pub(super) fn tell(&self, event: &Event) {
        let passing = matches!(event.what, What::Slice(_) | What::Validity(_) | What::Tick);
        if passing && self.live.receiver_count() == 0 {
            return;
        }
        // An event that has no form is no event of a recording either.
        let Ok(line) = serde_json::to_string(event) else { return };
        let line: Arc<str> = line.into();
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        if !passing {
            if backlog.len() == BACKLOG {
                // The head says what the others are about.
                backlog.remove(1);
            }
            backlog.push_back(Arc::clone(&line));
        }
        // Told under the lock: who comes now gets it once. Nobody may be there.
        drop(self.live.send(line));
    }

    /// Follows from now on.
    pub fn follow(&self) -> Follower {
        let backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        Follower { before: backlog.iter().cloned().collect(), live: self.live.subscribe() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::At;

    fn notice(n: u64) -> Event {
        Event { at: At(n), what: What::Notice(format!("n{n}")) }
    }

    #[test]
    fn who_comes_later_gets_what_was_and_each_event_once() {
        let feed = Feed::default();
        (0..3).for_each(|n| feed.tell(&notice(n)));
        feed.tell(&Event { at: At(3), what: What::Tick });
        let mut follower = feed.follow();
        assert_eq!(follower.before.len(), 3);
        feed.tell(&notice(4));
        feed.tell(&Event { at: At(5), what: What::Tick });
        assert!(follower.live.try_recv().unwrap().contains("n4") && follower.live.try_recv().unwrap().contains("tick"));
        assert!(follower.live.try_recv().is_err());
    }

    #[test]
    fn the_backlog_is_bounded_and_keeps_its_head() {
        let feed = Feed::default();
        (0..BACKLOG as u64 + 10).for_each(|n| feed.tell(&notice(n)));
        let before = feed.follow().before;
        assert_eq!(before.len(), BACKLOG);
        assert!(before[0].contains("\"n0\"") && before[1].contains("\"n11\""), "{} {}", before[0], before[1]);
    }
}

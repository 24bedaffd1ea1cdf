//! Open streams: when each has been silent for too long or has lasted as long as planned. Pure; times are attended, so that an absence of ours
//! is no silence of the target's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::super::attention::Attended;
use super::super::slab::Key;

/// How an open stream's time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It has lasted as long as it was to.
    Lasted,
    /// Nothing came for too long.
    Stalled,
}

/// See the top of the file. Streams go by their slot.
#[derive(Debug)]
pub(super) struct Streams {
    /// In microseconds, from the slot's beginning.
    length: u64,
    /// In microseconds.
    stall: u64,
    open: BTreeMap<u64, Open>,
    /// When to look at which; may hold some that have ended.
    checks: BinaryHeap<Reverse<(Attended, u64)>>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    key: Key,
    begun: Attended,
    /// When the last piece came; nothing before the first one, for which the slot's timeout stands.
    last: Option<Attended>,
}

impl Streams {
    pub(super) fn new(length: u64, stall: u64) -> Self {
        Self { length, stall, open: BTreeMap::new(), checks: BinaryHeap::new() }
    }

    /// A connection is being opened for a stream.
    pub(super) fn begin(&mut self, slot: u64, key: Key, now: Attended) {
        self.open.insert(slot, Open { key, begun: now, last: None });
    }

    /// Something came; answers how long nothing had, in microseconds, unless it is the first piece.
    pub(super) fn piece(&mut self, slot: u64, now: Attended) -> Option<u64> {
        let stream = self.open.get_mut(&slot)?;
        let before = stream.last.replace(now);
        if before.is_none() {
            let check = Attended((now.0 + self.stall).min(stream.begun.0 + self.length).max(now.0));
            self.checks.push(Reverse((check, slot)));
        }
        before.map(|before| now.0.saturating_sub(before.0))
    }

    /// Whether something of the stream has come.
    pub(super) fn flows(&self, slot: u64) -> bool {
        self.open.get(&slot).is_some_and(|stream| stream.last.is_some())
    }

    /// The stream's slot has ended.
    pub(super) fn end(&mut self, slot: u64) {
        self.open.remove(&slot);
    }

    /// When to look again, at the latest.
    pub(super) fn next_check(&self) -> Option<Attended> {
        self.checks.peek().map(|Reverse((at, _))| *at)
    }

    /// The next stream whose time is over at `limit`. It is forgotten.
    pub(super) fn over(&mut self, limit: Attended) -> Option<(u64, Key, Over)> {
        while let Some(Reverse((_, slot))) = self.checks.peek().filter(|Reverse((at, _))| *at <= limit).copied() {
            self.checks.pop();
            let Some(stream) = self.open.get(&slot).copied() else {
                continue;
            };
            let (silent, lasts) = (Attended(stream.last.unwrap_or(limit).0 + self.stall), Attended(stream.begun.0 + self.length));
            // What ended in silence has not lasted.
            let over = match (silent <= limit, lasts <= limit) {
                (true, _) if silent <= lasts => Over::Stalled,
                (_, true) => Over::Lasted,
                (true, false) => Over::Stalled,
                (false, false) => {
                    self.checks.push(Reverse((silent.min(lasts), slot)));
                    continue;
                }
            };
            self.open.remove(&slot);
            return Some((slot, stream.key, over));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::slab::Slab;
    use super::*;

    fn streams() -> (Streams, Key) {
        let key = Slab::new().insert(());
        let mut streams = Streams::new(1_000, 300);
        streams.begin(7, key, Attended(0));
        (streams, key)
    }

    #[test]
    fn a_stream_that_flows_lasts_as_long_as_planned() {
        let (mut streams, key) = streams();
        assert_eq!((streams.flows(7), streams.next_check(), streams.over(Attended(900))), (false, None, None));
        let gaps: Vec<_> = [100, 350, 600, 850].map(|at| streams.piece(7, Attended(at))).into_iter().flatten().collect();
        assert_eq!((gaps, streams.next_check()), (vec![250; 3], Some(Attended(400))));
        assert_eq!((streams.over(Attended(400)), streams.next_check()), (None, Some(Attended(1_000))));
        assert_eq!((streams.over(Attended(999)), streams.over(Attended(1_000))), (None, Some((7, key, Over::Lasted))));
        assert_eq!((streams.over(Attended(5_000)), streams.piece(7, Attended(5_001))), (None, None));
    }

    #[test]
    fn a_stream_that_falls_silent_is_told_at_its_time() {
        let (mut streams, key) = streams();
        streams.piece(7, Attended(100));
        assert_eq!((streams.over(Attended(399)), streams.over(Attended(400))), (None, Some((7, key, Over::Stalled))));
        let (mut late, key) = self::streams();
        late.piece(7, Attended(600));
        assert_eq!(late.over(Attended(2_000)), Some((7, key, Over::Stalled)), "seen late, but it was silent before its end");
    }

    #[test]
    fn an_ended_stream_is_never_told() {
        let (mut streams, _) = streams();
        streams.piece(7, Attended(100));
        streams.end(7);
        assert_eq!(streams.over(Attended(9_999)), None);
    }
}

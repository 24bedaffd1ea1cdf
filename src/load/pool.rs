//! The places of a lane's kept connections: which is whose turn, and when a lost one may be opened again.

use std::collections::{BTreeSet, VecDeque};

use super::slab::Key;
use crate::domain::time::At;

/// Each place opens a connection this often at most, in microseconds: a target in trouble is not stormed.
pub(crate) const REOPEN_AFTER: u64 = 100_000;

/// Which place a slot gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// An idle connection.
    Use(Key),
    /// A place without one, which the slot opens.
    Open(u32),
    /// None is free.
    Wait,
}

/// See the top of the file. A place that is neither free nor resting is at work: connecting or with a request on it.
#[derive(Debug)]
pub(crate) struct Pool {
    places: Vec<Place>,
    free: VecDeque<u32>,
    resting: BTreeSet<(At, u32)>,
    connected: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    key: Option<Key>,
    /// Not to be opened before this.
    open_from: At,
}

impl Pool {
    /// So many places, none open.
    pub(crate) fn new(places: u32) -> Self {
        let all = vec![Place::default(); places as usize];
        Self { places: all, free: (0..places).collect(), resting: BTreeSet::new(), connected: 0 }
    }

    /// The place whose turn it is.
    pub(crate) fn turn(&mut self, now: At) -> Turn {
        while let Some((_, place)) = self.resting.first().filter(|(from, _)| *from <= now).copied() {
            self.resting.pop_first();
            self.free.push_back(place);
        }
        while let Some(index) = self.free.pop_front() {
            let Some(place) = self.places.get_mut(index as usize) else {
                continue;
            };
            match place.key {
                Some(key) => return Turn::Use(key),
                None if place.open_from <= now => {
                    place.open_from = At(now.0 + REOPEN_AFTER);
                    return Turn::Open(index);
                }
                None => _ = self.resting.insert((place.open_from, index)),
            }
        }
        Turn::Wait
    }

    /// The place has a connection from now on, connecting.
    pub(crate) fn opened(&mut self, index: u32, key: Key) {
        if let Some(place) = self.places.get_mut(index as usize) {
            place.key = Some(key);
            self.connected += 1;
        }
    }

    /// It is not opened after all, and may be at once.
    pub(crate) fn give_back(&mut self, index: u32) {
        if let Some(place) = self.places.get_mut(index as usize) {
            place.open_from = At::ZERO;
            self.free.push_front(index);
        }
    }

    /// Its connection is idle again.
    pub(crate) fn idle(&mut self, index: u32) {
        self.free.push_back(index);
    }

    /// The connection of a place at work is lost, or could not be opened.
    pub(crate) fn lost(&mut self, index: u32) {
        self.lost_idle(index);
        self.free.push_back(index);
    }

    /// The connection of an idle place is lost; its turn stays where it was.
    pub(crate) fn lost_idle(&mut self, index: u32) {
        if self.places.get_mut(index as usize).and_then(|place| place.key.take()).is_some() {
            self.connected -= 1;
        }
    }

    /// Whether there is any connection, be it connecting, idle or at work.
    pub(crate) fn any(&self) -> bool {
        self.connected > 0
    }

    /// When the next resting place may be opened.
    pub(crate) fn next_open(&self) -> Option<At> {
        self.resting.first().map(|(from, _)| *from)
    }
}

#[cfg(test)]
mod tests {
    use super::super::slab::Slab;
    use super::*;

    #[test]
    fn connections_are_opened_in_turn_used_in_turn_and_reopened_in_turn() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert(()), slab.insert(()));
        let mut pool = Pool::new(2);
        assert_eq!((pool.turn(At(0)), pool.turn(At(0)), pool.turn(At(0))), (Turn::Open(0), Turn::Open(1), Turn::Wait));
        pool.opened(0, a);
        pool.opened(1, b);
        pool.idle(1);
        pool.idle(0);
        assert_eq!((pool.turn(At(1)), pool.turn(At(1)), pool.turn(At(1))), (Turn::Use(b), Turn::Use(a), Turn::Wait));
        pool.lost(0);
        pool.idle(1);
        assert_eq!((pool.turn(At(2)), pool.next_open()), (Turn::Use(b), Some(At(REOPEN_AFTER))), "0 rests");
        pool.idle(1);
        assert_eq!((pool.turn(At(REOPEN_AFTER)), pool.turn(At(REOPEN_AFTER))), (Turn::Use(b), Turn::Open(0)));
        assert!(pool.any());
        pool.lost(0);
        pool.lost(1);
        assert!(!pool.any());
        assert_eq!((pool.turn(At(2 * REOPEN_AFTER)), pool.turn(At(2 * REOPEN_AFTER))), (Turn::Open(0), Turn::Open(1)));
    }

    #[test]
    fn a_place_given_back_is_next_and_need_not_rest() {
        let mut pool = Pool::new(2);
        assert_eq!(pool.turn(At(5)), Turn::Open(0));
        pool.give_back(0);
        assert_eq!((pool.turn(At(5)), pool.turn(At(5))), (Turn::Open(0), Turn::Open(1)));
    }

    #[test]
    fn an_idle_loss_keeps_its_turn() {
        let mut slab = Slab::new();
        let keys = [slab.insert(()), slab.insert(())];
        let mut pool = Pool::new(2);
        for (place, key) in (0..).zip(keys) {
            assert_eq!(pool.turn(At(0)), Turn::Open(place));
            pool.opened(place, key);
            pool.idle(place);
        }
        pool.lost_idle(0);
        assert_eq!((pool.turn(At(REOPEN_AFTER)), pool.turn(At(REOPEN_AFTER))), (Turn::Open(0), Turn::Use(keys[1])));
    }
}

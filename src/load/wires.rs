//! What all lanes of a worker share: its sockets, its buffer and its sense of time.

use rustix::io::Errno;

use super::attention::{Attended, Attention};
use super::conn::Conn;
use super::reactor::{Bell, Reactor};
use super::slab::Slab;
use crate::clock::Clock;
use crate::domain::time::At;

/// Answers are read through one buffer of this size, so that an open connection costs next to nothing.
const BUFFER: usize = 64 * 1024;

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Wires {
    pub(crate) clock: Clock,
    pub(crate) attention: Attention,
    pub(crate) reactor: Reactor,
    pub(crate) conns: Slab<Conn>,
    pub(crate) buffer: Vec<u8>,
}

/// A moment, on the clock and as attended time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: At,
    pub(crate) attended: Attended,
}

impl Wires {
    pub(crate) fn new(clock: Clock, bell: &Bell) -> Result<Self, Errno> {
        Ok(Self {
            clock,
            attention: Attention::new(clock.now()),
            reactor: Reactor::new(bell)?,
            conns: Slab::new(),
            buffer: vec![0; BUFFER],
        })
    }

    /// Now.
    pub(crate) fn moment(&self) -> Moment {
        let at = self.clock.now();
        Moment { at, attended: self.attention.at(at) }
    }
}

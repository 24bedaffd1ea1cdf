//! Waiting: for sockets, for a moment to the microsecond, and for the bell that other threads ring. One per worker.
//!
//! Epoll and a timerfd rather than a general runtime: a runtime's timer wheel ticks in milliseconds, and the cost of a slot is what decides
//! how many users fit into a small pod. Linux only.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};

use super::slab::Key;
use crate::clock::Clock;
use crate::domain::time::At;

/// Events taken per wait: few enough that due slots need not wait long behind answers.
pub(crate) const BATCH: usize = 128;

const TIMER: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;

/// What a socket is ready for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// There are bytes, an end or an error to be read.
    pub(crate) readable: bool,
    /// There is room to write, or the connection has just been established.
    pub(crate) writable: bool,
    /// The other side will send no more, or the connection is broken.
    pub(crate) ended: bool,
    /// The connection is broken.
    pub(crate) failed: bool,
}

/// Rings a reactor from any thread.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Wakes the reactor; ringing twice before it looks is ringing once.
    pub(crate) fn ring(&self) {
        // It only fails when 2^64 - 2 rings are unheard, and then it is rung.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Reactor {
    epoll: OwnedFd,
    timer: OwnedFd,
    armed: Option<At>,
}

/// What a wait brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Woken {
    /// Nothing else was ready at that moment.
    pub(crate) drained: bool,
    /// The bell was rung.
    pub(crate) bell: bool,
}

impl Reactor {
    pub(crate) fn new(bell: &Bell) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let edge = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), edge)?;
        epoll::add(&epoll, &bell.0, EventData::new_u64(BELL), edge)?;
        Ok(Self { epoll, timer, armed: None })
    }

    /// Reports on `socket` under `key` until it is closed, at each change of its readiness.
    pub(crate) fn watch(&self, socket: impl AsFd, key: Key) -> Result<(), Errno> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(key.token()), flags)
    }

    /// Waits for something to happen, until `until` at the latest, and not at all when that has passed. Fills `ready`.
    pub(crate) fn wait(&mut self, clock: Clock, until: At, ready: &mut Vec<(Key, Ready)>) -> Result<Woken, Errno> {
        let left = clock.until(until);
        if !left.is_zero() && self.armed != Some(until) {
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once_after(left))?;
            self.armed = Some(until);
        }
        let timeout = left.is_zero().then_some(Timespec { tv_sec: 0, tv_nsec: 0 });
        let mut room = [const { MaybeUninit::<Event>::uninit() }; BATCH];
        let (events, interrupted) = match epoll::wait(&self.epoll, &mut room, timeout.as_ref()) {
            Ok((events, _)) => (events, false),
            Err(Errno::INTR) => (&mut [][..], true),
            Err(errno) => return Err(errno),
        };
        let mut woken = Woken { drained: events.len() < BATCH && !interrupted, bell: false };
        for event in events {
            match event.data.u64() {
                TIMER => self.armed = None,
                BELL => woken.bell = true,
                token => ready.push((Key::from_token(token), what(event.flags))),
            }
        }
        Ok(woken)
    }
}

fn what(flags: EventFlags) -> Ready {
    let failed = flags.intersects(EventFlags::ERR | EventFlags::HUP);
    let ended = failed || flags.contains(EventFlags::RDHUP);
    Ready { readable: ended || flags.contains(EventFlags::IN), writable: flags.contains(EventFlags::OUT), ended, failed }
}

fn once_after(left: Duration) -> Itimerspec {
    let value = Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(left.subsec_nanos()) };
    Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_wakes_by_time_and_by_bell_and_does_not_wait_for_the_past() {
        let (clock, bell) = (Clock::start(), Bell::new().unwrap());
        let mut reactor = Reactor::new(&bell).unwrap();
        let mut ready = Vec::new();
        let quiet = Woken { drained: true, bell: false };
        let until = clock.now() + Duration::from_millis(20);
        assert_eq!(reactor.wait(clock, until, &mut ready), Ok(quiet));
        assert!(clock.now() >= until);
        assert_eq!(reactor.wait(clock, until, &mut ready), Ok(quiet), "returns at once");
        let far = clock.now() + Duration::from_secs(30);
        let woken = std::thread::scope(|scope| {
            scope.spawn(|| bell.ring());
            reactor.wait(clock, far, &mut ready)
        });
        assert_eq!(woken, Ok(Woken { bell: true, ..quiet }));
        assert!(clock.now() < until + Duration::from_secs(20));
        assert!(ready.is_empty());
    }
}

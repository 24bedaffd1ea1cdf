//! One lane in one worker: begins its slots when they are due and finds each a connection. How slots end is in `ends`.
//!
//! A `kept` lane stands for that many users, each with one connection. Over HTTP/2 a connection that is being used takes more requests at
//! once, as many as the other side allows and `http2::CONCURRENT_MAX` at most: that is what browsers and gateways do, and what a
//! connection that dies costs. The connections are used in turn all the same. When all are busy, a slot waits for the next free one, and its
//! latency runs from its intended start; when the target frees none before the slot's deadline, the slot has failed, although it was never
//! written: a target that hangs on all its connections must not look healthy for want of requests. `Validity::waited` tells a lane
//! with too few connections from a slow target.

mod ends;
mod pods;
mod schedule;
mod stream;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use hdrhistogram::Histogram;
use rustix::io::Errno;
use tokio::sync::oneshot;

use self::pods::Pods;
pub(crate) use self::schedule::{Schedule, Stride};
use self::stream::Streams;
use super::attention::{Attended, Attention};
use super::classify;
use super::conn::{Asked, Conn, Opening, Owner, Step};
use super::fold::{LaneFold, LaneReport, Totals};
use super::mailbox::Target;
use super::names::Names;
use super::once::Witnessed;
use super::plan::LaneSpec;
use super::pool::{Pool, Turn};
use super::reactor::Ready;
use super::slab::{Key, Slab};
use super::slots::{Slots, Standing};
use super::transport::Fault;
use super::wires::{Moment, Wires};
use crate::domain::outcome::Outcome;
use crate::domain::time::{At, micros};
use crate::domain::traffic::Mode;

/// A slot that is begun later than this after its intended start, in microseconds, is not sent.
pub(crate) const LATE: u64 = 100_000;

/// Slots begun before the worker looks at its sockets again.
const BURST: usize = 64;

/// See the top of the file.
#[derive(Debug)]
pub(crate) struct Lane {
    index: usize,
    spec: Arc<LaneSpec>,
    schedule: Schedule,
    target: Target,
    addresses_used: usize,
    /// Whose addresses these are, when the lane asks pods directly.
    pods: Pods,
    slots: Slots,
    pool: Option<Pool>,
    /// Of a stream lane.
    streams: Option<Streams>,
    /// Slots that wait for the target's address or a free connection; may hold some that have ended meanwhile.
    waiting: VecDeque<u64>,
    serving: bool,
    /// Connections being opened, in the order of their deadlines; may hold some that are further by now, stand or are gone.
    connecting: VecDeque<(Attended, Key, Opening)>,
    /// Connections that the other side is to close, in the order of their deadlines; may hold some that are gone.
    parting: VecDeque<(At, Key)>,
    in_flight: u64,
    max_in_flight: u64,
    opened: u64,
    names: Names,
    fold: LaneFold,
    /// Is told of the next slot that ends.
    witness: Option<oneshot::Sender<Witnessed>>,
}

impl Lane {
    /// The lane at `index` of the plan. `latency` is an empty histogram.
    pub(crate) fn new(index: usize, spec: Arc<LaneSpec>, schedule: Schedule, latency: Histogram<u64>) -> Self {
        let stride = schedule.stride;
        let pool = match spec.mode {
            Mode::Fresh | Mode::Stream { .. } => None,
            Mode::Kept { connections } => Some(Pool::new(u32::try_from(stride.count(connections as u64)).unwrap_or(u32::MAX))),
        };
        let streams = match spec.mode {
            Mode::Stream { length, stall } => Some(Streams::new(micros(length), micros(stall))),
            Mode::Fresh | Mode::Kept { .. } => None,
        };
        Self {
            index,
            schedule,
            streams,
            target: Target::of(&spec.endpoint),
            addresses_used: 0,
            pods: Pods::default(),
            slots: Slots::new(&spec.thresholds, spec.timeout),
            pool,
            waiting: VecDeque::new(),
            serving: false,
            connecting: VecDeque::new(),
            parting: VecDeque::new(),
            in_flight: 0,
            max_in_flight: (spec.max_in_flight as u64).div_ceil(stride.of),
            opened: 0,
            names: Names::default(),
            fold: LaneFold::new(spec.thresholds.len(), usize::try_from(stride.of).unwrap_or(1), latency),
            witness: None,
            spec,
        }
    }

    /// Tells all about the next slot that ends, be it a success.
    pub(crate) fn set_witness(&mut self, witness: oneshot::Sender<Witnessed>) {
        self.witness = Some(witness);
    }

    /// Slots begun and not ended.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Whether it asks our own echo.
    pub(crate) fn is_control(&self) -> bool {
        *self.spec.name == *super::echo::LANE
    }

    /// Begins slots when it is their time; see [`Schedule::next_begin`].
    pub(crate) fn begin_in_time(&mut self, wires: &mut Wires) {
        let now = wires.clock.now();
        if self.schedule.next_begin().is_some_and(|at| at <= now) {
            self.begin_due(wires);
        }
    }

    /// Begins slots that are due. `true` when there are more of them.
    pub(crate) fn begin_due(&mut self, wires: &mut Wires) -> bool {
        for _ in 0..BURST {
            let Some(due) = self.schedule.next_due().filter(|due| *due <= wires.clock.now()) else {
                return false;
            };
            self.schedule.begin();
            self.begin(wires, due);
        }
        true
    }

    /// Changes the rate as of `at`. Everything due by now has been begun.
    pub(crate) fn set_rate(&mut self, at: At, rate: f64) {
        self.schedule.set_rate(at, rate);
    }

    /// Changes where to connect to; what waited for it goes on.
    pub(crate) fn set_target(&mut self, wires: &mut Wires, target: Target) {
        if let Target::Pods(pods) = &target {
            self.pods.set(pods);
        }
        self.target = target;
        self.serve_waiting(wires);
    }

    /// Begins no more slots. Everything due by now has been begun.
    pub(crate) fn stop(&mut self) {
        self.schedule.stop();
    }

    /// Whether no slot will begin and none is open.
    pub(crate) fn finished(&self) -> bool {
        self.schedule.stopped() && self.slots.all_ended()
    }

    /// When this lane must be attended to again.
    pub(crate) fn next_wake(&mut self, conns: &Slab<Conn>, attention: &Attention) -> Option<At> {
        while let Some((_, key, opening)) = self.connecting.front()
            && conns.get(*key).and_then(Conn::opening) != Some(*opening)
        {
            self.connecting.pop_front();
        }
        while let Some((_, key)) = self.parting.front()
            && conns.get(*key).is_none()
        {
            self.parting.pop_front();
        }
        let reopen = self.pool.as_ref().filter(|_| !self.waiting.is_empty()).and_then(Pool::next_open);
        let parting = self.parting.front().map(|(until, _)| *until);
        [self.schedule.next_begin(), self.next_deadline().map(|then| attention.clock(then)), reopen, parting]
            .into_iter()
            .flatten()
            .min()
    }

    /// Reacts to the readiness of one of its connections.
    pub(crate) fn react(&mut self, wires: &mut Wires, key: Key, ready: Ready) -> Step {
        let now = wires.moment();
        let Wires { conns, buffer, .. } = wires;
        let Some(conn) = conns.get_mut(key) else {
            return Step::Wait;
        };
        let (opening, bytes) = (conn.opening(), conn.asked().and_then(Asked::bytes));
        let step = conn.on_ready(ready, &self.spec, &mut self.names, buffer, now.at);
        if let (Some(streams), Some(asked)) = (&mut self.streams, conn.asked())
            && asked.bytes() != bytes
            && let Some(pause) = streams.piece(asked.slot, now.attended)
        {
            self.fold.pause(asked.answered_by(), pause);
        }
        if let Some(new) = conn.opening().filter(|new| Some(*new) != opening) {
            self.connecting.push_back((Attended(now.attended.0 + self.spec.connect_timeout), key, new));
        }
        step
    }

    /// What became known before `end`, the end of a slice.
    pub(crate) fn report(&mut self, end: At) -> LaneReport {
        self.fold.due(self.schedule.newly_due(end));
        self.fold.take(self.slots.take_runs())
    }

    /// The whole time.
    pub(crate) fn into_totals(self) -> Totals {
        self.fold.into_totals()
    }

    /// The next deadline of an open slot or of a connection being opened.
    fn next_deadline(&mut self) -> Option<Attended> {
        let connect = self.connecting.front().map(|(deadline, ..)| *deadline);
        let stream = self.streams.as_ref().and_then(Streams::next_check);
        [self.slots.next_bound(), connect, stream].into_iter().flatten().min()
    }

    fn begin(&mut self, wires: &mut Wires, due: At) {
        let now = wires.moment();
        let lag = now.at.0.saturating_sub(due.0);
        self.slots.set_behind(wires.attention.behind());
        let slot = self.slots.push(due, now.attended);
        self.in_flight += 1;
        self.fold.begun(lag);
        if lag > LATE {
            self.unsent(slot, now, Outcome::NotSent, || format!("late by {} ms", lag / 1_000));
        } else if self.in_flight > self.max_in_flight {
            let max = self.max_in_flight;
            self.unsent(slot, now, Outcome::NotSent, || format!("{max} requests are in flight"));
        } else {
            self.waiting.push_back(slot);
            self.serve_waiting(wires);
            if self.pool.is_some() && self.slots.standing(slot) == Some(Standing::Waiting) {
                self.fold.waited();
            }
        }
    }

    /// Finds connections for the slots that wait, the oldest first, as far as there are any.
    fn serve_waiting(&mut self, wires: &mut Wires) {
        // A request that ends while it is being sent comes back here; the outer loop goes on with the rest.
        if !std::mem::replace(&mut self.serving, true) {
            self.serve_in_turn(wires);
            self.serving = false;
        }
    }

    fn serve_in_turn(&mut self, wires: &mut Wires) {
        self.slots.set_behind(wires.attention.behind());
        while let Some(slot) = self.next_waiting() {
            let now = wires.moment();
            let place = match self.pool.as_mut().map(|pool| pool.turn(now.at)) {
                None => None,
                Some(Turn::Open(place)) => Some(place),
                Some(Turn::Wait) => return,
                Some(Turn::Use(key)) if !wires.conns.get_mut(key).is_none_or(Conn::admits) => continue,
                Some(Turn::Use(key)) if self.leads_nowhere(wires, key) => {
                    if wires.conns.get_mut(key).is_some_and(Conn::retire) {
                        self.tend(wires, key, now);
                        continue;
                    }
                    let place = wires.conns.remove(key).and_then(|conn| conn.owner.place);
                    if let (Some(pool), Some(place)) = (&mut self.pool, place) {
                        pool.lost(place);
                    }
                    continue;
                }
                Some(Turn::Use(key)) => {
                    self.waiting.pop_front();
                    self.send(wires, slot, key, now);
                    continue;
                }
            };
            match &self.target {
                Target::At(addresses) => {
                    let address = addresses.get(self.addresses_used % addresses.len().max(1)).copied();
                    self.waiting.pop_front();
                    self.open(wires, slot, place, address, now);
                }
                Target::Pods(pods) if pods.is_empty() => {
                    self.give_back(place);
                    self.waiting.pop_front();
                    self.unsent(slot, now, Outcome::NotSent, || "there is no pod to ask".to_owned());
                }
                Target::Pods(pods) => {
                    let address = pods.get(self.addresses_used % pods.len()).map(|pod| pod.address);
                    self.waiting.pop_front();
                    self.open(wires, slot, place, address, now);
                }
                Target::Unknown => {
                    self.give_back(place);
                    return;
                }
                Target::Unresolved(why) => {
                    let why = why.clone();
                    self.give_back(place);
                    self.waiting.pop_front();
                    self.unsent(slot, now, Outcome::Dns, || why.to_string());
                }
            }
        }
    }

    /// Whether an idle connection is one to a pod that is not to be asked any more.
    fn leads_nowhere(&self, wires: &Wires, key: Key) -> bool {
        matches!(self.target, Target::Pods(_)) && wires.conns.get(key).is_some_and(|conn| !self.pods.is_current(conn.peer()))
    }

    fn give_back(&mut self, place: Option<u32>) {
        if let (Some(pool), Some(place)) = (&mut self.pool, place) {
            pool.give_back(place);
        }
    }

    /// The oldest slot that still waits.
    fn next_waiting(&mut self) -> Option<u64> {
        while let Some(slot) = self.waiting.front() {
            if self.slots.standing(*slot) == Some(Standing::Waiting) {
                return Some(*slot);
            }
            self.waiting.pop_front();
        }
        None
    }

    /// Puts a slot's request on an idle connection.
    fn send(&mut self, wires: &mut Wires, slot: u64, key: Key, now: Moment) {
        self.slots.on(slot, key);
        self.fold.sent();
        if let Some(conn) = wires.conns.get_mut(key) {
            let step = conn.begin(&self.spec, slot, now.at);
            self.on_step(wires, key, step, now);
        }
    }

    /// Opens a connection for a slot.
    fn open(&mut self, wires: &mut Wires, slot: u64, place: Option<u32>, to: Option<SocketAddr>, now: Moment) {
        self.addresses_used = self.addresses_used.wrapping_add(1);
        let owner = Owner { lane: self.index, place, id: self.schedule.stride.which + self.opened * self.schedule.stride.of };
        self.opened += 1;
        let key = wires.conns.next_key();
        let opened = to.ok_or(Fault::System(Errno::DESTADDRREQ)).and_then(|to| {
            let conn = Conn::open(to, &self.spec, owner, slot, now.at)?;
            wires.reactor.watch(conn.socket(), key).map_err(Fault::System)?;
            Ok(conn)
        });
        match opened {
            Ok(conn) => {
                wires.conns.insert(conn);
                self.connecting.push_back((Attended(now.attended.0 + self.spec.connect_timeout), key, Opening::Tcp));
                self.slots.on(slot, key);
                self.fold.sent();
                if let Some(streams) = &mut self.streams {
                    streams.begin(slot, key, now.attended);
                }
                if let (Some(pool), Some(place)) = (&mut self.pool, place) {
                    pool.opened(place, key);
                }
            }
            Err(fault) => {
                if let (Some(pool), Some(place)) = (&mut self.pool, place) {
                    pool.lost(place);
                }
                let outcome = match &fault {
                    Fault::System(errno) => classify::connecting(*errno),
                    // Our own library refused to begin: nothing was sent.
                    Fault::Tls(_) => Outcome::NotSent,
                };
                let note = format!("connect: {}", fault.note());
                self.unsent(slot, now, outcome, || note.clone());
                self.share_failure(now, outcome, &note);
            }
        }
    }
}

//! How slots end: by an answer, by a failure, or by a deadline. Each ends once, in `book`.

use std::net::SocketAddr;

use super::super::conn::{Asked, Conn, Fate, Step, Then, Trace, Verdict};
use super::super::fold::By;
use super::super::once::Witnessed;
use super::super::slots::{Passed, Standing};
use super::stream::{Over, Streams};
use super::{Attended, Key, Lane, Moment, Outcome, Target, Wires};
use crate::domain::slice::{Closed, Ending, Failure, Phases};
use crate::domain::time::At;

/// How long the other side has to close a connection that it was asked to close, in microseconds.
const PARTING: u64 = 1_000_000;

/// So many connections wait for that at most; beyond, the oldest is closed from here.
const PARTING_MAX: usize = 256;

/// Notes are cut to so many characters.
const NOTE_MAX: usize = 160;

/// Of a slot whose deadline passed while it was mostly us who did not look.
const UNATTENDED: &str = "the verifier was away for most of its time";

/// How a slot ended, with what its connection knew.
struct End<'a> {
    outcome: Outcome,
    by: By<'a>,
    slow: &'a [usize],
    /// The end of what counts as its latency.
    until: At,
    /// What its connection led to.
    peer: Option<SocketAddr>,
}

impl Lane {
    /// Carries out what became of a connection.
    pub(crate) fn on_step(&mut self, wires: &mut Wires, key: Key, step: Step, now: Moment) {
        match step {
            Step::Wait => {}
            Step::Settled(verdict) => {
                let Some(conn) = wires.conns.get_mut(key) else {
                    return;
                };
                if let Some(slot) = conn.asked().map(|asked| asked.slot)
                    && let Some(asked) = conn.take(slot)
                {
                    self.settle(wires, key, asked, &verdict, now);
                }
            }
            Step::Streams => {
                while let Some((asked, verdict)) = wires.conns.get_mut(key).and_then(Conn::next_over) {
                    self.settle(wires, key, asked, &verdict, now);
                }
                self.tend(wires, key, now);
            }
            Step::Ended(how) => {
                if let Some(conn) = wires.conns.remove(key)
                    && let (Some(pool), Some(place)) = (&mut self.pool, conn.owner.place)
                {
                    pool.lost_idle(place);
                    self.tell_closed(&conn, how, now.at);
                }
            }
        }
    }

    /// Ends the slots and closes the connections whose time was over at `limit`.
    pub(crate) fn expire(&mut self, wires: &mut Wires, limit: Attended, now: Moment) {
        self.slots.set_behind(wires.attention.behind());
        while let Some((slot, passed)) = self.slots.pass(now.at, limit) {
            match passed {
                // What these bounds are about has come in time.
                _ if self.streams.as_ref().is_some_and(|streams| streams.flows(slot)) => {}
                Passed::Threshold(index) => self.fold.slow(index),
                Passed::Timeout(Standing::On(key)) => self.time_out(wires, key, slot, now),
                Passed::Timeout(Standing::Waiting) => {
                    let (outcome, why) = match self.target {
                        _ if self.slots.in_doubt(slot, now.at, now.attended) => (Outcome::Unseen, UNATTENDED),
                        Target::At(_) | Target::Pods(_) => (Outcome::ResponseTimeout, "no connection of the lane became free"),
                        Target::Unknown | Target::Unresolved(_) => (Outcome::Dns, "the name was not resolved in time"),
                    };
                    self.unsent(slot, now, outcome, || why.to_owned());
                }
                Passed::Timeout(Standing::Ended(_)) => {}
            }
        }
        while let Some((_, key, opening)) = self.connecting.front().filter(|(deadline, ..)| *deadline <= limit).copied() {
            self.connecting.pop_front();
            if let Some(conn) = wires.conns.get(key).filter(|conn| conn.opening() == Some(opening))
                && let Some(slot) = conn.asked().map(|asked| asked.slot)
            {
                self.time_out(wires, key, slot, now);
            }
        }
        self.end_streams(wires, limit, now);
        while let Some((_, key)) = self.parting.front().filter(|(until, _)| *until <= now.at).copied() {
            self.parting.pop_front();
            wires.conns.remove(key);
        }
        self.serve_waiting(wires);
    }

    /// Ends a slot that never got a connection.
    pub(super) fn unsent(&mut self, slot: u64, now: Moment, outcome: Outcome, note: impl FnOnce() -> String) {
        self.book(slot, now, &End { outcome, by: (None, None), slow: &[], until: now.at, peer: None }, || (None, note()));
    }

    /// A connection could not be opened. When the lane has no other, the slots that wait for one have failed with it.
    pub(super) fn share_failure(&mut self, now: Moment, outcome: Outcome, note: &str) {
        if self.pool.as_ref().is_some_and(|pool| !pool.any()) {
            while let Some(slot) = self.next_waiting() {
                self.waiting.pop_front();
                self.unsent(slot, now, outcome, || format!("{note} (tried for an earlier slot)"));
            }
        }
    }

    fn settle(&mut self, wires: &mut Wires, key: Key, asked: Asked, verdict: &Verdict, now: Moment) {
        let Some(conn) = wires.conns.get_mut(key) else {
            return;
        };
        // All bounds of a stream were about its first byte.
        let stream = self.streams.is_some().then(|| asked.bytes().map(|(first, _)| first)).flatten();
        let (outcome, slow) =
            if stream.is_some() { (verdict.outcome, Vec::new()) } else { self.weigh(asked.slot, verdict.outcome, now) };
        let was_connecting = conn.opening().is_some();
        let end = End { outcome, by: asked.answered_by(), slow: &slow, until: stream.unwrap_or(now.at), peer: Some(conn.peer()) };
        self.book(asked.slot, now, &end, || (Some(conn.trace(&asked, now.at)), verdict.note.clone()));
        let place = conn.owner.place;
        match (verdict.then, &mut self.pool, place) {
            (Then::Shared { served }, ..) => {
                if served {
                    conn.rest(asked, false, &self.spec, now.at);
                }
                return;
            }
            (Then::Keep, Some(pool), Some(place)) => {
                conn.rest(asked, false, &self.spec, now.at);
                pool.idle(place);
            }
            (Then::Part, ..) if !self.schedule.stopped() => {
                conn.rest(asked, true, &self.spec, now.at);
                if self.parting.len() >= PARTING_MAX
                    && let Some((_, oldest)) = self.parting.pop_front()
                {
                    wires.conns.remove(oldest);
                }
                self.parting.push_back((At(now.at.0 + PARTING), key));
            }
            (_, pool, place) => {
                let conn = wires.conns.remove(key);
                if let (Some(pool), Some(place)) = (pool, place) {
                    pool.lost(place);
                    if let Some(mut conn) = conn.filter(|_| outcome == Outcome::Ok) {
                        conn.rest(asked, false, &self.spec, now.at);
                        self.tell_closed(&conn, Ending::Closed, now.at);
                    }
                }
            }
        }
        if was_connecting {
            self.share_failure(now, outcome, &verdict.note);
        }
        if place.is_some() {
            self.serve_waiting(wires);
        }
    }

    /// Sees to a connection that several requests may share: whether it gets more of them, and whether it still stands.
    pub(super) fn tend(&mut self, wires: &mut Wires, key: Key, now: Moment) {
        let Some(conn) = wires.conns.get_mut(key) else {
            return;
        };
        match conn.fate() {
            None => return,
            Some(Fate::Lives) => {
                if let (Some(pool), Some(place)) = (&mut self.pool, conn.owner.place)
                    && conn.enlist()
                {
                    pool.idle(place);
                }
            }
            Some(Fate::Retires) => self.displace(conn),
            Some(Fate::Gone(ending)) => {
                self.displace(conn);
                if let (Some(conn), Some(how), true) = (wires.conns.remove(key), ending, self.pool.is_some()) {
                    self.tell_closed(&conn, how, now.at);
                }
            }
        }
        self.serve_waiting(wires);
    }

    /// Another connection may be opened in the place of this one.
    fn displace(&mut self, conn: &mut Conn) {
        if let (Some(pool), Some(place)) = (&mut self.pool, conn.owner.place.take()) {
            if conn.delist() {
                pool.lost_idle(place);
            } else {
                pool.lost(place);
            }
        }
    }

    /// The outcome in view of the time it took, and the thresholds that it exceeded.
    fn weigh(&self, slot: u64, outcome: Outcome, now: Moment) -> (Outcome, Vec<usize>) {
        let timeout = self.spec.thresholds.len();
        match (outcome, self.slots.exceeded(slot, now.at, now.attended)) {
            (Outcome::Ok, None) => (Outcome::Unseen, Vec::new()),
            (Outcome::Ok, Some(mut slow)) if slow.last() == Some(&timeout) => {
                slow.pop();
                (Outcome::ResponseTimeout, slow)
            }
            // A failure is one at whatever time; only the thresholds that it certainly exceeded are counted.
            (outcome, exceeded) => (outcome, exceeded.unwrap_or_default()),
        }
    }

    /// The time of a slot on a connection is over. A connection that others share goes on without it.
    fn time_out(&mut self, wires: &mut Wires, key: Key, slot: u64, now: Moment) {
        let Some(conn) = wires.conns.get_mut(key) else {
            return;
        };
        let (outcome, note) = match conn.timed_out(slot, &self.spec) {
            // What the other side had said by then it has said.
            (Outcome::ConnectTimeout | Outcome::Tls | Outcome::ResponseTimeout, _)
                if self.slots.in_doubt(slot, now.at, now.attended) =>
            {
                (Outcome::Unseen, UNATTENDED)
            }
            known => known,
        };
        let was_opening = conn.opening().is_some();
        if let Some(asked) = conn.take(slot) {
            let end = End { outcome, by: asked.answered_by(), slow: &[], until: now.at, peer: Some(conn.peer()) };
            self.book(slot, now, &end, || (Some(conn.trace(&asked, now.at)), note.to_owned()));
        }
        if self.pool.is_some() && conn.fate().is_some() {
            let step = conn.flush(&self.spec, now.at);
            return self.on_step(wires, key, step, now);
        }
        let place = wires.conns.remove(key).and_then(|conn| conn.owner.place);
        if let (Some(pool), Some(place)) = (&mut self.pool, place) {
            pool.lost(place);
        }
        if was_opening {
            self.share_failure(now, outcome, note);
        }
    }

    /// Ends the streams that have lasted long enough or been silent for too long.
    fn end_streams(&mut self, wires: &mut Wires, limit: Attended, now: Moment) {
        while let Some((slot, key, over)) = self.streams.as_mut().and_then(|streams: &mut Streams| streams.over(limit)) {
            let Some(mut conn) = wires.conns.remove(key) else {
                continue;
            };
            let timed_out = conn.timed_out(slot, &self.spec).0;
            let Some(asked) = conn.take(slot) else {
                continue;
            };
            // A head that has decided keeps its say.
            let (outcome, note) = match (over, timed_out) {
                (Over::Lasted, Outcome::ResponseTimeout) => (Outcome::Ok, ""),
                (Over::Lasted, by_head) => (by_head, ""),
                (Over::Stalled, outcome) => (outcome, "the stream fell silent"),
            };
            let until = asked.bytes().map_or(now.at, |(first, _)| first);
            let end = End { outcome, by: asked.answered_by(), slow: &[], until, peer: Some(conn.peer()) };
            self.book(slot, now, &end, || (Some(conn.trace(&asked, now.at)), note.to_owned()));
        }
    }

    /// Books the one end of a slot. `tell` is asked only if the failure will be listed.
    fn book(&mut self, slot: u64, now: Moment, end: &End<'_>, tell: impl FnOnce() -> (Option<Trace>, String)) {
        let Some(due) = self.slots.due(slot) else {
            return;
        };
        self.slots.end(slot, end.outcome.into());
        if let Some(streams) = &mut self.streams {
            streams.end(slot);
        }
        self.in_flight -= 1;
        self.schedule.ended(now.at, end.outcome);
        let direct = end.peer.and_then(|peer| self.pods.at(peer)).cloned();
        let by = (direct.as_ref().or(end.by.0), end.by.1);
        self.fold.ended(end.outcome, by, end.until.0.saturating_sub(due.0), end.slow);
        if let Some(witness) = self.witness.take() {
            let (trace, note) = tell();
            // Nobody waits for it any more when a single request is given up.
            let _ = witness.send(Witnessed { outcome: end.outcome, due, known: now.at, trace, note: cut(&note) });
            return;
        }
        if end.outcome == Outcome::Ok {
            return;
        }
        let lane = &self.spec.name;
        self.fold.failure(end.outcome, || {
            let (trace, note) = tell();
            let failure = Failure {
                direct: direct.is_some(),
                lane: lane.clone(),
                due,
                sent: None,
                known: now.at,
                phases: Phases::default(),
                outcome: end.outcome,
                status: None,
                pod: None,
                version: None,
                connection: None,
                note: cut(&note),
            };
            match trace {
                None => Failure { pod: direct.clone(), ..failure },
                Some(Trace { status, pod, version, sent, phases, connection, .. }) => {
                    Failure { sent, phases, status, pod: direct.clone().or(pod), version, connection: Some(connection), ..failure }
                }
            }
        });
    }

    fn tell_closed(&mut self, conn: &Conn, how: Ending, at: At) {
        let lane = &self.spec.name;
        self.fold.closed(|| Closed { lane: lane.clone(), at, how, connection: conn.connection(at) });
    }
}

/// A note as it is told.
fn cut(note: &str) -> String {
    note.chars().take(NOTE_MAX).collect()
}

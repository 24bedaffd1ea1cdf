//! HTTP/2 on a connection: as many requests at once as the other side takes and [`CONCURRENT_MAX`](super::super::http2::CONCURRENT_MAX)
//! allows, on a kept connection; one, and then the leave, on any other.

use std::collections::VecDeque;

use super::super::answer::Reading;
use super::super::classify;
use super::super::http1::{Head, Rules, Sink, Violation};
use super::super::http2::{Listener, Over, Session};
use super::super::names::Names;
use super::super::plan::LaneSpec;
use super::super::reactor::Ready;
use super::super::transport::{Fault, Got, Transport};
use super::{Asked, Fate, Step, Then, Verdict};
use crate::domain::outcome::Outcome;
use crate::domain::slice::Ending;
use crate::domain::time::At;

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Http2 {
    session: Session,
    under_way: Vec<UnderWay>,
    /// Requests that have ended and whose end nobody has taken yet.
    over: VecDeque<(Asked, Verdict)>,
    kept: bool,
    /// When something came last.
    heard: Option<At>,
    /// It gets no more requests, though the other side might take some.
    retired: bool,
    /// It has ended; how, is to be told if that cost no request.
    end: Option<Fate>,
    /// The lane knows that there is room for a request.
    listed: bool,
}

#[derive(Debug)]
struct UnderWay {
    stream: u32,
    /// Where in all that is sent it begins.
    begins: u64,
    asked: Asked,
}

impl Http2 {
    /// On a connection that has just been opened, for a first request.
    pub(super) fn new(asked: Asked, kept: bool, spec: &LaneSpec) -> Self {
        let mut all = Self {
            session: Session::new(),
            under_way: Vec::new(),
            over: VecDeque::new(),
            kept,
            heard: None,
            retired: false,
            end: None,
            listed: false,
        };
        all.add(asked, spec);
        all
    }

    /// Begins with another request.
    pub(super) fn begin(&mut self, asked: Asked, transport: &mut Transport, spec: &LaneSpec, now: At) -> Step {
        self.add(asked, spec);
        self.flush(transport, spec, now)
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self, transport: &mut Transport, spec: &LaneSpec, now: At) -> Step {
        if let Err(fault) = self.send(transport, spec, now) {
            self.lost(Some(&fault));
        }
        Step::Streams
    }

    /// Goes on with all that is under way.
    pub(super) fn exchange(
        &mut self,
        ready: Ready,
        transport: &mut Transport,
        spec: &LaneSpec,
        names: &mut Names,
        buffer: &mut [u8],
        now: At,
    ) -> Step {
        let unsendable = self.send(transport, spec, now).err();
        if ready.readable || unsendable.is_some() {
            // What the other side said before it went is heard in any case.
            self.read(ready, transport, spec, names, buffer, now);
        }
        if let Some(fault) = unsendable
            && self.end.is_none()
        {
            self.lost(Some(&fault));
        }
        Step::Streams
    }

    /// Reads what there is.
    pub(super) fn read(
        &mut self,
        ready: Ready,
        transport: &mut Transport,
        spec: &LaneSpec,
        names: &mut Names,
        buffer: &mut [u8],
        now: At,
    ) -> Step {
        let rules = Rules { bodiless: spec.bodiless, max_body: spec.expect.max_body as u64 };
        while self.end.is_none() {
            let n = match transport.read(buffer) {
                Ok(Got::Bytes(n)) => n,
                Ok(Got::Nothing) => break,
                Ok(Got::End | Got::Cut) => {
                    self.lost(None);
                    break;
                }
                Err(fault) => {
                    self.lost(Some(&fault));
                    break;
                }
            };
            self.heard = Some(now);
            let Self { session, under_way, over, kept, .. } = self;
            let mut hearing = Hearing { under_way, over, kept: *kept, spec, names, now };
            if let Err(violation) = session.feed(buffer.get(..n).unwrap_or_default(), rules, &mut hearing) {
                self.violated(violation, transport, spec, now);
                break;
            }
            // Windows and acknowledgements: the other side may wait for them. That it is gone, the next read will tell.
            let sent = self.send(transport, spec, now).is_ok();
            if n < buffer.len() && !ready.ended && sent && transport.empties() {
                break;
            }
        }
        Step::Streams
    }

    /// The next request that has ended.
    pub(super) fn next_over(&mut self) -> Option<(Asked, Verdict)> {
        self.over.pop_front()
    }

    /// The oldest request.
    pub(super) fn first(&self) -> Option<&Asked> {
        self.under_way.first().map(|one| &one.asked)
    }

    /// How the request of this slot ends when its time is over.
    pub(super) fn timed_out(&self, slot: u64, spec: &LaneSpec) -> (Outcome, &'static str) {
        let late = (Outcome::ResponseTimeout, "no answer by the deadline");
        let Some(one) = self.under_way.iter().find(|one| one.asked.slot == slot) else {
            return late;
        };
        if !one.asked.has_head() && self.session.is_held_back(one.stream, &spec.http2) {
            return (late.0, "the other side took only a part of the request's body by the deadline");
        }
        one.asked.timed_out()
    }

    /// Gives up the request of this slot. A connection on which nothing came since it was sent gets no more: it is most likely dead.
    pub(super) fn cancel(&mut self, slot: u64) -> Option<Asked> {
        let index = self.under_way.iter().position(|one| one.asked.slot == slot)?;
        let one = self.under_way.remove(index);
        self.session.cancel(one.stream);
        self.retired |= one.asked.sent.is_none_or(|sent| self.heard.is_none_or(|heard| heard < sent));
        Some(one.asked)
    }

    /// Takes its leave; the other side is to close the connection.
    pub(super) fn leave(&mut self, transport: &mut Transport, spec: &LaneSpec, now: At) {
        self.session.leave(None);
        // What becomes of it is of no interest any more.
        let _ = self.send(transport, spec, now);
    }

    /// It gets no more requests.
    pub(super) fn retire(&mut self) {
        self.retired = true;
    }

    /// What is to become of the connection.
    pub(super) fn fate(&self) -> Fate {
        let takes_more = !self.retired && self.session.takes_requests();
        match self.end {
            Some(end) => end,
            None if takes_more => Fate::Lives,
            None if self.under_way.is_empty() => Fate::Gone((!self.retired).then_some(Ending::Closed)),
            None => Fate::Retires,
        }
    }

    /// Whether the lane must be told that there is room for a request; it is told once.
    pub(super) fn enlist(&mut self) -> bool {
        let new = !self.listed && self.has_room();
        self.listed |= new;
        new
    }

    /// Whether the lane had been told, which it is to forget.
    pub(super) fn delist(&mut self) -> bool {
        std::mem::take(&mut self.listed)
    }

    /// Whether there is room for a request.
    pub(super) fn has_room(&self) -> bool {
        !self.retired && self.session.has_room()
    }

    fn add(&mut self, asked: Asked, spec: &LaneSpec) {
        let (stream, begins) = self.session.request(&spec.http2);
        self.under_way.push(UnderWay { stream, begins, asked });
    }

    fn send(&mut self, transport: &mut Transport, spec: &LaneSpec, now: At) -> Result<(), Fault> {
        loop {
            let waiting = self.session.waiting(&spec.http2);
            if waiting.is_empty() && !transport.wants_write() {
                return Ok(());
            }
            let taken = transport.write(waiting)?;
            self.session.advance(taken.bytes);
            if taken.left {
                let sent = self.session.taken();
                let begun = self.under_way.iter_mut().filter(|one| one.asked.sent.is_none() && one.begins < sent);
                begun.for_each(|one| one.asked.sent = Some(now));
            }
            if taken.bytes == 0 {
                return Ok(());
            }
        }
    }

    /// The connection has ended, with all that was under way.
    fn lost(&mut self, fault: Option<&Fault>) {
        let ending = match fault {
            None => Ending::Closed,
            Some(Fault::System(_)) => Ending::Reset,
            Some(Fault::Tls(_)) => Ending::Unasked,
        };
        let what = fault.map_or_else(|| "closed by the other side".to_owned(), Fault::note);
        let note = self.session.leaving().map_or_else(|| what.clone(), |said| format!("{what} after {said}"));
        self.end_all(ending, |asked| (classify::broken(fault, asked.sent.is_some(), asked.has_head()), note.clone()));
    }

    /// What came is not HTTP/2, or beyond what is read.
    fn violated(&mut self, violation: Violation, transport: &mut Transport, spec: &LaneSpec, now: At) {
        self.session.leave(Some(violation));
        // It need not arrive.
        let _ = self.send(transport, spec, now);
        let (outcome, why) = classify::violation(violation);
        self.end_all(Ending::Unasked, |_| (outcome, why.to_owned()));
    }

    fn end_all(&mut self, ending: Ending, how: impl Fn(&Asked) -> (Outcome, String)) {
        self.end = Some(Fate::Gone(self.under_way.is_empty().then_some(ending)));
        for UnderWay { asked, .. } in self.under_way.drain(..) {
            let (outcome, note) = how(&asked);
            let outcome = asked.failure(outcome);
            let then = if self.kept { Then::Shared { served: false } } else { Then::Close };
            self.over.push_back((asked, Verdict { outcome, note, then }));
        }
    }
}

/// Takes what comes to the requests that it is for.
struct Hearing<'a> {
    under_way: &'a mut Vec<UnderWay>,
    over: &'a mut VecDeque<(Asked, Verdict)>,
    kept: bool,
    spec: &'a LaneSpec,
    names: &'a mut Names,
    now: At,
}

impl Hearing<'_> {
    fn with(&mut self, stream: u32, take: impl FnOnce(&mut Reading<'_>)) {
        if let Some(one) = self.under_way.iter_mut().find(|one| one.stream == stream) {
            take(&mut Reading { answer: &mut one.asked.answer, spec: self.spec, names: self.names });
        }
    }
}

impl Listener for Hearing<'_> {
    fn heard(&mut self, stream: u32) {
        if let Some(one) = self.under_way.iter_mut().find(|one| one.stream == stream) {
            one.asked.heard(self.now);
        }
    }

    fn head(&mut self, stream: u32, head: &Head<'_>) {
        self.with(stream, |reading| reading.head(head));
    }

    fn body(&mut self, stream: u32, piece: &[u8]) {
        if let Some(one) = self.under_way.iter_mut().find(|one| one.stream == stream) {
            one.asked.heard(self.now);
        }
        self.with(stream, |reading| reading.body(piece));
    }

    fn over(&mut self, stream: u32, how: Over<'_>) {
        let Some(index) = self.under_way.iter().position(|one| one.stream == stream) else {
            return;
        };
        let asked = self.under_way.remove(index).asked;
        let (outcome, note) = match classify::over(how, asked.has_head()) {
            None => asked.answer.outcome(self.spec),
            Some((outcome, note)) => (asked.failure(outcome), note),
        };
        let whole = how == Over::Whole;
        let then = match (self.kept, whole) {
            (true, served) => Then::Shared { served },
            (false, true) => Then::Part,
            (false, false) => Then::Close,
        };
        self.over.push_back((asked, Verdict { outcome, note, then }));
    }
}

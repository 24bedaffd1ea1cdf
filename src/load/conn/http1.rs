//! HTTP/1.1 on a connection: one request at a time.

use super::super::answer::Reading;
use super::super::classify;
use super::super::http1::{AtEof, Decoder, Rules};
use super::super::names::Names;
use super::super::plan::LaneSpec;
use super::super::reactor::Ready;
use super::super::transport::{Fault, Got, Transport};
use super::{Asked, Step, Then, verdict};
use crate::domain::outcome::Outcome;
use crate::domain::time::At;

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Http1 {
    /// The request that is on the connection.
    pub(super) asked: Option<Asked>,
    /// The connection is to be used again.
    kept: bool,
    written: usize,
    decoder: Decoder,
}

impl Http1 {
    pub(super) fn new(asked: Asked, kept: bool) -> Self {
        Self { asked: Some(asked), kept, written: 0, decoder: Decoder::default() }
    }

    /// Begins with a request.
    pub(super) fn begin(&mut self, asked: Asked, transport: &mut Transport, spec: &LaneSpec, now: At) -> Step {
        self.asked = Some(asked);
        self.written = 0;
        self.decoder.reset();
        match self.write(transport, spec, now) {
            Ok(()) => Step::Wait,
            Err(fault) => self.broken(Some(&fault)),
        }
    }

    /// Goes on with it.
    pub(super) fn exchange(
        &mut self,
        ready: Ready,
        transport: &mut Transport,
        spec: &LaneSpec,
        names: &mut Names,
        buffer: &mut [u8],
        now: At,
    ) -> Step {
        if ready.writable
            && (self.written < spec.request.len() || transport.wants_write())
            && let Err(fault) = self.write(transport, spec, now)
            && self.asked.as_ref().is_none_or(|asked| asked.sent.is_none())
        {
            return self.broken(Some(&fault));
        }
        if ready.readable { self.read(ready, transport, spec, names, buffer, now) } else { Step::Wait }
    }

    fn write(&mut self, transport: &mut Transport, spec: &LaneSpec, now: At) -> Result<(), Fault> {
        loop {
            let taken = transport.write(spec.request.get(self.written..).unwrap_or_default())?;
            self.written += taken.bytes;
            if taken.left
                && let Some(asked) = &mut self.asked
            {
                asked.sent.get_or_insert(now);
            }
            if taken.bytes == 0 || self.written == spec.request.len() {
                return Ok(());
            }
        }
    }

    /// Reads what there is of the answer.
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
        loop {
            let n = match transport.read(buffer) {
                Ok(Got::Bytes(n)) => n,
                Ok(Got::Nothing) => return Step::Wait,
                Ok(Got::End) => return self.ended(spec),
                Ok(Got::Cut) => return self.broken(None),
                Err(fault) => return self.broken(Some(&fault)),
            };
            let Some(asked) = &mut self.asked else {
                return Step::Wait;
            };
            asked.heard(now);
            let mut sink = Reading { answer: &mut asked.answer, spec, names };
            match self.decoder.feed(buffer.get(..n).unwrap_or_default(), rules, &mut sink) {
                Ok(used) if self.decoder.done() => return self.complete(used < n, ready, transport, spec),
                Ok(_) => {}
                Err(violation) => {
                    let (outcome, why) = classify::violation(violation);
                    return self.failed(outcome, why.to_owned());
                }
            }
            if n < buffer.len() && !ready.ended && transport.empties() {
                // The socket is empty: what comes later makes an event of its own.
                return Step::Wait;
            }
        }
    }

    /// The whole answer came.
    fn complete(&self, surplus: bool, ready: Ready, transport: &Transport, spec: &LaneSpec) -> Step {
        let then = match self.kept {
            _ if surplus || ready.ended || self.written < spec.request.len() || transport.wants_write() => Then::Close,
            false => Then::Part,
            true if self.decoder.keep_alive() => Then::Keep,
            true => Then::Close,
        };
        self.answered(spec, then)
    }

    /// The other side will send no more.
    fn ended(&self, spec: &LaneSpec) -> Step {
        match self.decoder.at_eof() {
            AtEof::Complete => self.answered(spec, Then::Close),
            AtEof::Truncated | AtEof::NoHead => self.broken(None),
        }
    }

    fn answered(&self, spec: &LaneSpec, then: Then) -> Step {
        let Some(asked) = &self.asked else {
            return Step::Wait;
        };
        let (outcome, note) = asked.answer.outcome(spec);
        verdict(outcome, note, then)
    }

    /// The connection has ended, or has never been of use.
    pub(super) fn broken(&self, fault: Option<&Fault>) -> Step {
        let note = fault.map_or_else(|| "closed by the other side".to_owned(), Fault::note);
        let (sent, has_head) = self.asked.as_ref().map(|asked| (asked.sent.is_some(), asked.has_head())).unwrap_or_default();
        self.failed(classify::broken(fault, sent, has_head), note)
    }

    fn failed(&self, outcome: Outcome, note: String) -> Step {
        verdict(self.asked.as_ref().map_or(outcome, |asked| asked.failure(outcome)), note, Then::Close)
    }
}

//! Parts of the driver's hot path by themselves, so that `benches/` can measure and break them: what reads an answer and what books a slot.
//! The program itself never comes here.

use std::sync::Arc;

use super::answer::{Answer, Reading};
use super::attention::Attended;
use super::classify;
use super::fold::{LaneFold, histogram};
use super::http1::{AtEof, Decoder, Rules};
use super::names::Names;
use super::plan::{LaneError, LaneSpec};
use super::slab::Slab;
use super::slots::Slots;
use crate::domain::gaps::Class;
use crate::domain::outcome::Outcome;
use crate::domain::time::At;
use crate::domain::traffic::{LanePlan, Name};

/// Reads answers as a connection does, without one.
#[derive(Debug)]
pub struct Reader {
    spec: LaneSpec,
    names: Names,
}

/// What was made of the bytes of one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The one outcome.
    pub outcome: Outcome,
    /// What is wrong, for failures.
    pub note: String,
    /// The status, if the head came.
    pub status: Option<u16>,
    /// The pod that the head names.
    pub pod: Option<Name>,
    /// The version that the head names.
    pub version: Option<Name>,
    /// The answer was complete before the bytes ended, and used so many of them.
    pub complete: Option<usize>,
    /// The connection may carry another request.
    pub keep_alive: bool,
}

/// What was needed to read one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes held at most between two pieces.
    pub held: usize,
}

impl Reader {
    /// For the answers to the requests of this lane.
    pub fn new(lane: &LanePlan) -> Result<Self, LaneError> {
        let spec = LaneSpec::new(lane, "lab").map_err(|why| LaneError { lane: lane.name.clone(), why })?;
        Ok(Self { spec, names: Names::default() })
    }

    /// Reads one answer that comes in these pieces; after the last one the other side closes.
    pub fn read<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Seen, Cost) {
        let rules = Rules { bodiless: self.spec.bodiless, max_body: self.spec.expect.max_body as u64 };
        let (mut decoder, mut answer) = (Decoder::default(), Answer::default());
        let (mut used, mut held, mut violation) = (0, 0, None);
        for piece in pieces {
            let mut sink = Reading { answer: &mut answer, spec: &self.spec, names: &mut self.names };
            match decoder.feed(piece, rules, &mut sink) {
                Ok(n) => used += n,
                Err(why) => violation = Some(why),
            }
            held = held.max(decoder.held() + answer.held());
            if decoder.done() || violation.is_some() {
                break;
            }
        }
        let (outcome, note) = match (violation, decoder.at_eof()) {
            (Some(violation), _) => {
                let (outcome, why) = classify::violation(violation);
                (answer.by_head.unwrap_or(outcome), why.to_owned())
            }
            (None, AtEof::Complete) => answer.outcome(&self.spec),
            (None, AtEof::Truncated | AtEof::NoHead) => {
                let broken = classify::broken(None, true, answer.status.is_some());
                (answer.by_head.unwrap_or(broken), "closed by the other side".to_owned())
            }
        };
        let Answer { status, pod, version, .. } = answer;
        let complete = decoder.done().then_some(used);
        let keep_alive = violation.is_none() && decoder.keep_alive();
        (Seen { outcome, note, status, pod, version, complete, keep_alive }, Cost { held })
    }
}

/// Books slots as a lane does, without connections.
#[derive(Debug)]
pub struct Booker {
    slots: Slots,
    fold: LaneFold,
}

impl Booker {
    /// For a lane with these thresholds and this timeout, in microseconds; nothing when no histogram can be made.
    pub fn new(thresholds: &[u64], timeout: u64) -> Option<Self> {
        let fold = LaneFold::new(thresholds.len(), 1, histogram().ok()?);
        Some(Self { slots: Slots::new(thresholds, timeout), fold })
    }

    /// A slot begins, is sent, and ends well after `latency` microseconds.
    pub fn slot(&mut self, due: At, latency: u64, pod: &Name) {
        let (begun, at) = (Attended(due.0), At(due.0 + latency));
        let slot = self.slots.push(due, begun);
        self.fold.begun(0);
        self.slots.on(slot, Slab::<()>::new().next_key());
        self.fold.sent();
        while self.slots.pass(at, begun).is_some() {}
        let slow = self.slots.exceeded(slot, at, Attended(at.0)).unwrap_or_default();
        self.slots.end(slot, Class::Good);
        self.fold.ended(Outcome::Ok, (Some(pod), None), latency, &slow);
    }

    /// Ends a tenth of a second; answers how many slots it had.
    pub fn tenth(&mut self) -> u64 {
        let report = self.fold.take(self.slots.take_runs());
        report.parts.iter().map(|part| part.counts.total()).sum()
    }
}

/// The name of a pod.
pub fn name(text: &str) -> Name {
    Arc::from(text)
}

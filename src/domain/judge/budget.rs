//! Exact budget arithmetic: how many may fail, how many did, and whether what is unknown could still change the answer.

use super::{Plan, State};
use crate::domain::objective::Ppm;
use crate::domain::tally::LaneTally;
use crate::domain::verdict::Reason;

/// The budget of one objective over some lanes.
pub(super) struct Budget {
    /// Bad so far.
    pub(super) bad: u64,
    /// Bad that may be: of the traffic planned, or of the traffic that came when that was more (or when no more comes).
    pub(super) allowed: u64,
    /// Due and not known: in flight, or never sent.
    unknown: u64,
    due: u64,
    share: Ppm,
    closed: bool,
}

impl Budget {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates and windows are bounded far below 2^53")]
    pub(super) fn of(lanes: &[&LaneTally], share: Ppm, plan: &Plan, bad: u64) -> Self {
        let due: u64 = lanes.iter().map(|l| l.measured.due).sum();
        let known: u64 = lanes.iter().map(|l| l.measured.counts.valid()).sum();
        let planned: u64 = lanes.iter().map(|l| (l.rate * plan.window.as_secs_f64()) as u64).sum();
        let unknown = due.saturating_sub(known);
        let base = if plan.closed { due } else { due.max(planned) };
        Self { bad, allowed: share.allowed(base), unknown, due, share, closed: plan.closed }
    }

    /// Missed when more failed than may, counting all that is unknown as good; met when even counting it as bad the budget holds and no
    /// more traffic comes.
    pub(super) fn state(&self, code: &str, message: impl FnOnce() -> String) -> State {
        if self.bad > self.allowed {
            return State::Missed(Reason::new(code, message()));
        }
        if !self.closed {
            return State::Open("measuring".into());
        }
        if self.due == 0 {
            return State::Open("no request was due".into());
        }
        if self.bad + self.unknown > self.share.allowed(self.due) && self.unknown > 0 {
            return State::Open(format!(
                "{} of {} requests could not be sent or seen; with {} failures, {} are allowed",
                self.unknown, self.due, self.bad, self.allowed
            ));
        }
        State::Met
    }
}

//! One probe of one running container: when it is due, and what its results amount to.

use super::io::ProbeResult;
use super::plan::ProbePlan;
use crate::sandbox::model::object::Now;

/// Counts the results of a probe. It lives as long as the container's process: a restart begins a new one.
#[derive(Clone, Debug)]
pub(super) struct Prober {
    successes: u32,
    failures: u32,
    period: chrono::TimeDelta,
    /// The next tick; none when this probe has ended for good.
    next: Option<Now>,
    in_flight: bool,
    streak: Option<(bool, u32)>,
    verdict: Option<bool>,
}

impl Prober {
    /// A probe of a container that started at `started`.
    pub(super) fn new(plan: &ProbePlan, started: Now) -> Self {
        Self {
            successes: plan.successes,
            failures: plan.failures,
            period: plan.period,
            next: Some(started + plan.initial_delay),
            in_flight: false,
            streak: None,
            verdict: None,
        }
    }

    /// The latest result that passed its threshold.
    pub(super) fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// The probe may begin: at its first tick from now on, or, `at_once`, right now if its initial delay is over.
    pub(super) fn open(&mut self, now: Now, at_once: bool) {
        let Some(next) = self.next.as_mut() else { return };
        if at_once && *next <= now {
            *next = now;
        }
        while *next < now {
            *next += self.period;
        }
    }

    /// When this probe wants to be run; nothing while one is under way.
    pub(super) fn due(&self) -> Option<Now> {
        self.next.filter(|_| !self.in_flight)
    }

    /// Takes the tick of `now`, if it is due: the probe is under way until `result`.
    pub(super) fn start(&mut self, now: Now) -> bool {
        let Some(due) = self.due().filter(|&d| d <= now) else { return false };
        self.in_flight = true;
        self.next = Some(due + self.period);
        true
    }

    /// Books a result. `true` when the verdict has changed. A probe that could not be run says nothing.
    pub(super) fn result(&mut self, result: &ProbeResult, now: Now) -> bool {
        self.in_flight = false;
        // A tick that fell into a slow probe is made up for once; the rest are dropped.
        if let Some(next) = self.next.as_mut() {
            while *next + self.period <= now {
                *next += self.period;
            }
        }
        let Some(ok) = result.is_success() else { return false };
        let run = match self.streak {
            Some((last, run)) if last == ok => run.saturating_add(1),
            _ => 1,
        };
        self.streak = Some((ok, run));
        if run < if ok { self.successes } else { self.failures } || self.verdict == Some(ok) {
            return false;
        }
        self.verdict = Some(ok);
        true
    }

    /// No further probes; the verdict stays.
    pub(super) fn end(&mut self) {
        self.next = None;
    }
}

//! A monitor: evidence against one claim of health, collected over a whole rollout in constant memory.
//!
//! Health is a token bucket: in every stretch the expected bad events are at most the stretch's allowance plus one burst `b`. Because
//! nobody knows when trouble begins, 64 processes share the error probability: one from the start with half of the weight, 63 more that
//! begin on a fixed grid of times. Start times and weights are fixed beforehand, so their weighted sum is still fair.

use super::evidence::{AGAINST, log_sum_exp};

/// Processes of a monitor, the one from the start included.
pub const PROCESSES: usize = 64;
/// Weight of the process from the start.
const FIRST_WEIGHT: f64 = 0.5;
/// Weight of each later one.
const LATER_WEIGHT: f64 = 1.0 / 126.0;

/// Running sums, or their values when a process began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    trials: u64,
    bad: u64,
    allowance: f64,
}

/// One monitor. All sums are of what was told so far.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// Expected bad events per trial under health; for monitors whose allowance is told trial by trial, zero.
    rate: f64,
    sums: Sums,
    burst: f64,
    starts: Vec<Sums>,
    peak: f64,
}

impl Monitor {
    /// Health means at most `rate` expected bad events per trial, plus bursts.
    pub fn of_rate(rate: f64) -> Self {
        Self { rate, sums: Sums::default(), burst: 0.0, starts: Vec::new(), peak: 0.0 }
    }

    /// The allowance of each batch is told with it.
    pub fn of_batches() -> Self {
        Self::of_rate(0.0)
    }

    /// Trials and bad events that became known, and what health allowed beyond the rate.
    pub fn add(&mut self, trials: u64, bad: u64, allowance: f64) {
        self.sums.trials += trials;
        self.sums.bad += bad;
        self.sums.allowance += allowance;
    }

    /// Tolerates a burst of so many bad events. It never shrinks: what was tolerated once stays so.
    pub fn tolerate(&mut self, burst: f64) {
        self.burst = self.burst.max(burst);
    }

    /// Begins the next process now, if there is one left.
    pub fn restart(&mut self) {
        if self.starts.len() + 1 < PROCESSES {
            self.starts.push(self.sums);
        }
    }

    /// Weighs the evidence and remembers its peak. Needed only after a new bad event, because without one it cannot have grown.
    pub fn weigh(&mut self, pending: u64) -> f64 {
        let log_w = self.log_w(pending);
        self.peak = self.peak.max(log_w);
        log_w
    }

    /// `ln W` now; `pending` trials are under way and count as good.
    pub fn log_w(&self, pending: u64) -> f64 {
        let waiting = (PROCESSES - 1 - self.starts.len()) as f64 * LATER_WEIGHT;
        let first = FIRST_WEIGHT.ln() + self.log_e(&Sums::default(), pending);
        let later = self.starts.iter().map(|start| LATER_WEIGHT.ln() + self.log_e(start, pending));
        let idle = (waiting > 0.0).then(|| waiting.ln());
        log_sum_exp(std::iter::once(first).chain(later).chain(idle))
    }

    fn log_e(&self, since: &Sums, pending: u64) -> f64 {
        let trials = self.sums.trials - since.trials + pending;
        let allowance = self.rate * trials as f64 + (self.sums.allowance - since.allowance) + self.burst;
        AGAINST.log_e(self.sums.bad - since.bad, trials, allowance)
    }

    /// The highest `ln W` so far: `exp(−peak)` is an anytime-valid p-value.
    pub const fn peak(&self) -> f64 {
        self.peak
    }

    /// Trials so far.
    pub const fn trials(&self) -> u64 {
        self.sums.trials
    }

    /// Bad events so far.
    pub const fn bad(&self) -> u64 {
        self.sums.bad
    }

    /// The tolerated burst.
    pub const fn burst(&self) -> f64 {
        self.burst
    }
}

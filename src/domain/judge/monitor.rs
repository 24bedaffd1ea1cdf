//! A monitor: evidence against one claim of health, collected over a whole rollout in constant memory.
//!
//! Health is a token bucket: in every stretch the expected bad events are at most the stretch's allowance plus one burst `b`. Because
//! nobody knows when trouble begins, 64 processes share the error probability: one from the start with half of the weight, 63 more that
//! begin on a fixed grid of times. Start times and weights are fixed beforehand, so their weighted sum is still fair.

use super::evidence::{AGAINST, PARTS, log_sum_exp};

/// Processes of a monitor, the one from the start included.
pub const PROCESSES: usize = 64;
/// Weight of the process from the start.
pub(super) const FIRST_WEIGHT: f64 = 0.5;
/// Weight of each later one.
pub(super) const LATER_WEIGHT: f64 = 1.0 / 126.0;

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

    /// Begins the next process now, if there is one left. Of the trials told so far, `under_way` have not ended: they are the new process's
    /// too, or their bad ones would be held against it without them.
    pub fn restart(&mut self, under_way: u64) {
        if self.starts.len() + 1 < PROCESSES {
            self.starts.push(Sums { trials: self.sums.trials.saturating_sub(under_way), ..self.sums });
        }
    }

    /// Weighs the evidence and remembers its peak. Needed only after a new bad event, because without one it cannot have grown. Answers
    /// with `ln W` where that is above zero, and with zero elsewhere: what speaks for health alarms nobody.
    pub fn weigh(&mut self, pending: u64) -> f64 {
        if !self.suspects(pending) {
            return 0.0;
        }
        let log_w = self.log_w(pending).max(0.0);
        self.peak = self.peak.max(log_w);
        log_w
    }

    /// Has some process seen more bad events than health allows it? While none has, `ln W` is not above zero: `1 + (θ−1)x ≥ θ^x` for x
    /// from 0 to 1, so every term is at most its weight. Quick, and what is asked most of the time.
    pub fn suspects(&self, pending: u64) -> bool {
        std::iter::once(&Sums::default()).chain(&self.starts).any(|since| {
            let (bad, trials, allowance) = self.since(since, pending);
            bad as f64 > allowance.min(trials as f64)
        })
    }

    /// `ln W` now; `pending` trials are under way and count as good.
    pub fn log_w(&self, pending: u64) -> f64 {
        let waiting = (PROCESSES - 1 - self.starts.len()) as f64 * LATER_WEIGHT;
        let mut terms = [f64::NEG_INFINITY; PROCESSES * PARTS + 1];
        let (idle, rows) = terms.split_at_mut(1);
        idle.fill(waiting.ln());
        let mut used = 1;
        let mut put = |row: &mut [f64], weight: f64, since: &Sums| {
            let (bad, trials, allowance) = self.since(since, pending);
            let log_weight = weight.ln();
            for (term, e) in row.iter_mut().zip(AGAINST.log_terms(bad, trials, allowance)) {
                *term = log_weight + e;
            }
            used += PARTS;
        };
        let mut rows = rows.chunks_exact_mut(PARTS);
        if let Some(row) = rows.next() {
            put(row, FIRST_WEIGHT, &Sums::default());
        }
        // Processes that began at the same sums have the same evidence.
        for (same, row) in self.starts.chunk_by(|a, b| a == b).zip(rows) {
            put(row, same.len() as f64 * LATER_WEIGHT, &same[0]);
        }
        log_sum_exp(&terms[..used])
    }

    /// Bad events, trials and allowance since a process began.
    fn since(&self, start: &Sums, pending: u64) -> (u64, u64, f64) {
        let trials = self.sums.trials - start.trials + pending;
        let allowance = self.rate * trials as f64 + (self.sums.allowance - start.allowance) + self.burst;
        (self.sums.bad - start.bad, trials, allowance)
    }

    /// The highest `ln W` so far, never below zero: `exp(−peak)` is an anytime-valid p-value.
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

//! Confidence sequences: intervals that hold at all moments at once, and the certificate that a PASS needs.

use std::time::Duration;

use super::evidence::{AGAINST, FOR};
use crate::domain::display;
use crate::domain::latency::Latencies;
use crate::domain::objective::Ppm;

/// The chance that an interval shown beside a figure ever leaves out the true value during a run.
pub const SHOWN: f64 = 0.05;

/// Halvings of a bisection over [0, 1]: below the resolution of f64.
const STEPS: u32 = 60;

/// At all moments simultaneously the running mean of the conditional probability of a bad event is at least the first with probability
/// `1 − alpha`, and at most the second with probability `1 − alpha`; so it lies between them with `1 − 2·alpha`. Both are shares of one.
pub fn interval(bad: u64, trials: u64, alpha: f64) -> (f64, f64) {
    let limit = (1.0 / alpha).ln();
    (lower(bad, trials, limit), upper(bad, trials, limit))
}

/// The largest share that the evidence against it refutes.
fn lower(bad: u64, trials: u64, limit: f64) -> f64 {
    let n = trials as f64;
    bisect(|p| AGAINST.log_e(bad, trials, n * p) >= limit)
}

/// The smallest share that the evidence for less than it proves.
fn upper(bad: u64, trials: u64, limit: f64) -> f64 {
    let n = trials as f64;
    bisect(|p| FOR.log_e(bad, trials, n * p) < limit)
}

/// The supremum of the shares for which `holds` is true; it is true below some share and false above it.
fn bisect(holds: impl Fn(f64) -> bool) -> f64 {
    if !holds(0.0) {
        return 0.0;
    }
    if holds(1.0) {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if holds(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// Is the running mean proved to be below `share`, with an error of at most `beta`?
pub fn is_certified(bad: u64, trials: u64, share: f64, beta: f64) -> bool {
    FOR.log_e(bad, trials, share * trials as f64) >= (1.0 / beta).ln()
}

/// How many more good trials would certify it. At most `u64::MAX / 2`, for shares that no number of trials would.
pub fn missing(bad: u64, trials: u64, share: f64, beta: f64) -> u64 {
    let enough = |more: u64| is_certified(bad, trials.saturating_add(more), share, beta);
    if enough(0) {
        return 0;
    }
    let mut high = 1;
    while !enough(high) {
        if high > 1 << 50 {
            return u64::MAX / 2;
        }
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = u64::midpoint(low, high);
        if enough(middle) { high = middle } else { low = middle }
    }
    high
}

/// The ranks (from 1) between which the `q`-quantile of `n` latencies lies, with probability at least `1 − alpha` at all moments: those
/// for which neither kind of evidence about the number of larger values is decisive.
pub fn quantile_ranks(n: u64, q: f64, alpha: f64) -> (u64, u64) {
    let limit = (2.0 / alpha).ln();
    let allowance = n as f64 * (1.0 - q);
    let open = |s: u64| AGAINST.log_e(s, n, allowance) < limit && FOR.log_e(s, n, allowance) < limit;
    // Decisive evidence lies on both sides of the allowance, and grows away from it.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and n")]
    let centre = (allowance as u64).min(n);
    let low = first(0, centre, open);
    let high = n - first(0, n - centre, |s| open(n - s));
    ((n - high).max(1), (n - low + 1).min(n))
}

/// The first number from `low` to `high` for which `holds` is true; it is so from there on, and for `high`.
fn first(mut low: u64, mut high: u64, holds: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = u64::midpoint(low, high);
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    high
}

/// Between these availabilities (shares of one) the true one lies, at all moments of the run at once, with 95 % certainty. True is the
/// running mean of each request's own probability: nothing is assumed of requests being independent or alike.
pub fn availability(bad: u64, trials: u64) -> Option<(f64, f64)> {
    let (low, high) = (trials > 0).then(|| interval(bad, trials, SHOWN / 2.0))?;
    Some((1.0 - high, 1.0 - low))
}

/// Between these the true quantile lies, at all moments at once, with 95 % certainty, if all answers came from one distribution.
pub fn latency(latencies: &Latencies, share: Ppm) -> Option<(Duration, Duration)> {
    let n = latencies.count();
    let (low, high) = (n > 0).then(|| quantile_ranks(n, share.fraction(), SHOWN))?;
    Some((Duration::from_micros(latencies.ranked(low)?), Duration::from_micros(latencies.ranked(high)?)))
}

/// In parts per million, rounded outwards.
pub fn ppm((low, high): (f64, f64)) -> [u32; 2] {
    [parts(low.max(0.0), f64::floor).0, parts(high.min(1.0), f64::ceil).0]
}

/// `98.41 %` and `99.78 %`, rounded outwards.
pub fn shares(interval: (f64, f64)) -> (String, String) {
    let [low, high] = ppm(interval).map(Ppm);
    (display::percent(low), display::percent_up(high))
}

/// `38 ms` and `1.2 s`.
pub fn spans((low, high): (Duration, Duration)) -> (String, String) {
    (display::span(low), display::span(high))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of one")]
fn parts(share: f64, round: fn(f64) -> f64) -> Ppm {
    Ppm(round(share * f64::from(Ppm::ONE)) as u32)
}

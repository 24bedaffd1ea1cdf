//! How fast any test could be: what the simulation's delays are measured against.
//!
//! Wald: a test that errs with probability at most α needs on average at least `d(1−β‖α) / KL(p1‖p0)` requests, where `d` and `KL` are
//! binary relative entropies. A tolerated burst `b` adds `(1−α−β)·⌊b/(p1−p0)⌋`, because the service that fails at `p1` for that long and
//! at `p0` thereafter is healthy and looks the same till then.

/// Relative entropy of two coins, in nats.
pub fn kl(p: f64, q: f64) -> f64 {
    let term = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
    term(p, q) + term(1.0 - p, 1.0 - q)
}

/// The least mean number of requests to tell `p1` from the healthy `p0` with burst `b`. At least one.
pub fn mean_requests(p0: f64, p1: f64, alpha: f64, beta: f64, burst: f64) -> f64 {
    let tolerated = (1.0 - alpha - beta) * (burst / (p1 - p0)).floor();
    (tolerated + kl(1.0 - beta, alpha) / kl(p1, p0)).max(1.0)
}

/// The least number of requests by which a test can have decided with probability `1 − beta`.
pub fn quantile_requests(p0: f64, p1: f64, alpha: f64, beta: f64, burst: f64) -> u64 {
    let wanted = kl(1.0 - beta, alpha);
    let enough = |n: u64| {
        let healthy = p0 + burst / n as f64;
        healthy < p1 && n as f64 * kl(p1, healthy) >= wanted
    };
    let mut high = 1;
    while !enough(high) {
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = u64::midpoint(low, high);
        if enough(middle) { high = middle } else { low = middle }
    }
    high
}

/// The least mean number of seconds to see that the new version fails `p1` where the old one fails `p_old` and `c` times that is let
/// pass, at `rate` requests a second of which `share` go to the new version: only bad events tell.
pub fn compare_seconds(p_old: f64, p1: f64, c: f64, alpha: f64, beta: f64, rate: f64, share: f64) -> f64 {
    let events = rate * (share * p1 + (1.0 - share) * p_old);
    let bad = share * p1 / (share * p1 + (1.0 - share) * p_old);
    let healthy = c * share / (c * share + 1.0 - share);
    (kl(1.0 - beta, alpha) / kl(bad, healthy)).max(1.0) / events
}

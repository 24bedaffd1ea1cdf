//! The one statistical primitive. For `S` bad events in `n` trials, where a healthy rollout may have expected at most `A` of them,
//!
//! `E(S; n, A) = Σ_k v_k · θ_k^S / (1 + (θ_k − 1)·min(1, A/n))^n`
//!
//! is at most a non-negative martingale of mean one under health, whatever the dependence between trials: for one θ the product of
//! `θ^X / (1 + (θ−1)p)` over trials has conditional mean one, and `ln(1 + (θ−1)x)` is concave, so the worst way to spread `A` over `n`
//! trials is evenly (Jensen). By Ville's inequality `E` ever reaches `1/α` with probability at most `α`, so looking often costs
//! nothing. θ above one collects evidence against health, θ below one evidence for it.

use std::sync::LazyLock;

/// θs of a mixture.
pub const PARTS: usize = 10;

/// Terms this far below the greatest one add less than f64 can hold to a sum of all that a monitor has.
const NEGLIGIBLE: f64 = 45.0;

/// A mixture over θ, with weights that sum to one. Logarithms are taken once: a monitor weighs hundreds of terms in a tenth of a second.
#[derive(Debug)]
pub struct Mixture([Part; PARTS]);

#[derive(Clone, Copy, Debug)]
struct Part {
    log_theta: f64,
    /// θ − 1.
    excess: f64,
    log_weight: f64,
}

/// Against health. θ is an odds multiplier: it is aimed at a bad share of `θ·p0 / (1 + (θ−1)·p0)`.
pub static AGAINST: LazyLock<Mixture> = LazyLock::new(|| {
    let weight = 1.0 / PARTS as f64;
    Mixture::new([1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0].map(|theta| (theta, weight)))
});

/// For health. Half of the weight is on θ = 0, because healthy services fail no request at all.
pub static FOR: LazyLock<Mixture> = LazyLock::new(|| {
    let weight = |theta: f64| if theta == 0.0 { 0.5 } else { 0.5 / (PARTS - 1) as f64 };
    Mixture::new([0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9].map(|theta| (theta, weight(theta))))
});

impl Mixture {
    fn new(parts: [(f64, f64); PARTS]) -> Self {
        Self(parts.map(|(theta, weight)| Part { log_theta: theta.ln(), excess: theta - 1.0, log_weight: weight.ln() }))
    }

    /// `ln E(bad; trials, allowance)`. Zero for no trials; negative infinity when every θ is refuted.
    pub fn log_e(&self, bad: u64, trials: u64, allowance: f64) -> f64 {
        if trials == 0 { 0.0 } else { log_sum_exp(&self.log_terms(bad, trials, allowance)) }
    }

    /// The logarithms of the summands of `E`, one for each θ.
    pub(super) fn log_terms(&self, bad: u64, trials: u64, allowance: f64) -> [f64; PARTS] {
        if trials == 0 {
            return self.0.map(|part| part.log_weight);
        }
        let (s, n) = (bad as f64, trials as f64);
        let p = (allowance / n).min(1.0);
        self.0.map(|part| {
            let power = match bad {
                // 0^0 is one.
                0 => 0.0,
                _ if part.log_theta == f64::NEG_INFINITY => return f64::NEG_INFINITY,
                _ => s * part.log_theta,
            };
            part.log_weight + power - n * (part.excess * p).ln_1p()
        })
    }

    /// The odds multipliers and their weights.
    #[cfg(test)]
    pub(super) fn parts(&self) -> Vec<(f64, f64)> {
        self.0.iter().map(|part| (part.excess + 1.0, part.log_weight.exp())).collect()
    }
}

/// `ln Σ exp(x)` without overflow.
pub(super) fn log_sum_exp(terms: &[f64]) -> f64 {
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top.is_infinite() {
        return top;
    }
    top + terms.iter().filter(|t| **t > top - NEGLIGIBLE).map(|t| (t - top).exp()).sum::<f64>().ln()
}

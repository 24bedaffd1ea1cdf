//! The one statistical primitive. For `S` bad events in `n` trials, where a healthy rollout may have expected at most `A` of them,
//!
//! `E(S; n, A) = Σ_k v_k · θ_k^S / (1 + (θ_k − 1)·min(1, A/n))^n`
//!
//! is at most a non-negative martingale of mean one under health, whatever the dependence between trials: for one θ the product of
//! `θ^X / (1 + (θ−1)p)` over trials has conditional mean one, and `ln(1 + (θ−1)x)` is concave, so the worst way to spread `A` over `n`
//! trials is evenly (Jensen). By Ville's inequality `E` ever reaches `1/α` with probability at most `α`, so looking often costs
//! nothing. θ above one collects evidence against health, θ below one evidence for it.

/// A mixture over θ: `(θ, weight)`, weights summing to one.
#[derive(Clone, Copy, Debug)]
pub struct Mixture(&'static [(f64, f64)]);

/// Against health. θ is an odds multiplier: it is aimed at a bad share of `θ·p0 / (1 + (θ−1)·p0)`.
pub const AGAINST: Mixture = Mixture(&[
    (1.1, 0.1),
    (1.25, 0.1),
    (1.5, 0.1),
    (2.0, 0.1),
    (3.0, 0.1),
    (5.0, 0.1),
    (10.0, 0.1),
    (30.0, 0.1),
    (100.0, 0.1),
    (1000.0, 0.1),
]);

/// For health. Half of the weight is on θ = 0, because healthy services fail no request at all.
pub const FOR: Mixture = Mixture(&[
    (0.0, 0.5),
    (0.02, 1.0 / 18.0),
    (0.05, 1.0 / 18.0),
    (0.1, 1.0 / 18.0),
    (0.2, 1.0 / 18.0),
    (0.35, 1.0 / 18.0),
    (0.5, 1.0 / 18.0),
    (0.65, 1.0 / 18.0),
    (0.8, 1.0 / 18.0),
    (0.9, 1.0 / 18.0),
]);

impl Mixture {
    /// `ln E(bad; trials, allowance)`. Zero for no trials; negative infinity when every θ is refuted.
    pub fn log_e(self, bad: u64, trials: u64, allowance: f64) -> f64 {
        if trials == 0 {
            return 0.0;
        }
        let (s, n) = (bad as f64, trials as f64);
        let p = (allowance / n).min(1.0);
        let term = |&(theta, weight): &(f64, f64)| {
            if bad == 0 {
                return weight.ln() - n * ((theta - 1.0) * p).ln_1p();
            }
            if theta == 0.0 { f64::NEG_INFINITY } else { weight.ln() + s * theta.ln() - n * ((theta - 1.0) * p).ln_1p() }
        };
        log_sum_exp(self.0.iter().map(term))
    }
}

/// `ln Σ exp(x)` without overflow.
pub(super) fn log_sum_exp(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if top.is_infinite() {
        return top;
    }
    top + terms.map(|t| (t - top).exp()).sum::<f64>().ln()
}

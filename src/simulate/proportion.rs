//! What a count proves: exact (Clopper–Pearson) bounds on a probability, from so many hits in so many independent trials.

/// Halvings of a bisection over [0, 1]: below the resolution of f64.
const STEPS: u32 = 60;

/// The probability is at most this, with this confidence: were it more, so few hits would be too rare.
pub fn at_most(hits: u64, trials: u64, confidence: f64) -> f64 {
    if hits >= trials {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if up_to(hits, trials, middle) > 1.0 - confidence { low = middle } else { high = middle }
    }
    high
}

/// The probability is at least this, with this confidence.
pub fn at_least(hits: u64, trials: u64, confidence: f64) -> f64 {
    1.0 - at_most(trials.saturating_sub(hits), trials, confidence)
}

/// Probability of at most so many hits.
fn up_to(hits: u64, trials: u64, p: f64) -> f64 {
    if p <= 0.0 {
        return 1.0;
    }
    let (n, odds) = (trials as f64, (p / (1.0 - p)).ln());
    let mut log = n * (-p).ln_1p();
    let mut sum = log.exp();
    for k in 0..hits {
        let k = k as f64;
        log += ((n - k) / (k + 1.0)).ln() + odds;
        sum += log.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() <= 1e-9 * want, "{got}, want {want}");
    }

    #[test]
    fn no_hit_in_n_bounds_the_probability_by_the_nth_root() {
        close(at_most(0, 10_000, 0.95), 1.0 - 0.05_f64.powf(1e-4));
        assert_eq!((at_least(0, 10_000, 0.95), at_most(0, 0, 0.95), at_most(7, 7, 0.95)), (0.0, 1.0, 1.0));
    }

    #[test]
    fn bounds_are_those_at_which_the_count_is_just_not_too_rare() {
        // From tables: 3 of 20 is at most 34.37 % and at least 4.217 % with 95 % each.
        assert!((at_most(3, 20, 0.95) - 0.343_664).abs() < 1e-5, "{}", at_most(3, 20, 0.95));
        assert!((at_least(3, 20, 0.95) - 0.042_169).abs() < 1e-5, "{}", at_least(3, 20, 0.95));
        for (hits, trials) in [(1, 10), (50, 1_000), (5_000, 10_000)] {
            close(up_to(hits, trials, at_most(hits, trials, 0.99)), 0.01);
            assert!(at_least(hits, trials, 0.99) < hits as f64 / trials as f64);
        }
    }
}

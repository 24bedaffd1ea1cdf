//! A sample of delays in a few figures.

use schemars::JsonSchema;
use serde::Serialize;

/// Of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// How far the mean of another sample of this size would typically lie from the true one.
    pub error: f64,
    /// Half are not greater.
    pub median: f64,
    /// 95 of a hundred are not greater.
    pub q95: f64,
}

impl Spread {
    /// Of these; zeros when there are none.
    pub fn of(mut sample: Vec<f64>) -> Self {
        sample.sort_by(f64::total_cmp);
        let n = sample.len() as f64;
        if sample.is_empty() {
            return Self::default();
        }
        let mean = sample.iter().sum::<f64>() / n;
        let variance = sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        let quantile = |percent: usize| sample[(sample.len() * percent).div_ceil(100).saturating_sub(1)];
        Self { mean, error: (variance / n).sqrt(), median: quantile(50), q95: quantile(95) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_summed_up() {
        let spread = Spread::of((1..=100).rev().map(f64::from).collect());
        assert_eq!((spread.mean, spread.median, spread.q95), (50.5, 50.0, 95.0));
        assert!((spread.error - 2.901).abs() < 1e-3, "{}", spread.error);
        assert_eq!(Spread::of(vec![3.0]), Spread { mean: 3.0, error: 0.0, median: 3.0, q95: 3.0 });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}

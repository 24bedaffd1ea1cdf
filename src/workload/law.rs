//! Laws of random durations: `20ms`, `uniform(5ms,20ms)`, `lognormal(median=20ms,sigma=0.5)`.

use std::f64::consts::TAU;
use std::str::FromStr;
use std::time::Duration;

use rand::{Rng, RngExt};

use super::config::duration;

/// How long something takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Always the same.
    Fixed(Duration),
    /// Anything between the two, equally likely.
    Uniform(Duration, Duration),
    /// Half are below the median; sigma is the standard deviation of the logarithm.
    LogNormal {
        /// The median.
        median: Duration,
        /// Of the natural logarithm.
        sigma: f64,
    },
}

/// Nothing drawn is longer: a tail must not outlive every deadline.
const LONGEST: Duration = Duration::from_mins(1);

impl Law {
    /// No time at all.
    pub const NONE: Self = Self::Fixed(Duration::ZERO);

    /// One duration, at most a minute.
    pub fn draw(&self, rng: &mut impl Rng) -> Duration {
        let drawn = match *self {
            Self::Fixed(d) => d,
            Self::Uniform(from, to) => rng.random_range(from..=to),
            Self::LogNormal { median, sigma } => {
                // Box and Muller; 1 - u keeps the logarithm finite.
                let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
                let normal = (-2.0 * u.ln()).sqrt() * (TAU * v).cos();
                Duration::try_from_secs_f64(median.as_secs_f64() * (sigma * normal).exp()).unwrap_or(LONGEST)
            }
        };
        drawn.min(LONGEST)
    }
}

impl FromStr for Law {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, rest)) = text.split_once('(') else { return duration(text).map(Self::Fixed) };
        let arguments = rest.strip_suffix(')').ok_or("the closing bracket is missing")?;
        let (first, second) = arguments.split_once(',').ok_or("two arguments are needed")?;
        let (first, second) = (first.trim(), second.trim());
        match name.trim() {
            "uniform" => {
                let (from, to) = (duration(first)?, duration(second)?);
                if from <= to { Ok(Self::Uniform(from, to)) } else { Err("the first duration is the longer one".to_owned()) }
            }
            "lognormal" => {
                let median = duration(first.strip_prefix("median=").ok_or("the first argument is median=DURATION")?)?;
                let sigma = second.strip_prefix("sigma=").ok_or("the second argument is sigma=NUMBER")?;
                match sigma.parse() {
                    Ok(sigma) if (0.0..=10.0).contains(&sigma) => Ok(Self::LogNormal { median, sigma }),
                    _ => Err("sigma is not a number between 0 and 10".to_owned()),
                }
            }
            other => Err(format!("no law {other:?}: write a duration, uniform(A,B) or lognormal(median=M,sigma=S)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn laws_are_read_as_people_write_them() {
        assert_eq!("20ms".parse(), Ok(Law::Fixed(MS(20))));
        assert_eq!("uniform(5ms, 20ms)".parse(), Ok(Law::Uniform(MS(5), MS(20))));
        assert_eq!("lognormal(median=20ms,sigma=0.5)".parse(), Ok(Law::LogNormal { median: MS(20), sigma: 0.5 }));
        for wrong in [
            "uniform(20ms,5ms)",
            "uniform(5ms)",
            "uniform(5ms,20ms",
            "lognormal(20ms,0.5)",
            "lognormal(median=1s,sigma=x)",
            "exp(1s,2s)",
        ] {
            assert!(wrong.parse::<Law>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn draws_follow_the_law() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut many = |law: Law| {
            let mut drawn: Vec<_> = (0..10_001).map(|_| law.draw(&mut rng)).collect();
            drawn.sort();
            drawn
        };
        let uniform = many(Law::Uniform(MS(5), MS(20)));
        assert!(uniform[0] >= MS(5) && uniform[10_000] <= MS(20));
        let log_normal = many(Law::LogNormal { median: MS(20), sigma: 0.5 });
        // The median within 3 %, and the 97.7th percentile (two sigmas) at 20 ms * e within 6 %.
        assert!((19_400..20_600).contains(&log_normal[5_000].as_micros()), "{:?}", log_normal[5_000]);
        assert!((51_000..57_700).contains(&log_normal[9_773].as_micros()), "{:?}", log_normal[9_773]);
        assert_eq!(many(Law::Fixed(Duration::from_hours(1)))[0], LONGEST);
    }
}

//! What is left of an error budget, over a rolling day, and how fast it is being spent.

use std::collections::VecDeque;

use crate::domain::objective::Ppm;

/// The rolling window, in minutes.
pub const WINDOW_MINUTES: u64 = 24 * 60;

/// Spans over which a burn rate is told, in minutes, with the word for each.
pub const BURN_SPANS: [(&str, u64); 3] = [("5m", 5), ("1h", 60), ("6h", 360)];

/// Good and bad answers, minute by minute, of the last day. Bounded: one entry for each minute.
#[derive(Clone, Debug, Default)]
pub struct Rolling {
    minutes: VecDeque<(u64, u64, u64)>,
}

impl Rolling {
    /// Answers of a minute, counted since the service began. Minutes never go back.
    pub fn add(&mut self, minute: u64, good: u64, bad: u64) {
        match self.minutes.back_mut() {
            Some(last) if last.0 >= minute => {
                last.1 += good;
                last.2 += bad;
            }
            _ => self.minutes.push_back((minute, good, bad)),
        }
        while self.minutes.front().is_some_and(|(first, ..)| first + WINDOW_MINUTES <= minute) {
            self.minutes.pop_front();
        }
    }

    /// Good and bad answers of the last `span` minutes, the present one included.
    pub fn sums(&self, span: u64, now: u64) -> (u64, u64) {
        let within = self.minutes.iter().rev().take_while(|(minute, ..)| minute + span > now);
        within.fold((0, 0), |(good, bad), (_, g, b)| (good + g, bad + b))
    }

    /// The share of the day's error budget that is left: 1 when nothing failed, negative when more failed than was allowed. Nothing when
    /// nothing was asked, or nothing may fail.
    pub fn left(&self, promise: Ppm, now: u64) -> Option<f64> {
        Some(1.0 - self.burn(promise, WINDOW_MINUTES, now)?)
    }

    /// How fast the budget is being spent: at 1 exactly what is allowed fails. Nothing when nothing was asked, or nothing may fail.
    pub fn burn(&self, promise: Ppm, span: u64, now: u64) -> Option<f64> {
        let (good, bad) = self.sums(span, now);
        let allowed = 1.0 - promise.fraction();
        (good + bad > 0 && promise.0 < Ppm::ONE).then(|| bad as f64 / (good + bad) as f64 / allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMISE: Ppm = Ppm(990_000);

    #[track_caller]
    fn near(found: Option<f64>, wanted: f64) {
        assert!(found.is_some_and(|f| (f - wanted).abs() < 1e-9), "{found:?} is not {wanted}");
    }

    #[test]
    fn a_budget_is_spent_by_what_fails_and_comes_back_after_a_day() {
        let mut rolling = Rolling::default();
        assert_eq!(rolling.left(PROMISE, 0), None);
        rolling.add(0, 995, 5);
        near(rolling.left(PROMISE, 0), 0.5);
        near(rolling.burn(PROMISE, 5, 0), 0.5);
        rolling.add(10, 975, 25);
        near(rolling.left(PROMISE, 10), -0.5);
        near(rolling.burn(PROMISE, 5, 10), 2.5);
        assert_eq!(rolling.burn(PROMISE, 5, 20), None, "nothing was asked in these five minutes");
        rolling.add(WINDOW_MINUTES, 1_000, 0);
        near(rolling.left(PROMISE, WINDOW_MINUTES), 1.0 - 25.0 / 2_000.0 / 0.01);
        rolling.add(WINDOW_MINUTES + 10, 1_000, 0);
        near(rolling.left(PROMISE, WINDOW_MINUTES + 10), 1.0);
        assert_eq!(
            rolling.left(Ppm(Ppm::ONE), WINDOW_MINUTES + 10),
            None,
            "nothing may fail: there is no budget to have a share of"
        );
    }

    #[test]
    fn no_more_is_kept_than_one_entry_for_each_minute_of_a_day() {
        let mut rolling = Rolling::default();
        (0..5 * WINDOW_MINUTES).for_each(|minute| (0..3).for_each(|_| rolling.add(minute, 1, 0)));
        assert_eq!(rolling.minutes.len() as u64, WINDOW_MINUTES);
        assert_eq!(rolling.sums(WINDOW_MINUTES, 5 * WINDOW_MINUTES - 1), (3 * WINDOW_MINUTES, 0));
    }
}

//! What the workload does when: pure functions of the configuration, the time since the port opened and one draw.

use std::time::Duration;

use super::config::{Config, Lie};

/// What happens to one `/api` request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A proper answer.
    Serve,
    /// 503: not serving yet.
    TooEarly,
    /// No answer until the workload really serves, this much later.
    Wait(Duration),
    /// 500.
    Error,
    /// No answer, ever.
    Hang,
    /// Half an answer.
    Truncate,
}

impl Config {
    /// What `/readyz` says `up` after the port opened.
    pub(super) fn ready(&self, up: Duration, draining: bool) -> bool {
        let honest = up >= self.serve_after || self.readiness_lies != Lie::No;
        !draining && honest && up >= self.ready_delay && !self.flapped_down(up)
    }

    /// What `/livez` says.
    pub(super) fn alive(&self, up: Duration) -> bool {
        self.liveness_fails_after.is_none_or(|after| up < after)
    }

    /// The fate of a request that came at `up`, by a number drawn from `[0, 1)`.
    pub(super) fn fate(&self, up: Duration, draw: f64) -> Fate {
        if up < self.serve_after {
            return match self.readiness_lies {
                Lie::Hang => Fate::Wait(self.serve_after.saturating_sub(up)),
                Lie::No | Lie::Error => Fate::TooEarly,
            };
        }
        let error = if up >= self.error_after { self.error_ratio } else { 0.0 };
        if draw < self.hang_ratio {
            Fate::Hang
        } else if draw < self.hang_ratio + self.truncate_ratio {
            Fate::Truncate
        } else if draw < self.hang_ratio + self.truncate_ratio + error {
            Fate::Error
        } else {
            Fate::Serve
        }
    }

    fn flapped_down(&self, up: Duration) -> bool {
        self.readiness_flaps.is_some_and(|period| up.as_nanos() % period.as_nanos() >= period.as_nanos() / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::given;
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn config(variables: &[(&str, &str)]) -> Config {
        given(variables).unwrap()
    }

    fn ready_at(config: &Config, seconds: &[u64]) -> Vec<bool> {
        seconds.iter().map(|s| config.ready(S(*s), false)).collect()
    }

    #[test]
    fn readiness_waits_for_the_delay_and_for_serving_unless_it_lies() {
        let honest = [("READY_DELAY", "2s"), ("SERVE_AFTER", "5s")];
        assert_eq!(ready_at(&config(&honest), &[1, 2, 4, 5]), [false, false, false, true]);
        let liar = config(&[honest[0], honest[1], ("READINESS_LIES", "error")]);
        assert_eq!(ready_at(&liar, &[1, 2, 4, 5]), [false, true, true, true]);
        assert_eq!(liar.fate(S(4), 0.0), Fate::TooEarly);
        assert_eq!(liar.fate(S(5), 0.0), Fate::Serve);
        assert_eq!(config(&[honest[1], ("READINESS_LIES", "hang")]).fate(S(4), 0.0), Fate::Wait(S(1)));
    }

    #[test]
    fn readiness_flaps_by_half_periods_and_ends_with_the_drain() {
        let flapping = config(&[("READINESS_FLAPS", "4s")]);
        assert_eq!(ready_at(&flapping, &[0, 1, 2, 3, 4, 6]), [true, true, false, false, true, false]);
        assert!(!config(&[]).ready(S(9), true));
    }

    #[test]
    fn liveness_fails_from_its_time_on() {
        let config = config(&[("LIVENESS_FAILS_AFTER", "3s")]);
        assert_eq!([2, 3, 9].map(|s| config.alive(S(s))), [true, false, false]);
    }

    #[test]
    fn each_fate_has_its_share_of_the_draws() {
        let config = config(&[("HANG_RATIO", "0.1"), ("TRUNCATE_RATIO", "0.2"), ("ERROR_RATIO", "0.3"), ("ERROR_AFTER", "9s")]);
        let fates = |up| [0.05, 0.15, 0.35, 0.65].map(|draw| config.fate(S(up), draw));
        assert_eq!(fates(9), [Fate::Hang, Fate::Truncate, Fate::Error, Fate::Serve]);
        assert_eq!(fates(8), [Fate::Hang, Fate::Truncate, Fate::Serve, Fate::Serve]);
    }
}

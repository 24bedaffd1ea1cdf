//! Objectives as people write them: `availability >= 99%`, `p99 < 500ms`, `kept.longest_outage < 2s`, `deployed_within 5m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::traffic::Name;
use super::words::nearest;

/// A share of the whole in parts per million, exact: `99.95%` is 999 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ppm(pub u32);

impl Ppm {
    /// The whole.
    pub const ONE: u32 = 1_000_000;

    /// `part` of `whole`, rounded down; nothing when there is no whole.
    pub fn of(part: u64, whole: u64) -> Option<Self> {
        let ppm = (u128::from(part) * u128::from(Self::ONE)).checked_div(u128::from(whole))?;
        u32::try_from(ppm).ok().map(Self)
    }

    /// How many of `n` may miss: `floor(n * (1 - self))`, in integers.
    pub fn allowed(self, n: u64) -> u64 {
        let missing = u128::from(Self::ONE.saturating_sub(self.0));
        u64::try_from(u128::from(n) * missing / u128::from(Self::ONE)).unwrap_or(u64::MAX)
    }

    /// As a fraction of one.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ONE)
    }
}

impl fmt::Display for Ppm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", trimmed(self.0, 10_000))
    }
}

/// One line of `then:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Objective {
    /// The lane it is about; all lanes together when there is none.
    pub lane: Option<Name>,
    /// What must hold.
    pub goal: Goal,
}

/// What an objective demands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// `availability >= 99%`: the share of valid requests that were answered well.
    Availability(Ppm),
    /// `p99 < 500ms`: at least 99 % of valid requests answered well within the limit.
    Latency {
        /// The share that must be in time.
        share: Ppm,
        /// The limit.
        limit: Duration,
    },
    /// `longest_outage < 2s`: no stretch without a good answer lasts so long.
    LongestOutage(Duration),
    /// `deployed_within 5m`: from the change to the rollout's completion.
    DeployedWithin(Duration),
}

impl Goal {
    /// The latency limit, of a goal that has one.
    pub const fn limit(&self) -> Option<Duration> {
        match self {
            Self::Latency { limit, .. } => Some(*limit),
            Self::Availability(_) | Self::LongestOutage(_) | Self::DeployedWithin(_) => None,
        }
    }
}

/// The words an objective may begin with.
pub const METRICS: [&str; 9] = ["availability", "p50", "p75", "p90", "p95", "p99", "p99.9", "longest_outage", "deployed_within"];

/// Why a text is no objective.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ObjectiveError {
    /// The metric is not known.
    #[error("unknown objective `{word}`{}", hint(.nearest.as_deref()))]
    Metric {
        /// What was written.
        word: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// The comparison is missing or does not suit the metric.
    #[error("`{metric}` needs `{wanted}`, as in `{example}`")]
    Comparison {
        /// The metric.
        metric: String,
        /// Comparisons that it takes.
        wanted: &'static str,
        /// A whole objective.
        example: &'static str,
    },
    /// The value does not parse.
    #[error("`{value}` is no {wanted}, as in `{example}`")]
    Value {
        /// What was written.
        value: String,
        /// What is wanted.
        wanted: &'static str,
        /// A whole objective.
        example: &'static str,
    },
    /// The objective has no lane.
    #[error("`deployed_within` is about the rollout, not about a lane")]
    NoLane,
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(|| format!(", valid are {}", METRICS.join(", ")), |n| format!(", did you mean `{n}`?"))
}

impl FromStr for Objective {
    type Err = ObjectiveError;

    fn from_str(text: &str) -> Result<Self, ObjectiveError> {
        let text = text.trim();
        let end = text.find(|c: char| c.is_whitespace() || "<>=".contains(c)).unwrap_or(text.len());
        let (subject, rest) = text.split_at(end);
        let (lane, metric) = match subject.split_once('.') {
            Some((lane, metric)) if !is_metric(subject) => (Some(Name::from(lane)), metric),
            _ => (None, subject),
        };
        if !is_metric(metric) {
            let nearest = nearest(metric, METRICS).map(str::to_owned);
            return Err(ObjectiveError::Metric { word: metric.into(), nearest });
        }
        let goal = goal(metric, rest.trim())?;
        if lane.is_some() && matches!(goal, Goal::DeployedWithin(_)) {
            return Err(ObjectiveError::NoLane);
        }
        Ok(Self { lane, goal })
    }
}

fn is_metric(word: &str) -> bool {
    METRICS.contains(&word) || quantile(word).is_some()
}

/// `p99.9` as a share, for any quantile between p1 and p99.999.
fn quantile(word: &str) -> Option<Ppm> {
    let share = parts(word.strip_prefix('p')?, 10_000)?;
    (share >= 10_000 && share < u64::from(Ppm::ONE)).then_some(Ppm(u32::try_from(share).ok()?))
}

fn goal(metric: &str, rest: &str) -> Result<Goal, ObjectiveError> {
    let comparison =
        |wanted: &'static str, example: &'static str| ObjectiveError::Comparison { metric: metric.into(), wanted, example };
    let duration = |value: &str, example: &'static str| {
        let value = value.trim();
        let wrong = ObjectiveError::Value { value: value.into(), wanted: "duration", example };
        humantime::parse_duration(value).ok().filter(|d| !d.is_zero()).ok_or(wrong)
    };
    match metric {
        "availability" => {
            let example = "availability >= 99%";
            let value = rest.strip_prefix(">=").ok_or_else(|| comparison(">=", example))?.trim();
            let wrong = ObjectiveError::Value { value: value.into(), wanted: "percentage between 0% and 100%", example };
            share(value).map(Goal::Availability).ok_or(wrong)
        }
        "longest_outage" => {
            let example = "longest_outage < 2s";
            duration(below(rest).ok_or_else(|| comparison("<", example))?, example).map(Goal::LongestOutage)
        }
        "deployed_within" => duration(below(rest).unwrap_or(rest), "deployed_within 5m").map(Goal::DeployedWithin),
        _ => {
            let example = "p99 < 500ms";
            let limit = duration(below(rest).ok_or_else(|| comparison("<", example))?, example)?;
            quantile(metric).map(|share| Goal::Latency { share, limit }).ok_or_else(|| comparison("<", example))
        }
    }
}

fn below(rest: &str) -> Option<&str> {
    rest.strip_prefix("<=").or_else(|| rest.strip_prefix('<'))
}

/// `99.5%` or `0.995`, at most four decimals of a percent.
pub(in crate::domain) fn share(value: &str) -> Option<Ppm> {
    let ppm = match value.strip_suffix('%') {
        Some(percent) => parts(percent.trim_end(), 10_000)?,
        None => parts(value, u64::from(Ppm::ONE))?,
    };
    (ppm <= u64::from(Ppm::ONE)).then_some(Ppm(u32::try_from(ppm).ok()?))
}

/// A decimal number times `unit` (a power of ten), exactly; `None` when it has more decimals than the unit holds.
fn parts(text: &str, unit: u64) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') || decimals.contains('.') {
        return None;
    }
    let mut value = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let mut place = unit;
    for digit in decimals.bytes() {
        let digit = u64::from(digit - b'0');
        if place == 1 && digit != 0 {
            return None;
        }
        place = (place / 10).max(1);
        value = value.checked_add(if digit == 0 { 0 } else { digit * place })?;
    }
    Some(value)
}

/// `value / unit` without trailing zeros.
fn trimmed(value: u32, unit: u32) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{rest:0width$}").trim_end_matches('0').to_owned()
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(lane) = &self.lane {
            write!(f, "{lane}.")?;
        }
        self.goal.fmt(f)
    }
}

impl Goal {
    /// The word it begins with: `availability`, `p99`, …
    pub fn metric(&self) -> String {
        match self {
            Self::Availability(_) => "availability".into(),
            Self::Latency { share, .. } => format!("p{}", trimmed(share.0, 10_000)),
            Self::LongestOutage(_) => "longest_outage".into(),
            Self::DeployedWithin(_) => "deployed_within".into(),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |d: Duration| humantime::format_duration(d);
        let metric = self.metric();
        match *self {
            Self::Availability(share) => write!(f, "{metric} >= {share}"),
            Self::Latency { limit, .. } | Self::LongestOutage(limit) => write!(f, "{metric} < {}", time(limit)),
            Self::DeployedWithin(limit) => write!(f, "{metric} {}", time(limit)),
        }
    }
}

impl TryFrom<String> for Objective {
    type Error = ObjectiveError;
    fn try_from(text: String) -> Result<Self, ObjectiveError> {
        text.parse()
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        objective.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Objective {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn objectives_read_as_people_write_them_and_print_one_way() {
        for (text, printed) in [
            ("availability >= 99%", "availability >= 99%"),
            ("availability>=0.9995", "availability >= 99.95%"),
            ("p99 < 500ms", "p99 < 500ms"),
            ("p99.9<=1s 500ms", "p99.9 < 1s 500ms"),
            ("kept.p50 < 20ms", "kept.p50 < 20ms"),
            ("fresh.availability >= 99.9%", "fresh.availability >= 99.9%"),
            ("longest_outage < 2s", "longest_outage < 2s"),
            ("deployed_within 5m", "deployed_within 5m"),
        ] {
            let objective = parse(text);
            assert_eq!(objective.to_string(), printed);
            assert_eq!(parse(printed), objective);
        }
        assert_eq!(parse("p99.9 < 1s").goal, Goal::Latency { share: Ppm(999_000), limit: Duration::from_secs(1) });
    }

    #[test]
    fn a_wrong_objective_says_what_would_be_right() {
        let error = |text: &str| text.parse::<Objective>().unwrap_err().to_string();
        assert_eq!(error("avialability >= 99%"), "unknown objective `avialability`, did you mean `availability`?");
        assert_eq!(error("availability < 99%"), "`availability` needs `>=`, as in `availability >= 99%`");
        assert_eq!(error("availability >= 199%"), "`199%` is no percentage between 0% and 100%, as in `availability >= 99%`");
        assert_eq!(error("p99 < fast"), "`fast` is no duration, as in `p99 < 500ms`");
        assert_eq!(error("fresh.deployed_within 5m"), "`deployed_within` is about the rollout, not about a lane");
        assert!(error("happiness > 3").contains("valid are availability, p50"));
        assert!(error("p100 < 1s").starts_with("unknown objective `p100`"));
    }

    #[test]
    fn a_budget_is_exact_in_integers() {
        let slo = Ppm(990_000);
        assert_eq!([0, 99, 100, 199, 200, 24_000].map(|n| slo.allowed(n)), [0, 0, 1, 1, 2, 240]);
        assert_eq!(Ppm(999_500).allowed(u64::MAX), u64::MAX / 2_000);
        assert_eq!(Ppm(1_000_000).allowed(1_000_000), 0);
    }
}

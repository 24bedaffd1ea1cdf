//! How fast an autoscaler may move: windows in which recommendations must agree, policies for the rate, and the limits.

use chrono::TimeDelta;
use serde_json::Value;

use crate::sandbox::model::object::Now;

/// The longest window and period the API allows: what is older is never asked for.
const LONGEST: TimeDelta = TimeDelta::hours(1);
/// Before scaling down, recommendations of so many seconds are considered.
const SCALE_DOWN_WINDOW: i64 = 300;

/// What one autoscaler recommended and did lately.
#[derive(Debug, Default)]
pub(super) struct History {
    recommendations: Vec<(i64, Now)>,
    ups: Vec<(i64, Now)>,
    downs: Vec<(i64, Now)>,
}

impl History {
    /// Before the first recommendation the current size stands for it.
    pub(super) fn begin(&mut self, current: i64, now: Now) {
        if self.recommendations.is_empty() {
            self.recommendations.push((current, now));
        }
    }

    /// Remembers a change of size.
    pub(super) fn scaled(&mut self, from: i64, to: i64, now: Now) {
        if to > from {
            self.ups.push((to - from, now));
        } else {
            self.downs.push((from - to, now));
        }
    }

    fn recommend(&mut self, replicas: i64, now: Now) {
        for old in [&mut self.recommendations, &mut self.ups, &mut self.downs] {
            old.retain(|(_, at)| now - *at <= LONGEST);
        }
        self.recommendations.push((replicas, now));
    }

    fn within(&self, window: i64, now: Now) -> impl Iterator<Item = i64> {
        let cutoff = now - TimeDelta::seconds(window);
        self.recommendations.iter().filter(move |(_, at)| *at > cutoff).map(|(n, _)| *n)
    }

    /// The size at the beginning of a period that ends now.
    fn size_before(&self, current: i64, period: i64, now: Now) -> i64 {
        let cutoff = now - TimeDelta::seconds(period);
        let sum = |changes: &[(i64, Now)]| changes.iter().filter(|(_, at)| *at > cutoff).map(|(n, _)| n).sum::<i64>();
        current - sum(&self.ups) + sum(&self.downs)
    }
}

/// `minReplicas` and `maxReplicas`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) min: i64,
    pub(super) max: i64,
}

/// What the rules made of a recommendation, and the reasons they give.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Normalized {
    pub(super) replicas: i64,
    pub(super) able: (&'static str, &'static str),
    pub(super) is_limited: bool,
    pub(super) limit: (&'static str, &'static str),
}

const READY: (&str, &str) = ("ReadyForNewScale", "recommended size matches current size");
const UP_STABILIZED: (&str, &str) =
    ("ScaleUpStabilized", "recent recommendations were lower than current one, applying the lowest recent recommendation");
const DOWN_STABILIZED: (&str, &str) =
    ("ScaleDownStabilized", "recent recommendations were higher than current one, applying the highest recent recommendation");
const IN_RANGE: (&str, &str) = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_MANY: (&str, &str) = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: (&str, &str) = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const UP_LIMIT: (&str, &str) = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_LIMIT: (&str, &str) = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");

/// Applies `spec.behavior` and the limits to a recommendation.
pub(super) fn normalize(
    behavior: &Value,
    history: &mut History,
    limits: Limits,
    current: i64,
    recommended: i64,
    now: Now,
) -> Normalized {
    let (stable, stabilized) = if behavior.is_null() {
        let highest = history.within(SCALE_DOWN_WINDOW, now).fold(recommended, i64::max);
        (highest, DOWN_STABILIZED)
    } else {
        let window = |rules: &Value, default| rules["stabilizationWindowSeconds"].as_i64().unwrap_or(default);
        let lowest = history.within(window(&behavior["scaleUp"], 0), now).fold(recommended, i64::min);
        let highest = history.within(window(&behavior["scaleDown"], SCALE_DOWN_WINDOW), now).fold(recommended, i64::max);
        let stable = current.max(lowest).min(highest);
        (stable, if recommended >= current { UP_STABILIZED } else { DOWN_STABILIZED })
    };
    history.recommend(recommended, now);
    let (replicas, limit) = if behavior.is_null() {
        limit_plainly(limits, current, stable)
    } else {
        limit_by_rate(behavior, history, limits, current, stable, now)
    };
    Normalized { replicas, able: if stable == recommended { READY } else { stabilized }, is_limited: replicas != stable, limit }
}

/// Without any behavior: no more than double (or 4) at a time.
fn limit_plainly(limits: Limits, current: i64, wanted: i64) -> (i64, (&'static str, &'static str)) {
    let rate = (2 * current).max(4);
    let (most, why) = if limits.max > rate { (rate, UP_LIMIT) } else { (limits.max, TOO_MANY) };
    if wanted < limits.min {
        (limits.min, TOO_FEW)
    } else if wanted > most {
        (most, why)
    } else {
        (wanted, IN_RANGE)
    }
}

fn limit_by_rate(
    behavior: &Value,
    history: &History,
    limits: Limits,
    current: i64,
    wanted: i64,
    now: Now,
) -> (i64, (&'static str, &'static str)) {
    if wanted > current {
        let rate = Rules::read(&behavior["scaleUp"], &UP_POLICIES).limit(Direction::Up, current, history, now).max(current);
        let (most, why) = if limits.max > rate { (rate, UP_LIMIT) } else { (limits.max, TOO_MANY) };
        if wanted > most {
            return (most, why);
        }
    } else if wanted < current {
        let rate = Rules::read(&behavior["scaleDown"], &DOWN_POLICIES).limit(Direction::Down, current, history, now).min(current);
        let (least, why) = if limits.min < rate { (rate, DOWN_LIMIT) } else { (limits.min, TOO_FEW) };
        if wanted < least {
            return (least, why);
        }
    }
    (wanted, IN_RANGE)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Select {
    Max,
    Min,
    Disabled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Policy {
    by_percent: bool,
    value: i64,
    period: i64,
}

const UP_POLICIES: [Policy; 2] =
    [Policy { by_percent: false, value: 4, period: 15 }, Policy { by_percent: true, value: 100, period: 15 }];
const DOWN_POLICIES: [Policy; 1] = [Policy { by_percent: true, value: 100, period: 15 }];

struct Rules {
    select: Select,
    policies: Vec<Policy>,
}

impl Rules {
    fn read(rules: &Value, default: &[Policy]) -> Self {
        let select = match rules["selectPolicy"].as_str() {
            Some("Min") => Select::Min,
            Some("Disabled") => Select::Disabled,
            Some(_) | None => Select::Max,
        };
        let read = |p: &Value| Policy {
            by_percent: p["type"] == "Percent",
            value: p["value"].as_i64().unwrap_or(0),
            period: p["periodSeconds"].as_i64().unwrap_or(15),
        };
        let policies = rules["policies"].as_array().filter(|p| !p.is_empty());
        Self { select, policies: policies.map_or_else(|| default.to_vec(), |p| p.iter().map(read).collect()) }
    }

    /// The size that may not be passed now.
    fn limit(&self, direction: Direction, current: i64, history: &History, now: Now) -> i64 {
        let proposals = self.policies.iter().map(|p| p.limit(direction, history.size_before(current, p.period, now)));
        // The largest change is the highest size going up and the lowest going down.
        let limit = match (self.select, direction) {
            (Select::Disabled, _) => None,
            (Select::Max, Direction::Up) | (Select::Min, Direction::Down) => proposals.max(),
            (Select::Min, Direction::Up) | (Select::Max, Direction::Down) => proposals.min(),
        };
        limit.unwrap_or(current)
    }
}

impl Policy {
    fn limit(self, direction: Direction, start: i64) -> i64 {
        match (direction, self.by_percent) {
            (Direction::Up, false) => start + self.value,
            (Direction::Down, false) => start - self.value,
            // Rounded so that something can always be added, and away from what may be taken.
            (Direction::Up, true) => (start * (100 + self.value) + 99).div_euclid(100),
            (Direction::Down, true) => (start * (100 - self.value)).div_euclid(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIMITS: Limits = Limits { min: 1, max: 20 };

    fn at(second: i64) -> Now {
        Now::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    /// The sizes an autoscaler goes through, given what is recommended each 15 s.
    fn sizes(behavior: &Value, start: i64, recommended: &[i64]) -> Vec<i64> {
        let mut history = History::default();
        let mut current = start;
        history.begin(current, at(0));
        let mut sizes = Vec::new();
        for (i, recommended) in (1..).zip(recommended) {
            let next = normalize(behavior, &mut history, LIMITS, current, *recommended, at(15 * i)).replicas;
            if next != current {
                history.scaled(current, next, at(15 * i));
            }
            current = next;
            sizes.push(current);
        }
        sizes
    }

    #[test]
    fn without_behavior_growth_at_most_doubles_and_stops_at_the_maximum() {
        assert_eq!(sizes(&Value::Null, 1, &[30; 5]), [4, 8, 16, 20, 20]);
    }

    #[test]
    fn shrinking_waits_until_five_minutes_of_recommendations_agree() {
        let mut recommended = vec![8];
        recommended.extend([2; 25]);
        let sizes = sizes(&Value::Null, 8, &recommended);
        // The last recommendation of 8 was given at 15 s, and counts for 300 s.
        assert_eq!(sizes.iter().position(|s| *s == 2), Some(20));
        assert!(sizes[..20].iter().all(|s| *s == 8));
    }

    #[test]
    fn the_default_policies_of_a_behavior_are_four_pods_or_double_each_quarter_minute() {
        assert_eq!(sizes(&json!({"scaleUp": {}}), 2, &[20; 4]), [6, 12, 20, 20]);
    }

    #[test]
    fn a_policy_of_one_pod_a_minute_takes_one_pod_a_minute() {
        let behavior = json!({"scaleDown": {
            "stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
        }});
        assert_eq!(sizes(&behavior, 5, &[1; 10]), [4, 4, 4, 4, 3, 3, 3, 3, 2, 2]);
    }

    #[test]
    fn the_policy_is_selected_by_the_size_of_the_change() {
        let policies =
            json!([{"type": "Pods", "value": 1, "periodSeconds": 15}, {"type": "Percent", "value": 50, "periodSeconds": 15}]);
        let select = |policy: &str| sizes(&json!({"scaleUp": {"selectPolicy": policy, "policies": policies}}), 10, &[20]);
        assert_eq!([select("Max"), select("Min"), select("Disabled")], [[15], [11], [10]]);
        let select = |policy: &str| {
            let rules = json!({"stabilizationWindowSeconds": 0, "selectPolicy": policy, "policies": policies});
            sizes(&json!({"scaleDown": rules}), 10, &[1])
        };
        assert_eq!([select("Max"), select("Min"), select("Disabled")], [[5], [9], [10]]);
    }

    #[test]
    fn a_scale_up_window_takes_the_lowest_recent_recommendation() {
        let behavior = json!({"scaleUp": {"stabilizationWindowSeconds": 60}});
        assert_eq!(sizes(&behavior, 2, &[5, 6, 7, 8, 9, 9]), [2, 2, 2, 5, 6, 7]);
    }
}

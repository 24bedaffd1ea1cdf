//! Durations as a policy has them: `1m30s`, `250ms`. What the Gateway API writes, and what CEL can read.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use serde_json::{Value, json};

/// The same for a schema: up to four numbers of up to five digits, each with its unit.
pub(super) const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";
/// No duration that matches the pattern is longer.
pub(super) const LENGTH: u32 = 28;

/// Units, the largest first, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const MAX_PARTS: usize = 4;
const MAX_DIGITS: usize = 5;

/// Between which bounds a duration is, both included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) least: Duration,
    pub(super) most: Duration,
}

impl Range {
    /// Says what would be right of the field of this name.
    pub(super) fn check(self, field: &str, duration: Duration) -> Result<(), String> {
        let within = (self.least..=self.most).contains(&duration);
        if within { Ok(()) } else { Err(format!("`{field}` is {}: it must be {}", format(duration), self.words())) }
    }

    /// The same as a rule of a schema.
    pub(super) fn rule(self) -> Value {
        let (least, most) = (format(self.least), format(self.most));
        let within = format!("duration(self) >= duration('{least}') && duration(self) <= duration('{most}')");
        json!([{"rule": format!("self.matches('{PATTERN}') && {within}"), "message": format!("must be {}", self.words())}])
    }

    fn words(self) -> String {
        format!("a duration from {} to {}, as in `10s` or `1m30s`", format(self.least), format(self.most))
    }
}

fn parse(text: &str) -> Option<Duration> {
    let (mut rest, mut parts, mut sum) = (text, 0, 0);
    while !rest.is_empty() && parts < MAX_PARTS {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| (1..=MAX_DIGITS).contains(digits))?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == &tail[..unit])?;
        sum += number.parse::<u64>().ok()? * millis;
        rest = &tail[unit..];
        parts += 1;
    }
    (rest.is_empty() && parts > 0).then(|| Duration::from_millis(sum))
}

fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, millis) in UNITS {
        if rest >= millis {
            text = format!("{text}{}{name}", rest / millis);
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// Writes `1m30s`.
pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// Reads `1m30s`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is no duration, as in `1m30s` or `250ms`")))
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn what_is_read_is_what_the_pattern_says_and_other_readers_agree() {
        let pattern = Regex::new(PATTERN).unwrap();
        let texts = ["0s", "250ms", "10s", "1m30s", "1h", "24h", "99999h99999m99999s99999ms", "1s1s", "01s", "0h0m0s0ms"];
        for text in texts {
            let read = parse(text).unwrap_or_else(|| panic!("{text}"));
            assert!(pattern.is_match(text) && text.len() <= LENGTH as usize, "{text}");
            assert_eq!(humantime::parse_duration(text), Ok(read), "{text}");
        }
        for text in
            ["", "10", "s", "1 s", "1m 30s", "1d", "1.5s", "-1s", "+1s", "100000s", "1s1s1s1s1s", "1S", "1us", "soon", "1s "]
        {
            assert_eq!((parse(text), pattern.is_match(text)), (None, false), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (millis, text) in
            [(0, "0s"), (1, "1ms"), (1_500, "1s500ms"), (90_000, "1m30s"), (86_400_000, "24h"), (3_600_001, "1h1ms")]
        {
            let duration = Duration::from_millis(millis);
            assert_eq!(format(duration), text);
            assert_eq!(parse(text), Some(duration));
        }
    }

    #[test]
    fn the_bounds_are_within() {
        let range = Range { least: Duration::from_secs(1), most: Duration::from_mins(10) };
        let check = |millis| range.check("every", Duration::from_millis(millis)).is_ok();
        assert_eq!([999, 1_000, 600_000, 600_001].map(check), [false, true, true, false]);
        let error = range.check("every", Duration::ZERO).unwrap_err();
        assert_eq!(error, "`every` is 0s: it must be a duration from 1s to 10m, as in `10s` or `1m30s`");
    }
}

//! When a spent error budget freezes rollouts: `budget < 10%`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::domain::objective::{Ppm, share};

/// What a schema can say of it.
const PATTERN: &str = "^ *budget *< *[0-9]{1,3}([.][0-9]{1,4})? *% *$";
const EXAMPLE: &str = "must be written as in `budget < 10%`, with a share from 0% to 100%";

/// Rollouts are frozen while less than this share of the error budget is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FreezeWhen {
    /// The share. With none, rollouts are frozen when more failed than was allowed.
    pub below: Ppm,
}

impl fmt::Display for FreezeWhen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "budget < {}", self.below)
    }
}

impl FromStr for FreezeWhen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`freezeWhen: {text}` {EXAMPLE}");
        let rest = text.trim().strip_prefix("budget").and_then(|rest| rest.trim_start().strip_prefix('<'));
        let percent = rest.map(str::trim).filter(|rest| rest.ends_with('%')).ok_or_else(wrong)?;
        share(percent).map(|below| Self { below }).ok_or_else(wrong)
    }
}

impl TryFrom<String> for FreezeWhen {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<FreezeWhen> for String {
    fn from(freeze: FreezeWhen) -> Self {
        freeze.to_string()
    }
}

impl JsonSchema for FreezeWhen {
    fn schema_name() -> Cow<'static, str> {
        "FreezeWhen".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": PATTERN, "maxLength": 40,
            "x-kubernetes-validations": [{"rule": format!("self.matches('{PATTERN}')"), "message": EXAMPLE}],
        })
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn it_reads_as_people_write_it_and_prints_one_way() {
        let pattern = Regex::new(PATTERN).unwrap();
        for (text, printed, ppm) in [
            ("budget < 10%", "budget < 10%", 100_000),
            (" budget<2.5 % ", "budget < 2.5%", 25_000),
            ("budget < 0%", "budget < 0%", 0),
            ("budget < 100%", "budget < 100%", 1_000_000),
        ] {
            let read: FreezeWhen = text.parse().unwrap();
            assert_eq!((read.below, read.to_string().as_str()), (Ppm(ppm), printed), "{text}");
            assert!(pattern.is_match(text) && pattern.is_match(printed), "{text}");
        }
        for text in
            ["", "10%", "budget", "budget < 10", "budget > 10%", "budget <= 10%", "budget < 101%", "budget < -1%", "burn < 10%"]
        {
            assert!(text.parse::<FreezeWhen>().unwrap_err().contains("`budget < 10%`"), "{text}");
        }
    }
}

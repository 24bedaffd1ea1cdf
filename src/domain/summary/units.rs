//! Times as the published form writes them: plain numbers whose unit stands in the field's name.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::time::{At, micros};

/// A moment or a length, written as seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub At);

/// A length, written as milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub Duration);

impl Seconds {
    /// A length in seconds.
    pub fn lasting(length: Duration) -> Self {
        Self(At(micros(length)))
    }

    /// As a length.
    pub const fn length(self) -> Duration {
        self.0.since(At::ZERO)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(self.0.seconds())
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        whole_micros(f64::deserialize(d)?, 1e6).map(|m| Self(At(m)))
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(micros(self.0) as f64 / 1e3)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        whole_micros(f64::deserialize(d)?, 1e3).map(|m| Self(Duration::from_micros(m)))
    }
}

/// Exact for any number that was written here: a double holds whole microseconds up to 2^53, 285 years.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
fn whole_micros<E: Error>(number: f64, unit: f64) -> Result<u64, E> {
    let micros = (number * unit).round();
    if (0.0..=9.0e15).contains(&micros) { Ok(micros as u64) } else { Err(E::custom(format!("{number} is no length of time"))) }
}

macro_rules! number_in_schemas {
    ($($unit:ident),*) => {$(
        impl JsonSchema for $unit {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($unit).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schemars::json_schema!({"type": "number", "minimum": 0})
            }
        }
    )*};
}

number_in_schemas!(Seconds, Millis);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_being_written_as_numbers() {
        for micros in [0, 1, 999_999, 12_345_678, 86_400_000_001, 3_155_760_000_000_003] {
            let (at, span) = (Seconds(At(micros)), Millis(Duration::from_micros(micros)));
            let text = serde_json::to_string(&(at, span)).unwrap();
            assert_eq!(serde_json::from_str::<(Seconds, Millis)>(&text).unwrap(), (at, span), "{text}");
        }
        assert_eq!(serde_json::to_string(&(Seconds(At(12_300_000)), Millis(Duration::from_micros(5_250)))).unwrap(), "[12.3,5.25]");
        assert_eq!(serde_json::from_str::<Seconds>("-1").unwrap_err().to_string(), "-1 is no length of time");
    }
}

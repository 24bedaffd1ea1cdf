//! Reading a request's body: bounded, JSON or YAML, with an eye for keys that occur twice.

use std::cell::RefCell;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::media::Encoding;
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::schema::proto;
use crate::sandbox::model::store;

/// As much as a body may hold.
pub(super) const LARGEST: usize = 3 * 1024 * 1024;
/// As long as it may take to come.
const SLOWEST: Duration = Duration::from_mins(1);
/// As deep as it may be.
const DEEPEST: usize = 100;
/// As many repeated keys as are named.
const MOST_DUPLICATES: usize = 100;

/// Reads the whole body.
pub(super) async fn read(body: Body) -> Result<Bytes, ApiError> {
    let whole = tokio::time::timeout(SLOWEST, Limited::new(body, LARGEST).collect());
    let Ok(read) = whole.await else { return Err(ApiError::bad_request("the body did not come in time")) };
    match read {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {LARGEST}"), None))
        }
        Err(error) => Err(ApiError::bad_request(format!("the body could not be read: {error}"))),
    }
}

/// Parses a body.
pub(super) fn parse(bytes: &[u8], encoding: Encoding) -> Result<store::Body, String> {
    if encoding == Encoding::Protobuf {
        return proto::decode(bytes).map(store::Body::from).map_err(|e| e.to_string());
    }
    if encoding == Encoding::Yaml && !bytes.trim_ascii_start().starts_with(b"{") {
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        let value: Value = serde_saphyr::from_str(text).map_err(|e| format!("error converting YAML to JSON: yaml: {e}"))?;
        return Ok(value.into());
    }
    let duplicates = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value =
        Careful { duplicates: &duplicates, at: String::new(), depth: 0 }.deserialize(&mut reader).map_err(|e| in_go(&e, bytes))?;
    reader.end().map_err(|e| in_go(&e, bytes))?;
    Ok(store::Body { value, duplicates: duplicates.into_inner() })
}

/// A syntax error as the API server words it.
fn in_go(error: &serde_json::Error, bytes: &[u8]) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".into();
    }
    let line = bytes.split(|b| *b == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let at = line.get(error.column().saturating_sub(1)).copied().map_or('?', char::from);
    let wanted = error.to_string();
    match () {
        () if wanted.starts_with("key must be a string") => {
            format!("invalid character {at:?} looking for beginning of object key string")
        }
        () if wanted.starts_with("expected value") || wanted.starts_with("expected ident") => {
            format!("invalid character {at:?} looking for beginning of value")
        }
        () => wanted,
    }
}

/// Reads a value and notes the path of each key that its object already had.
struct Careful<'a> {
    duplicates: &'a RefCell<Vec<String>>,
    at: String,
    depth: usize,
}

impl Careful<'_> {
    fn below(&self, at: String) -> Self {
        Self { duplicates: self.duplicates, at, depth: self.depth + 1 }
    }
}

impl<'de> DeserializeSeed<'de> for Careful<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > DEEPEST {
            return Err(serde::de::Error::custom("exceeded max depth"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Careful<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Number::from_f64(v).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(self.below(format!("{}[{}]", self.at, out.len())))? {
            out.push(item);
        }
        Ok(out.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let at = if self.at.is_empty() { key.clone() } else { format!("{}.{key}", self.at) };
            let value = entries.next_value_seed(self.below(at.clone()))?;
            let mut duplicates = self.duplicates.borrow_mut();
            if out.insert(key, value).is_some() && duplicates.len() < MOST_DUPLICATES && !duplicates.contains(&at) {
                duplicates.push(at);
            }
        }
        Ok(out.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn repeated_keys_are_named_and_the_last_one_counts() {
        let body = parse(br#"{"a": {"b": 1, "b": 2}, "c": [{"d": 1}, {"d": 1, "d": {"e": 2.5}}]}"#, Encoding::Json).unwrap();
        assert_eq!(body.value, json!({"a": {"b": 2}, "c": [{"d": 1}, {"d": {"e": 2.5}}]}));
        assert_eq!(body.duplicates, ["a.b", "c[1].d"]);
    }

    #[test]
    fn mistakes_are_worded_as_the_server_words_them() {
        assert_eq!(parse(b"{bad", Encoding::Json).unwrap_err(), "invalid character 'b' looking for beginning of object key string");
        assert_eq!(parse(b"", Encoding::Json).unwrap_err(), "unexpected end of JSON input");
        assert_eq!(parse(b"[1,", Encoding::Json).unwrap_err(), "unexpected end of JSON input");
        assert!(parse("[".repeat(200).as_bytes(), Encoding::Json).unwrap_err().contains("exceeded max depth"));
    }

    #[test]
    fn yaml_is_read_where_it_is_announced() {
        let body = parse(b"a:\n  b: [1, x]\n  c: null\n", Encoding::Yaml).unwrap();
        assert_eq!(body.value, json!({"a": {"b": [1, "x"], "c": null}}));
        assert_eq!(parse(b"{\"a\": 1}", Encoding::Yaml).unwrap().value, json!({"a": 1}));
    }
}

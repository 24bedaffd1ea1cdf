//! Small texts of cells: ages, labels, lists that are cut.

use serde_json::Value;

use crate::sandbox::model::object::{Now, parse_time};

/// How long ago, as people say it: coarser the longer it is.
pub(super) fn ago(then: &Value, now: Now) -> String {
    let Some(then) = parse_time(then) else { return "<unknown>".into() };
    let seconds = (now - then).num_seconds();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two = |big: i64, big_unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit}{small}{small_unit}") }
    };
    match () {
        () if seconds < -1 => "<invalid>".into(),
        () if seconds < 0 => "0s".into(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 24 * 8 => two(hours / 24, "d", hours % 24, "h"),
        () if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        () if hours < 24 * 365 * 8 => two(hours / 24 / 365, "y", hours / 24 % 365, "d"),
        () => format!("{}y", hours / 24 / 365),
    }
}

/// The age of an object.
pub(super) fn age(object: &Value, now: Now) -> Value {
    ago(&object["metadata"]["creationTimestamp"], now).into()
}

/// Text, or a stand-in where there is none.
pub(super) fn or<'a>(value: &'a Value, otherwise: &'a str) -> &'a str {
    value.as_str().filter(|t| !t.is_empty()).unwrap_or(otherwise)
}

/// Texts joined by commas, or a stand-in where there are none.
pub(super) fn joined(texts: &[String], otherwise: &str) -> String {
    if texts.is_empty() { otherwise.to_owned() } else { texts.join(",") }
}

/// `a=b,c=d`
pub(super) fn labels(labels: &Value) -> String {
    let mut pairs: Vec<String> =
        labels.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    pairs.sort();
    joined(&pairs, "<none>")
}

/// The first few of a list, and how many more there are.
pub(super) fn some_of(list: &[String], most: usize) -> String {
    let shown = list[..list.len().min(most)].join(",");
    match list.len() {
        0 => "<unset>".into(),
        n if n > most => format!("{shown} + {} more...", n - most),
        _ => shown,
    }
}

/// The items of a list.
pub(super) fn items<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object[key].as_array().map_or(&[], Vec::as_slice)
}

/// How many entries a map or list has.
pub(super) fn count(value: &Value) -> usize {
    value.as_object().map_or_else(|| value.as_array().map_or(0, Vec::len), serde_json::Map::len)
}

/// A number or a text as text.
pub(super) fn number_or_text(value: &Value, otherwise: &str) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => otherwise.to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;
    use crate::sandbox::model::object::time;

    #[test]
    fn ages_grow_coarser() {
        let now = parse_time(&json!("2026-01-01T00:00:00Z")).unwrap();
        let said = |seconds: i64| ago(&time(now - TimeDelta::seconds(seconds)), now);
        let expected = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (130, "2m10s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_400, "3h10m"),
            (36_000, "10h"),
            (180_000, "2d2h"),
            (172_800, "2d"),
            (864_000, "10d"),
            (70_000_000, "2y80d"),
        ];
        for (seconds, text) in expected {
            assert_eq!(said(seconds), text, "{seconds}");
        }
        assert_eq!(ago(&Value::Null, now), "<unknown>");
    }
}

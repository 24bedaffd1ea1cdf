//! Assertions on JSON, in a small language of its own: `$.a.b[0].c == "x"`, `$.a exists`. A name is letters, digits, `_` and `-`; after `==`
//! stands any JSON value. Two numbers are equal when they have the same value, however they are written.

use serde_json::Value;

use super::{AssertionError, shown};

/// Steps from the root.
const STEPS_MAX: usize = 32;

/// One assertion.
#[derive(Debug, PartialEq)]
pub(super) struct JsonCheck {
    path: String,
    steps: Vec<Step>,
    /// Nothing when it only must exist.
    equals: Option<Value>,
}

#[derive(Debug, PartialEq)]
enum Step {
    Name(String),
    Index(usize),
}

impl JsonCheck {
    pub(super) fn parse(text: &str) -> Result<Self, AssertionError> {
        let bad = || AssertionError::Json(text.into());
        let (path, equals) = match text.split_once("==") {
            Some((path, value)) => (path.trim(), Some(serde_json::from_str(value).map_err(|_| bad())?)),
            None => (text.trim().strip_suffix("exists").ok_or_else(bad)?.trim(), None),
        };
        let steps = steps(path.strip_prefix('$').ok_or_else(bad)?).filter(|steps| steps.len() <= STEPS_MAX).ok_or_else(bad)?;
        Ok(Self { path: path.into(), steps, equals })
    }

    /// What is wrong with a document.
    pub(super) fn wrong(&self, document: &Value) -> Option<String> {
        let found = self.steps.iter().try_fold(document, |value, step| match step {
            Step::Name(name) => value.get(name),
            Step::Index(index) => value.get(index),
        });
        let path = shown(self.path.as_bytes());
        let wanted = self.equals.as_ref().map(|value| shown(value.to_string().as_bytes()));
        match (found, &self.equals) {
            (Some(_), None) => None,
            (Some(found), Some(wanted)) if same(found, wanted) => None,
            (Some(found), Some(_)) => {
                Some(format!("`{path}` is `{}`, not `{}`", shown(found.to_string().as_bytes()), wanted.unwrap_or_default()))
            }
            (None, None) => Some(format!("`{path}` does not exist")),
            (None, Some(_)) => Some(format!("`{path}` does not exist, so is not `{}`", wanted.unwrap_or_default())),
        }
    }
}

/// The steps of a path after its `$`.
fn steps(mut rest: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (index, after) = after.split_once(']')?;
            let digits = !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit());
            steps.push(Step::Index(index.parse().ok().filter(|_| digits)?));
            rest = after;
        } else {
            let after = rest.strip_prefix('.')?;
            let end = after.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            steps.push(Step::Name(Some(name).filter(|name| !name.is_empty())?.to_owned()));
            rest = after;
        }
    }
    Some(steps)
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a.total_cmp(&b).is_eq())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_followed() {
        let document: Value = serde_json::from_str(r#"{"a":{"b-1":[{"c":"x=="},2.0]},"n":null}"#).unwrap();
        let wrong = |text: &str| JsonCheck::parse(text).unwrap().wrong(&document);
        for holds in
            ["$.a.b-1[0].c == \"x==\"", "$.a.b-1[1]==2", "$.n == null", "$.n exists", "$ exists", "$.a.b-1[0] == {\"c\":\"x==\"}"]
        {
            assert_eq!(wrong(holds), None, "{holds}");
        }
        assert_eq!(wrong("$.a.x exists"), Some("`$.a.x` does not exist".into()));
        assert_eq!(wrong("$.a.b-1[2] == 1"), Some("`$.a.b-1[2]` does not exist, so is not `1`".into()));
        assert_eq!(wrong("$.a.b-1[1] == 3"), Some("`$.a.b-1[1]` is `2.0`, not `3`".into()));
        assert_eq!(wrong("$.a.b-1.x exists"), Some("`$.a.b-1.x` does not exist".into()), "an array has no names");
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "",
            "a == 1",
            "$.a",
            "$a exists",
            "$..a exists",
            "$.a[ exists",
            "$.a[x] exists",
            "$.a[+1] exists",
            "$.a == x",
            "$.a. exists",
        ] {
            assert_eq!(JsonCheck::parse(text), Err(AssertionError::Json(text.into())), "{text}");
        }
        let deep = format!("${} exists", ".a".repeat(33));
        assert_eq!(JsonCheck::parse(&deep), Err(AssertionError::Json(deep)));
    }
}

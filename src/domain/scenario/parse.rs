//! From text to a checked scenario; every error names the place and, where there is one, the nearest valid word.

use std::fmt;

use serde_json::Value;
use thiserror::Error;

use super::{Entry, Scenario, Step};
use crate::domain::objective::Objective;
use crate::domain::traffic::ADMISSION;
use crate::domain::words::nearest;

/// No scenario file is larger than this.
const MAX_BYTES: usize = 256 * 1024;
/// Why a text is no scenario.
#[derive(Debug, Error, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file, as the user named it.
    pub file: String,
    /// Line and column, both from 1, where they are known.
    pub place: Option<(u64, u64)>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Reads a scenario and lays `sets` (`traffic.lanes.fresh.rate=50`) over it.
pub fn parse(file: &str, text: &str, sets: &[String]) -> Result<Scenario, ScenarioError> {
    let error = |place, message: String| ScenarioError { file: file.into(), place, message };
    if text.len() > MAX_BYTES {
        return Err(error(None, format!("{} bytes are more than a scenario may have ({MAX_BYTES})", text.len())));
    }
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let mut scenario: Scenario = serde_saphyr::from_str_with_options(text, options).map_err(|e| {
        let place = e.location().map(|l| (l.line(), l.column()));
        error(place, explain(&e))
    })?;
    if !sets.is_empty() {
        scenario = override_all(&scenario, sets).map_err(|message| error(None, message))?;
    }
    check(&scenario).map_err(|(field, message)| error(place_of(text, field), message))?;
    Ok(scenario)
}

/// The error without its location, with the nearest valid word where a word is wrong.
fn explain(error: &serde_saphyr::Error) -> String {
    match error.without_snippet() {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => unknown("field", field, expected),
        serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => unknown("word", variant, expected),
        other => {
            let text = other.to_string();
            text.lines().next().unwrap_or_default().split(" at line ").next().unwrap_or_default().to_owned()
        }
    }
}

fn unknown(what: &str, word: &str, valid: &[&str]) -> String {
    match nearest(word, valid.iter().copied()) {
        Some(near) => format!("unknown {what} `{word}`, did you mean `{near}`?"),
        None => format!("unknown {what} `{word}`, valid are {}", valid.join(", ")),
    }
}

/// The fields that say how a run is judged, and change nothing about how it is made.
const JUDGING: [&str; 3] = ["then", "window", "judge"];

/// The scenario of a run that was made, judged by other objectives: `then` takes the place of all that there are, and `sets` are laid over
/// that. What such a run must end in is no longer known.
pub fn rejudge(scenario: &Scenario, then: &[Objective], sets: &[String]) -> Result<Scenario, String> {
    let mut scenario = Scenario { expect: None, ..scenario.clone() };
    if !then.is_empty() {
        scenario.then = then.to_vec();
    }
    for set in sets {
        let field = set.split(['.', '=']).next().unwrap_or_default();
        if !JUDGING.contains(&field) {
            let judging = JUDGING.join("`, `");
            return Err(format!("--set {set}: the run was made with `{field}` as it was; only `{judging}` can be judged anew"));
        }
    }
    let scenario = override_all(&scenario, sets)?;
    check(&scenario).map_err(|(field, message)| format!("{field}: {message}"))?;
    Ok(scenario)
}

fn override_all(scenario: &Scenario, sets: &[String]) -> Result<Scenario, String> {
    let mut value = serde_json::to_value(scenario).map_err(|e| e.to_string())?;
    for set in sets {
        override_one(&mut value, set).map_err(|message| format!("--set {set}: {message}"))?;
    }
    serde_json::from_value(value).map_err(|e| format!("--set {}: {e}", sets.join(" --set ")))
}

/// Sets one dotted path. Only paths that exist may be set: a slip of the finger must not pass for a setting.
fn override_one(value: &mut Value, set: &str) -> Result<(), String> {
    let (path, text) = set.split_once('=').ok_or("expected KEY=VALUE")?;
    let new: Value = serde_saphyr::from_str(text).unwrap_or_else(|_| Value::String(text.into()));
    let mut place = value;
    for word in path.split('.') {
        let keys: Vec<String> = match &*place {
            Value::Object(map) => map.keys().cloned().collect(),
            Value::Array(list) => (0..list.len()).map(|i| i.to_string()).collect(),
            _ => return Err(format!("`{word}` lies below a plain value")),
        };
        if !keys.iter().any(|k| k == word) {
            return Err(unknown("key", word, &keys.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        let next = match place {
            Value::Object(map) => map.get_mut(word),
            Value::Array(list) => word.parse::<usize>().ok().and_then(|i| list.get_mut(i)),
            _ => None,
        };
        place = next.ok_or("no such key")?;
    }
    *place = match (place.is_string(), new) {
        (true, Value::Number(n)) => Value::String(n.to_string()),
        (_, new) => new,
    };
    Ok(())
}

/// What types alone cannot say. Answers the field at fault and the message.
fn check(scenario: &Scenario) -> Result<(), (&'static str, String)> {
    let label = |s: &str| {
        (1..=63).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !s.starts_with('-')
            && !s.ends_with('-')
    };
    for (field, text) in
        [("name", &scenario.name), ("deployment", &scenario.target.deployment), ("namespace", &scenario.target.namespace)]
    {
        if !label(text) {
            return Err((field, format!("`{text}` is no name: lower-case letters, digits and dashes, at most 63")));
        }
    }
    if scenario.about.trim().is_empty() {
        return Err(("about", "a scenario begins with a paragraph that says what it shows".into()));
    }
    if scenario.then.is_empty() {
        return Err(("then", "a scenario without an objective can only pass".into()));
    }
    if scenario.traffic.lanes.is_empty() || scenario.traffic.lanes.len() > 16 {
        return Err(("lanes", "traffic has between 1 and 16 lanes".into()));
    }
    if !scenario.traffic.path.starts_with('/') {
        return Err(("path", format!("the path `{}` does not begin with `/`", scenario.traffic.path)));
    }
    if scenario.traffic.timeout.is_zero() || scenario.traffic.connect_timeout.is_zero() {
        return Err(("timeout", "a timeout of nothing lets nothing succeed".into()));
    }
    for (name, lane) in &scenario.traffic.lanes {
        lane.check(name)?;
        if name.starts_with(ADMISSION) {
            return Err(("lanes", format!("lane `{name}`: such names are for the verifier's own lanes")));
        }
    }
    let judged = |lane: &super::Lane| lane.entry != Entry::Pods;
    let names: Vec<&str> = scenario.traffic.lanes.iter().filter(|(_, lane)| judged(lane)).map(|(n, _)| &**n).collect();
    if names.is_empty() {
        return Err(("lanes", "a lane that asks pods counts in no objective: there must be another one".into()));
    }
    for objective in &scenario.then {
        if let Some(lane) = objective.lane.as_deref().filter(|l| !names.contains(l)) {
            return Err(("then", unknown("lane", lane, &names)));
        }
    }
    if scenario.observe.is_some() {
        if !scenario.when.is_empty() {
            return Err(("when", "who observes changes nothing".into()));
        }
        if !scenario.given.apply.is_empty() || !scenario.given.overlay.is_empty() {
            return Err(("given", "who observes deploys nothing".into()));
        }
    }
    for step in &scenario.when {
        if matches!(step, Step::Set(s) if s.image.is_none() && s.env.is_empty()) {
            return Err(("when", "a `set` step changes `image`, `env`, or both".into()));
        }
    }
    Ok(())
}

/// Where a field first stands in the text.
fn place_of(text: &str, field: &str) -> Option<(u64, u64)> {
    let key = format!("{field}:");
    (1..).zip(text.lines()).find_map(|(number, line)| {
        let start = line.find(&key)?;
        let before =
            line[..start].chars().all(|c| c.is_whitespace() || "-{,".contains(c)) || line[..start].trim_end().ends_with(['{', ',']);
        before.then(|| (number, start as u64 + 1))
    })
}

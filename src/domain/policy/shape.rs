//! What a schema can say of a policy: patterns and bounds for every tool that reads schemas, and the same as rules in CEL, each with a sentence
//! for people. Everything has a bound, so that no rule costs more than an API server allows.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::span;

/// No policy has more objectives than this.
pub(super) const MAX_OBJECTIVES: usize = 32;
/// No objective is longer.
pub(super) const MAX_OBJECTIVE: usize = 100;
/// No lane of a policy sends more slots a second than this: it may go on for long.
pub(super) const MAX_RATE: f64 = 500.0;
/// The lanes that there may be. Each is a way of sending that its name says.
pub(super) const LANES: [&str; 3] = ["fresh", "kept", "stream"];
/// No policy names more Deployments than this.
pub(super) const MAX_NAMED: usize = 100;
/// No selector has more labels than this, nor more expressions.
pub(super) const MAX_TERMS: usize = 32;
/// No expression has more values than this.
pub(super) const MAX_VALUES: usize = 32;
/// No path is longer.
const MAX_PATH: usize = 1_024;
/// No name of an object is longer.
const MAX_NAME: usize = 253;

const PATH: &str = "^/[!-~]*$";
const PATH_WORDS: &str = "a path begins with `/`, and has neither spaces nor anything beyond ASCII";
const NAME: &str = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
const NAME_WORDS: &str = "a name has lower-case letters, digits, dashes and dots";
const OBJECTIVE: &str = "^ *([a-z]+[.])?(availability *>= *[0-9]+([.][0-9]+)? *%?|(p[0-9]+([.][0-9]+)?|longest_outage) *<=? *\
([0-9]+([.][0-9]+)? *[a-z]+ *)+|deployed_within *(<=?)? *([0-9]+([.][0-9]+)? *[a-z]+ *)+) *$";
const OBJECTIVE_WORDS: &str =
    "objectives are written as in `availability >= 99%`, `p99 < 500ms`, `longest_outage < 2s` or `deployed_within 5m`";

/// A text of at most so many signs that matches.
fn text(pattern: &str, length: usize, words: &str) -> Schema {
    json_schema!({
        "type": "string", "maxLength": length, "pattern": pattern,
        "x-kubernetes-validations": [{"rule": format!("self.matches('{pattern}')"), "message": words}],
    })
}

/// What is asked for.
pub(super) fn path(_: &mut SchemaGenerator) -> Schema {
    text(PATH, MAX_PATH, PATH_WORDS)
}

/// The name of an object.
pub(super) fn name(_: &mut SchemaGenerator) -> Schema {
    text(NAME, MAX_NAME, NAME_WORDS)
}

/// The names of objects.
pub fn names(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": MAX_NAMED, "x-kubernetes-list-type": "set", "items": name(generator),
    })
}

/// Labels by name.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": MAX_TERMS, "additionalProperties": {"type": "string", "maxLength": 63}})
}

/// What must hold.
pub(super) fn objectives(_: &mut SchemaGenerator) -> Schema {
    let objective = text(OBJECTIVE, MAX_OBJECTIVE, OBJECTIVE_WORDS);
    json_schema!({"type": "array", "minItems": 1, "maxItems": MAX_OBJECTIVES, "items": objective})
}

/// The rule of the lanes' names.
pub(super) fn lanes() -> Value {
    let names = LANES.map(|lane| format!("'{lane}'")).join(", ");
    json!([{"rule": format!("self.all(name, name in [{names}])"), "message": lane_words()}])
}

fn lane_words() -> String {
    format!("lanes are named `{}`", LANES.join("`, `"))
}

/// The rules of a policy as a whole.
pub fn rules() -> Vec<Value> {
    let rule = |rule: &str, message: &str| json!({"rule": rule, "message": message});
    let [deadline, soak] = ["deadline", "soak"].map(|field| format!("self.{field}.matches('{}')", span::PATTERN));
    vec![
        rule("!has(self.ingress) || !has(self.service)", NOT_BOTH),
        rule("!has(self.ingress) || !has(self.entry) || self.entry == 'ingress'", NOT_SERVICE),
        rule("!has(self.service) || !has(self.entry) || self.entry == 'service'", NOT_INGRESS),
        rule(&format!("!{deadline} || !{soak} || duration(self.deadline) > duration(self.soak)"), NO_TIME),
    ]
}

pub(super) const NOT_BOTH: &str = "a policy names an `ingress` or a `service`, not both";
pub(super) const NOT_SERVICE: &str = "`ingress` names an Ingress, so `entry` is not `service`";
pub(super) const NOT_INGRESS: &str = "`service` names a Service, so `entry` is not `ingress`";
pub(super) const NO_TIME: &str = "the `deadline` must be longer than the `soak`";

/// What a schema would refuse of a path.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let may = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
    match path.len() {
        _ if !may => Err(format!("the path `{}`: {PATH_WORDS}", path.escape_debug())),
        length if length > MAX_PATH => Err(format!("a path of {length} signs is longer than {MAX_PATH}")),
        _ => Ok(()),
    }
}

/// What a schema would refuse of an object's name.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), String> {
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let within = |b: u8| edge(&b) || b == b'-' || b == b'.';
    let bytes = name.as_bytes();
    let may = bytes.first().is_some_and(edge) && bytes.last().is_some_and(edge) && name.bytes().all(within);
    if may && name.len() <= MAX_NAME { Ok(()) } else { Err(format!("`{field}: {}`: {NAME_WORDS}", name.escape_debug())) }
}

/// What a schema would refuse of a lane's name.
pub(super) fn check_lane(name: &str) -> Result<(), String> {
    if LANES.contains(&name) { Ok(()) } else { Err(format!("lane `{}`: {}", name.escape_debug(), lane_words())) }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::domain::objective::Objective;

    #[test]
    fn the_pattern_of_objectives_takes_what_is_read_and_what_is_printed() {
        let pattern = Regex::new(OBJECTIVE).unwrap();
        for text in [
            "availability >= 99%",
            "availability>=0.9995",
            " availability >= 99.95 % ",
            "p99 < 500ms",
            "p99.9<=1s 500ms",
            "kept.p50 < 20ms",
            "kept.p99.9 < 1h 1m 1s 1ms 1us",
            "fresh.availability >= 99.9%",
            "longest_outage < 2s",
            "deployed_within 5m",
            "deployed_within < 1day 1h",
        ] {
            let objective: Objective = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(pattern.is_match(text) && pattern.is_match(&objective.to_string()), "{text}");
        }
        for text in ["", "uptime >= 99%", "availability < 99%", "p99 > 1s", "p99 < fast", "availability >= 99%; p99 < 1s"] {
            assert!(!pattern.is_match(text) && text.parse::<Objective>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_checked_here_is_what_the_patterns_say() {
        let (path, name) = (Regex::new(PATH).unwrap(), Regex::new(NAME).unwrap());
        for text in ["/", "/api/todos?a=b#c", "//x", "/~'\"", "", "todos", "/a b", "/a\nb", "/ä", "http://x/", "/\u{7f}"] {
            assert_eq!(check_path(text).is_ok(), path.is_match(text), "{text:?}");
        }
        for text in ["a", "todo", "a-b.c", "1", "", "-a", "a-", "A", "a/b", "a b", "ä", "a\n"] {
            assert_eq!(check_name("service", text).is_ok(), name.is_match(text), "{text:?}");
        }
        assert!(check_path(&format!("/{}", "x".repeat(MAX_PATH))).is_err());
        assert!(check_name("service", &"x".repeat(MAX_NAME + 1)).is_err());
    }
}

//! The dashboard and the rules of `dashboards/` ask for what there is: each metric, label and word is one of the catalogue, and Prometheus
//! understands every query.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use verifier::domain::outcome::{Blame, Outcome};
use verifier::domain::policy::budget::BURN_SPANS;
use verifier::domain::rollout::guard::Verb;
use verifier::domain::verdict::VerdictKind;
use verifier::metrics::catalogue::{self, CATALOGUE, Kind, Metric};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("verifier.json")).unwrap()
}

fn rules() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&text("rules.yaml")).unwrap();
    file["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// The panels that show something.
fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row").collect()
}

/// Every query by its place: panels and annotations of the dashboard, and rules.
fn queries() -> Vec<(String, String)> {
    let (dashboard, mut all) = (dashboard(), Vec::new());
    let mut add = |place: &Value, query: &Value| {
        all.push((place.as_str().unwrap().to_owned(), query.as_str().unwrap().to_owned()));
    };
    for panel in panels(&dashboard) {
        panel["targets"].as_array().unwrap().iter().for_each(|target| add(&panel["title"], &target["expr"]));
    }
    for note in dashboard["annotations"]["list"].as_array().unwrap() {
        add(&note["name"], &note["expr"]);
    }
    for rule in rules() {
        add(if rule["alert"].is_null() { &rule["record"] } else { &rule["alert"] }, &rule["expr"]);
    }
    all
}

/// A query's variables as Grafana fills them in.
fn filled_in(query: &str) -> String {
    let words = [("$__rate_interval", "5m"), ("$__range", "1h"), ("$namespace", ".+"), ("$deployment", ".+")];
    words.iter().fold(query.to_owned(), |text, (word, value)| text.replace(word, value))
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// PromQL in pieces; durations and numbers are words too.
fn tokens(query: &str) -> Vec<Token> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_:.$".contains(c);
    let (mut found, mut rest) = (Vec::new(), query.trim_start());
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => rest[1..].find('"').expect("a string ends") + 2,
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let piece = &rest[..length];
        found.push(match first {
            '"' => Token::Text(piece[1..length - 1].to_owned()),
            c if is_word(c) => Token::Word(piece.to_owned()),
            c => Token::Sign(c),
        });
        rest = rest[length..].trim_start();
    }
    found
}

/// `label="value"`
#[derive(Debug, PartialEq)]
struct Matcher {
    label: String,
    operator: String,
    value: String,
}

/// Series that a query asks for, and the function that they are the argument of.
#[derive(Debug)]
struct Series {
    name: String,
    function: Option<String>,
    matchers: Vec<Matcher>,
}

/// What a query asks for.
#[derive(Debug, Default)]
struct Asked {
    series: Vec<Series>,
    /// Labels by which series are grouped or joined.
    grouping: BTreeSet<String>,
}

const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];

fn asked(query: &str) -> Asked {
    let (tokens, mut asked) = (tokens(query), Asked::default());
    let sign = |i: usize, c: char| tokens.get(i) == Some(&Token::Sign(c));
    let upto = |i: usize, c: char| i + tokens[i..].iter().position(|token| *token == Token::Sign(c)).unwrap();
    let word = |i: usize| match tokens.get(i) {
        Some(Token::Word(word)) => Some(word.as_str()),
        _ => None,
    };
    // `sum(` or `sum by (`
    let is_function = |i: usize| sign(i + 1, '(') || matches!(word(i + 1), Some("by" | "without"));
    let mut i = 0;
    while i < tokens.len() {
        match word(i) {
            Some(name) if GROUPING.contains(&name) => {
                let end = upto(i, ')');
                asked.grouping.extend((i + 1..end).filter_map(word).map(str::to_owned));
                i = end;
            }
            Some(name) if !is_function(i) && !OPERATORS.contains(&name) && !name.starts_with(|c: char| c.is_ascii_digit()) => {
                let argument = i > 1 && sign(i - 1, '(');
                let function = argument.then(|| word(i - 2).map(str::to_owned)).flatten();
                let mut series = Series { name: name.to_owned(), function, matchers: Vec::new() };
                if sign(i + 1, '{') {
                    let end = upto(i, '}');
                    series.matchers = tokens[i + 2..end].split(|token| *token == Token::Sign(',')).filter_map(matcher).collect();
                    i = end;
                }
                asked.series.push(series);
            }
            // `[5m]`
            _ if sign(i, '[') => i = upto(i, ']'),
            _ => {}
        }
        i += 1;
    }
    asked
}

/// `label="value"`; nothing between the braces is none.
fn matcher(tokens: &[Token]) -> Option<Matcher> {
    let [Token::Word(label), operator @ .., Token::Text(value)] = tokens else {
        assert!(tokens.is_empty(), "{tokens:?}");
        return None;
    };
    let operator = operator.iter().map(|token| if let Token::Sign(c) = token { *c } else { '?' }).collect();
    Some(Matcher { label: label.clone(), operator, value: value.clone() })
}

/// The metric of the catalogue that a series belongs to; a histogram has three names.
fn metric(series: &str) -> Option<&'static Metric> {
    let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| series.strip_suffix(end)).unwrap_or_default();
    CATALOGUE.iter().find(|m| if m.kind == Kind::Histogram { m.name == histogram } else { m.name == series })
}

/// The labels of a series; of one that a rule records, those that it is grouped by.
fn labels(series: &str, recorded: &BTreeSet<String>) -> Option<BTreeSet<&'static str>> {
    if recorded.contains(series) {
        return Some(BTreeSet::from(["namespace", "deployment"]));
    }
    let metric = metric(series)?;
    let edge = series.ends_with("_bucket").then_some("le");
    Some(metric.labels.iter().copied().chain(edge).collect())
}

/// The words that a label can have, where they are a closed set.
fn words(label: &str) -> Option<BTreeSet<&'static str>> {
    let verdicts =
        [VerdictKind::Pass, VerdictKind::Breach, VerdictKind::Inconclusive, VerdictKind::Superseded, VerdictKind::Aborted];
    match label {
        "outcome" => Some(Outcome::ALL.iter().map(|outcome| outcome.label()).collect()),
        "verdict" => Some(verdicts.iter().map(|verdict| verdict.label()).collect()),
        "action" => Some([Verb::Pause, Verb::Hold, Verb::Undo].iter().map(|verb| verb.label()).collect()),
        "window" => Some(BURN_SPANS.iter().map(|(word, _)| *word).collect()),
        "phase" => Some(catalogue::PHASE.help.split(|c: char| !c.is_ascii_alphabetic()).collect()),
        _ => None,
    }
}

#[test]
fn a_query_is_taken_apart() {
    let asked = asked("max by (a, b) (x_total{c=\"d\", e!~\"f|g\"} * 2) / on (h) rate(y{}[5m]) or sum(lo:z)");
    let names: Vec<_> = asked.series.iter().map(|series| (&*series.name, series.function.as_deref())).collect();
    assert_eq!(names, [("x_total", None), ("y", Some("rate")), ("lo:z", Some("sum"))]);
    let matcher = |label: &str, operator: &str, value: &str| Matcher {
        label: label.to_owned(),
        operator: operator.to_owned(),
        value: value.to_owned(),
    };
    assert_eq!(asked.series[0].matchers, [matcher("c", "=", "d"), matcher("e", "!~", "f|g")]);
    assert_eq!(asked.grouping, ["a", "b", "h"].map(str::to_owned).into());
}

#[test]
fn every_metric_label_and_word_is_one_of_the_catalogue() {
    let recorded: BTreeSet<String> = rules().iter().filter_map(|rule| rule["record"].as_str().map(str::to_owned)).collect();
    let mut used = BTreeSet::new();
    for (place, query) in queries() {
        let asked = asked(&query);
        let mut known = BTreeSet::new();
        for Series { name: series, function, matchers } in &asked.series {
            let labels = labels(series, &recorded).unwrap_or_else(|| panic!("{place}: there is no metric {series}"));
            for Matcher { label, operator, value } in matchers {
                assert!(labels.contains(&**label), "{place}: {series} has no label {label}");
                let words = words(label).filter(|_| !value.starts_with('$'));
                let unknown = words.and_then(|words| value.split('|').find(|word| !words.contains(word)));
                assert_eq!(unknown, None, "{place}: {label} is never {unknown:?}");
                assert!(operator.contains('~') || !value.contains('|'), "{place}: {label}{operator}\"{value}\" is no pattern");
            }
            let counts = metric(series).is_some_and(|m| m.kind != Kind::Gauge);
            let counted = function.as_deref().is_some_and(|f| ["rate", "increase"].contains(&f));
            assert_eq!(counts, counted, "{place}: counters are looked at by how they grow, and nothing else is: {series}");
            known.extend(labels);
            used.insert(series.clone());
        }
        let unknown: Vec<_> = asked.grouping.iter().filter(|label| !known.contains(&***label)).collect();
        assert!(unknown.is_empty(), "{place}: {unknown:?} are no labels of what is asked for");
    }
    let unused: Vec<_> = recorded.difference(&used).collect();
    assert!(unused.is_empty(), "recorded for nobody: {unused:?}");
}

#[test]
fn what_the_verifier_itself_could_not_do_is_left_out_of_every_share() {
    let own: BTreeSet<&str> = Outcome::ALL.iter().filter(|o| o.blame() == Blame::Verifier).map(|o| o.label()).collect();
    let mut shares = 0;
    for (place, query) in queries() {
        for series in asked(&query).series {
            for matcher in series.matchers.iter().filter(|m| m.label == "outcome" && m.operator == "!~") {
                assert_eq!(matcher.value.split('|').collect::<BTreeSet<_>>(), own, "{place}");
                shares += 1;
            }
        }
    }
    assert!(shares >= 5, "availability on the dashboard and in four windows");
}

/// All strings of a document.
fn strings<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(all) => all.iter().for_each(|one| strings(one, found)),
        Value::Object(all) => all.values().for_each(|one| strings(one, found)),
        _ => {}
    }
}

/// All values of fields of this name.
fn fields<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| fields(one, name, found)),
        Value::Object(all) => {
            found.extend(all.get(name));
            all.values().for_each(|one| fields(one, name, found));
        }
        _ => {}
    }
}

#[test]
fn the_dashboard_can_be_put_into_any_grafana() {
    let dashboard = dashboard();
    assert!(dashboard["id"].is_null() && dashboard["uid"] == "verifier" && dashboard["schemaVersion"].as_u64() >= Some(39));
    let mut all = Vec::new();
    strings(&dashboard, &mut all);
    let elsewhere: Vec<_> = all.iter().filter(|text| text.contains("//")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    let mut sources = Vec::new();
    fields(&dashboard, "datasource", &mut sources);
    assert!(sources.len() > panels(&dashboard).len());
    for source in sources {
        assert_eq!(source, &serde_json::json!({"type": "prometheus", "uid": "${datasource}"}));
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables.iter().map(|v| v["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "namespace", "deployment"]);
    for variable in &variables[1..] {
        let query = variable["query"]["query"].as_str().unwrap();
        let (series, label) = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')')?.rsplit_once(", ")).unwrap();
        let known = labels(&asked(series).series[0].name, &BTreeSet::new()).unwrap();
        assert_eq!((known.contains(label), label), (true, variable["name"].as_str().unwrap()), "{query}");
    }
}

#[test]
fn every_panel_says_what_it_shows_and_in_what_unit() {
    let dashboard = dashboard();
    let mut places: BTreeMap<(u64, u64), &str> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().filter(|title| !title.is_empty()).expect("a title");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: another panel has its id");
        let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} is too wide");
        for cell in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            let before = places.insert(cell, title);
            assert_eq!(before, None, "{title} lies over another panel");
        }
    }
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title} has no description");
        assert!(panel["fieldConfig"]["defaults"]["unit"].as_str().is_some_and(|unit| !unit.is_empty()), "{title} has no unit");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title} asks for nothing");
        for target in targets {
            let legend = target["legendFormat"].as_str().unwrap();
            let grouping = asked(target["expr"].as_str().unwrap()).grouping;
            for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
                assert!(grouping.contains(label), "{title}: nothing is left of the label {label}");
            }
        }
    }
}

#[test]
fn every_alert_says_who_is_called_and_what_for_and_is_tried() {
    let tests: Value = serde_saphyr::from_str(&text("rules.test.yaml")).unwrap();
    let mut cases = Vec::new();
    fields(&tests, "alert_rule_test", &mut cases);
    let cases: Vec<&Value> = cases.iter().flat_map(|list| list.as_array().unwrap()).collect();
    let tried = |name: &Value| {
        cases.iter().any(|case| case["alertname"] == *name && case["exp_alerts"].as_array().is_some_and(|a| !a.is_empty()))
    };
    let alerts: Vec<Value> = rules().into_iter().filter(|rule| !rule["alert"].is_null()).collect();
    assert!(!alerts.is_empty());
    for alert in &alerts {
        let name = &alert["alert"];
        assert!(["page", "ticket"].map(Value::from).contains(&alert["labels"]["severity"]), "{name}");
        assert!(["summary", "description"].iter().all(|field| alert["annotations"][field].is_string()), "{name}");
        assert!(tried(name), "no test has {name} fire");
    }
}

/// Runs promtool, which has to have nothing to say against it.
#[track_caller]
fn promtool(args: &[&str]) {
    let said = Command::new("promtool").args(args).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && text.contains("SUCCESS"), "{text}");
}

#[test]
#[cfg_attr(not(has_promtool), ignore = "promtool is not installed")]
fn the_rules_do_what_their_tests_say() {
    promtool(&["check", "rules", path("rules.yaml").to_str().unwrap()]);
    promtool(&["test", "rules", path("rules.test.yaml").to_str().unwrap()]);
}

#[test]
#[cfg_attr(not(has_promtool), ignore = "promtool is not installed")]
fn prometheus_understands_every_query_of_the_dashboard() {
    let rules: Vec<Value> = queries()
        .iter()
        .enumerate()
        .map(|(n, (_, query))| serde_json::json!({"record": format!("query_{n}"), "expr": filled_in(query)}))
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    // JSON is YAML.
    std::fs::write(file.path(), serde_json::json!({"groups": [{"name": "queries", "rules": rules}]}).to_string()).unwrap();
    promtool(&["check", "rules", file.path().to_str().unwrap()]);
}

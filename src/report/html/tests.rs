use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::domain::findings::{Finding, Prescription};
use crate::domain::fixtures::{breach, crash_loop, crowd, fold, healthy, nearly_breached, paused, sick_before};
use crate::domain::rollout::Phase;
use crate::report::golden;
use crate::report::tests::admitted;

/// Would end a text, an attribute or a comment, and begin a script.
const FOREIGN: &str = "\"'--></title></svg><script>alert(1)</script><img src=x onerror=alert(1)>&";

/// An element as it was read back: its name and attributes.
#[derive(Debug)]
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
    parent: usize,
}

impl Tag {
    fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Reads a page strictly: every element is closed in order, every attribute is quoted and there once, no text has a bare `<`.
fn parse(page: &str) -> Vec<Tag> {
    let mut rest = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
    let mut tags: Vec<Tag> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        assert!(!before.contains('>') || open.last().is_some_and(|t| tags[*t].name == "style"), "a bare `>` in {before:?}");
        let end = from.find('>').unwrap();
        let inside = &from[1..end];
        rest = &from[end + 1..];
        if let Some(name) = inside.strip_prefix('/') {
            assert_eq!(tags[open.pop().unwrap()].name, name);
            continue;
        }
        let (name, mut attributes) = inside.split_once(' ').unwrap_or((inside, ""));
        let parent = open.last().copied().unwrap_or(0);
        let mut tag = Tag { name: name.into(), attributes: Vec::new(), parent };
        while !attributes.is_empty() {
            let (key, value) = attributes.split_once("=\"").unwrap();
            let (value, more) = value.split_once('"').unwrap();
            assert!(tag.get(key).is_none(), "{key} twice in {inside}");
            tag.attributes.push((key.into(), value.into()));
            attributes = more.trim_start();
        }
        tags.push(tag);
        if !["meta", "br"].contains(&name) {
            open.push(tags.len() - 1);
        }
    }
    assert_eq!(open, Vec::<usize>::new(), "all are closed");
    tags
}

fn summaries() -> Vec<Summary> {
    let runs = [healthy(), breach(), crash_loop(), sick_before(), nearly_breached(), paused(), healthy()[..1].to_vec()];
    let mut all: Vec<Summary> = runs.iter().map(|events| Summary::of(&fold(events))).collect();
    let findings = (0..10).map(finding).collect();
    all.push(Summary { findings, ..Summary::of(&fold(&breach())) });
    all
}

fn finding(i: u64) -> Finding {
    let patch = serde_json::json!({"spec": {"template": {"spec": {"containers": [{"name": "backend", "lifecycle": {}}]}}}});
    let prescription = Prescription {
        advice: "Let the pod serve on for as long as requests still come.".into(),
        field: Some("spec.template.spec.containers[backend].lifecycle.preStop".into()),
        patch: Some(patch),
        gain: "No request would have been refused.".into(),
    };
    Finding {
        code: format!("V{}", 101 + i),
        title: "Pods end before the ingress knows of it".into(),
        failures: 37 - i,
        of: 37,
        lanes: vec!["fresh".into(), "kept".into()],
        pods: (0..i * 3).map(|p| format!("backend-{p}")).collect(),
        phase: Some(Phase::Replacing),
        evidence: vec!["28 were refused within 0.4 s after SIGTERM.".into()],
        prescription: (i != 2).then_some(prescription),
    }
}

#[test]
fn the_page_of_a_breach_is_as_it_was() {
    golden::check("breach.html", &document(&Summary::of(&fold(&breach()))));
}

#[test]
fn every_page_is_well_formed_and_loads_nothing() {
    for summary in summaries() {
        let page = document(&summary);
        let tags = parse(&page);
        let policy = tags.iter().find(|t| t.get("http-equiv") == Some("Content-Security-Policy")).unwrap();
        assert!(policy.get("content").unwrap().starts_with("default-src &#39;none&#39;;"));
        for tag in &tags {
            assert!(
                !["script", "link", "iframe", "img", "a", "object", "base", "use", "image"].contains(&tag.name.as_str()),
                "{tag:?}"
            );
            let loading = |name: &str| name.starts_with("on") || ["src", "href", "xlink:href", "style", "action"].contains(&name);
            assert!(!tag.attributes.iter().any(|(name, _)| loading(name)), "{tag:?}");
        }
        let style = include_str!("style.css");
        let urls = style.split("url(").skip(1).all(|url| url.starts_with('#'));
        assert!(urls && !style.contains("@import") && !style.contains("//"));
    }
}

#[test]
fn every_page_can_be_read_by_who_does_not_see_it() {
    for summary in summaries() {
        let tags = parse(&document(&summary));
        let child = |of: usize, name: &str| tags.iter().any(|t| t.parent == of && t.name == name);
        for (i, tag) in tags.iter().enumerate() {
            let fine = match tag.name.as_str() {
                "html" => tag.get("lang") == Some("en"),
                "th" => tag.get("scope").is_some(),
                "svg" => tag.get("aria-hidden") == Some("true") || (child(i, "title") && child(i, "desc")),
                "section" => child(i, "h2"),
                "table" => tags[tag.parent].get("aria-label").is_some() && child(i, "thead"),
                _ => true,
            };
            assert!(fine, "{tag:?}");
        }
        let cells = |row: usize| tags.iter().filter(|t| t.parent == row && ["th", "td"].contains(&t.name.as_str())).count();
        let rows = tags.iter().enumerate().filter(|(_, t)| t.name == "tr");
        let mut wide: Vec<(usize, usize)> = rows.map(|(i, t)| (tags[t.parent].parent, cells(i))).collect();
        wide.dedup();
        let tables = tags.iter().filter(|t| t.name == "table").count();
        assert_eq!(wide.len(), tables, "all rows of a table have as many cells");
        assert_eq!(tags.iter().filter(|t| t.name == "h1").count(), 1);
        let ids: Vec<&str> = tags.iter().filter_map(|t| t.get("id")).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "ids are there once");
        for tag in tags.iter().filter_map(|t| t.get("aria-labelledby")) {
            assert!(tag.split(' ').all(|id| ids.contains(&id)), "{tag}");
        }
    }
}

/// Every place at which a JSON value has a text.
fn texts(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(path.into()),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, item)| texts(item, &format!("{path}/{i}"), found)),
        Value::Object(fields) => fields.iter().for_each(|(key, item)| texts(item, &format!("{path}/{key}"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A summary in which every text that may be anything begins with something foreign, and how many these are.
fn poisoned(summary: &Summary) -> (Summary, usize) {
    let mut value = serde_json::to_value(summary).unwrap();
    let mut paths = Vec::new();
    texts(&value, "", &mut paths);
    let mut poisoned = 0;
    for path in paths {
        let place = value.pointer_mut(&path).unwrap();
        let before = place.take();
        *place = Value::String(format!("{FOREIGN}{}", before.as_str().unwrap()));
        if serde_json::from_value::<Summary>(value.clone()).is_ok() {
            poisoned += 1;
        } else {
            *value.pointer_mut(&path).unwrap() = before;
        }
    }
    (serde_json::from_value(value).unwrap(), poisoned)
}

#[test]
fn nothing_that_a_service_or_a_cluster_says_becomes_markup() {
    let clean = Summary { findings: (0..2).map(finding).collect(), ..Summary::of(&fold(&breach())) };
    let mut clean = clean;
    clean.rollout.pods[0].reason = Some("Error".into());
    clean.rollout.pods[0].exits =
        vec![crate::domain::summary::ExitSeen { at_s: clean.run.duration_s, code: 1, reason: "Error".into() }];
    let (summary, places) = poisoned(&clean);
    assert!(places > 100, "only {places} texts may be anything");
    let page = document(&summary);
    let shapes = |page: &str| parse(page).into_iter().map(|t| t.name).collect::<Vec<_>>();
    let (foreign, own) = (shapes(&page), shapes(&document(&clean)));
    let kinds = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(kinds(&foreign), kinds(&own));
    assert!(page.matches("&lt;script&gt;").count() > 100, "the texts are shown");
    let svg = &page[page.find("<svg viewBox").unwrap()..];
    let svg = &svg[..svg.find("</svg>").unwrap()];
    assert!(svg.matches("&lt;script&gt;").count() > 10, "also in the drawing");
}

#[test]
fn ten_minutes_of_fifty_pods_are_less_than_two_megabytes_and_the_same_each_time() {
    let course = fold(&crowd(50, 600));
    let page = document(&Summary::of(&course));
    assert_eq!(parse(&page).iter().filter(|t| t.get("class").is_some_and(|c| c.starts_with("pod "))).count(), 100 + 10);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    assert!(page == document(&Summary::of(&course)));
}

#[test]
fn what_the_guard_did_stands_on_the_page_with_its_times() {
    let page = document(&Summary::of(&fold(&paused())));
    for words in ["What the guard `pause` did", "effective", "64 ms after that", "200 ms after that"] {
        assert!(page.contains(words), "no {words:?}");
    }
    assert!(!document(&Summary::of(&fold(&breach()))).contains("What the guard"));
}

#[test]
fn who_was_let_in_and_for_what_is_a_table() {
    let mut summary = Summary::of(&fold(&healthy()));
    summary.admission = admitted(2);
    let page = document(&summary);
    parse(&page);
    assert!(page.contains("Let in by the gate") && page.contains("25 good answers"), "{page}");
}

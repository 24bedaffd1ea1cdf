//! The findings: what it comes from, on which pods, and what to do, down to the lines to add.

use serde_json::Value;

use super::title;
use crate::domain::display::plural;
use crate::domain::findings::{Finding, Prescription};
use crate::domain::summary::Summary;
use crate::report::line::{Line, Paint};

/// Findings told at length; the others are only named.
const TOLD: usize = 3;
/// Pods named of one finding.
const NAMED: usize = 4;
/// Where the text of a finding begins.
const INDENT: &str = "        ";
/// Where text is broken.
const WIDTH: usize = 112;

/// Why it failed, and what to do.
pub(super) fn findings(s: &Summary) -> Vec<Line> {
    if s.findings.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![title("Why, and what to do")];
    lines.extend(s.findings.iter().take(TOLD).flat_map(finding));
    lines.extend(s.findings.iter().skip(TOLD).map(|f| head(f, &f.title)));
    lines
}

fn head(finding: &Finding, text: &str) -> Line {
    Line::plain("  ").plus(Paint::Bad, &finding.code).text("  ").plus(Paint::Strong, text)
}

fn finding(finding: &Finding) -> Vec<Line> {
    let mut wrapped = wrap(&finding.title, WIDTH).into_iter();
    let mut lines = vec![head(finding, &wrapped.next().unwrap_or_default())];
    lines.extend(wrapped.map(|rest| Line::plain(INDENT).plus(Paint::Strong, rest)));
    lines.extend(pods(finding));
    lines.extend(finding.evidence.iter().flat_map(|sentence| texts("", sentence, Paint::Faint)));
    lines.extend(finding.prescription.iter().flat_map(prescription));
    lines.push(Line::plain(INDENT).plus(Paint::Faint, format!("more: verifier explain {}", finding.code)));
    lines
}

fn pods(finding: &Finding) -> Vec<Line> {
    if finding.pods.is_empty() {
        return Vec::new();
    }
    let mut names: Vec<String> = finding.pods.iter().take(NAMED).cloned().collect();
    if let Some(others) = finding.pods.len().checked_sub(NAMED).filter(|n| *n > 0) {
        names.push(format!("and {others} more"));
    }
    let phase = finding.phase.map(|p| format!(", while {}", p.label())).unwrap_or_default();
    texts("on ", &format!("{}: {}{phase}", plural(finding.pods.len() as u64, "pod"), names.join(", ")), Paint::Plain)
}

fn prescription(prescription: &Prescription) -> Vec<Line> {
    let mut lines = texts("do: ", &prescription.advice, Paint::Plain);
    if let Some(patch) = &prescription.patch {
        let kind = patch["kind"].as_str().unwrap_or_default();
        let of = patch["metadata"]["name"].as_str().unwrap_or_default();
        let mut shown = Vec::new();
        yaml("spec", &patch["spec"], 0, &mut shown);
        lines.push(Line::plain(INDENT).plus(Paint::Faint, format!("in {kind} {of}:")));
        lines.extend(shown.into_iter().map(|line| Line::plain(INDENT).text("  ").plus(Paint::Good, line)));
    }
    lines.extend(texts("gain: ", &prescription.gain, Paint::Faint));
    lines
}

fn texts(label: &str, text: &str, paint: Paint) -> Vec<Line> {
    wrap(&format!("{label}{text}"), WIDTH).into_iter().map(|line| Line::plain(INDENT).plus(paint, line)).collect()
}

/// Breaks a text at spaces.
pub(in crate::report) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A value as the lines of a manifest; what a patch takes away (`null`) is left out where it stands beside what it puts there.
pub(in crate::report) fn yaml(key: &str, value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            lines.push(format!("{indent}{key}:"));
            let shown = |(_, v): &(&String, &Value)| !v.is_null() || map.values().all(Value::is_null);
            map.iter().filter(shown).for_each(|(k, v)| yaml(k, v, depth + 1, lines));
        }
        Value::Array(list) => {
            lines.push(format!("{indent}{key}:"));
            for item in list {
                let start = lines.len();
                match item {
                    // The name first, as manifests have it.
                    Value::Object(map) => {
                        let (names, others): (Vec<_>, Vec<_>) = map.iter().partition(|(k, _)| *k == "name");
                        names.into_iter().chain(others).for_each(|(k, v)| yaml(k, v, depth + 2, lines));
                    }
                    plain => lines.push(format!("{indent}    {plain}")),
                }
                if let Some(first) = lines.get_mut(start) {
                    first.replace_range(indent.len() + 2..indent.len() + 4, "- ");
                }
            }
        }
        Value::String(text) => lines.push(format!("{indent}{key}: {text}")),
        plain => lines.push(format!("{indent}{key}: {plain}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_is_shown_as_the_lines_of_a_manifest() {
        let mut lines = Vec::new();
        let container = json!({"name": "b", "lifecycle": {"preStop": {"exec": null, "sleep": {"seconds": 4}}}, "args": ["x"]});
        yaml("spec", &json!({"paused": null, "template": {"spec": {"containers": [container]}}}), 0, &mut lines);
        let expected = [
            "spec:",
            "  template:",
            "    spec:",
            "      containers:",
            "        - name: b",
            "          lifecycle:",
            "            preStop:",
            "              sleep:",
            "                seconds: 4",
            "          args:",
            "            - \"x\"",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn text_is_broken_at_spaces_and_a_long_word_stays_whole() {
        assert_eq!(wrap("a bb ccc dddddd e", 6), ["a bb", "ccc", "dddddd", "e"]);
        assert_eq!(wrap("", 6), [""]);
    }
}

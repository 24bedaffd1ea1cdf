//! The summary as Markdown, for where pull requests and pipelines are read: the verdict, the objectives, each lane with its interval, causes,
//! and what to do.

use std::fmt::Write as _;

use super::text::yaml;
use super::words;
use crate::domain::display::{count, moment, percent, percent_up, span};
use crate::domain::findings::{Finding, Prescription};
use crate::domain::objective::Ppm;
use crate::domain::summary::{Answers, Figures, ObjectiveState, Summary};

/// Sentences of evidence that are shown of one finding.
const EVIDENCE: usize = 4;
/// Pods that were let in and are shown.
const ADMITTED: usize = 10;

/// The whole document.
pub fn document(s: &Summary) -> String {
    let parts = [Some(head(s)), objectives(s), traffic(s), findings(s), rollout(s), admission(s), Some(again(s))];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn head(s: &Summary) -> String {
    let mut text = String::new();
    let first = s.verdict.reasons.first().map_or("the run is not over", |r| &r.message);
    let word = s.verdict.verdict.map_or("UNDECIDED".to_owned(), |v| v.label().to_uppercase());
    line(&mut text, format_args!("## {word}: {}\n", plain(first)));
    if let Some(meaning) = s.verdict.verdict.and_then(words::verdict) {
        line(&mut text, format_args!("{}\n", plain(meaning)));
    }
    for reason in s.verdict.reasons.iter().skip(1) {
        line(&mut text, format_args!("and {}\n", plain(&reason.message)));
    }
    let run = &s.run;
    let place = format!(
        "Scenario {} on deploy/{} in namespace {} ({}), run {}, {} in all",
        run.scenario,
        run.deployment,
        run.namespace,
        run.cluster,
        run.id,
        span(run.duration_s.length())
    );
    let decided = s.verdict.decided_at_s.map(|at| format!(", decided at {}", moment(at.0))).unwrap_or_default();
    line(&mut text, format_args!("{}{decided}.", plain(&place)));
    if let Some(command) = &s.next {
        line(&mut text, format_args!("\nNext: {}", code(command)));
    }
    text
}

fn objectives(s: &Summary) -> Option<String> {
    let mut text = String::from("### Objectives\n\n");
    row(&mut text, &["", "objective", "measured", "95 % interval", "failed", "allowed"]);
    row(&mut text, &[":-:", "---", "--:", "--:", "--:", "--:"]);
    for o in &s.objectives {
        let mark = match o.state {
            ObjectiveState::Met => "✔ met",
            ObjectiveState::Missed => "✘ missed",
            ObjectiveState::Open => "◌ open",
        };
        let (bad, allowed) = o.budget.map(|b| (count(b.bad), count(b.allowed))).unwrap_or_default();
        let interval = o.interval.as_ref().map(|i| format!("{} to {}", i.low, i.high)).unwrap_or_default();
        row(&mut text, &[mark, &plain(&o.objective), &plain(o.measured.as_deref().unwrap_or_default()), &interval, &bad, &allowed]);
    }
    (!s.objectives.is_empty()).then_some(text)
}

fn traffic(s: &Summary) -> Option<String> {
    let mut text = String::from("### Traffic\n\n");
    row(&mut text, &["lane", "sent", "failed", "availability", "95 % interval", "p50", "p99", "longest outage"]);
    row(&mut text, &["---", "--:", "--:", "--:", "--:", "--:", "--:", "--:"]);
    for lane in &s.traffic.lanes {
        figures(&mut text, &plain(&lane.lane), &lane.measured);
    }
    figures(&mut text, "**all lanes**", &s.traffic.measured);
    (!s.traffic.lanes.is_empty()).then_some(text)
}

fn figures(text: &mut String, name: &str, f: &Figures) {
    let answers: &Answers = &f.answers;
    let dash = || "–".to_owned();
    let interval = answers.availability_interval_ppm.map(|i| format!("{} to {}", percent(Ppm(i.low)), percent_up(Ppm(i.high))));
    let latency = answers.latency.as_ref();
    let cells = [
        count(f.sent),
        count(answers.bad),
        answers.availability.clone().unwrap_or_else(dash),
        interval.unwrap_or_else(dash),
        latency.map_or_else(dash, |l| span(l.p50_ms.0)),
        latency.map_or_else(dash, |l| span(l.p99_ms.0)),
        f.longest_outage.as_ref().map_or_else(|| "none".to_owned(), |o| span(o.length_ms.0)),
    ];
    row(text, &std::iter::once(name).chain(cells.iter().map(String::as_str)).collect::<Vec<_>>());
}

fn findings(s: &Summary) -> Option<String> {
    let all: Vec<String> = s.findings.iter().map(finding).collect();
    (!all.is_empty()).then(|| format!("### Why, and what to do\n\n{}", all.join("\n")))
}

fn finding(f: &Finding) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("**{}** {}\n", plain(&f.code), plain(&f.title)));
    for sentence in f.evidence.iter().take(EVIDENCE) {
        line(&mut text, format_args!("- {}", plain(sentence)));
    }
    if let Some(prescription) = &f.prescription {
        text.push_str(&to_do(prescription));
    }
    text
}

fn to_do(p: &Prescription) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("- **do:** {}", plain(&p.advice)));
    if !p.gain.is_empty() {
        line(&mut text, format_args!("- **gain:** {}", plain(&p.gain)));
    }
    if let Some(patch) = &p.patch {
        let mut lines = Vec::new();
        yaml("spec", &patch["spec"], 0, &mut lines);
        let of = |key: &str| patch[key].as_str().unwrap_or_default().to_owned();
        let name = patch["metadata"]["name"].as_str().unwrap_or_default();
        line(&mut text, format_args!("\n````yaml\n# {} {name}\n{}\n````", of("kind"), lines.join("\n")));
    }
    text
}

fn rollout(s: &Summary) -> Option<String> {
    let (old, new) = (s.rollout.old.as_ref(), s.rollout.new.as_ref()?);
    let before = old.map(|old| format!("{} → ", code(&old.revision))).unwrap_or_default();
    let complete = match s.rollout.deployed_after_s {
        Some(after) => format!("complete {} after the change began", span(after.length())),
        None => "not complete".to_owned(),
    };
    let images: Vec<String> = new.images.values().map(|image| code(image)).collect();
    Some(format!("### Rollout\n\n{before}{}, {complete}; images {}\n", code(&new.revision), images.join(", ")))
}

fn admission(s: &Summary) -> Option<String> {
    let mut text = String::from("### Let in by the gate\n\n");
    row(&mut text, &["pod", "revision", "because", "asked before", "after"]);
    row(&mut text, &["---", "---", "---", "---", "--:"]);
    for a in s.admission.iter().take(ADMITTED) {
        let cells = [code(&a.pod), code(&a.revision), words::admission(a.basis).into(), words::asked(a), words::waited(a)];
        row(&mut text, &cells.iter().map(String::as_str).collect::<Vec<_>>());
    }
    if let Some(more) = s.admission.len().checked_sub(ADMITTED).filter(|n| *n > 0) {
        line(&mut text, format_args!("\nand {more} more pods"));
    }
    (!s.admission.is_empty()).then_some(text)
}

fn again(s: &Summary) -> String {
    format!("Run it again: {}\n", code(&s.run.command))
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{what}");
}

fn row(text: &mut String, cells: &[&str]) {
    line(text, format_args!("| {} |", cells.join(" | ")));
}

/// Text that stays text: nothing in it formats, links, mentions or ends a cell.
fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' => escaped.extend(['\\', c]),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '@' => escaped.push_str("&#64;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text in letters of one width, between more back-ticks than it has in a row.
fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{breach, crash_loop, fold, healthy};
    use crate::report::golden;
    use crate::report::tests::admitted;

    fn of(events: &[crate::domain::event::Event]) -> String {
        document(&Summary::of(&fold(events)))
    }

    #[test]
    fn a_breach_reads_well_in_a_pull_request() {
        golden::check("breach.md", &of(&breach()));
        golden::check("crash_loop.md", &of(&crash_loop()));
        assert!(of(&healthy()).starts_with("## PASS: all 4 objectives were met\n"));
    }

    #[test]
    fn who_was_let_in_and_for_what_is_a_table() {
        let mut summary = Summary::of(&fold(&healthy()));
        assert!(!document(&summary).contains("Let in by the gate"));
        summary.admission = admitted(12);
        let text = document(&summary);
        let first = "| `backend-0` | `b-1` | it answered well | 25 good answers | 1.2 s |";
        assert!(text.contains("### Let in by the gate") && text.contains(first) && text.contains("and 2 more pods"), "{text}");
    }

    #[test]
    fn foreign_text_stays_text() {
        let mut summary = Summary::of(&fold(&breach()));
        summary.verdict.reasons[0].message = "a|b `c` <img src=x> [l](http://x) @team **bold**".into();
        summary.run.command = "echo `a` ``b``".into();
        let text = document(&summary);
        let first = text.lines().next().unwrap();
        assert_eq!(first, r"## BREACH: a\|b \`c\` &lt;img src=x&gt; \[l\](http://x) &#64;team \*\*bold\*\*");
        assert!(text.ends_with("Run it again: ``` echo `a` ``b`` ```\n"), "{text}");
        for table in text.split("\n\n").filter(|block| block.starts_with('|')) {
            let cells = |line: &str| line.replace(r"\|", "").matches('|').count();
            let widths: std::collections::BTreeSet<usize> = table.lines().filter(|l| l.starts_with('|')).map(cells).collect();
            assert_eq!(widths.len(), 1, "{table}");
        }
    }
}

//! Two runs side by side: for people, and for programs.

use schemars::generate::SchemaSettings;

use super::line::{Line, Paint, rendered};
use super::look::Look;
use super::table::Table;
use crate::domain::compare::{Change, Comparison, Interval, Lane, Pair, Quantile, Share, Which};
use crate::domain::display::{count, percent, points, span};
use crate::domain::objective::Ppm;
use crate::domain::verdict::VerdictKind;

/// The comparison as a JSON document with its line end.
pub fn document(comparison: &Comparison) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(comparison).map(|text| text + "\n")
}

/// The JSON Schema (draft 2020-12) of what [`document`] writes.
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Comparison>().to_value()
}

/// The comparison as text: what can be told first, then how far it can be trusted, then all figures.
pub fn text(comparison: &Comparison, look: Look) -> String {
    let sections = [
        differences(comparison),
        doubts(comparison),
        availability(comparison),
        latency(comparison),
        failures(comparison),
        once(comparison),
    ];
    let mut lines = runs(comparison);
    for section in sections.into_iter().filter(|s| !s.is_empty()) {
        lines.push(Line::default());
        lines.extend(section);
    }
    lines.push(Line::default());
    lines.extend(meaning(comparison.confidence).map(|text| Line::default().plus(Paint::Faint, text)));
    rendered(&lines, look)
}

/// What the intervals say, and what they cannot.
fn meaning(confidence: f64) -> [String; 2] {
    let sure = (confidence * 100.0).round();
    [
        format!("All intervals together hold with {sure} %, whenever the runs ended and however failures come in bursts."),
        "They are about chance within these two runs; how much runs differ by themselves, no two runs can tell.".into(),
    ]
}

fn title(text: &str) -> Line {
    Line::default().plus(Paint::Strong, text)
}

fn runs(c: &Comparison) -> Vec<Line> {
    let mut table = Table::new("lllll");
    for (name, run) in [("A", &c.a), ("B", &c.b)] {
        table.painted(
            [
                (Paint::Strong, name),
                (Paint::Plain, &run.run),
                (Paint::Plain, &run.scenario),
                (paint(run), word(run)),
                (Paint::Faint, &run.source),
            ]
            .map(|(paint, text)| (paint, text.to_owned())),
        );
    }
    table.lines()
}

fn word(run: &Which) -> &'static str {
    run.verdict.map_or("undecided", VerdictKind::label)
}

fn paint(run: &Which) -> Paint {
    run.verdict.map_or(Paint::Warn, super::words::verdict_paint)
}

fn differences(c: &Comparison) -> Vec<Line> {
    if c.differences.is_empty() {
        return vec![title("No difference can be told")];
    }
    std::iter::once(title("What differs")).chain(c.differences.iter().map(|d| Line::plain(format!("  {d}")))).collect()
}

fn doubts(c: &Comparison) -> Vec<Line> {
    if c.warnings.is_empty() {
        return Vec::new();
    }
    let line = |w: &crate::domain::compare::Warning| Line::plain("  ").plus(Paint::Warn, &w.message);
    std::iter::once(title("How far they can be compared")).chain(c.warnings.iter().map(line)).collect()
}

fn lanes(c: &Comparison) -> impl Iterator<Item = &Lane> {
    c.lanes.iter().chain(&c.all)
}

fn availability(c: &Comparison) -> Vec<Line> {
    let mut table = Table::new("lrrrl");
    table.row(Paint::Faint, ["lane", "A", "B", "B - A, percentage points", ""]);
    for lane in lanes(c) {
        table.painted(share(Paint::Plain, &lane.lane, &lane.availability, false));
    }
    std::iter::once(title("Availability")).chain(table.lines()).collect()
}

/// A share's cells; `more_is_bad` of failures, whose rise is no good news.
fn share(paint: Paint, name: &str, share: &Share, more_is_bad: bool) -> Vec<(Paint, String)> {
    let shown = |ppm: Option<u32>| ppm.map_or_else(|| "-".into(), |p| percent(Ppm(p)));
    let bounds = format!("{} to {}", points(share.low_ppm), points(share.high_ppm));
    let judged = judged(share.change, more_is_bad);
    vec![(paint, name.to_owned()), (paint, shown(share.a_ppm)), (paint, shown(share.b_ppm)), (judged.0, bounds), judged]
}

fn judged(change: Change, more_is_bad: bool) -> (Paint, String) {
    let paint = |bad: bool| if bad { Paint::Bad } else { Paint::Good };
    match change {
        Change::Higher => (paint(more_is_bad), "higher".into()),
        Change::Lower => (paint(!more_is_bad), "lower".into()),
        Change::Untold => (Paint::Plain, String::new()),
    }
}

fn latency(c: &Comparison) -> Vec<Line> {
    let mut table = Table::new("llrrrl");
    table.row(Paint::Faint, ["lane", "", "A", "B", "B / A", ""]);
    for lane in lanes(c) {
        lane.latency.iter().for_each(|q| table.painted(quantile(&lane.lane, q)));
    }
    std::iter::once(title("Latency of good answers")).chain(table.lines()).collect()
}

fn quantile(lane: &str, q: &Quantile) -> Vec<(Paint, String)> {
    let time = |ms: Option<crate::domain::summary::Millis>| ms.map_or_else(|| "-".into(), |ms| span(ms.0));
    let bounds = match q.ratio {
        None => "no interval: a summary holds no latencies".into(),
        Some(Interval { low: Some(low), high: Some(high) }) => format!("{low} to {high}"),
        Some(Interval { low: Some(low), high: None }) => format!("at least {low}"),
        Some(Interval { low: None, high: Some(high) }) => format!("at most {high}"),
        Some(Interval { low: None, high: None }) => "too few answers".into(),
    };
    let judged = judged(q.change, true);
    vec![
        (Paint::Plain, lane.to_owned()),
        (Paint::Plain, q.quantile.clone()),
        (Paint::Plain, time(q.a_ms)),
        (Paint::Plain, time(q.b_ms)),
        (judged.0, bounds),
        judged,
    ]
}

fn failures(c: &Comparison) -> Vec<Line> {
    if c.failures.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new("lrrrrrl");
    table.row(Paint::Faint, ["outcome", "A", "B", "of A", "of B", "B - A, percentage points", ""]);
    for failure in &c.failures {
        let mut cells = share(Paint::Plain, failure.outcome.label(), &failure.share, true);
        let counts = [failure.count.a, failure.count.b].map(|n| (Paint::Plain, count(n)));
        cells.splice(1..1, counts);
        table.painted(cells);
    }
    std::iter::once(title("Failures")).chain(table.lines()).collect()
}

/// What was observed once in each run, and so has no interval.
fn once(c: &Comparison) -> Vec<Line> {
    let mut table = Table::new("lrr");
    table.row(Paint::Faint, ["", "A", "B"]);
    for lane in lanes(c) {
        let Pair { a, b } = lane.longest_outage_ms;
        table.row(Paint::Plain, [format!("longest outage, {}", lane.lane), span(a.0), span(b.0)]);
    }
    let deployed = |s: Option<crate::domain::summary::Seconds>| s.map_or_else(|| "not complete".into(), |s| span(s.length()));
    table.row(Paint::Plain, ["rollout complete after".to_owned(), deployed(c.deployed_after_s.a), deployed(c.deployed_after_s.b)]);
    for finding in &c.findings {
        let explains = |n: Option<u64>| n.map_or_else(|| "-".into(), |n| format!("{} failures", count(n)));
        table.row(
            Paint::Plain,
            [format!("{} {}", finding.code, finding.title), explains(finding.failures.a), explains(finding.failures.b)],
        );
    }
    std::iter::once(title("Seen once in each")).chain(table.lines()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::compare::tests::{compared, slower};
    use crate::domain::fixtures::{breach, healthy};
    use crate::report::golden;

    const LOOK: Look = Look { colour: false, unicode: true, live: false };

    #[test]
    fn what_differs_stands_first_and_every_figure_below_it() {
        let text = text(&compared(&healthy(), &breach()), LOOK);
        golden::check("compare.txt", &text);
        assert!(text.lines().all(|l| l.chars().count() <= 120), "no line is wider than 120 columns");
    }

    #[test]
    fn a_run_that_is_only_slower_is_told_by_its_latencies() {
        golden::check("compare_slower.txt", &text(&compared(&healthy(), &slower(healthy(), 3)), LOOK));
    }

    #[test]
    fn two_runs_alike_are_said_to_be_so() {
        let text = text(&compared(&healthy(), &healthy()), LOOK);
        assert!(text.contains("\nNo difference can be told\n"), "{text}");
    }

    #[test]
    fn the_published_form_changes_only_on_purpose() {
        golden::check("compare.json", &document(&compared(&healthy(), &breach())).unwrap());
        golden::check("compare_schema.json", &(serde_json::to_string_pretty(&schema()).unwrap() + "\n"));
    }
}

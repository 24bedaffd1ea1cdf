//! The verdict, the figures that matter most, and the objectives that the verdict stands on.

use super::markup::{Element, classed, el};
use super::section;
use super::table::{Column, Table};
use crate::domain::display::{count, moment, percent, percent_up, span};
use crate::domain::objective::Ppm;
use crate::domain::summary::{Between, Interval, Objective, ObjectiveState, Summary};
use crate::domain::verdict::VerdictKind;
use crate::report::words;

/// What an interval promises.
pub(super) const CONFIDENCE: &str = "Intervals hold at all moments of the run at once, with 95 % confidence.";

/// The title of the page, and so of its tab.
pub(super) fn title(s: &Summary) -> String {
    let verdict = s.verdict.verdict.map_or("undecided".to_owned(), |v| v.label().to_uppercase());
    format!("{verdict}: {} on deploy/{}", s.run.scenario, s.run.deployment)
}

/// The class, mark and word of a verdict: its shape says it without its colour.
pub(super) const fn look(verdict: Option<VerdictKind>) -> (&'static str, &'static str) {
    match verdict {
        Some(VerdictKind::Pass) => ("good", "✔"),
        Some(VerdictKind::Breach) => ("bad", "✘"),
        Some(VerdictKind::Inconclusive | VerdictKind::Superseded | VerdictKind::Aborted) | None => ("warn", "◌"),
    }
}

/// The top of the page.
pub(super) fn header(s: &Summary) -> Element {
    let (class, mark) = look(s.verdict.verdict);
    let word = s.verdict.verdict.map_or("undecided".to_owned(), |v| v.label().to_uppercase());
    let mark = el("span").attr("aria-hidden", "true").text(mark);
    let word = el("p").attr("class", format!("verdict {class}")).with(mark).text(format!(" {word}"));
    let mut reasons = s.verdict.reasons.iter();
    let first = reasons.next().map_or("The run is not over.", |r| &r.message);
    let rest = reasons.map(|r| classed("p", "reason").text(format!("and {}", r.message)));
    let meaning = s.verdict.verdict.and_then(words::verdict).map(|text| classed("p", "soft").text(text));
    el("header")
        .with(word)
        .with(el("h1").text(first))
        .all(rest)
        .all(meaning)
        .with(figures(s))
        .with(classed("p", "soft").text(place(s)))
        .all(s.next.as_ref().map(|command| el("p").text("Next: ").with(el("code").text(command))))
        .all(expectation(s))
}

fn place(s: &Summary) -> String {
    let run = &s.run;
    let decided = s.verdict.decided_at_s.map(|at| {
        let after = s.rollout.changed_s.filter(|changed| at >= *changed);
        let after = after.map(|changed| format!(", {} after the change began", span(at.0.since(changed.0))));
        format!("Decided at {}{}. ", moment(at.0), after.unwrap_or_default())
    });
    format!(
        "{}Scenario {} on deploy/{} in namespace {} ({}), {} in all, {}.",
        decided.unwrap_or_default(),
        run.scenario,
        run.deployment,
        run.namespace,
        run.cluster,
        span(run.duration_s.length()),
        run.started
    )
}

fn expectation(s: &Summary) -> Option<Element> {
    let expected = s.expected.as_ref()?;
    let because = if expected.because.is_empty() { String::new() } else { format!(" because of {}", expected.because.join(", ")) };
    let wanted = format!("the scenario must end in {}{because}", expected.verdict);
    Some(if s.as_expected? {
        classed("p", "soft").with(el("strong").text("As expected")).text(format!(": {wanted}."))
    } else {
        let missing = expected.missing.join(", ");
        let text = format!(": {wanted}; missing: {missing}.");
        el("p").with(classed("strong", "bad").text("✘ NOT AS EXPECTED")).text(text)
    })
}

/// Availability with its interval, what failed, how slow, how long away, how long it took.
fn figures(s: &Summary) -> Element {
    let measured = &s.traffic.measured;
    let answers = &measured.answers;
    let dash = || "–".to_owned();
    let share = |interval: Between<u32>| format!("{} to {}", percent(Ppm(interval.low)), percent_up(Ppm(interval.high)));
    let interval = answers.availability_interval_ppm.map(share);
    let latency = answers.latency.as_ref();
    let outage = measured.longest_outage.as_ref();
    let tiles = [
        ("availability", answers.availability.clone().unwrap_or_else(dash), interval),
        ("failed", count(answers.bad), Some(format!("of {} requests", count(answers.valid)))),
        ("p99", latency.map_or_else(dash, |l| span(l.p99_ms.0)), latency.map(|l| format!("p50 {}", span(l.p50_ms.0)))),
        (
            "longest outage",
            outage.map_or_else(|| "none".to_owned(), |o| span(o.length_ms.0)),
            outage.map(|o| format!("lane {}, from {}", o.lane, moment(o.from_s.0))),
        ),
        ("rolled out", s.rollout.deployed_after_s.map_or_else(dash, |d| span(d.length())), Some(complete(s).to_owned())),
    ];
    let tile = |(name, value, more): (&str, String, Option<String>)| {
        el("div").with(el("dt").text(name)).with(el("dd").text(value)).all(more.map(|m| classed("dd", "more").text(m)))
    };
    classed("dl", "figures").all(tiles.into_iter().map(tile))
}

const fn complete(s: &Summary) -> &'static str {
    match (&s.rollout.deployed_after_s, &s.rollout.changed_s) {
        (Some(_), _) => "after the change began",
        (None, Some(_)) => "not complete",
        (None, None) => "nothing was changed",
    }
}

fn between(interval: &Interval) -> String {
    format!("{} to {}", interval.low, interval.high)
}

/// The objectives, each with what was measured, where that lies, and what its budget allowed.
pub(super) fn objectives(s: &Summary) -> Option<Element> {
    const COLUMNS: &[Column] = &[
        Column::Code("objective"),
        Column::Words(""),
        Column::Number("measured"),
        Column::Number("interval"),
        Column::Number("failed"),
        Column::Number("allowed"),
        Column::Words("budget used"),
        Column::Words("note"),
    ];
    let mut table = Table::new("Objectives", COLUMNS);
    for o in &s.objectives {
        let (class, mark) = state(o.state);
        let (bad, allowed) = o.budget.map(|b| (count(b.bad), count(b.allowed))).unwrap_or_default();
        let text = |text: String| el("td").text(text);
        table.cells(
            "",
            vec![
                text(o.objective.clone()),
                el("td").with(el("span").attr("class", format!("whole {class}")).text(mark)),
                text(o.measured.clone().unwrap_or_else(|| "–".to_owned())),
                text(o.interval.as_ref().map(between).unwrap_or_default()),
                text(bad),
                text(allowed),
                el("td").all(budget(o)),
                text(open(o)),
            ],
        );
    }
    if table.is_empty() {
        return None;
    }
    Some(section("Objectives").with(table.element()).with(classed("p", "note").text(CONFIDENCE)))
}

/// Why it cannot be said; of a missed objective the reason stands at the top.
fn open(o: &Objective) -> String {
    match o.state {
        ObjectiveState::Open => o.why.clone().unwrap_or_default(),
        ObjectiveState::Met | ObjectiveState::Missed => String::new(),
    }
}

const fn state(state: ObjectiveState) -> (&'static str, &'static str) {
    match state {
        ObjectiveState::Met => ("good", "✔ met"),
        ObjectiveState::Missed => ("bad", "✘ missed"),
        ObjectiveState::Open => ("warn", "◌ open"),
    }
}

/// How much of a budget is used, as a bar with its share.
fn budget(o: &Objective) -> Option<Element> {
    const LENGTH: u64 = 80;
    let budget = o.budget?;
    let used = match Ppm::of(budget.bad, budget.allowed) {
        Some(share) => format!("{} %", count(u64::from(share.0) / 10_000)),
        None if budget.bad > 0 => "all".to_owned(),
        None => "none".to_owned(),
    };
    let over = budget.bad > budget.allowed;
    let filled = if over { LENGTH } else { budget.bad * LENGTH / budget.allowed.max(1) };
    let bar = |class, width| classed("rect", class).attr("width", width).attr("height", 8);
    let svg = el("svg").attr("class", "bar").attr("width", LENGTH).attr("height", 8).attr("aria-hidden", "true");
    let svg = svg.with(bar("track", LENGTH)).with(bar(if over { "over" } else { "used" }, filled));
    Some(classed("span", "whole").with(svg).text(format!(" {used}")))
}

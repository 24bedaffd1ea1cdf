//! One frame of the live screen: a run at a glance, on at most 16 lines. Pure; the same course gives the same frame.

use crate::domain::course::{Course, Stage};
use crate::domain::display::{count, moment, span};
use crate::domain::objective::Ppm;
use crate::domain::outcome::Blame;
use crate::domain::rollout::Phase;
use crate::domain::summary::{Figures, KubeWarning, Notice, Objective, Seconds, Traffic};
use crate::domain::tally::Cell;
use crate::domain::time::At;
use crate::report::line::{Line, Paint};
use crate::report::look::Look;
use crate::report::words;

/// Cells of the time line shown.
const CELLS: usize = 60;
/// Objectives shown.
const OBJECTIVES: usize = 5;
/// Warnings and notices shown.
const NOTES: usize = 3;
/// Columns of a bar.
const BAR: u32 = 20;
/// Where what is said of a row begins.
const INDENT: usize = 10;

/// The screen for a run as far as it has come, cut at `width` columns.
pub fn frame(course: &Course, width: usize, look: Look) -> Vec<String> {
    let mut lines = vec![title(course)];
    lines.extend(verdict(course));
    lines.push(phase(course));
    lines.push(pods(course, look));
    lines.push(answers(course, width, look));
    lines.push(rate(course));
    lines.push(failed(course));
    lines.extend(objectives(course, look));
    lines.extend(notes(course));
    lines.iter().map(|l| l.render(look, Some(width))).collect()
}

fn row(name: &str) -> Line {
    Line::default().plus(Paint::Faint, name).to(INDENT)
}

fn title(course: &Course) -> Line {
    let (stage, since) = course.stage();
    let lasts = if stage == Stage::Done { String::new() } else { format!(" for {}", span(course.now().since(since))) };
    Line::plain(moment(course.now()))
        .to(INDENT)
        .plus(Paint::Strong, &course.head().scenario.name)
        .text(format!(" on deploy/{} ({}): ", course.head().scenario.target.deployment, course.head().cluster))
        .plus(Paint::Strong, words::stage(stage))
        .text(lasts)
}

fn verdict(course: &Course) -> Option<Line> {
    let verdict = course.verdict()?;
    Some(words::verdict_line(verdict.verdict, verdict.reasons.first().map_or("", |r| &r.message)))
}

fn phase(course: &Course) -> Line {
    let (since, phase) = course.phases().last().copied().unwrap_or((At::ZERO, Phase::Baseline));
    let lasts = span(course.now().since(since));
    row("phase")
        .plus(Paint::Strong, phase.label())
        .text(format!(" for {lasts}"))
        .plus(Paint::Faint, format!("  {}", words::phase(phase)))
}

/// Pods that are ready, not ready and ending, as bars.
fn pods(course: &Course, look: Look) -> Line {
    let n = course.rollout.head_count();
    let bar = |line: Line, paint, glyph: &str, n: u32| line.plus(paint, glyph.repeat(n.min(BAR) as usize));
    let side = |line: Line, name: &str, ready: u32, all: u32| {
        if all == 0 {
            return line.text(format!("{name} 0  "));
        }
        let line = bar(line.text(format!("{name} ")), Paint::Good, look.pick("█", "#"), ready);
        bar(line, Paint::Warn, look.pick("░", "-"), all - ready).text(format!(" {ready}/{all} ready  "))
    };
    let line = if course.changed().is_none() {
        // Before the change, what is wanted is what runs.
        side(row("pods"), "old", n.old_ready + n.new_ready, n.old + n.new)
    } else {
        side(side(row("pods"), "old", n.old_ready, n.old), "new", n.new_ready, n.new)
    };
    if n.terminating == 0 {
        return line;
    }
    bar(line.text("ending "), Paint::Faint, look.pick("▒", "x"), n.terminating).text(format!(" {}", n.terminating))
}

/// The last minute, a cell a second.
fn answers(course: &Course, width: usize, look: Look) -> Line {
    let line = course.tally.cells();
    if line.all().is_empty() {
        return row("answers").text("none yet");
    }
    let room = CELLS.min(width.saturating_sub(INDENT));
    let shown = &line.all()[line.all().len().saturating_sub(room)..];
    let cells = shown.iter().fold(row("answers"), |line, cell| {
        let (paint, glyph) = glyph(*cell, look);
        line.plus(paint, glyph)
    });
    let legend = format!(
        "  each {}: {} good {} some failed {} most {} all",
        span(line.length()),
        look.pick("█", "="),
        look.pick("▅", "%"),
        look.pick("▂", "!"),
        look.pick("✗", "x")
    );
    cells.plus(Paint::Faint, legend)
}

fn glyph(cell: Cell, look: Look) -> (Paint, &'static str) {
    let Cell { good, bad, excluded } = cell;
    match (good, bad) {
        (0, 0) if excluded > 0 => (Paint::Warn, "?"),
        (0, 0) => (Paint::Faint, look.pick("·", ".")),
        (_, 0) => (Paint::Good, look.pick("█", "=")),
        (0, _) => (Paint::Bad, look.pick("✗", "x")),
        _ if bad <= good => (Paint::Warn, look.pick("▅", "%")),
        _ => (Paint::Bad, look.pick("▂", "!")),
    }
}

fn rate(course: &Course) -> Line {
    if course.traffic().is_none() {
        return row("recently").text("no traffic yet");
    }
    let recent = Figures::of(&course.tally.recent());
    let intended = Traffic::intended(course);
    let achieved = recent.achieved_per_s.map_or_else(|| "-".into(), |r| format!("{r:.0}"));
    let latency = recent.answers.latency.map(|l| format!(", p50 {}, p99 {}", span(l.p50_ms.0), span(l.p99_ms.0)));
    row("recently").text(format!("{achieved} of {intended:.0} requests/s{}", latency.unwrap_or_default()))
}

/// Failures by kind, from the change on, or before it while there is no change.
fn failed(course: &Course) -> Line {
    let changed = course.changed().is_some();
    let figures = Figures::of(&if changed { course.tally.measured() } else { course.tally.baseline() });
    let line = row("failed");
    if figures.answers.bad + figures.answers.excluded == 0 {
        return line.text(format!("none of {}", count(figures.answers.valid)));
    }
    let mut kinds: Vec<_> = figures.answers.outcomes.iter().filter(|(o, _)| o.blame() != Blame::Nobody).collect();
    kinds.sort_by_key(|(o, n)| (o.blame(), std::cmp::Reverse(*n)));
    let line = line.text(format!("{} of {}: ", count(figures.answers.bad), count(figures.answers.valid)));
    kinds.into_iter().enumerate().fold(line, |line, (i, (outcome, n))| {
        let paint = if outcome.blame() == Blame::Target { Paint::Bad } else { Paint::Warn };
        let excluded = if outcome.blame() == Blame::Target { "" } else { " (not counted)" };
        line.text(if i > 0 { ", " } else { "" }).plus(paint, format!("{} {}{excluded}", count(n), outcome.label()))
    })
}

fn objectives(course: &Course, look: Look) -> Vec<Line> {
    let all = Objective::all(course);
    let width = all.iter().map(|o| Line::plain(&o.objective).width()).max().unwrap_or_default();
    let line = |o: &Objective| {
        let (paint, mark) = words::mark(o, look);
        let line = Line::default().plus(paint, mark).to(INDENT).text(&o.objective).to(INDENT + width + 2);
        let line = line.text(o.measured.as_deref().unwrap_or("-")).to(INDENT + width + 12);
        match o.budget.filter(|_| course.traffic().is_some()) {
            Some(b) => line.join(budget(b.bad, b.allowed, look)),
            None => line,
        }
    };
    let mut lines: Vec<Line> = all.iter().take(OBJECTIVES).map(line).collect();
    if let Some(more) = all.len().checked_sub(OBJECTIVES).filter(|n| *n > 0) {
        lines[OBJECTIVES - 1] = row("").plus(Paint::Faint, format!("and {} more objectives", more + 1));
    }
    lines
}

/// How much of a budget is used, as a bar of ten.
fn budget(bad: u64, allowed: u64, look: Look) -> Line {
    let whole = if bad > 0 { Ppm(Ppm::ONE) } else { Ppm(0) };
    let Ppm(used) = Ppm::of(bad.min(allowed), allowed).unwrap_or(whole);
    let cells = (used / 100_000) as usize;
    let paint = match used {
        _ if bad > allowed => Paint::Bad,
        0..500_000 => Paint::Good,
        _ => Paint::Warn,
    };
    Line::default()
        .plus(paint, look.pick("█", "#").repeat(cells))
        .plus(Paint::Faint, look.pick("░", "-").repeat(10 - cells))
        .text(format!(" {} failed, {} allowed", count(bad), count(allowed)))
}

/// The last warnings and notices together.
fn notes(course: &Course) -> Vec<Line> {
    let mut notes: Vec<(Seconds, Line)> = Vec::new();
    for n in KubeWarning::all(course) {
        let line = Line::default().plus(Paint::Warn, &n.reason).text(format!(" on {} {}: {}", n.kind, n.name, n.message));
        notes.push((n.at_s, line));
    }
    notes.extend(Notice::all(course).into_iter().map(|n| (n.at_s, Line::plain(n.text))));
    notes.sort_by_key(|(at, _)| *at);
    let skipped = notes.len().saturating_sub(NOTES);
    notes
        .into_iter()
        .skip(skipped)
        .map(|(at, line)| Line::default().plus(Paint::Faint, moment(at.0)).to(INDENT).join(line))
        .collect()
}

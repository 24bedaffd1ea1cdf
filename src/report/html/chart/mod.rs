//! The time line: phases, failures, latency and pods under one another on one time axis, steps and the verdict across all of them.

mod axis;
mod lanes;
mod pods;

use axis::{Axis, LEFT, Px, RIGHT, WIDTH, text_width};

use super::head::look;
use super::markup::{Element, classed, el};
use super::section;
use crate::domain::display::{moment, span};
use crate::domain::rollout::Phase;
use crate::domain::summary::{PhaseSpan, Summary};
use crate::domain::time::At;
use crate::report::words;

/// Lines of names above the drawing.
const NAMES: usize = 4;
/// Letters of a step's name that are shown.
const LETTERS: usize = 44;
/// The height of the phases.
const PHASES: f64 = 24.0;

/// A drawing in the making: it grows downwards.
pub(super) struct Chart {
    axis: Axis,
    y: f64,
    parts: Vec<Element>,
}

impl Chart {
    /// Takes so much height, and answers with where it begins.
    fn take(&mut self, height: f64) -> f64 {
        let y = self.y;
        self.y += height;
        y
    }

    fn add(&mut self, part: Element) {
        self.parts.push(part);
    }

    /// The heading of a group of lanes.
    fn heading(&mut self, words: &str) {
        let y = self.take(26.0);
        self.add(classed("text", "heading").attr("x", 0).attr("y", Px(y + 19.0)).text(words));
    }
}

/// The section with its drawing and what its signs mean. Nothing where nothing happened.
pub(super) fn timeline(s: &Summary) -> Option<Element> {
    if s.timeline.cells.is_empty() && s.rollout.pods.is_empty() {
        return None;
    }
    let axis = Axis::to(s.run.duration_s);
    let mut chart = Chart { axis, y: 0.0, parts: Vec::new() };
    let marks = Mark::all(s);
    names(&mut chart, &marks);
    let top = chart.y;
    ticks(&mut chart);
    phases(&mut chart, &s.rollout.phases);
    lanes::failures(&mut chart, s);
    lanes::latency(&mut chart, s);
    pods::draw(&mut chart, s);
    let bottom = chart.take(8.0);
    let grid = axis.ticks().into_iter().map(|(at, _)| line("grid", (axis.x(at), top + 20.0), (axis.x(at), bottom)));
    let across = marks.iter().map(|m| m.line(axis, top - 4.0, bottom));
    let drawing = el("svg")
        .attr("viewBox", format!("0 0 {} {}", Px(WIDTH), Px(chart.y)))
        .attr("width", Px(WIDTH))
        .attr("height", Px(chart.y))
        .attr("role", "img")
        .attr("aria-labelledby", "timeline-title timeline-desc")
        .with(el("title").attr("id", "timeline-title").text("Time line of the run"))
        .with(el("desc").attr("id", "timeline-desc").text(description(s)))
        .with(patterns())
        .all(grid)
        .all(chart.parts)
        .all(across);
    let drawing = classed("div", "scroll").attr("role", "region").attr("tabindex", 0).attr("aria-label", "Time line").with(drawing);
    Some(section("Time line").with(drawing).with(legend()))
}

fn description(s: &Summary) -> String {
    let phases: Vec<String> = s.rollout.phases.iter().map(|p| format!("{} from {}", p.phase.label(), moment(p.from_s.0))).collect();
    format!(
        "Phases: {}. {} requests failed after the change began. The tables below say the same in words.",
        phases.join(", "),
        s.traffic.measured.answers.bad
    )
}

/// Something that happened at a moment, drawn across all lanes.
struct Mark {
    at: At,
    name: String,
    class: &'static str,
}

impl Mark {
    /// Steps and the verdict, in order.
    fn all(s: &Summary) -> Vec<Self> {
        let step = |step: &crate::domain::summary::Step| Self { at: step.began_s.0, name: shortened(&step.what), class: "step" };
        let mut marks: Vec<Self> = s.steps.iter().map(step).collect();
        if let Some((verdict, at)) = s.verdict.verdict.zip(s.verdict.decided_at_s) {
            let (class, sign) = look(Some(verdict));
            marks.push(Self { at: at.0, name: format!("{sign} {}", verdict.label().to_uppercase()), class });
        }
        if let Some((after, changed)) = s.rollout.deployed_after_s.zip(s.rollout.changed_s) {
            marks.push(Self { at: changed.0 + after.length(), name: "rollout complete".into(), class: "step" });
        }
        marks.sort_by_key(|m| m.at);
        marks
    }

    fn line(&self, axis: Axis, top: f64, bottom: f64) -> Element {
        let x = axis.x(self.at);
        let told = title(format!("{}: {}", moment(self.at), self.name));
        classed("g", "mark").with(told).with(line(self.class, (x, top), (x, bottom)))
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= LETTERS { name.to_owned() } else { name.chars().take(LETTERS - 1).chain(['…']).collect() }
}

/// The names of marks above the drawing, none over another. One that finds no room is left to its line.
fn names(chart: &mut Chart, marks: &[Mark]) {
    let mut ends: Vec<f64> = Vec::new();
    let mut placed: Vec<(usize, f64, &Mark)> = Vec::new();
    for mark in marks {
        // To the right of its line, or to the left where there is no room.
        let (width, at) = (text_width(&mark.name) + 6.0, chart.axis.x(mark.at));
        let x = if at + width > RIGHT { (at - width).max(LEFT) } else { at + 3.0 };
        let row = ends.iter().position(|end| *end <= x).unwrap_or(ends.len());
        if row == NAMES {
            continue;
        }
        if row == ends.len() {
            ends.push(0.0);
        }
        ends[row] = x + width;
        placed.push((row, x, mark));
    }
    let y = chart.take(ends.len() as f64 * 16.0 + 4.0);
    for (row, x, mark) in placed {
        let class = if mark.class == "step" { "step-name" } else { mark.class };
        let name = classed("text", class).attr("x", Px(x)).attr("y", Px(y + 12.0 + row as f64 * 16.0));
        chart.add(name.text(&mark.name));
    }
}

fn ticks(chart: &mut Chart) {
    let y = chart.take(20.0);
    for (at, name) in chart.axis.ticks() {
        let x = chart.axis.x(at).clamp(LEFT + 8.0, RIGHT - 14.0);
        chart.add(text("tick", name, x, y + 13.0));
    }
}

fn phases(chart: &mut Chart, phases: &[PhaseSpan]) {
    let y = chart.take(PHASES + 6.0);
    chart.add(label("phase", LEFT - 8.0, y + 16.0));
    for p in phases {
        let x = chart.axis.x(p.from_s.0);
        let width = (chart.axis.x(p.from_s.0 + p.length_s.length()) - x).max(1.0);
        let class = match p.phase {
            Phase::Baseline | Phase::Settled => "phase calm",
            Phase::Surging | Phase::Terminating => "phase moving",
            Phase::Replacing => "phase both",
        };
        let told =
            format!("{} from {} for {}: {}", p.phase.label(), moment(p.from_s.0), span(p.length_s.length()), words::phase(p.phase));
        let fits = text_width(p.phase.label()) + 8.0 < width;
        let name = fits.then(|| text("phase-name", p.phase.label(), x + width / 2.0, y + 16.0));
        chart.add(el("g").with(title(told)).with(rect(class, (x, y), (width, PHASES))).all(name));
    }
}

/// Hatchings, so that no meaning hangs on a colour.
fn patterns() -> Element {
    let pattern = |id, class, d| {
        let stroke = classed("path", class).attr("d", d);
        el("pattern").attr("id", id).attr("width", 6).attr("height", 6).attr("patternUnits", "userSpaceOnUse").with(stroke)
    };
    el("defs").all([
        pattern("rising", "hatch", "M-1 7L7 -1M-1 1L1 -1M5 7L7 5"),
        pattern("falling", "hatch", "M-1 -1L7 7M5 -1L7 1M-1 5L1 7"),
        pattern("grey", "hatch-soft", "M-1 7L7 -1M-1 1L1 -1M5 7L7 5"),
    ])
}

/// What the signs mean.
fn legend() -> Element {
    let bar = |class: &'static str| rect(class, (0.5, 2.5), (25.0, 9.0));
    let signs: [(&'static str, Element, &str); 11] = [
        ("pod new", line("waiting", (0.0, 7.0), (26.0, 7.0)), "no node yet"),
        ("pod new", bar("preparing"), "on a node, not started"),
        ("pod new", bar("starting"), "started, never ready yet"),
        ("pod new", bar("ready"), "ready (new)"),
        ("pod old", bar("ready"), "ready (old)"),
        ("pod old", bar("unready"), "not ready any more"),
        ("pod old", bar("ending"), "told to end"),
        ("pod old", line("listed", (0.0, 7.0), (26.0, 7.0)), "endpoints send to it"),
        ("pod old", line("draining", (0.0, 7.0), (26.0, 7.0)), "endpoints name it as draining"),
        ("pod old", classed("path", "exit").attr("d", "M10 4L16 10M10 10L16 4"), "a container ended"),
        ("lane", rect("excluded", (0.5, 2.5), (25.0, 9.0)), "not counted"),
    ];
    let sign = |(class, sign, what): (&'static str, Element, &str)| {
        let svg = el("svg").attr("width", 26).attr("height", 14).attr("aria-hidden", "true");
        el("li").with(svg.with(el("g").attr("class", class).with(sign))).text(format!(" {what}"))
    };
    classed("ul", "legend").all(signs.into_iter().map(sign))
}

fn title(words: String) -> Element {
    el("title").text(words)
}

/// A name to the left of the drawing.
fn label(words: impl std::fmt::Display, x: f64, y: f64) -> Element {
    classed("text", "label").attr("x", Px(x)).attr("y", Px(y)).text(words)
}

fn text(class: &'static str, words: impl std::fmt::Display, x: f64, y: f64) -> Element {
    classed("text", class).attr("x", Px(x)).attr("y", Px(y)).text(words)
}

fn line(class: &'static str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> Element {
    classed("line", class).attr("x1", Px(x1)).attr("y1", Px(y1)).attr("x2", Px(x2)).attr("y2", Px(y2))
}

fn rect(class: &'static str, (x, y): (f64, f64), (width, height): (f64, f64)) -> Element {
    classed("rect", class).attr("x", Px(x)).attr("y", Px(y)).attr("width", Px(width)).attr("height", Px(height))
}

//! Why two runs may not be comparable.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Subject;
use crate::domain::display::{count, span};
use crate::domain::summary::Summary;
use crate::domain::verdict::VerdictKind;

/// One reason for doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// A stable word: `same_run`, `scenario`, `target`, `cluster`, `objectives`, `lanes`, `rate`, `stretch`, `validity`, `incomplete`, …
    pub code: String,
    /// A sentence with its figures.
    pub message: String,
}

/// More than one in so many slots left out, or not sent as planned, puts a run in doubt.
const DOUBTFUL: f64 = 0.01;

pub(super) fn of(a: &Subject, b: &Subject) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn = |code: &str, message: String| found.push(Warning { code: code.into(), message });
    let (of_a, of_b) = (&a.summary, &b.summary);
    if of_a.run.id == of_b.run.id && of_a.run.started == of_b.run.started {
        warn("same_run", format!("both files are of the same run, {}", of_a.run.id));
    }
    let target = |s: &Summary| format!("{}/{}", s.run.namespace, s.run.deployment);
    let objectives = |s: &Summary| s.objectives.iter().map(|o| o.objective.clone()).collect::<Vec<_>>().join(", ");
    for (code, what, in_a, in_b) in [
        ("scenario", "scenarios", of_a.run.scenario.clone(), of_b.run.scenario.clone()),
        ("target", "targets", target(of_a), target(of_b)),
        ("cluster", "clusters", of_a.run.cluster.clone(), of_b.run.cluster.clone()),
        ("version", "versions of verifier", of_a.run.version.clone(), of_b.run.version.clone()),
        ("objectives", "objectives", objectives(of_a), objectives(of_b)),
    ] {
        if in_a != in_b {
            warn(code, format!("the {what} differ: {in_a} in A, {in_b} in B"));
        }
    }
    for (code, message) in lanes(of_a, of_b) {
        warn(code, message);
    }
    if let Some(message) = stretch(of_a, of_b) {
        warn("stretch", message);
    }
    for (name, subject) in [("A", a), ("B", b)] {
        for (code, message) in alone(name, subject) {
            warn(code, message);
        }
    }
    found
}

/// Lanes that only one run has, and lanes that send otherwise.
fn lanes(a: &Summary, b: &Summary) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (here, there, name) in [(a, b, "A"), (b, a, "B")] {
        let only = here.traffic.lanes.iter().filter(|l| there.traffic.lanes.iter().all(|o| o.lane != l.lane));
        found.extend(only.map(|l| ("lanes", format!("only {name} has a lane {}", l.lane))));
    }
    for lane in &a.traffic.lanes {
        let Some(other) = b.traffic.lanes.iter().find(|l| l.lane == lane.lane) else { continue };
        if lane.mode != other.mode {
            found.push(("lanes", format!("lane {} sends otherwise in B than in A", lane.lane)));
        }
        if (lane.intended_per_s - other.intended_per_s).abs() > f64::EPSILON * lane.intended_per_s {
            let (in_a, in_b) = (lane.intended_per_s, other.intended_per_s);
            found.push(("rate", format!("lane {} was to send {in_a} requests a second in A and {in_b} in B", lane.lane)));
        }
    }
    found
}

/// Measured stretches of very different length hold different parts of a rollout.
fn stretch(a: &Summary, b: &Summary) -> Option<String> {
    let length = |s: &Summary| s.traffic.measured_from_s.map_or(Duration::ZERO, |from| s.run.duration_s.0.since(from.0));
    let (in_a, in_b) = (length(a), length(b));
    let alike = in_a.max(in_b) <= in_a.min(in_b).mul_f64(1.5);
    (!alike).then(|| {
        format!("what was measured lasted {} in A and {} in B: they hold different parts of a rollout", span(in_a), span(in_b))
    })
}

/// What puts one run in doubt by itself.
fn alone(name: &str, subject: &Subject) -> Vec<(&'static str, String)> {
    let s = &subject.summary;
    let measured = &s.traffic.measured;
    let mut found = Vec::new();
    if !subject.whole {
        found.push(("incomplete", format!("the recording of {name} ends before its run was over")));
    }
    if s.rejudged.is_some() {
        found.push(("rejudged", format!("{name} was judged again by other objectives than the run's own")));
    }
    if let Some(verdict @ (VerdictKind::Inconclusive | VerdictKind::Superseded | VerdictKind::Aborted)) = s.verdict.verdict {
        let reason = s.verdict.reasons.first().map_or("", |r| &r.message);
        found.push(("validity", format!("{name} ended {verdict}: {reason}")));
    }
    if measured.answers.valid == 0 {
        found.push(("validity", format!("in {name} nothing was measured after the change")));
    }
    if measured.answers.excluded as f64 > DOUBTFUL * measured.due as f64 {
        let (excluded, due) = (count(measured.answers.excluded), count(measured.due));
        found.push(("validity", format!("in {name} {excluded} of {due} requests say nothing about the target")));
    }
    found
}

//! The verdict and the objectives it stands on.

use super::title;
use crate::domain::display::{count, moment, span};
use crate::domain::recording::Rejudged;
use crate::domain::summary::{Action, Objective, ObjectiveState, Seconds, Summary};
use crate::domain::verdict::VerdictKind;
use crate::report::line::{Line, Paint};
use crate::report::look::Look;
use crate::report::table::Table;
use crate::report::words;

/// The verdict with its deciding reason on the first line, then where that was.
pub(super) fn head(s: &Summary) -> Vec<Line> {
    let reasons = &s.verdict.reasons;
    let first = reasons.first().map_or("", |r| &r.message);
    let mut lines = match s.verdict.verdict {
        Some(verdict) => vec![words::verdict_line(verdict, first)],
        None => vec![title("UNDECIDED  the run is not over")],
    };
    let hints = s.verdict.verdict.and_then(words::verdict).into_iter().map(|text| Line::default().plus(Paint::Faint, text));
    lines.extend(hints);
    lines.extend(s.rejudged.as_ref().map(rejudged));
    lines.extend(reasons.iter().skip(1).map(|r| Line::plain(format!("and {}", r.message))));
    lines.extend(decided(s));
    lines.extend(s.action.as_ref().map(words::action));
    lines.extend(s.action.as_ref().and_then(action_times));
    lines.extend(s.next.as_ref().map(|command| Line::default().plus(Paint::Strong, "Next").text(format!(": {command}"))));
    lines.push(place(s));
    lines.extend(expectation(s));
    lines
}

/// That this is not what the run ended in, and by what it was judged then.
fn rejudged(r: &Rejudged) -> Line {
    let own = r.verdict.map_or("nothing that was recorded", VerdictKind::label);
    Line::default().plus(Paint::Warn, "JUDGED AGAIN").text(format!(
        " by other objectives (verifier {}); the run itself ended in {own}, by {}",
        r.by,
        r.objectives.join(", ")
    ))
}

/// When it was decided; of a pass that is the end of the run and says nothing.
fn decided(s: &Summary) -> Option<Line> {
    let at = s.verdict.decided_at_s.filter(|_| s.verdict.verdict != Some(VerdictKind::Pass))?;
    let after = s.rollout.changed_s.filter(|changed| at >= *changed);
    let after = after.map(|changed| format!(", {} after the change began", span(at.0.since(changed.0)))).unwrap_or_default();
    Some(Line::plain(format!("Decided at {}{after}", moment(at.0))))
}

/// How long each part of the guard's action took.
fn action_times(action: &Action) -> Option<Line> {
    let accepted = action.accepted_s?;
    let after = |what: &str, at: Option<Seconds>, from: Seconds| at.map(|at| format!("{what} after {}", span(at.0.since(from.0))));
    let parts = [
        after("patch accepted", Some(accepted), action.decided_s),
        after("new ReplicaSet at 0", action.scaled_s, action.decided_s),
        after("effective", action.effective_s, action.decided_s),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    Some(Line::default().plus(Paint::Faint, format!("  decided at {}; {}", moment(action.decided_s.0), parts.join(", "))))
}

fn place(s: &Summary) -> Line {
    let run = &s.run;
    Line::plain(format!(
        "Scenario {} on deploy/{} in namespace {} ({}), {} in all",
        run.scenario,
        run.deployment,
        run.namespace,
        run.cluster,
        span(run.duration_s.length())
    ))
}

fn expectation(s: &Summary) -> Option<Line> {
    let expected = s.expected.as_ref()?;
    let because = if expected.because.is_empty() { String::new() } else { format!(" because of {}", expected.because.join(", ")) };
    let findings = if expected.findings.is_empty() { String::new() } else { format!(", with {}", expected.findings.join(", ")) };
    let wanted = format!("{}{because}{findings}", expected.verdict);
    Some(if s.as_expected? {
        Line::default().plus(Paint::Good, "As expected").text(format!(": the scenario must end in {wanted}"))
    } else {
        let missing = expected.missing.join(", ");
        Line::default().plus(Paint::Bad, "NOT AS EXPECTED").text(format!(": the scenario must end in {wanted}; missing: {missing}"))
    })
}

/// The objectives, each with what was measured and what its budget allowed.
pub(super) fn objectives(s: &Summary, look: Look) -> Vec<Line> {
    let mut table = Table::new("llrlrrl");
    table.row(Paint::Faint, ["", "objective", "measured", "95 % interval", "failed", "allowed"]);
    for objective in &s.objectives {
        let (bad, allowed) = objective.budget.map(|b| (count(b.bad), count(b.allowed))).unwrap_or_default();
        let measured = objective.measured.clone().unwrap_or_default();
        let interval = objective.interval.as_ref().map(|i| format!("{} to {}", i.low, i.high)).unwrap_or_default();
        let cells = [objective.objective.clone(), measured, interval, bad, allowed, open(objective)];
        table.painted(std::iter::once(words::mark(objective, look)).chain(cells.map(|c| (Paint::Plain, c))));
    }
    std::iter::once(title("Objectives")).chain(table.lines()).collect()
}

/// Why it cannot be said; of a missed objective the reason stands at the top.
fn open(objective: &Objective) -> String {
    match objective.state {
        ObjectiveState::Open => objective.why.clone().unwrap_or_default(),
        ObjectiveState::Met | ObjectiveState::Missed => String::new(),
    }
}

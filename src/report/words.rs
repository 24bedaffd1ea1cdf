//! Words for people, one place for all screens: what a stage, a phase and a verdict mean to who sees them for the first time.

use super::line::{Line, Paint};
use super::look::Look;
use crate::domain::course::Stage;
use crate::domain::display::{count, span};
use crate::domain::rollout::Phase;
use crate::domain::summary::{Action, ActionOutcome, Admission, AdmissionBasis, Objective, ObjectiveState, Side};
use crate::domain::verdict::VerdictKind;

/// What is being done in a stage.
pub(super) const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Preparing => "preparing the target",
        Stage::Baseline => "measuring before the change",
        Stage::Changing => "making the change",
        Stage::RollingOut => "rolling out",
        Stage::Watching => "waiting for a rollout",
        Stage::Soaking => "measuring after the rollout",
        Stage::Aftermath => "measuring on after the breach",
        Stage::Draining => "waiting for the last answers",
        Stage::PuttingBack => "putting back what was changed",
        Stage::Done => "over",
    }
}

/// What a phase of the rollout is.
pub(super) const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Baseline => "before the change",
        Phase::Surging => "new pods start, none is ready yet",
        Phase::Replacing => "new pods serve beside old ones",
        Phase::Terminating => "all new pods serve, old ones end",
        Phase::Settled => "complete, nothing of the old is left",
    }
}

/// Why a pod was let in.
pub(super) const fn admission(basis: AdmissionBasis) -> &'static str {
    match basis {
        AdmissionBasis::Given => "it stood before the change",
        AdmissionBasis::Verified => "its version was verified",
        AdmissionBasis::Evidence => "it answered well",
        AdmissionBasis::OneBox => "it answered well, and served before others",
    }
}

/// How a pod answered before it was let in.
pub(super) fn asked(a: &Admission) -> String {
    match (a.answers, a.bad) {
        (0, _) => "not asked".to_owned(),
        (answers, 0) => format!("{} good answers", count(answers)),
        (answers, bad) => format!("{} of {} answers bad", count(bad), count(answers)),
    }
}

/// How long a pod that was ready waited until it was let in.
pub(super) fn waited(a: &Admission) -> String {
    a.opened_s.map_or_else(|| "not accepted".to_owned(), |opened| span(opened.0.since(a.containers_ready_s.0)))
}

/// What a verdict other than pass and breach says.
pub(super) const fn verdict(verdict: VerdictKind) -> Option<&'static str> {
    match verdict {
        VerdictKind::Pass | VerdictKind::Breach => None,
        VerdictKind::Inconclusive => Some("neither pass nor breach: what was seen is too little, or too doubtful, to say either"),
        VerdictKind::Superseded => Some("neither pass nor breach: somebody else changed the target meanwhile"),
        VerdictKind::Aborted => Some("neither pass nor breach: the run was ended before it was over"),
    }
}

/// The colour of a verdict.
pub(super) const fn verdict_paint(verdict: VerdictKind) -> Paint {
    match verdict {
        VerdictKind::Pass => Paint::Good,
        VerdictKind::Breach => Paint::Bad,
        VerdictKind::Inconclusive | VerdictKind::Superseded | VerdictKind::Aborted => Paint::Warn,
    }
}

/// `BREACH  37 of 930 requests failed, …`: the verdict and what decided it.
pub(super) fn verdict_line(verdict: VerdictKind, reason: &str) -> Line {
    Line::default().plus(verdict_paint(verdict), verdict.label().to_uppercase()).plus(Paint::Strong, format!("  {reason}"))
}

/// What the guard did, in one line.
pub(super) fn action(action: &Action) -> Line {
    let (paint, head) = match action.outcome {
        ActionOutcome::UnderWay if action.accepted_s.is_some() => (Paint::Warn, "accepted"),
        ActionOutcome::UnderWay => (Paint::Warn, "acting"),
        ActionOutcome::Effective => (Paint::Good, "stopped"),
        ActionOutcome::NotEffective => (Paint::Bad, "NO EFFECT"),
        ActionOutcome::TakenBack => (Paint::Bad, "TAKEN BACK"),
        ActionOutcome::Overtaken => (Paint::Warn, "overtaken"),
        ActionOutcome::AlreadyDone => (Paint::Good, "already done"),
        ActionOutcome::LeftAlone => (Paint::Warn, "left alone"),
        ActionOutcome::Impossible => (Paint::Bad, "NOT DONE"),
        ActionOutcome::Failed => (Paint::Bad, "FAILED"),
    };
    Line::plain(format!("guard {}: ", action.guard)).plus(paint, head).text(format!(": {}", action.what))
}

/// The mark of an objective.
pub(super) fn mark(objective: &Objective, look: Look) -> (Paint, String) {
    let (paint, mark) = match objective.state {
        ObjectiveState::Met => (Paint::Good, look.pick("✔", "met")),
        ObjectiveState::Missed => (Paint::Bad, look.pick("✘", "MISSED")),
        ObjectiveState::Open => (Paint::Warn, look.pick("◌", "open")),
    };
    (paint, mark.to_owned())
}

/// Whose answers: pods of a side of the change.
pub(super) const fn side(side: Side) -> &'static str {
    match side {
        Side::Old => "old pods",
        Side::New => "new pods",
        Side::Other => "other pods",
        Side::Unknown => "no pod answered",
    }
}

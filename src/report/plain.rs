//! Lines for logs: one whenever something changes, and one every few seconds to show that all goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use super::line::{Line, Paint};
use super::look::Look;
use super::words;
use crate::domain::course::{Course, Stage};
use crate::domain::display::{aligned_moment, count, span};
use crate::domain::event::{Event, RunStarted, StepEnded, WatchState, What};
use crate::domain::outcome::Outcome;
use crate::domain::rollout::state::KubeEvent;
use crate::domain::slice::Failure;
use crate::domain::summary::{Action, Figures, Step};
use crate::domain::time::At;
use crate::domain::traffic::{Name, TrafficPlan};

/// Between two lines that only say how it goes.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Kinds of failures and warnings whose first appearance is told; a cluster must not be able to fill a log.
const MAX_FIRSTS: usize = 100;

/// What was told already.
#[derive(Debug)]
pub(super) struct Plain {
    look: Look,
    stage: Option<Stage>,
    phases: usize,
    failures: BTreeSet<(Outcome, Name)>,
    warnings: BTreeSet<(Name, Name)>,
    decided: bool,
    effective: bool,
    next_heartbeat: At,
}

impl Plain {
    pub(super) fn new(look: Look) -> Self {
        Self {
            look,
            stage: None,
            phases: 1,
            failures: BTreeSet::new(),
            warnings: BTreeSet::new(),
            decided: false,
            effective: false,
            next_heartbeat: At::ZERO + HEARTBEAT,
        }
    }

    /// What to write about an event that the course has taken in.
    pub(super) fn lines(&mut self, event: &Event, course: &Course) -> Vec<String> {
        let mut lines: Vec<Line> = self.about(event, course).into_iter().collect();
        lines.extend(self.moves(course));
        lines.extend(self.heartbeat(event.at, course));
        let moment = aligned_moment(event.at);
        lines.into_iter().map(|l| Line::default().plus(Paint::Faint, &moment).text("  ").join(l).render(self.look, None)).collect()
    }

    fn about(&mut self, event: &Event, course: &Course) -> Option<Line> {
        match &event.what {
            What::RunStarted(head) => Some(started(head)),
            What::TargetReady(plan) => Some(ready(plan)),
            What::TargetUnready(why) => Some(Line::default().plus(Paint::Bad, "target not ready").text(format!(": {why}"))),
            What::StepStarted(step) => {
                let what = Step::all(course).into_iter().find(|s| s.step == *step).map(|s| s.what).unwrap_or_default();
                Some(Line::plain(format!("step {}: {what}", step + 1)))
            }
            What::StepEnded(ended) => step_failed(ended),
            What::Failure(failure) => self.failed(failure),
            What::DeploymentGone => Some(Line::default().plus(Paint::Bad, "the Deployment is gone")),
            What::Kube(event) => self.warned(event),
            What::Watch(WatchState::Lost) => {
                Some(Line::default().plus(Paint::Warn, "the cluster does not answer; what is known of it grows old"))
            }
            What::Watch(WatchState::Restored) => Some(Line::plain("the cluster answers again")),
            What::Notice(text) => Some(Line::plain(format!("note: {text}"))),
            What::ActionStarted(_) | What::ActionEnded(_) => Action::of(course).as_ref().map(words::action),
            What::AdmissionStarted(permit) => {
                Some(Line::plain(format!("pod {} is let in: {}", permit.pod, permit.basis.sentence())))
            }
            What::PutBack(put_back) => {
                Some(Line::plain(put_back.done.iter().chain(&put_back.left).cloned().collect::<Vec<_>>().join("; ")))
            }
            What::Interrupted(signal) => Some(Line::default().plus(Paint::Warn, format!("signal {signal}: the run ends"))),
            // What these change is told as a change of stage, phase or verdict, or shows in the next heartbeat.
            What::TrafficStarted
            | What::Slice(_)
            | What::Gap(_)
            | What::Closed(_)
            | What::Validity(_)
            | What::TrafficStopped
            | What::Listed
            | What::Deployment(_)
            | What::ReplicaSet(_)
            | What::ReplicaSetGone(_)
            | What::Pod(_)
            | What::PodGone(_)
            | What::EndpointSlice(_)
            | What::EndpointSliceGone(_)
            | What::Tick
            | What::AdmissionEnded(_)
            | What::Decided(_)
            | What::RunEnded => None,
        }
    }

    fn failed(&mut self, failure: &Failure) -> Option<Line> {
        let room = self.failures.len() < MAX_FIRSTS;
        if !room || !self.failures.insert((failure.outcome, failure.lane.clone())) {
            return None;
        }
        let pod = failure.pod.as_ref().map(|p| format!(", pod {p}")).unwrap_or_default();
        let status = failure.status.map(|s| format!(", status {s}")).unwrap_or_default();
        let note = if failure.note.is_empty() { String::new() } else { format!(" ({})", failure.note) };
        let what = format!(" in lane {}{pod}{status}: {}{note}", failure.lane, failure.outcome.meaning());
        Some(Line::plain("first failure of kind ").plus(Paint::Bad, failure.outcome.label()).text(what))
    }

    fn warned(&mut self, event: &KubeEvent) -> Option<Line> {
        let first =
            event.warning && self.warnings.len() < MAX_FIRSTS && self.warnings.insert((event.kind.clone(), event.reason.clone()));
        let what = format!(" {} on {} {}: {}", event.reason, event.kind, event.name, event.message);
        first.then(|| Line::default().plus(Paint::Warn, "Kubernetes warns:").text(what))
    }

    /// Changes of stage, phase and verdict.
    fn moves(&mut self, course: &Course) -> Vec<Line> {
        let mut lines = Vec::new();
        for (_, phase) in course.phases().iter().skip(self.phases) {
            lines.push(Line::plain(format!("phase {}: {}", phase.label(), words::phase(*phase))));
        }
        self.phases = course.phases().len();
        let effective = course.deed().is_some_and(|d| d.effective.is_some());
        if effective && !self.effective {
            self.effective = true;
            lines.extend(Action::of(course).as_ref().map(words::action));
        }
        if let Some(verdict) = course.verdict().filter(|_| !self.decided) {
            self.decided = true;
            let reason = verdict.reasons.first().map_or("", |r| &r.message);
            lines.push(words::verdict_line(verdict.verdict, reason));
        }
        let stage = course.stage().0;
        if self.stage != Some(stage) {
            self.stage = Some(stage);
            lines.push(Line::default().plus(Paint::Strong, words::stage(stage)));
        }
        lines
    }

    fn heartbeat(&mut self, now: At, course: &Course) -> Option<Line> {
        if now < self.next_heartbeat || self.stage == Some(Stage::Done) {
            return None;
        }
        self.next_heartbeat = now + HEARTBEAT;
        let parts = [Some(pods(course)), rate(course), answers(course)];
        Some(Line::plain(parts.into_iter().flatten().collect::<Vec<_>>().join("; ")))
    }
}

fn started(head: &RunStarted) -> Line {
    let target = &head.scenario.target;
    Line::default().plus(Paint::Strong, format!("run {}", head.run_id)).text(format!(
        ": scenario {} on deploy/{} in namespace {} ({}), seed {}",
        head.scenario.name, target.deployment, target.namespace, head.cluster, head.seed
    ))
}

fn ready(plan: &TrafficPlan) -> Line {
    let lanes: Vec<String> = plan.lanes.iter().map(|l| format!("{} {}/s", l.name, l.rate)).collect();
    Line::plain(format!("target ready; traffic: {}", lanes.join(", ")))
}

fn step_failed(ended: &StepEnded) -> Option<Line> {
    let error = ended.error.as_ref()?;
    Some(Line::default().plus(Paint::Bad, format!("step {} failed", ended.step + 1)).text(format!(": {error}")))
}

fn pods(course: &Course) -> String {
    let pods = course.rollout.head_count();
    let ending = if pods.terminating > 0 { format!(", {} ending", pods.terminating) } else { String::new() };
    if course.changed().is_none() {
        // Before the change, what is wanted is what runs.
        return format!("pods {}/{} ready{ending}", pods.new_ready + pods.old_ready, pods.new + pods.old);
    }
    format!("pods old {}/{}, new {}/{} ready{ending}", pods.old_ready, pods.old, pods.new_ready, pods.new)
}

fn rate(course: &Course) -> Option<String> {
    let recent = Figures::of(&course.tally.recent());
    let rate = recent.achieved_per_s?;
    let latency = recent.answers.latency.map(|l| format!(", p99 {}", span(l.p99_ms.0))).unwrap_or_default();
    Some(format!("{rate:.0} requests/s{latency}"))
}

fn answers(course: &Course) -> Option<String> {
    let (sums, since) = match course.changed() {
        Some(_) => (course.tally.measured(), "since the change"),
        None => (course.tally.baseline(), "before the change"),
    };
    let answers = Figures::of(&sums).answers;
    Some(format!("{} available {since}, {} failed", answers.availability?, count(answers.bad)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{breach, healthy, paused};
    use crate::report::golden;

    const LOOK: Look = Look { colour: false, unicode: false, live: false };

    fn told(events: &[Event]) -> String {
        let What::RunStarted(head) = &events[0].what else { panic!("no head") };
        let (mut course, _) = Course::begin(RunStarted::clone(head));
        let mut plain = Plain::new(LOOK);
        let mut text = String::new();
        for event in events {
            course.apply(event);
            plain.lines(event, &course).into_iter().for_each(|line| text.extend([&line, "\n"]));
        }
        text
    }

    #[test]
    fn a_log_tells_each_change_once_and_that_all_goes_on() {
        golden::check("healthy.log", &told(&healthy()));
        golden::check("breach.log", &told(&breach()));
        golden::check("paused.log", &told(&paused()).split_inclusive('\n').filter(|l| l.contains("guard")).collect::<String>());
    }

    #[test]
    fn a_storm_of_new_kinds_does_not_fill_the_log() {
        let mut events = breach();
        let at = events.last().unwrap().at;
        for i in 0..1_000 {
            let event = KubeEvent {
                warning: true,
                kind: Name::from("Pod"),
                name: Name::from("p"),
                reason: Name::from(format!("R{i}")),
                message: String::new(),
                count: 1,
            };
            events.push(Event { at, what: What::Kube(event) });
        }
        assert_eq!(told(&events).matches("Kubernetes warns").count(), MAX_FIRSTS);
    }
}

//! At the gate: which pods are let in, and what it means that one is not.

use super::{Command, Course, Stage};
use crate::domain::admission::{Admission, AdmissionEnded, Decision, Moment};
use crate::domain::judge::early;
use crate::domain::rollout::Progress;
use crate::domain::scenario::Scenario;
use crate::domain::traffic::{PodTarget, TrafficPlan};
use crate::domain::verdict::{Reason, VerdictKind};

/// The admission of a scenario that has just begun.
pub(super) fn admission(scenario: &Scenario) -> Admission {
    Admission::new(early::loss_allowed(scenario), scenario.admission.unwrap_or_default().bake)
}

impl Course {
    pub(super) fn plan_admission(&mut self, plan: &TrafficPlan) {
        let limit = early::limit_of_nearly_all(&self.head.scenario);
        self.admission.plan(plan, limit);
    }

    /// Lets pods in, and decides when a version is not.
    pub(super) fn admit(&mut self, commands: &mut Vec<Command>) {
        let Some(moment) = self.moment() else { return };
        self.tell_of_earlier(commands);
        let Decision { permits, rejected, unreachable, wake } = self.admission.decide(moment, &self.rollout, self.now);
        commands.extend(permits.into_iter().map(|permit| Command::Admit(Box::new(permit))));
        if let Some(at) = wake {
            self.wake_at(at);
        }
        if let Some(rejection) = rejected {
            // A first version is judged before any rollout is followed.
            if self.changed.is_none() && self.head.scenario.observe.is_some() {
                self.judge_from_here(commands);
            }
            self.decide(VerdictKind::Breach, vec![Reason::new("admission", rejection.sentence())]);
        }
        if let Some(pod) = unreachable {
            let message = format!("pod {pod} waits to be let in, and cannot be reached from here at its own address");
            self.decide(VerdictKind::Inconclusive, vec![Reason::new("admission", message)]);
        }
        self.tell_of_unasked(commands);
    }

    /// What part of the run this is for pods at the gate; nothing while nothing can be said of them.
    fn moment(&self) -> Option<Moment> {
        let breach = self.verdict.as_ref().is_some_and(|v| v.verdict == VerdictKind::Breach);
        match self.stage {
            Stage::PuttingBack | Stage::Done => None,
            _ if !self.watching.listed || self.head.scenario.observe.is_some_and(|o| o.endless) => None,
            _ if breach => Some(Moment::Breached),
            Stage::Preparing if self.head.scenario.observe.is_none() => Some(Moment::Given),
            _ if self.changed.is_none() => Some(Moment::Before),
            _ => Some(Moment::Change),
        }
    }

    /// Who comes in the midst of a rollout finds pods that others have let in: an earlier run that ended there, or people.
    fn tell_of_earlier(&mut self, commands: &mut Vec<Command>) {
        let under_way = self.head.scenario.observe.is_some() && self.rollout.progress() == Progress::UnderWay;
        if under_way && !std::mem::replace(&mut self.told_earlier, true) {
            commands.extend(self.admission.earlier(&self.rollout).map(Command::Say));
        }
    }

    /// Says once of a pod that waits and is not asked why that is.
    fn tell_of_unasked(&mut self, commands: &mut Vec<Command>) {
        if self.traffic.is_none() || self.told_unasked {
            return;
        }
        let (pod, why) = if self.admission.is_prepared() {
            let why = "no Service that leads to the target lists it (do its labels fit the selector, and its ports?)";
            (self.admission.unlisted(&self.rollout, self.now), why)
        } else {
            let why = "the target had no readiness gate when the run began (`admission: {}` in the scenario says that it will)";
            (self.admission.waiting(&self.rollout), why)
        };
        if let Some(pod) = pod {
            self.told_unasked = true;
            commands.push(Command::Say(format!("pod {pod} waits to be let in, and is not asked: {why}")));
        }
    }

    pub(super) fn admission_ended(&mut self, ended: &AdmissionEnded) {
        if let Some(why) = self.admission.ended(ended, self.now) {
            self.decide(VerdictKind::Inconclusive, vec![Reason::new("admission", why)]);
        }
    }

    /// The pods that are asked before they are let in, and where.
    pub fn newcomers(&self) -> Vec<PodTarget> {
        let breach = self.verdict.as_ref().is_some_and(|v| v.verdict == VerdictKind::Breach);
        let asks = self.traffic_began.is_some() && !self.traffic_ended && !breach && self.admission.is_prepared();
        if asks { self.admission.targets(&self.rollout) } else { Vec::new() }
    }

    /// Who was let in.
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }
}

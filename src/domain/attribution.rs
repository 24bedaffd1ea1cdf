//! Who failed: the pod, revision and moment behind a failure, and how that is known. Failed requests at an ingress seldom name a pod, so
//! the evidence is weighed in a fixed order and each attribution says which kind it rests on. Unknown is a value.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::rollout::state::{PreStop, TemplateState};
use super::rollout::{Membership, PodLife, Rollout};
use super::slice::Failure;
use super::tally::Tally;
use super::time::At;
use super::traffic::Name;

/// An ingress may go on sending to a pod that is gone for this long.
const AFTERLIFE: Duration = Duration::from_secs(15);
/// The same for a pod whose container has ended: readiness falls at once, and what remains is the ingress's delay.
const AFTER_EXIT: Duration = Duration::from_secs(5);
/// A pod lane speaks for the ingress's failures this far away in time.
const SAME_MOMENT: Duration = Duration::from_millis(300);
/// A pod that became ready at most this long ago may not serve yet.
const YOUNG: Duration = Duration::from_secs(30);
/// A pod that served and was asked nothing for this long had been let go by whoever sends.
const LET_GO: Duration = Duration::from_secs(1);
/// What the cluster says reaches the verifier a little after it was so.
const NEWS: Duration = Duration::from_millis(100);

/// What an attribution rests on, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The connection's own evidence: the answer named the pod, or the connection led straight to it.
    Connection,
    /// The pod's own lane failed at the same moment, and no other pod's did.
    PodLane,
    /// At that moment only one pod (or the pods of only one revision) was in a state that explains it.
    Time,
    /// Nothing says.
    Unknown,
}

/// Where in a pod's life a failure fell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "moment", content = "after_us")]
pub enum Moment {
    /// The pod was told to end so long before the request was due, or while it was under way.
    Terminating(u64),
    /// A container of the pod had ended so long before, or ended while it was under way.
    Down(u64),
    /// The pod became ready for the first time so long before.
    Young(u64),
    /// The pod was in the middle of its life.
    Steady,
    /// No pod is known.
    Unknown,
}

/// Who failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribution {
    /// The pod, if one could be named.
    pub pod: Option<Name>,
    /// The pods it was one of, if no single one could be named.
    pub among: Vec<Name>,
    /// The revision, if one could be named.
    pub revision: Option<Name>,
    /// The pod's node.
    pub node: Option<Name>,
    /// Where in the pod's life it fell.
    pub moment: Moment,
    /// What this rests on.
    pub how: How,
}

impl Attribution {
    const UNKNOWN: Self =
        Self { pod: None, among: Vec::new(), revision: None, node: None, moment: Moment::Unknown, how: How::Unknown };

    /// The pod, or those it was one of.
    pub fn suspects(&self) -> impl Iterator<Item = &Name> {
        self.pod.iter().chain(&self.among)
    }
}

/// What attributions are made from.
#[derive(Debug)]
pub struct Evidence<'a> {
    rollout: &'a Rollout,
    tally: &'a Tally,
    /// All pods, also those that are gone.
    lives: Vec<&'a PodLife>,
    /// Failures of pods' own lanes.
    own: Vec<(At, Name)>,
    /// Lanes whose connections lead to one pod each for as long as they last.
    pinned: BTreeSet<Name>,
}

impl<'a> Evidence<'a> {
    /// All that is known: the cluster, the traffic, the failures (of which those sent straight to a pod count), and the lanes whose
    /// connections end in a pod instead of in a proxy that chooses one for each request.
    pub fn new<'f>(
        rollout: &'a Rollout,
        tally: &'a Tally,
        failures: impl Iterator<Item = &'f Failure>,
        pinned: BTreeSet<Name>,
    ) -> Self {
        let straight = failures.filter(|f| f.direct);
        let mut own: Vec<(At, Name)> = straight.filter_map(|f| Some((f.due, f.pod.clone()?))).collect();
        own.sort();
        let lives = rollout.pods().into_iter().chain(rollout.gone()).collect();
        Self { rollout, tally, lives, own, pinned }
    }

    /// Attributes one failure.
    pub fn attribute(&self, failure: &Failure) -> Attribution {
        let pinned = || failure.connection.as_ref().filter(|_| self.pinned.contains(&failure.lane))?.last_pod.as_ref();
        if let Some(pod) = failure.pod.as_ref().or_else(pinned) {
            return self.named(pod, failure, How::Connection);
        }
        if !explained_by_a_missing_pod(failure.outcome) {
            return Attribution::UNKNOWN;
        }
        match self.only_own_lane(failure.due) {
            Some(pod) => self.named(pod, failure, How::PodLane),
            None => self.by_time(failure),
        }
    }

    /// The only pod whose own lane failed around `at`.
    fn only_own_lane(&self, at: At) -> Option<&Name> {
        let from = self.own.partition_point(|(t, _)| *t < at - SAME_MOMENT);
        let mut near = self.own[from..].iter().take_while(|(t, _)| *t <= at + SAME_MOMENT).map(|(_, pod)| pod);
        let first = near.next()?;
        near.all(|pod| pod == first).then_some(first)
    }

    fn named(&self, pod: &Name, failure: &Failure, how: How) -> Attribution {
        match self.rollout.pod_named(pod) {
            Some(life) => of_life(life, failure, how),
            None => Attribution { pod: Some(pod.clone()), how, ..Attribution::UNKNOWN },
        }
    }

    /// Joins a failure with the pods' lives: first with pods whose container had ended, then with pods on their way out, then with pods
    /// that had just become ready and had answered nothing yet.
    fn by_time(&self, failure: &Failure) -> Attribution {
        let states: [&dyn Fn(&PodLife) -> bool; 3] =
            [&|p| down_since(p, failure).is_some(), &|p| self.is_leaving(p, failure), &|p| self.is_fresh(p, failure.due)];
        let all_in = |state: &&dyn Fn(&PodLife) -> bool| self.lives.iter().copied().filter(|p| state(p)).collect::<Vec<_>>();
        let suspects = states.iter().map(all_in).find(|s| !s.is_empty());
        let suspects = suspects.unwrap_or_default();
        match suspects.as_slice() {
            [only] => of_life(only, failure, How::Time),
            [first, rest @ ..] if rest.iter().all(|p| p.state.revision == first.state.revision) => Attribution {
                pod: None,
                among: suspects.iter().map(|p| p.state.name.clone()).collect(),
                revision: Some(first.state.revision.clone()),
                node: None,
                moment: suspects.iter().map(|p| moment(p, failure)).min_by_key(|m| distance(*m)).unwrap_or(Moment::Unknown),
                how: How::Time,
            },
            _ => Attribution::UNKNOWN,
        }
    }

    /// Told to end, past its preStop sleep before the request met nobody or was over, had been getting traffic, and neither gone nor let go by the
    /// ingress for so long that nobody would still send to it.
    fn is_leaving(&self, life: &PodLife, failure: &Failure) -> bool {
        let (Some(_), Some(told)) = (life.ready, life.terminating) else { return false };
        let stop = told + pre_stop(self.rollout.template(&life.state.revision));
        let last_answer = self.tally.pods().get(&life.state.name).map(|p| p.last);
        let let_go = last_answer.is_some_and(|last| last + LET_GO < stop && last < failure.due);
        let forgotten = life.gone.is_some_and(|gone| failure.due > gone + AFTERLIFE);
        // Who meets silence met nobody: a pod that stopped later would have cut the request instead.
        let turn = if meets_nobody(failure.outcome) { failure.due } else { failure.known };
        turn + NEWS >= stop && !let_go && !forgotten
    }

    /// Gets traffic, has done so for a short time only, and has answered nothing well yet.
    fn is_fresh(&self, life: &PodLife, at: At) -> bool {
        let member = life.membership.iter().rev().find(|(t, _)| *t <= at).is_some_and(|(_, m)| *m == Membership::Ready);
        let served = self.tally.pods().get(&life.state.name).and_then(|p| p.first_good).is_some_and(|good| good <= at);
        member && !served && life.ready.is_some_and(|ready| ready <= at && at.since(ready) <= YOUNG)
    }
}

/// How long a pod of this template serves on after it was told to end, before SIGTERM comes.
pub fn pre_stop(template: Option<&TemplateState>) -> Duration {
    match template.and_then(|t| t.pre_stop) {
        Some(PreStop::Sleep { length }) => length,
        Some(PreStop::Other) | None => Duration::ZERO,
    }
}

fn of_life(life: &PodLife, failure: &Failure, how: How) -> Attribution {
    Attribution {
        pod: Some(life.state.name.clone()),
        among: Vec::new(),
        revision: Some(life.state.revision.clone()),
        node: life.state.node.clone(),
        moment: moment(life, failure),
        how,
    }
}

fn moment(life: &PodLife, failure: &Failure) -> Moment {
    let after = |since: At| failure.due.0.saturating_sub(since.0);
    if let Some(ended) = down_since(life, failure) {
        return Moment::Down(after(ended));
    }
    if let Some(terminating) = life.terminating.filter(|t| *t <= failure.known + NEWS) {
        return Moment::Terminating(after(terminating));
    }
    match life.ready {
        Some(ready) if failure.due.since(ready) <= YOUNG => Moment::Young(after(ready)),
        _ => Moment::Steady,
    }
}

const fn distance(moment: Moment) -> u64 {
    match moment {
        Moment::Terminating(us) | Moment::Down(us) | Moment::Young(us) => us,
        Moment::Steady | Moment::Unknown => u64::MAX,
    }
}

/// Outcomes that a pod causes by not being there. An application that answers with an error is there.
pub const fn explained_by_a_missing_pod(outcome: Outcome) -> bool {
    match outcome {
        Outcome::GatewayStatus
        | Outcome::Refused
        | Outcome::ConnectTimeout
        | Outcome::ResetBeforeSend
        | Outcome::ResetAfterSend
        | Outcome::Truncated
        | Outcome::ResponseTimeout => true,
        Outcome::Ok
        | Outcome::AppStatus
        | Outcome::WrongBody
        | Outcome::Tls
        | Outcome::Dns
        | Outcome::Protocol
        | Outcome::TooLarge
        | Outcome::Throttled
        | Outcome::NoPort
        | Outcome::NoDescriptor
        | Outcome::NotSent
        | Outcome::Unseen => false,
    }
}

/// Outcomes of requests that found nobody from the first.
const fn meets_nobody(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::ResponseTimeout | Outcome::ConnectTimeout | Outcome::Refused)
}

/// When a container of a pod that served had ended by itself, before the request was due or while it was under way.
fn down_since(life: &PodLife, failure: &Failure) -> Option<At> {
    let by_itself = |at: At| life.ready.is_some_and(|ready| ready <= at) && life.terminating.is_none_or(|told| at < told);
    let around = |at: At| at <= failure.known + NEWS && failure.due <= at + AFTER_EXIT;
    life.exits.iter().rev().map(|(at, _)| *at).find(|at| by_itself(*at) && around(*at))
}

#[cfg(test)]
mod tests;

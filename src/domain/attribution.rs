//! Who failed: the pod, revision and moment behind a failure, and how that is known. Failed requests at an ingress seldom name a pod, so
//! the evidence is weighed in a fixed order and each attribution says which kind it rests on. Unknown is a value.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::rollout::{Membership, PodLife, Rollout};
use super::slice::Failure;
use super::time::At;
use super::traffic::Name;

/// An ingress may go on sending to a pod that is gone for this long.
const AFTERLIFE: Duration = Duration::from_secs(15);
/// A pod lane speaks for the ingress's failures this far away in time.
const SAME_MOMENT: Duration = Duration::from_millis(300);
/// A pod that became ready at most this long ago may not serve yet.
const YOUNG: Duration = Duration::from_secs(30);

/// What an attribution rests on, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The connection's own evidence: the answer named the pod, or the request went straight to it.
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
    /// The pod was told to end so long before.
    Terminating(u64),
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
    const UNKNOWN: Self = Self { pod: None, revision: None, node: None, moment: Moment::Unknown, how: How::Unknown };
}

/// Failures of pods' own lanes, for attribution by the same moment.
#[derive(Clone, Debug, Default)]
pub struct PodLanes {
    failures: Vec<(At, Name)>,
}

impl PodLanes {
    /// Those among `failures` that were sent straight to a pod.
    pub fn of<'a>(failures: impl Iterator<Item = &'a Failure>) -> Self {
        let straight = failures.filter(|f| f.direct);
        let mut failures: Vec<(At, Name)> = straight.filter_map(|f| Some((f.due, f.pod.clone()?))).collect();
        failures.sort();
        Self { failures }
    }

    /// The only pod whose lane failed around `at`.
    fn only(&self, at: At) -> Option<&Name> {
        let from = self.failures.partition_point(|(t, _)| *t < at - SAME_MOMENT);
        let mut near = self.failures[from..].iter().take_while(|(t, _)| *t <= at + SAME_MOMENT).map(|(_, pod)| pod);
        let first = near.next()?;
        near.all(|pod| pod == first).then_some(first)
    }
}

/// Attributes one failure.
pub fn attribute(failure: &Failure, rollout: &Rollout, lanes: &PodLanes) -> Attribution {
    if let Some(pod) = &failure.pod {
        return named(pod, failure.due, rollout, How::Connection);
    }
    if let Some(pod) = lanes.only(failure.due) {
        return named(pod, failure.due, rollout, How::PodLane);
    }
    by_time(failure, rollout)
}

fn named(pod: &Name, at: At, rollout: &Rollout, how: How) -> Attribution {
    match rollout.pod_named(pod) {
        Some(life) => of_life(life, at, how),
        None => Attribution { pod: Some(pod.clone()), how, ..Attribution::UNKNOWN },
    }
}

fn of_life(life: &PodLife, at: At, how: How) -> Attribution {
    Attribution {
        pod: Some(life.state.name.clone()),
        revision: Some(life.state.revision.clone()),
        node: life.state.node.clone(),
        moment: moment(life, at),
        how,
    }
}

fn moment(life: &PodLife, at: At) -> Moment {
    if let Some(terminating) = life.terminating.filter(|t| *t <= at) {
        return Moment::Terminating(at.0 - terminating.0);
    }
    match life.ready {
        Some(ready) if at.since(ready) <= YOUNG => Moment::Young(at.since(ready).as_micros().try_into().unwrap_or(u64::MAX)),
        _ => Moment::Steady,
    }
}

/// Joins a failure with the pods' lives: first with pods on their way out, then with pods that had just become ready.
fn by_time(failure: &Failure, rollout: &Rollout) -> Attribution {
    if !explained_by_a_missing_pod(failure.outcome) {
        return Attribution::UNKNOWN;
    }
    let at = failure.due;
    let all = || rollout.pods().into_iter().chain(rollout.gone());
    let leaving: Vec<&PodLife> = all().filter(|p| is_leaving(p, failure)).collect();
    let suspects = if leaving.is_empty() { all().filter(|p| is_fresh(p, at)).collect() } else { leaving };
    match suspects.as_slice() {
        [only] => of_life(only, at, How::Time),
        [first, rest @ ..] if rest.iter().all(|p| p.state.revision == first.state.revision) => Attribution {
            pod: None,
            revision: Some(first.state.revision.clone()),
            node: None,
            moment: suspects.iter().map(|p| moment(p, at)).min_by_key(|m| distance(*m)).unwrap_or(Moment::Unknown),
            how: How::Time,
        },
        _ => Attribution::UNKNOWN,
    }
}

const fn distance(moment: Moment) -> u64 {
    match moment {
        Moment::Terminating(us) | Moment::Young(us) => us,
        Moment::Steady | Moment::Unknown => u64::MAX,
    }
}

/// Outcomes that a pod causes by not being there. An application that answers with an error is there.
const fn explained_by_a_missing_pod(outcome: Outcome) -> bool {
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

/// Told to end before the request was over, had been getting traffic, and not gone for so long that nobody would still send to it.
fn is_leaving(life: &PodLife, failure: &Failure) -> bool {
    let served = life.ready.is_some();
    let told = life.terminating.is_some_and(|t| t <= failure.known);
    served && told && life.gone.is_none_or(|gone| failure.due <= gone + AFTERLIFE)
}

/// Gets traffic, and has done so for a short time only.
fn is_fresh(life: &PodLife, at: At) -> bool {
    let member = life.membership.iter().rev().find(|(t, _)| *t <= at).is_some_and(|(_, m)| *m == Membership::Ready);
    member && life.ready.is_some_and(|ready| ready <= at && at.since(ready) <= YOUNG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::tests::{name, pod};
    use crate::domain::slice::Phases;

    fn at(ms: u64) -> At {
        At(ms * 1_000)
    }

    fn failure(ms: u64, outcome: Outcome, pod: Option<&str>) -> Failure {
        Failure {
            lane: name("fresh"),
            due: at(ms),
            sent: None,
            known: at(ms + 5),
            phases: Phases::default(),
            outcome,
            status: None,
            pod: pod.map(name),
            direct: false,
            version: None,
            connection: None,
            note: String::new(),
        }
    }

    /// Two old pods and a new one; the old ones are told to end at 10 s and 12 s.
    fn rollout() -> Rollout {
        let mut r = Rollout::default();
        r.pod(&pod("o1", "old", true, false), at(0));
        r.pod(&pod("o2", "old", true, false), at(0));
        r.pod(&pod("n1", "new", true, false), at(9_000));
        r.pod(&pod("o1", "old", true, true), at(10_000));
        r
    }

    #[test]
    fn an_answer_that_names_its_pod_needs_no_guess() {
        let a = attribute(&failure(9_500, Outcome::AppStatus, Some("n1")), &rollout(), &PodLanes::default());
        let young = Moment::Young(500_000);
        assert_eq!(
            a,
            Attribution {
                pod: Some(name("n1")),
                revision: Some(name("new")),
                node: Some(name("node")),
                moment: young,
                how: How::Connection
            }
        );
        let stranger = attribute(&failure(9_500, Outcome::AppStatus, Some("x")), &rollout(), &PodLanes::default());
        assert_eq!((stranger.pod.as_deref(), stranger.revision), (Some("x"), None));
    }

    #[test]
    fn a_refused_request_belongs_to_the_only_pod_that_was_leaving() {
        let a = attribute(&failure(11_500, Outcome::Refused, None), &rollout(), &PodLanes::default());
        assert_eq!((a.pod.as_deref(), a.moment, a.how), (Some("o1"), Moment::Terminating(1_500_000), How::Time));
    }

    #[test]
    fn two_leaving_pods_of_one_revision_name_the_revision_only() {
        let mut r = rollout();
        r.pod(&pod("o2", "old", true, true), at(12_000));
        let a = attribute(&failure(13_000, Outcome::GatewayStatus, None), &r, &PodLanes::default());
        let nearest = Moment::Terminating(1_000_000);
        assert_eq!(a, Attribution { pod: None, revision: Some(name("old")), node: None, moment: nearest, how: How::Time });
    }

    #[test]
    fn a_pods_own_lane_decides_between_suspects() {
        let mut r = rollout();
        r.pod(&pod("o2", "old", true, true), at(12_000));
        let own = Failure { direct: true, ..failure(13_100, Outcome::Refused, Some("o2")) };
        let lanes = PodLanes::of([&own].into_iter());
        let a = attribute(&failure(13_000, Outcome::GatewayStatus, None), &r, &lanes);
        assert_eq!((a.pod.as_deref(), a.how), (Some("o2"), How::PodLane));
        let both = PodLanes::of([&own, &Failure { direct: true, ..failure(13_050, Outcome::Refused, Some("o1")) }].into_iter());
        assert_eq!(
            attribute(&failure(13_000, Outcome::GatewayStatus, None), &r, &both).how,
            How::Time,
            "two lanes that failed decide nothing"
        );
    }

    #[test]
    fn what_nothing_explains_stays_unknown() {
        let lanes = PodLanes::default();
        assert_eq!(attribute(&failure(5_000, Outcome::Refused, None), &rollout(), &lanes), Attribution::UNKNOWN);
        assert_eq!(
            attribute(&failure(11_000, Outcome::AppStatus, None), &rollout(), &lanes),
            Attribution::UNKNOWN,
            "a pod that answers is not missing"
        );
        let mut r = rollout();
        r.pod_gone(&name("uid-o1"), at(14_000));
        assert_eq!(
            attribute(&failure(29_500, Outcome::Refused, None), &r, &lanes),
            Attribution::UNKNOWN,
            "nobody sends to a pod gone for 15 s"
        );
    }
}

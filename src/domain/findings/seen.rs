//! What detectors read: the course, with each failure attributed once.

use std::collections::BTreeSet;
use std::time::Duration;

use super::found::Found;
use crate::domain::attribution::{Attribution, Evidence};
use crate::domain::course::Course;
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::propagation::{Profile, profile};
use crate::domain::rollout::state::{DeploymentState, TemplateState};
use crate::domain::rollout::{Membership, Phase, PodLife};
use crate::domain::scenario::{Entry, LaneMode};
use crate::domain::slice::Failure;
use crate::domain::time::At;
use crate::domain::traffic::Name;

/// Everything that detectors look at.
pub(super) struct Seen<'a> {
    pub(super) course: &'a Course,
    /// The target's failures since the change, of the lanes that count, as far as they were kept one by one.
    pub(super) failures: Vec<Failed<'a>>,
    /// All of them, kept or not.
    pub(super) bad: u64,
    /// How pods left.
    pub(super) profile: Profile,
}

/// A failure and whose it is.
pub(super) struct Failed<'a> {
    /// Its place in [`Seen::failures`].
    pub(super) index: usize,
    pub(super) failure: &'a Failure,
    pub(super) who: Attribution,
    pub(super) phase: Phase,
}

/// What is not explained yet, and what was found.
pub(super) struct Open<'a> {
    pub(super) failures: Vec<&'a Failed<'a>>,
    found: Vec<&'static str>,
}

impl<'a> Seen<'a> {
    pub(super) fn of(course: &'a Course) -> Self {
        let attributed = attributed(course);
        let profile = profile(&course.rollout, &course.tally, &attributed);
        let counts = |f: &Failure| f.outcome.blame() == Blame::Target && course.changed().is_some_and(|c| f.known > c);
        let failures = attributed.into_iter().filter(|(f, _)| counts(f)).enumerate().map(|(index, (failure, who))| Failed {
            index,
            failure,
            who,
            phase: course.phase_at(failure.due),
        });
        Self { course, failures: failures.collect(), bad: course.tally.measured().counts.bad(), profile }
    }

    /// The Deployment as last seen.
    pub(super) fn deployment(&self) -> Option<&DeploymentState> {
        self.course.rollout.target()
    }

    /// What pods of a revision are like.
    pub(super) fn template(&self, revision: &str) -> Option<&TemplateState> {
        self.course.rollout.template(revision)
    }

    /// Pods, also those that are gone.
    pub(super) fn pods(&self) -> impl Iterator<Item = &PodLife> {
        self.course.rollout.pods().into_iter().chain(self.course.rollout.gone())
    }

    /// Pods of a revision, also those that are gone.
    pub(super) fn pods_of(&self, revision: Option<&Name>) -> Vec<&PodLife> {
        self.pods().filter(|p| Some(&p.state.revision) == revision).collect()
    }

    /// The pods that a failure may belong to.
    pub(super) fn suspects(&self, failed: &Failed<'_>) -> Vec<&PodLife> {
        failed.who.suspects().filter_map(|pod| self.course.rollout.pod_named(pod)).collect()
    }

    /// Stretches since the change in which no pod was ready for traffic by the EndpointSlices; the last may not be over.
    pub(super) fn without_endpoints(&self) -> Vec<(At, Option<At>)> {
        let Some(changed) = self.course.changed() else { return Vec::new() };
        let mut turns: Vec<(At, &Name, bool)> = Vec::new();
        for pod in self.pods() {
            turns.extend(pod.membership.iter().map(|(at, m)| (*at, &pod.state.name, *m == Membership::Ready)));
            // A slice may have been forgotten together with the pod.
            turns.extend(pod.gone.map(|at| (at, &pod.state.name, false)));
        }
        turns.sort();
        let mut ready: BTreeSet<&Name> = BTreeSet::new();
        let mut spans: Vec<(At, Option<At>)> = Vec::new();
        for (at, pod, is_ready) in turns {
            let before = ready.len();
            if is_ready {
                ready.insert(pod)
            } else {
                ready.remove(pod)
            };
            match (before, ready.len()) {
                (1.., 0) if at >= changed => spans.push((at, None)),
                (0, 1..) => spans.last_mut().into_iter().for_each(|span| span.1 = Some(at)),
                _ => {}
            }
        }
        spans
    }

    /// Warnings and notes of Kubernetes about an object with this reason.
    pub(super) fn events(&self, about: &str, reason: &str) -> impl Iterator<Item = &str> {
        let wanted = move |e: &crate::domain::rollout::state::KubeEvent| &*e.name == about && &*e.reason == reason;
        self.course.kube_events().map(|(_, e)| e).filter(move |e| wanted(e)).map(|e| e.message.as_str())
    }

    /// The longest time that a request took which was answered well, on any lane that counts.
    pub(super) fn longest_answer(&self) -> Duration {
        let sums = self.course.tally.lanes().values().flat_map(|l| [&l.baseline, &l.measured]);
        sums.filter_map(|s| s.latency.max()).max().unwrap_or_default()
    }

    /// The time until the ingress sent no more, as far as it was seen: at least this long.
    pub(super) fn propagation(&self) -> Duration {
        self.profile.slowest_last_request
    }
}

/// All failures that were kept one by one, each with whose it is.
pub fn attributed(course: &Course) -> Vec<(&Failure, Attribution)> {
    let lanes = &course.head().scenario.traffic.lanes;
    let leads_to_a_pod = |(name, lane): &(&Name, &crate::domain::scenario::Lane)| {
        let mode = lane.mode.or_else(|| LaneMode::by_name(name));
        lane.entry == Entry::Service && mode == Some(LaneMode::Kept)
    };
    let pinned = lanes.iter().filter(leads_to_a_pod).map(|(name, _)| name.clone()).collect();
    let evidence = Evidence::new(&course.rollout, &course.tally, course.failures_aside(), pinned);
    course.failures().0.map(|f| (f, evidence.attribute(f))).collect()
}

impl Failed<'_> {
    pub(super) const fn outcome(&self) -> Outcome {
        self.failure.outcome
    }
}

impl<'a> Open<'a> {
    pub(super) fn of(seen: &'a Seen<'a>) -> Self {
        Self { failures: seen.failures.iter().collect(), found: Vec::new() }
    }

    /// Takes a finding in: its failures are explained.
    pub(super) fn take(&mut self, found: &Found) {
        let claimed: BTreeSet<usize> = found.claims.iter().copied().collect();
        self.failures.retain(|f| !claimed.contains(&f.index));
        self.found.push(found.code);
    }

    /// Whether one of these was found before.
    pub(super) fn has(&self, codes: &[&str]) -> bool {
        self.found.iter().any(|code| codes.contains(code))
    }

    /// The failures that `is` is true of.
    pub(super) fn that(&self, is: impl Fn(&Failed<'_>) -> bool) -> Vec<&'a Failed<'a>> {
        self.failures.iter().copied().filter(|f| is(f)).collect()
    }
}

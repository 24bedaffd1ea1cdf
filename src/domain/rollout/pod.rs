//! One pod as the verifier saw it live: its latest state, and when what turned.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::state::{ContainerNow, ContainerState, Exit, PodPhase, PodState};
use super::stuck::trouble;
use crate::domain::time::At;

/// Turns of one kind that are remembered of a pod, the first ones.
const MAX_TURNS: usize = 32;

/// What a pod is to the EndpointSlices of the Services in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// Not listed, or listed as not ready.
    Out,
    /// Gets traffic.
    Ready,
    /// Terminating and still listed.
    Draining,
}

/// A pod with the moments that the verifier saw.
#[derive(Clone, Debug, PartialEq)]
pub struct PodLife {
    /// The latest state.
    pub state: PodState,
    /// First seen.
    pub seen: At,
    /// First seen with a node.
    pub scheduled: Option<At>,
    /// First seen with a container that had started, those of its preparation left out.
    pub started: Option<At>,
    /// First seen ready.
    pub ready: Option<At>,
    /// First seen with a deletion timestamp.
    pub terminating: Option<At>,
    /// Gone from the API.
    pub gone: Option<At>,
    /// When readiness turned, from the first time it was true.
    pub readiness: Vec<(At, bool)>,
    /// When containers were seen to have ended, with how they did.
    pub exits: Vec<(At, Exit)>,
    /// When its membership in the EndpointSlices turned.
    pub membership: Vec<(At, Membership)>,
    /// Since when the pod is in a state that does not get better by itself.
    pub(super) troubled: Option<At>,
}

impl PodLife {
    pub(super) fn new(state: &PodState, at: At) -> Self {
        Self {
            state: state.clone(),
            seen: at,
            scheduled: None,
            started: None,
            ready: None,
            terminating: None,
            gone: None,
            readiness: Vec::new(),
            exits: Vec::new(),
            membership: Vec::new(),
            troubled: None,
        }
    }

    /// Takes the latest state in.
    pub(super) fn see(&mut self, state: &PodState, at: At) {
        self.turn(state, at);
        self.scheduled = self.scheduled.or(state.node.is_some().then_some(at));
        let started = !matches!(state.phase, PodPhase::Pending | PodPhase::Unknown);
        self.started = self.started.or(started.then_some(at));
        self.ready = self.ready.or(state.ready.then_some(at));
        self.terminating = self.terminating.or(state.terminating.map(|_| at));
        self.troubled = if trouble(state).is_some() { self.troubled.or(Some(at)) } else { None };
        self.state = state.clone();
    }

    /// Notes what has turned since the last state.
    fn turn(&mut self, state: &PodState, at: At) {
        let was_ready = self.readiness.last().is_some_and(|(_, r)| *r);
        if was_ready != state.ready {
            push(&mut self.readiness, (at, state.ready));
        }
        let ended = |c: &ContainerState| match &c.now {
            ContainerNow::Terminated(exit) => Some(exit.clone()),
            ContainerNow::Waiting { .. } | ContainerNow::Running => c.last_exit.clone(),
        };
        for container in &state.containers {
            let before = self.state.containers.iter().find(|c| c.name == container.name);
            let restarted = before.is_some_and(|b| b.restarts != container.restarts);
            if let Some(exit) = ended(container)
                && (restarted && before.is_none_or(|b| !matches!(b.now, ContainerNow::Terminated(_)))
                    || before.and_then(ended).is_none())
            {
                push(&mut self.exits, (at, exit));
            }
        }
    }

    pub(super) fn join(&mut self, membership: Membership, at: At) {
        let now = self.membership.last().map_or(Membership::Out, |(_, m)| *m);
        if now != membership {
            push(&mut self.membership, (at, membership));
        }
    }

    /// Out of all EndpointSlices for good since then: what remains of traffic to it comes from those who have not heard yet.
    pub fn removed(&self) -> Option<At> {
        self.membership.last().filter(|(_, m)| *m != Membership::Ready).and_then(|_| {
            let ready_until = self.membership.iter().rposition(|(_, m)| *m == Membership::Ready)?;
            self.membership.get(ready_until + 1).map(|(at, _)| *at)
        })
    }

    /// All its containers have ended for good without anybody having asked, as those of an evicted pod, which stays on the books.
    pub(super) fn is_over(&self) -> bool {
        self.terminating.is_none() && matches!(self.state.phase, PodPhase::Succeeded | PodPhase::Failed)
    }

    /// Its gate `verifier.dev/verified` is all that keeps it from traffic.
    pub fn is_at_the_gate(&self) -> bool {
        let state = &self.state;
        state.gated && state.verified.is_none() && self.is_active() && state.are_containers_ready()
    }

    /// Neither told to end nor gone.
    pub fn is_active(&self) -> bool {
        self.gone.is_none() && self.terminating.is_none()
    }
}

fn push<T>(turns: &mut Vec<T>, turn: T) {
    if turns.len() < MAX_TURNS {
        turns.push(turn);
    }
}

//! Between rollouts: pods that take the place of lost ones, and those that a larger number of replicas brings, wait at the same gate as those of
//! a new version. Those of a version that is rolled out are let in as they come; nobody is asked, and nobody turned away. In a rollout its run
//! decides.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::cluster::act::admission::open;
use crate::cluster::connect::Connection;
use crate::cluster::{chain, standing};
use crate::domain::admission::{Admission, Came, Moment};
use crate::domain::policy::Key;
use crate::domain::policy::plan::{Book, Watched};
use crate::domain::rollout::Rollout;

/// Between two looks at who waits.
const LOOK: Duration = Duration::from_secs(1);
/// The longest time between two looks while somebody waits whose containers are not ready.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same while nobody waits, and pods have the gate.
const REST: Duration = Duration::from_secs(30);
/// The same while no pod has it: what is lacking has another cause, and when a cluster is in trouble, many lack something.
const NO_GATE: Duration = Duration::from_mins(5);
/// A look that takes longer is none.
const CALL: Duration = Duration::from_secs(10);
/// In place of a run's name, in the conditions.
const NAME: &str = "serve";

/// Looks after all Deployments that lack pods.
pub(super) struct Porter {
    connection: Connection,
    clock: Clock,
    tasks: BTreeMap<Key, JoinSet<()>>,
}

impl Porter {
    pub(super) const fn new(connection: Connection, clock: Clock) -> Self {
        Self { connection, clock, tasks: BTreeMap::new() }
    }

    /// Looks after those that lack pods now and have no run.
    pub(super) fn follow(&mut self, watched: &BTreeMap<Key, Watched>, books: &BTreeMap<Key, Book>) {
        let alone = |key: &Key| books.get(key).is_none_or(|book| book.running.is_none());
        let wanted = |key: &Key| alone(key) && watched.get(key).is_some_and(|w| w.lacking);
        self.tasks.retain(|key, _| wanted(key));
        for key in watched.keys().filter(|key| wanted(key)) {
            if !self.tasks.contains_key(key) {
                let mut task = JoinSet::new();
                task.spawn(attend(self.connection.clone(), self.clock, key.clone()));
                self.tasks.insert(key.clone(), task);
            }
        }
    }
}

/// Until it is dropped.
async fn attend(connection: Connection, clock: Clock, key: Key) {
    let mut pause = LOOK;
    loop {
        let looked = timeout(CALL, standing::look(&connection.reader, &clock, &key.namespace, &key.name));
        let most = match looked.await {
            Ok(Ok(rollout)) => {
                let_in(&connection, clock, &key, &rollout).await;
                longest(&rollout)
            }
            Ok(Err(error)) => {
                tracing::warn!(deployment = %key, error = %chain(&error), "who waits to be let in cannot be seen");
                REST
            }
            Err(_) => REST,
        };
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(most);
    }
}

/// The longest time until the next look.
fn longest(rollout: &Rollout) -> Duration {
    let pods = rollout.pods();
    let mut gated = pods.iter().map(|life| &life.state).filter(|state| state.gated).peekable();
    if gated.peek().is_none() {
        NO_GATE
    } else if gated.any(|state| state.verified.is_none()) {
        PATIENCE
    } else {
        REST
    }
}

/// Lets in who is of a version that is rolled out: with no way of asking, nothing else is decided.
async fn let_in(connection: &Connection, clock: Clock, key: &Key, rollout: &Rollout) {
    let mut admission = Admission::new(0.0, Duration::ZERO);
    for permit in admission.decide(Moment::Before, rollout, clock.now()).permits {
        let ended = open(&connection.writer, clock, &key.namespace, NAME, &permit).await;
        match ended.outcome {
            Came::Opened { .. } => tracing::info!(deployment = %key, pod = %permit.pod, "a pod of a known version is let in"),
            Came::Gone => {}
            Came::Failed { why } => tracing::warn!(deployment = %key, pod = %permit.pod, why, "a pod could not be let in"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::state::PodState;
    use crate::domain::rollout::tests::pod;
    use crate::domain::time::At;

    #[test]
    fn who_has_no_gate_is_looked_at_seldom_and_who_waits_at_one_often() {
        let longest = |pods: &[(bool, Option<&str>)]| {
            let mut rollout = Rollout::default();
            for (n, (gated, verified)) in pods.iter().enumerate() {
                let state =
                    PodState { gated: *gated, verified: verified.map(Into::into), ..pod(&format!("p{n}"), "r", true, false) };
                rollout.pod(&state, At::ZERO);
            }
            super::longest(&rollout)
        };
        let (plain, waits, is_in) = ((false, None), (true, None), (true, Some("AnsweredWell")));
        assert_eq!([longest(&[]), longest(&[plain])], [NO_GATE; 2]);
        assert_eq!(longest(&[is_in, plain]), REST);
        assert_eq!([longest(&[is_in, waits]), longest(&[waits])], [PATIENCE; 2]);
    }
}

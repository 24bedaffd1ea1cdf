//! Writes how policies stand: each one's latest status, when it is another than before, and no more often than every other second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

use crate::clock::Clock;
use crate::cluster::{chain, policy};
use crate::domain::policy::Key;
use crate::domain::policy::selection::{Claim, Rule};
use crate::domain::policy::standing::PolicyStatus;

/// Between two writes of one status.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Writes at once, of all policies together.
const TURNS: usize = 4;

pub(super) struct Scribe {
    writer: Client,
    clock: Clock,
    pages: BTreeMap<Key, Page>,
    writes: JoinSet<Done>,
    turns: Arc<Semaphore>,
}

/// The status of one policy.
struct Page {
    uid: String,
    /// As it stands in the object, for all that is known.
    there: PolicyStatus,
    /// As it shall be.
    wanted: PolicyStatus,
    /// It is being written, or was just now.
    busy: bool,
}

/// A write, and the pause after it, is over.
pub(super) struct Done {
    key: Key,
    uid: String,
    status: PolicyStatus,
    written: bool,
}

impl Scribe {
    pub(super) fn new(writer: Client) -> Self {
        Self {
            writer,
            clock: Clock::start(),
            pages: BTreeMap::new(),
            writes: JoinSet::new(),
            turns: Arc::new(Semaphore::new(TURNS)),
        }
    }

    /// A policy was seen. `there` is its status, in case that it is a new one.
    pub(super) fn know(&mut self, rule: &Rule, there: impl FnOnce() -> PolicyStatus) {
        if self.pages.get(&rule.key).is_none_or(|page| page.uid != rule.uid) {
            let there = there();
            let page = Page { uid: rule.uid.clone(), wanted: there.clone(), there, busy: false };
            self.pages.insert(rule.key.clone(), page);
        }
    }

    /// It is gone.
    pub(super) fn forget(&mut self, key: &Key) {
        self.pages.remove(key);
    }

    /// How it stands now.
    pub(super) fn want(&mut self, rule: &Rule, claim: &Claim) {
        let now = self.clock.stamp();
        let Some(page) = self.pages.get_mut(&rule.key) else { return };
        page.wanted = PolicyStatus::of(rule, claim, &page.wanted, &now);
        if !page.busy && page.wanted != page.there {
            self.write(&rule.key);
        }
    }

    /// The next write that is over; nothing while there is none.
    pub(super) async fn done(&mut self) -> Option<Result<Done, JoinError>> {
        self.writes.join_next().await
    }

    /// Takes down that a write is over. One that failed is tried again with the next change.
    pub(super) fn take(&mut self, done: Result<Done, JoinError>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => return tracing::error!(%error, "writing a policy's status has failed"),
        };
        let Some(page) = self.pages.get_mut(&done.key).filter(|page| page.uid == done.uid) else { return };
        page.busy = false;
        let again = page.wanted != done.status;
        if done.written {
            page.there = done.status;
        }
        if again {
            self.write(&done.key);
        }
    }

    fn write(&mut self, key: &Key) {
        let Some(page) = self.pages.get_mut(key) else { return };
        page.busy = true;
        let (writer, turns) = (self.writer.clone(), Arc::clone(&self.turns));
        let (key, uid, status) = (key.clone(), page.uid.clone(), page.wanted.clone());
        self.writes.spawn(async move {
            let turn = turns.acquire().await;
            let written = match tokio::time::timeout(ANSWER, policy::write(&writer, &key, &status)).await {
                Ok(Ok(())) => true,
                Ok(Err(error)) => {
                    tracing::warn!(policy = %key, error = %chain(&error), "a policy's status is behind");
                    false
                }
                Err(_) => {
                    tracing::warn!(policy = %key, "a policy's status is behind: the API did not answer in time");
                    false
                }
            };
            drop(turn);
            tokio::time::sleep(PAUSE).await;
            Done { key, uid, status, written }
        });
    }
}

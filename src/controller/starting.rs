//! How a run of the service begins, and is called off.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Controller, runs};
use crate::domain::policy::Key;
use crate::domain::policy::plan::{self, Running, Watched};
use crate::domain::policy::spec::PolicySpec;
use crate::domain::scenario::Ruling;
use crate::domain::time::{At, micros};

/// What calls a run off when the service ends or its Deployment is gone: SIGTERM.
const CALL_OFF: i32 = 15;
/// A rollout is noticed at most so long after it began: probes since then say nothing about the time before it.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);

impl Controller {
    pub(super) fn start(&mut self, key: &Key) {
        let Some(watched) = self.watched.get(key).cloned() else { return };
        let Ok(policy) = watched.policy.clone() else { return };
        let entry = match self.probers.entry(key, &watched) {
            Ok(entry) => entry,
            Err(why) => {
                tracing::warn!(deployment = %key, why, "a rollout cannot be judged");
                return self.books.entry(key.clone()).or_default().end(Some(why), self.clock.now());
            }
        };
        self.started += 1;
        let (stop, stopped) = mpsc::channel(1);
        let order = runs::Order {
            key: key.clone(),
            uid: watched.uid.clone(),
            template: watched.template.clone(),
            entry,
            ruling: self.ruling(key, &watched, &policy),
            left: self.past.take(key),
            seed: self.settings.seed.wrapping_add(self.started.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            command: self.settings.command.clone(),
            policy,
        };
        let shared = runs::Shared {
            connection: self.connection.clone(),
            clock: self.clock,
            board: self.board.clone(),
            metrics: self.metrics.clone(),
            news: self.news.clone(),
            permit: self.permit(),
            recordings: self.settings.recordings.clone(),
        };
        let (uid, template, rate) = (watched.uid, watched.template, order.policy.rate());
        self.books.entry(key.clone()).or_default().running = Some(Running { rate, uid, template, stopping: false });
        self.stops.insert(key.clone(), stop);
        self.runs.spawn(runs::go(order, shared, stopped));
    }

    /// What is known before the rollout's first request: how much of the error budget is left, and how the service was.
    fn ruling(&self, key: &Key, watched: &Watched, policy: &PolicySpec) -> Option<Ruling> {
        let now = self.clock.now();
        let left = self.metrics.store().budget_left(key, now);
        if let (Some(freeze), Some(left), false) = (&policy.freeze_when, left, watched.unfrozen)
            && let Some(ruling) = plan::frozen(left, freeze.below)
        {
            return Some(ruling);
        }
        let began = At(now.micros().saturating_sub(micros(NOTICED_WITHIN)));
        let since = At(began.micros().saturating_sub(micros(policy.baseline)));
        let (bad, valid) = if policy.baseline.is_zero() { (0, 0) } else { self.metrics.store().probed(key, since, began) };
        plan::unhealthy(bad, valid)
    }

    /// Counts the actions of all guards together.
    fn permit(&self) -> crate::run::Permit {
        let (actions, cap, clock) = (Arc::clone(&self.actions), self.settings.max_actions, self.clock);
        Arc::new(move || plan::permit(&mut actions.lock().unwrap_or_else(PoisonError::into_inner), cap, clock.now()))
    }

    pub(super) fn stop(&mut self, key: &Key) {
        if let Some(running) = self.books.get_mut(key).and_then(|book| book.running.as_mut()) {
            running.stopping = true;
        }
        if let Some(stop) = self.stops.get(key) {
            // One that waits in the channel says the same.
            let _ = stop.try_send(CALL_OFF);
        }
    }
}

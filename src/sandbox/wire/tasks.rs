//! Tasks with an owner: they are told to stop, given a moment, cut, and awaited.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Spawns tasks that end when the owner stops. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
    cut: CancellationToken,
}

impl Tasks {
    /// Runs `work` until it is done, or cut.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = work => {}
                () = cut.cancelled_owned() => {}
            }
        });
    }

    /// Runs `work` until it is done, or the owner begins to stop: for work that nobody waits for.
    pub(crate) fn spawn_helper(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stopping.cancelled_owned() => {}
            }
        });
    }

    /// Returns when the owner has begun to stop.
    pub(crate) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Cuts all tasks when dropped, so that they cannot outlive their owner.
    pub(crate) fn guard(&self) -> DropGuard {
        self.cut.clone().drop_guard()
    }

    /// Tells all tasks to stop, and cuts those that have not after `grace`. None is left when this returns.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.stopping.cancel();
        self.tracker.close();
        // Whether they all ended by themselves makes no difference to what follows.
        let _ = timeout(grace, self.tracker.wait()).await;
        self.cut.cancel();
        self.tracker.wait().await;
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, work: F) {
        self.spawn(work);
    }
}

//! The thread beside the workers: merges their reports, tells the events, resolves names. It may wait; the workers do not wait for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::machine::Machine;
use super::mailbox::Mailbox;
use super::merge::Merger;
use super::resolve::follow;
use super::worker::Report;
use super::{LaneSummary, Summary};
use crate::domain::slice::LoadEvent;

/// How long an event may wait for a reader once the driver has been stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// A name to be kept resolved, and the lanes that connect to it.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) lanes: Vec<usize>,
}

/// What the control thread works with.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) merger: Merger,
    /// By lane: its schedule follows the answers.
    pub(crate) closed: Vec<bool>,
    pub(crate) reports: Receiver<Report>,
    pub(crate) events: Sender<LoadEvent>,
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    pub(crate) follow: Vec<Followed>,
    /// The driver has been stopped.
    pub(crate) stopping: CancellationToken,
    /// Everything is to end now.
    pub(crate) abort: CancellationToken,
}

impl Control {
    /// Works until the last worker has said its last, or until aborted.
    pub(crate) async fn run(mut self) -> Summary {
        let mut names = JoinSet::new();
        for Followed { host, port, lanes } in std::mem::take(&mut self.follow) {
            names.spawn(follow(host, port, lanes, self.mailboxes.clone()));
        }
        let mut machine = Machine::new();
        let mut undelivered = 0;
        let abort = self.abort.clone();
        while let Some(Some(report)) = abort.run_until_cancelled(self.reports.recv()).await {
            for mut event in self.merger.push(report) {
                if let LoadEvent::Validity(validity) = &mut event {
                    machine.fill(validity);
                }
                if undelivered > 0 || !self.deliver(event).await {
                    undelivered += 1;
                }
            }
        }
        let lane = |((name, totals), closed): ((_, super::fold::Totals), _)| LaneSummary {
            name,
            closed,
            planned: totals.planned,
            counts: totals.counts,
            latency: totals.latency,
        };
        Summary { lanes: self.merger.into_totals().into_iter().zip(self.closed).map(lane).collect(), undelivered }
    }

    /// Hands over one event, however long that takes while the run goes on. `false` when nobody takes it.
    async fn deliver(&self, event: LoadEvent) -> bool {
        let too_late = async {
            self.stopping.cancelled().await;
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            sent = self.events.send(event) => {
                if sent.is_err() {
                    // Traffic that nobody looks at must not go on.
                    self.mailboxes.iter().for_each(|mailbox| mailbox.stop());
                }
                sent.is_ok()
            }
            () = too_late => false,
            () = self.abort.cancelled() => false,
        }
    }
}

//! A run as it goes on, for whoever looks: its events, and its report as it stands. The report is made only when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::feed::Feed;

/// A run tells of itself at least once a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// What can be seen of a run.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) feed: Feed,
    asked: Arc<AtomicBool>,
    report: watch::Sender<Option<Arc<str>>>,
}

impl Default for Sight {
    fn default() -> Self {
        Self { feed: Feed::default(), asked: Arc::default(), report: watch::Sender::new(None) }
    }
}

impl Sight {
    /// Asks for the report, and waits for it. Nothing when the run ends before it is made.
    pub(super) async fn look(&self) -> Option<Arc<str>> {
        let mut told = self.report.subscribe();
        self.asked.store(true, Ordering::Relaxed);
        tokio::time::timeout(PATIENCE, told.changed()).await.ok()?.ok()?;
        told.borrow_and_update().clone()
    }

    /// Makes the report if somebody asked for it.
    pub(super) fn show(&self, make: impl FnOnce() -> String) {
        if self.asked.swap(false, Ordering::Relaxed) {
            self.report.send_replace(Some(make().into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_report_is_made_for_whoever_asks_and_for_nobody_else() {
        let sight = Sight::default();
        sight.show(|| panic!("nobody asked"));
        let other = sight.clone();
        let asking = tokio::spawn(async move { other.look().await });
        let deadline = tokio::time::timeout(PATIENCE, asking);
        let mut showing = std::pin::pin!(async {
            loop {
                sight.show(|| "page".into());
                tokio::task::yield_now().await;
            }
        });
        tokio::select! {
            seen = deadline => assert_eq!(seen.unwrap().unwrap().as_deref(), Some("page")),
            () = &mut showing => {}
        }
    }
}

//! Writes a verification down while its run goes on: the object, its status a few times a minute, and an Event about the verdict.

use std::time::Duration;

use kube::Client;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::cluster::chain;
use crate::cluster::verification::{self, Subject};
use crate::domain::policy::verification::VerificationStatus;

/// Between two writes of one status.
const PAUSE: Duration = Duration::from_secs(2);
/// Tries to write the last one.
const ATTEMPTS: usize = 5;
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Writes what it is told, the latest only, until nothing more comes. `name` is that of the object that there is already.
pub(super) async fn write(
    client: Client,
    clock: Clock,
    subject: Subject,
    name: Option<String>,
    mut told: watch::Receiver<Option<VerificationStatus>>,
) {
    let mut page = Page { client, clock, subject, name, created: false, missing: false };
    page.created = page.name.is_some();
    loop {
        let more = told.changed().await.is_ok();
        let latest = told.borrow_and_update().clone();
        let Some(status) = latest else {
            if more {
                continue;
            }
            return;
        };
        if !more {
            return page.last(&status).await;
        }
        if let Err(error) = page.write(&status).await {
            tracing::warn!(error, "a verification's status is behind");
        }
        // The end is not waited for: it is written when it is there.
        let _ = tokio::time::timeout(PAUSE, ended(&mut told.clone())).await;
    }
}

/// Until nothing more will be told.
async fn ended(told: &mut watch::Receiver<Option<VerificationStatus>>) {
    while told.changed().await.is_ok() {}
}

struct Page {
    client: Client,
    clock: Clock,
    subject: Subject,
    name: Option<String>,
    created: bool,
    /// The API knows of no verifications.
    missing: bool,
}

impl Page {
    async fn write(&mut self, status: &VerificationStatus) -> Result<(), String> {
        if self.missing {
            return Ok(());
        }
        let name = self.name.clone().unwrap_or_else(|| verification::name_of(&self.subject.key.name, &status.run_id));
        if !self.created {
            let created = tokio::time::timeout(ANSWER, verification::create(&self.client, &self.subject, &name)).await;
            match created.map_err(|_| "the API did not answer".to_owned())? {
                Ok(()) => self.created = true,
                Err(error) if matches!(&*error.source, kube::Error::Api(status) if status.code == 404) => {
                    self.missing = true;
                    tracing::warn!(error = %chain(&error), "the verification is not kept as an object: are the CRDs installed?");
                    return Ok(());
                }
                Err(error) => return Err(chain(&error)),
            }
        }
        let written = verification::write(&self.client, &self.subject.key.namespace, &name, status);
        let written = tokio::time::timeout(ANSWER, written).await.map_err(|_| "the API did not answer".to_owned())?;
        written.map_err(|e| chain(&e))
    }

    /// The end, with an Event about it.
    async fn last(mut self, status: &VerificationStatus) {
        for attempt in 1..=ATTEMPTS {
            match self.write(status).await {
                Ok(()) => break,
                Err(error) => tracing::warn!(error, attempt, "a verification's end could not be written"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        let now = self.clock.stamp();
        let told = verification::tell(&self.client, &self.subject, status, &now);
        match tokio::time::timeout(ANSWER, told).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = %chain(&error), "no Event could be left about a verdict"),
            Err(_) => tracing::warn!("the API did not answer: no Event could be left about a verdict"),
        }
    }
}

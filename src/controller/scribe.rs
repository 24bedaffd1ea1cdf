//! Writes a verification down while its run goes on: the object, its status a few times a minute, and an Event about the verdict.

use std::time::Duration;

use kube::Client;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::cluster::verification::{self, Subject};
use crate::cluster::{ClusterError, chain};
use crate::domain::policy::verification::VerificationStatus;

/// Between two writes of one status.
const PAUSE: Duration = Duration::from_secs(2);
/// The end is tried to be written for so long.
const PATIENCE: Duration = Duration::from_mins(2);
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
            let (Unwritten::Refused(error) | Unwritten::NotNow(error)) = error;
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

/// Why something was not written.
enum Unwritten {
    /// The API will not have it.
    Refused(String),
    /// It may have it later.
    NotNow(String),
}

impl Unwritten {
    fn of(error: &ClusterError) -> Self {
        let text = chain(error);
        match &*error.source {
            kube::Error::Api(status) if matches!(status.code, 400..500) && ![408, 409, 429].contains(&status.code) => {
                Self::Refused(text)
            }
            _ => Self::NotNow(text),
        }
    }
}

/// What the API answers in time.
async fn answer(call: impl Future<Output = Result<(), ClusterError>>) -> Result<(), Unwritten> {
    match tokio::time::timeout(ANSWER, call).await {
        Ok(done) => done.map_err(|error| Unwritten::of(&error)),
        Err(_) => Err(Unwritten::NotNow("the API did not answer".into())),
    }
}

impl Page {
    async fn write(&mut self, status: &VerificationStatus) -> Result<(), Unwritten> {
        if self.missing {
            return Ok(());
        }
        let name = self.name.clone().unwrap_or_else(|| verification::name_of(&self.subject.key.name, &status.run_id));
        if !self.created {
            let created = tokio::time::timeout(ANSWER, verification::create(&self.client, &self.subject, &name)).await;
            match created.map_err(|_| Unwritten::NotNow("the API did not answer".into()))? {
                Ok(()) => self.created = true,
                Err(error) if matches!(&*error.source, kube::Error::Api(status) if status.code == 404) => {
                    self.missing = true;
                    tracing::warn!(error = %chain(&error), "the verification is not kept as an object: are the CRDs installed?");
                    return Ok(());
                }
                Err(error) => return Err(Unwritten::of(&error)),
            }
        }
        answer(verification::write(&self.client, &self.subject.key.namespace, &name, status)).await
    }

    /// The end: an Event about it, and then the status, so that whoever waits for that finds both. An API that is away for a while is waited for.
    async fn last(mut self, status: &VerificationStatus) {
        let (began, stamp) = (self.clock.now(), self.clock.stamp());
        let mut told = false;
        loop {
            if !told {
                let error = answer(verification::tell(&self.client, &self.subject, status, &stamp)).await.err();
                told = !matches!(error, Some(Unwritten::NotNow(_)));
                if let Some(Unwritten::Refused(error) | Unwritten::NotNow(error)) = error {
                    tracing::warn!(error, "no Event could be left about a verdict");
                }
            }
            match self.write(status).await {
                Ok(()) if told => return,
                Ok(()) => {}
                Err(Unwritten::Refused(error)) => return tracing::warn!(error, "a verification's end is not written"),
                Err(Unwritten::NotNow(error)) => tracing::warn!(error, "a verification's end could not be written yet"),
            }
            if self.clock.now().since(began) > PATIENCE {
                return tracing::error!("a verification's end is given up");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

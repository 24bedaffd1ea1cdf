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
/// Tries to write the last one, when the API answers that it does not want it.
const ATTEMPTS: usize = 5;
/// Tries when it is away: some minutes. Who waits for a verdict gets it when the API is back.
const PATIENCE: usize = 100;
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
        if let Err(unwritten) = page.write(&status).await {
            tracing::warn!(error = unwritten.why, "a verification's status is behind");
        }
        // The end is not waited for: it is written when it is there.
        let _ = tokio::time::timeout(PAUSE, ended(&mut told.clone())).await;
    }
}

/// Until nothing more will be told.
async fn ended(told: &mut watch::Receiver<Option<VerificationStatus>>) {
    while told.changed().await.is_ok() {}
}

/// A status that could not be written.
struct Unwritten {
    why: String,
    /// The API has said so.
    answered: bool,
}

impl Unwritten {
    fn late() -> Self {
        Self { why: "the API did not answer".into(), answered: false }
    }
}

impl From<ClusterError> for Unwritten {
    fn from(error: ClusterError) -> Self {
        let answered = matches!(&*error.source, kube::Error::Api(status) if status.code < 500);
        Self { why: chain(&error), answered }
    }
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
    async fn write(&mut self, status: &VerificationStatus) -> Result<(), Unwritten> {
        if self.missing {
            return Ok(());
        }
        let name = self.name.clone().unwrap_or_else(|| verification::name_of(&self.subject.key.name, &status.run_id));
        if !self.created {
            let created = tokio::time::timeout(ANSWER, verification::create(&self.client, &self.subject, &name)).await;
            match created.map_err(|_| Unwritten::late())? {
                Ok(()) => self.created = true,
                Err(error) if matches!(&*error.source, kube::Error::Api(status) if status.code == 404) => {
                    self.missing = true;
                    tracing::warn!(error = %chain(&error), "the verification is not kept as an object: are the CRDs installed?");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        let written = verification::write(&self.client, &self.subject.key.namespace, &name, status);
        Ok(tokio::time::timeout(ANSWER, written).await.map_err(|_| Unwritten::late())??)
    }

    /// The end, with an Event about it.
    async fn last(mut self, status: &VerificationStatus) {
        for attempt in 1..=PATIENCE {
            let Err(Unwritten { why, answered }) = self.write(status).await else { break };
            tracing::warn!(error = why, attempt, "a verification's end could not be written");
            if answered && attempt >= ATTEMPTS {
                break;
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Method, Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::{BoxError, service_fn};

    use super::*;
    use crate::domain::policy::Key;
    use crate::domain::policy::spec::PolicySpec;
    use crate::domain::verdict::VerdictKind;

    /// Writes the end of a verification to an API that does not answer so many times, or says no to all of it. Answers with what was asked.
    async fn ended(mut silent: usize, refuses: bool) -> Vec<String> {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = asked.clone();
        let service = service_fn(move |request: Request<Body>| {
            let what = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            log.lock().unwrap().push(what.clone());
            let answers = silent == 0;
            silent = silent.saturating_sub(1);
            let created = request.method() == Method::POST;
            async move {
                if !answers {
                    return Err(BoxError::from("connection refused"));
                }
                let (code, body): (u16, Value) = match what.as_str() {
                    _ if refuses => {
                        (403, json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "Forbidden", "code": 403}))
                    }
                    "events" => (201, json!({"metadata": {}, "involvedObject": {}})),
                    _ => {
                        let spec = json!({"targetRef": {"kind": "Deployment", "name": "backend"}, "policy": {}});
                        (if created { 201 } else { 200 }, json!({"metadata": {"name": "backend-1"}, "spec": spec}))
                    }
                };
                Ok(Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap())
            }
        });
        let subject = Subject { key: Key::new("todo", "backend"), uid: "u".into(), policy: PolicySpec::default() };
        let (statuses, told) = watch::channel(None);
        let verdict = Some(VerdictKind::Breach);
        statuses.send_replace(Some(VerificationStatus { verdict, run_id: "r-1".into(), ..VerificationStatus::begin("t") }));
        drop(statuses);
        write(Client::new(service, "default"), Clock::start(), subject, None, told).await;
        asked.lock().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_verdict_is_written_down_when_an_api_that_was_away_is_back() {
        let asked = ended(50, false).await;
        assert_eq!(asked[..50], ["rolloutverifications"; 50]);
        assert_eq!(asked[50..], ["rolloutverifications", "status", "events"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_that_says_no_is_not_asked_without_an_end() {
        // Once while it went on, and then at its end.
        assert_eq!(ended(0, true).await, [["rolloutverifications"; 1 + ATTEMPTS].as_slice(), &["events"]].concat());
        assert_eq!(ended(usize::MAX, false).await.len(), 1 + PATIENCE + 1);
    }
}

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
/// The end is tried to be written for so long: who waits for a verdict gets it when the API is back.
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
        if status.is_done() {
            // The Event comes first; what else there is to be told comes before the sender goes.
            continue;
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

    async fn finish(&mut self, status: &VerificationStatus, stamp: &str, told: &mut bool) -> Result<(), Unwritten> {
        if !*told {
            match answer(verification::tell(&self.client, &self.subject, status, stamp)).await {
                Ok(()) => {}
                Err(Unwritten::Refused(error)) => tracing::warn!(error, "no Event could be left about a verdict"),
                Err(not_now) => return Err(not_now),
            }
            *told = true;
        }
        self.write(status).await
    }

    /// The end: an Event about it, and then the status, so that whoever waits for that finds both. An API that is away for a while is waited for.
    async fn last(mut self, status: &VerificationStatus) {
        let (stamp, mut told) = (self.clock.stamp(), false);
        let written = async {
            loop {
                match self.finish(status, &stamp, &mut told).await {
                    Ok(()) => return,
                    Err(Unwritten::Refused(error)) => return tracing::warn!(error, "a verification's end is not written"),
                    Err(Unwritten::NotNow(error)) => tracing::warn!(error, "a verification's end could not be written yet"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        if tokio::time::timeout(PATIENCE, written).await.is_err() {
            tracing::error!("a verification's end is given up: the API did not take it");
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
        let mut status = VerificationStatus { verdict, run_id: "r-1".into(), ..VerificationStatus::begin("t") };
        statuses.send_replace(Some(status.clone()));
        let writing = tokio::spawn(write(Client::new(service, "default"), Clock::start(), subject, None, told));
        tokio::time::sleep(PAUSE * 3).await;
        status.interrupt("t");
        statuses.send_replace(Some(status));
        // It sees the end before it sees that nothing more is told.
        tokio::time::sleep(PAUSE * 3).await;
        drop(statuses);
        writing.await.unwrap();
        asked.lock().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_verdict_is_written_down_when_an_api_that_was_away_is_back() {
        let asked = ended(50, false).await;
        assert_eq!(asked[1..50], ["events"; 49]);
        assert_eq!(asked[50..], ["events", "rolloutverifications", "status"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_that_says_no_is_not_asked_without_an_end() {
        // Once while it went on, and then at its end.
        assert_eq!(ended(0, true).await, ["rolloutverifications", "events", "rolloutverifications"]);
        let tries = usize::try_from(PATIENCE.as_secs() / PAUSE.as_secs()).unwrap();
        let asked = ended(usize::MAX, false).await.len();
        assert!((tries..tries + 4).contains(&asked), "{asked} calls");
    }
}

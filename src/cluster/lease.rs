//! The Lease as the API keeps it: read, and written over exactly the version that was judged. Each call has a deadline of its own, and is made
//! once.

use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::timeout;

use super::ClusterError;
use super::act::FIELD_MANAGER;
use crate::domain::lease::{ADDRESS, Answer, Read, Record, Write};

/// One lease, and how it was seen last: what others keep in its metadata is written back.
pub struct Desk {
    api: Api<Lease>,
    namespace: String,
    name: String,
    last: Option<Lease>,
}

impl Desk {
    /// Nothing is asked yet. The client retries nothing by itself, and is not fenced.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.into(), name: name.into(), last: None }
    }

    fn operation(&self, verb: &str) -> String {
        format!("{verb} lease {}/{}", self.namespace, self.name)
    }

    /// Reads it; nothing when there is none.
    pub async fn look(&mut self, patience: Duration) -> Result<Option<Read>, ClusterError> {
        let operation = self.operation("read");
        let asked = timeout(patience, self.api.get_opt(&self.name)).await;
        let found = asked.map_err(|_| ClusterError::timed_out(operation.clone()))?.map_err(ClusterError::new(operation))?;
        self.last = found;
        Ok(self.last.as_ref().map(read))
    }

    /// Writes it, once. An error leaves open whether it was written.
    pub async fn write(&mut self, write: &Write, patience: Duration) -> Result<Answer, ClusterError> {
        let operation = self.operation(if write.over.is_some() { "renew" } else { "create" });
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let object = object(&self.name, self.last.as_ref(), write);
        let asked = async {
            match write.over {
                Some(_) => self.api.replace(&self.name, &params, &object).await,
                None => self.api.create(&params, &object).await,
            }
        };
        match timeout(patience, asked).await {
            Err(_) => Err(ClusterError::timed_out(operation)),
            // Another version, created by another, or gone.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 || (status.code == 404 && write.over.is_some()) => {
                Ok(Answer::Conflict)
            }
            Ok(Err(error)) => Err(ClusterError::new(operation)(error)),
            Ok(Ok(written)) => {
                let version = written.metadata.resource_version.clone().unwrap_or_default();
                self.last = Some(written);
                Ok(Answer::Written { version })
            }
        }
    }
}

/// What an object says.
fn read(object: &Lease) -> Read {
    let spec = object.spec.clone().unwrap_or_default();
    let micros = |time: Option<MicroTime>| time.map_or(0, |time| time.0.as_microsecond());
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
    let record = Record {
        holder: spec.holder_identity.unwrap_or_default(),
        address: object.metadata.annotations.as_ref().and_then(|all| address(all.get(ADDRESS)?)),
        duration: Duration::from_secs(seconds),
        acquired: micros(spec.acquire_time),
        renewed: micros(spec.renew_time),
        transitions: spec.lease_transitions.unwrap_or(0),
    };
    Read { record, version: object.metadata.resource_version.clone().unwrap_or_default() }
}

/// An IP address and a port that one process can have, and nothing else: it is going to be asked.
fn address(text: &str) -> Option<SocketAddr> {
    let address: SocketAddr = text.parse().ok()?;
    (address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()).then_some(address)
}

/// The object that says it. What others have written into it stays.
fn object(name: &str, last: Option<&Lease>, write: &Write) -> Lease {
    let mut object = last.filter(|_| write.over.is_some()).cloned().unwrap_or_default();
    let ObjectMeta { annotations, .. } = &mut object.metadata;
    let annotations = annotations.get_or_insert_default();
    match write.record.address {
        Some(address) => annotations.insert(ADDRESS.into(), address.to_string()),
        None => annotations.remove(ADDRESS),
    };
    object.metadata.name = Some(name.into());
    object.metadata.resource_version.clone_from(&write.over);
    object.metadata.managed_fields = None;
    let record = &write.record;
    // What has no form as a timestamp is no time that a clock has told.
    let time = |micros: i64| Some(MicroTime(Timestamp::from_microsecond(micros).unwrap_or_default()));
    object.spec = Some(LeaseSpec {
        holder_identity: Some(record.holder.clone()),
        lease_duration_seconds: Some(i32::try_from(record.duration.as_secs()).unwrap_or(i32::MAX)),
        acquire_time: time(record.acquired),
        renew_time: time(record.renewed),
        lease_transitions: Some(record.transitions),
        ..object.spec.unwrap_or_default()
    });
    object
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Method, Request, Response};
    use http_body_util::BodyExt;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);
    const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";

    fn record() -> Record {
        Record {
            holder: "verifier-1".into(),
            address: address("10.0.0.7:9090"),
            duration: Duration::from_secs(15),
            acquired: 1_767_225_600_123_456,
            renewed: 1_767_225_602_000_001,
            transitions: 3,
        }
    }

    fn lease(value: Value) -> Lease {
        serde_json::from_value(value).unwrap()
    }

    /// What an API was asked: method, path and body.
    type Asked = Arc<Mutex<Vec<(Method, String, Value)>>>;

    /// The lease of an API that always answers with this, and never when it is null.
    fn desk(status: u16, answer: Value) -> (Desk, Asked) {
        let asked = Asked::default();
        let heard = Arc::clone(&asked);
        let service = service_fn(move |request: Request<Body>| {
            let (heard, answer) = (Arc::clone(&heard), answer.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                heard.lock().unwrap().push((head.method, head.uri.path().to_owned(), body));
                if answer.is_null() {
                    std::future::pending::<()>().await;
                }
                let answer = Body::from(answer.to_string().into_bytes());
                Ok::<_, std::convert::Infallible>(Response::builder().status(status).body(answer).unwrap())
            }
        });
        (Desk::new(Client::new(service, "default"), "ns", "verifier"), asked)
    }

    fn status(code: u16, reason: &str) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason})
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written_to_the_microsecond() {
        let written = object("verifier", None, &Write { over: None, record: record() });
        let text = serde_json::to_value(&written).unwrap();
        assert_eq!(text["spec"]["acquireTime"], "2026-01-01T00:00:00.123456Z");
        assert_eq!((&text["spec"]["leaseDurationSeconds"], &text["metadata"]["resourceVersion"]), (&json!(15), &Value::Null));
        let back = read(&lease(text));
        assert_eq!(back.record, record());
    }

    #[test]
    fn what_is_missing_or_makes_no_sense_is_nothing() {
        let nothing =
            Record { holder: String::new(), address: None, duration: Duration::ZERO, acquired: 0, renewed: 0, transitions: 0 };
        assert_eq!(read(&lease(json!({}))), Read { record: nothing.clone(), version: String::new() });
        let odd = lease(json!({
            "metadata": {"annotations": {ADDRESS: "http://10.0.0.7:9090/"}}, "spec": {"leaseDurationSeconds": -5},
        }));
        assert_eq!(read(&odd).record, nothing);
    }

    #[test]
    fn only_an_ip_address_with_a_port_is_ever_asked() {
        for good in ["10.0.0.7:9090", "127.0.0.1:1", "[fd00::7]:9090"] {
            assert_eq!(address(good).map(|a| a.to_string()).as_deref(), Some(good));
        }
        for bad in [
            "",
            "10.0.0.7",
            "10.0.0.7:0",
            "0.0.0.0:9090",
            "[::]:9090",
            "224.0.0.1:80",
            "localhost:9090",
            "leader.evil.example:80",
            "10.0.0.7:9090/path",
            "user@10.0.0.7:9090",
            "http://10.0.0.7:9090",
            " 10.0.0.7:9090",
            "10.0.0.7:99999",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_others_keep_in_the_lease_stays_and_the_version_is_the_one_that_was_judged() {
        let last = lease(json!({
            "metadata": {
                "name": "verifier", "namespace": "ns", "uid": "u", "resourceVersion": "8", "labels": {"team": "x"},
                "annotations": {"a": "b", ADDRESS: "10.0.0.1:1"}, "managedFields": [{"manager": "m"}],
            },
            "spec": {"holderIdentity": "other", "strategy": "OldestEmulationVersion"},
        }));
        let released = Record { holder: String::new(), address: None, duration: Duration::from_secs(1), ..record() };
        let written = object("verifier", Some(&last), &Write { over: Some("7".into()), record: released });
        let text = serde_json::to_value(&written).unwrap();
        assert_eq!(
            text["metadata"],
            json!({
                "name": "verifier", "namespace": "ns", "uid": "u", "resourceVersion": "7", "labels": {"team": "x"}, "annotations": {"a": "b"},
            })
        );
        assert_eq!((&text["spec"]["strategy"], &text["spec"]["holderIdentity"]), (&json!("OldestEmulationVersion"), &json!("")));
    }

    #[tokio::test]
    async fn each_call_is_made_once_and_a_refusal_is_told_from_not_knowing() {
        let over = Write { over: Some("7".into()), record: record() };
        let create = Write { over: None, record: record() };
        let object = json!({"metadata": {"name": "verifier", "resourceVersion": "8"}, "spec": {"holderIdentity": "verifier-1"}});
        let written = Answer::Written { version: "8".into() };
        for (write, code, answer, expected) in [
            (&create, 201, object.clone(), Some(&written)),
            (&over, 200, object.clone(), Some(&written)),
            (&create, 409, status(409, "AlreadyExists"), Some(&Answer::Conflict)),
            (&over, 409, status(409, "Conflict"), Some(&Answer::Conflict)),
            (&over, 404, status(404, "NotFound"), Some(&Answer::Conflict)),
            // The namespace is not there.
            (&create, 404, status(404, "NotFound"), None),
            (&over, 403, status(403, "Forbidden"), None),
            (&over, 500, status(500, "InternalError"), None),
        ] {
            let (mut desk, asked) = desk(code, answer);
            let became = desk.write(write, PATIENCE).await;
            assert_eq!(became.as_ref().ok(), expected, "{code}: {became:?}");
            let asked = asked.lock().unwrap();
            let place =
                if write.over.is_some() { (Method::PUT, format!("{LEASES}/verifier")) } else { (Method::POST, LEASES.into()) };
            assert_eq!(asked.len(), 1);
            assert_eq!(
                (&asked[0].0, &asked[0].1, &asked[0].2["metadata"]["resourceVersion"]),
                (&place.0, &place.1, &json!(write.over))
            );
        }
        let (mut desk, asked) = desk(404, status(404, "NotFound"));
        assert_eq!(desk.look(PATIENCE).await.unwrap(), None);
        assert_eq!(asked.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn nothing_is_waited_for_longer_than_was_said() {
        let short = Duration::from_millis(20);
        let (mut desk, _) = desk(200, Value::Null);
        let write = Write { over: Some("7".into()), record: record() };
        let both = async { (desk.look(short).await.is_err(), desk.write(&write, short).await.is_err()) };
        assert_eq!(tokio::time::timeout(PATIENCE, both).await.unwrap(), (true, true));
    }
}

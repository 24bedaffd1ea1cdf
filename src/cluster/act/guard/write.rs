//! The patches, and what came of sending them.

use http::{Method, Request, header};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{ANSWER, Reading, template_of};
use crate::cluster::act::record;
use crate::cluster::chain;
use crate::domain::rollout::guard::{Action, MANAGER, Record, Verb};

const REVISION: &str = "deployment.kubernetes.io/revision";

/// How a patch is sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::cluster::act) struct Patching {
    /// The kind of patch.
    pub(in crate::cluster::act) content_type: &'static str,
    /// The field manager.
    pub(in crate::cluster::act) manager: &'static str,
}

/// What came of a write.
pub(in crate::cluster::act) enum Sent {
    /// The object as it is now.
    Accepted(Value),
    /// The object is not there.
    Gone,
    /// A precondition does not hold, or the patch is invalid: the API's words.
    Conflict(String),
    /// The API answered with a refusal, and nothing was written.
    Refused(String),
    /// No answer, or one that leaves open whether it was written.
    Unknown(String),
}

/// A JSON patch: what must still hold, the change, and its record. Nothing when the template to go back to is gone.
pub(super) fn patch(action: &Action, found: &Reading, record: &Record) -> Option<Value> {
    let deployment = &found.deployment;
    let test = |path: &str, value: Value| json!({"op": "test", "path": path, "value": value});
    let add = |path: &str, value: Value| json!({"op": "add", "path": path, "value": value});
    // The generation moves with every change of the specification: of template, pause and size alike.
    let mut patch = vec![test("/metadata/uid", json!(found.live.uid)), test("/metadata/generation", json!(found.live.generation))];
    // An API leaves `paused: false` out.
    if let Some(paused) = deployment.data["spec"].get("paused") {
        patch.push(test("/spec/paused", paused.clone()));
    }
    if let Some(revision) = deployment.annotations().get(REVISION) {
        patch.push(test(&annotation(REVISION), json!(revision)));
    }
    match action.verb {
        Verb::Pause | Verb::Hold => patch.push(add("/spec/paused", json!(true))),
        Verb::Undo => {
            let to = action.back_to.as_ref()?;
            let set = found.sets.iter().find(|s| s.uid().as_deref() == Some(&to.uid))?;
            patch.push(add("/spec/template", template_of(&set.data)));
            patch.push(add("/spec/paused", json!(false)));
        }
    }
    if deployment.metadata.annotations.is_none() {
        patch.push(add("/metadata/annotations", json!({})));
    }
    patch.extend(record::annotations(record).into_iter().map(|(key, value)| add(&annotation(key), json!(value))));
    Some(patch.into())
}

/// The JSON pointer of an annotation.
fn annotation(key: &str) -> String {
    format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Sends a JSON patch, once.
pub(super) async fn send(client: &Client, path: &str, patch: &Value) -> Sent {
    send_as(client, path, patch, Patching { content_type: "application/json-patch+json", manager: MANAGER }).await
}

/// Sends a patch, once.
pub(in crate::cluster::act) async fn send_as(client: &Client, path: &str, patch: &Value, patching: Patching) -> Sent {
    let request = Request::builder()
        .method(Method::PATCH)
        .uri(format!("{path}?fieldManager={}", patching.manager))
        .header(header::CONTENT_TYPE, patching.content_type);
    let request = match request.body(patch.to_string().into_bytes()) {
        Ok(request) => request,
        Err(error) => return Sent::Refused(chain(&error)),
    };
    match timeout(ANSWER, client.request::<Value>(request)).await {
        Ok(Ok(object)) => Sent::Accepted(object),
        Ok(Err(kube::Error::Api(status))) => {
            let why = format!("{} ({})", status.message, status.code);
            match status.code {
                404 => Sent::Gone,
                409 | 412 | 422 => Sent::Conflict(why),
                // Gateways and an API that is going down may answer so after the write.
                500.. => Sent::Unknown(why),
                _ => Sent::Refused(why),
            }
        }
        Ok(Err(error)) => Sent::Unknown(format!("the answer was lost: {}", chain(&error))),
        Err(_) => Sent::Unknown(format!("no answer came within {}", humantime::format_duration(ANSWER))),
    }
}

/// Creates an object.
pub(super) async fn post(client: &Client, path: &str, object: &Value) -> Result<Value, kube::Error> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{path}?fieldManager={MANAGER}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(object.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    client.request(request).await
}

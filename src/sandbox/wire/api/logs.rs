//! `pods/log`: what the node has of a container's output.

use axum::body::Body;
use futures_util::StreamExt;
use http::{Response, StatusCode};

use super::{Call, respond};
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::store::Target;
use crate::sandbox::wire::logs::LogQuery;

pub(super) fn answer(call: &Call, target: &Target) -> Result<Response<Body>, ApiError> {
    let pod = call
        .world
        .read(|store| store.stored(&target.key()).map(|s| s.object.clone()))
        .ok_or_else(|| ApiError::not_found(target.kind.about(), &target.name))?;
    let names: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| pod["spec"][*list].as_array().into_iter().flatten())
        .filter_map(|c| c["name"].as_str())
        .collect();
    let container = match (call.params.get("container").unwrap_or_default(), names.as_slice()) {
        ("", [only]) => (*only).to_owned(),
        ("", all) => {
            let message = format!("a container name must be specified for pod {}, choose one of: {all:?}", target.name);
            return Err(ApiError::bad_request(message.replace([',', '"'], "")));
        }
        (named, all) if all.contains(&named) => named.to_owned(),
        (named, _) => return Err(ApiError::bad_request(format!("container {named} is not valid for pod {}", target.name))),
    };
    if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        return Err(ApiError::bad_request(format!("pod {} does not have a host assigned", target.name)));
    }
    let query = LogQuery {
        container,
        follow: call.params.flag("follow"),
        previous: call.params.flag("previous"),
        timestamps: call.params.flag("timestamps"),
        tail: call.params.number("tailLines")?.and_then(|n| usize::try_from(n).ok()),
        bytes: call.params.number("limitBytes")?.and_then(|n| usize::try_from(n).ok()),
        since: match call.params.number("sinceSeconds")? {
            Some(seconds) => Some(call.world.now() - chrono::TimeDelta::seconds(seconds)),
            None => call.params.since_time(),
        },
    };
    let lines = call.world.pod_logs(&target.key(), &query)?;
    let lines = lines.take_until(call.stop.clone().cancelled_owned()).map(Ok::<_, std::convert::Infallible>);
    Ok(respond::body(StatusCode::OK, "text/plain", Body::from_stream(lines)))
}

//! The Kubernetes API over HTTP. Everything is decided in the store; here requests are read and answers written.

mod access;
mod body;
mod form;
mod logs;
mod media;
mod objects;
mod path;
mod query;
mod questions;
mod respond;
mod serve;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, USER_AGENT, VARY};
use http::{HeaderMap, HeaderValue, Method, Response};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::access::{Access, AccessError};
pub use self::path::Verb;
pub use self::serve::{ApiServer, ServeError};

use self::media::Wanted;
use self::path::{Place, Resource};
use self::query::Params;
use super::audit::Asked;
use super::world::World;
use crate::sandbox::model::discovery;
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::schema::openapi;

/// How the API is served.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Whoever does not bring this token is sent away; without one everybody is let in.
    pub token: Option<Arc<str>>,
    /// Ends all watches.
    pub stop: CancellationToken,
    /// Requests at once, watches not counted.
    pub requests: usize,
    /// Watches at once.
    pub watches: usize,
    /// Where clients are told to find the server.
    pub address: String,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self { token: None, stop: CancellationToken::new(), requests: 400, watches: 1000, address: "localhost".into() }
    }
}

/// The API as a service: for a listener, or for a client in the same process.
pub fn router(world: Arc<World>, options: ApiOptions) -> Router {
    let api = Arc::new(Api {
        world,
        requests: Semaphore::new(options.requests),
        watches: Arc::new(Semaphore::new(options.watches)),
        options,
    });
    Router::new().fallback(entry).with_state(api)
}

#[derive(Debug)]
struct Api {
    world: Arc<World>,
    options: ApiOptions,
    requests: Semaphore,
    watches: Arc<Semaphore>,
}

/// One request about a resource, read.
struct Call {
    world: Arc<World>,
    stop: CancellationToken,
    watches: Arc<Semaphore>,
    token: Option<Arc<str>>,
    resource: Resource,
    verb: Verb,
    params: Params,
    wanted: Wanted,
    headers: HeaderMap,
    agent: String,
    bytes: Bytes,
    pretty: bool,
}

impl Call {
    fn knows_token(&self, token: &str) -> bool {
        self.token.as_deref().is_none_or(|known| access::same(known, token))
    }
}

/// The longest name of a client that is kept.
const LONGEST_AGENT: usize = 128;

fn too_many() -> ApiError {
    ApiError::too_many_requests("Too many requests, please try again later.", json!({"retryAfterSeconds": 1}))
}

/// The first word of the client's name.
fn agent(headers: &HeaderMap) -> String {
    let full = headers.get(USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    full.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(LONGEST_AGENT).collect()
}

async fn entry(State(api): State<Arc<Api>>, request: Request) -> Response<Body> {
    let agent = agent(request.headers());
    let asked = request.uri().query().is_some_and(|q| q.split('&').any(|p| p == "pretty=true" || p == "pretty=1"));
    let pretty = asked || ["curl", "Wget", "Mozilla"].contains(&agent.as_str());
    let style = respond::Style { yaml: false, pretty };
    if let Some(token) = &api.options.token
        && !bearer(request.headers()).is_some_and(|given| access::same(token, given))
    {
        return respond::error(&ApiError::new(401, "Unauthorized", "Unauthorized", None), style);
    }
    let Ok(_permit) = api.requests.try_acquire() else { return respond::error(&too_many(), style) };
    match answer(&api, request, agent, style).await {
        Ok(response) => response,
        Err(error) => respond::error(&error, style),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

async fn answer(api: &Arc<Api>, request: Request, agent: String, style: respond::Style) -> Result<Response<Body>, ApiError> {
    let (parts, body) = request.into_parts();
    let value = |value: &serde_json::Value| Ok(respond::value(200, value, style));
    let place = path::place(parts.uri.path());
    if !matches!(place, Place::Resource(_)) && parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(ApiError::method_not_allowed());
    }
    let registry = |look: &dyn Fn(&crate::sandbox::model::kinds::Registry) -> Option<serde_json::Value>| {
        api.world.read(|store| look(store.registry())).ok_or_else(ApiError::no_such_resource)
    };
    match place {
        Place::Resource(resource) => {
            let call = read(api, resource, &parts, body, agent, style.pretty).await?;
            dispatch(call)
        }
        Place::Root { core } if media::wants_aggregated(&parts.headers) => {
            let list = registry(&|r| Some(discovery::aggregated(r, core)))?;
            let mut response = respond::value(200, &list, style);
            let kind = HeaderValue::from_static("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
            response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
            response.headers_mut().insert(VARY, HeaderValue::from_name(ACCEPT));
            Ok(response)
        }
        Place::Root { core: true } => value(&discovery::core_versions(&api.options.address)),
        Place::Root { core: false } => value(&registry(&|r| Some(discovery::group_list(r)))?),
        Place::Group(group) => Ok(found(api.world.read(|s| discovery::group(s.registry(), &group)), style)),
        Place::GroupVersion(group, version) => {
            Ok(found(api.world.read(|s| discovery::resource_list(s.registry(), &group, &version)), style))
        }
        Place::OpenApi(None) => value(&registry(&|r| Some(openapi::index(r)))?),
        Place::OpenApi(Some((group, version))) => value(&registry(&|r| openapi::document(r, &group, &version))?),
        Place::Version => value(&version()),
        Place::Health => Ok(respond::text(200, "ok")),
        Place::Index => value(&json!({"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]})),
        Place::Nowhere => Ok(respond::text(404, NOWHERE)),
    }
}

/// A part of discovery; where a group is not served, its whole path is unknown.
fn found(part: Option<serde_json::Value>, style: respond::Style) -> Response<Body> {
    part.map_or_else(|| respond::text(404, NOWHERE), |part| respond::value(200, &part, style))
}

const NOWHERE: &str = "404 page not found\n";

fn version() -> serde_json::Value {
    json!({
        "major": "1", "minor": "34", "gitVersion": "v1.34.4+verifier", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64"
    })
}

async fn read(
    api: &Arc<Api>,
    resource: Resource,
    parts: &http::request::Parts,
    body: Body,
    agent: String,
    pretty: bool,
) -> Result<Call, ApiError> {
    let params = Params::read(&parts.uri)?;
    let verb = path::verb(&parts.method, &resource, params.flag("watch")).ok_or_else(ApiError::method_not_allowed)?;
    api.world.audit().note(Asked {
        verb,
        group: resource.group.clone(),
        resource: resource.plural.clone(),
        sub: resource.sub.clone(),
        agent: agent.clone(),
    });
    Ok(Call {
        world: api.world.clone(),
        stop: api.options.stop.clone(),
        watches: api.watches.clone(),
        token: api.options.token.clone(),
        wanted: media::wanted(&parts.headers)?,
        headers: parts.headers.clone(),
        bytes: body::read(body).await?,
        resource,
        verb,
        params,
        agent,
        pretty,
    })
}

fn dispatch(call: Call) -> Result<Response<Body>, ApiError> {
    let Resource { group, version, plural, .. } = &call.resource;
    let kind = call.world.read(|store| store.registry().find(group, version, plural).cloned());
    if let Some(kind) = kind {
        return call.objects(kind);
    }
    match discovery::QUESTIONS.iter().find(|q| q.group == *group && q.plural == *plural && version == "v1") {
        Some(question) if call.resource.name.is_empty() => call.question(question),
        _ if call.world.read(|store| discovery::versions(store.registry(), group).contains(version)) => {
            Err(ApiError::no_such_resource())
        }
        _ => Ok(respond::text(404, NOWHERE)),
    }
}

//! From a request to its answer.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::app::{App, now};
use super::behaviour::Fate;
use super::body::{self, Body, Busy, Held};
use super::cpu::burn;
use super::todos::NewTodo;

const POD: HeaderName = HeaderName::from_static("x-pod-name");
const VERSION: HeaderName = HeaderName::from_static("x-app-version");
const TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The longest request body that is read whole.
const LONGEST_BODY: usize = 64 * 1024;

/// The longest answer of `/api/slow` may take.
const SLOWEST: Duration = Duration::from_mins(10);

/// Todos in one page.
const PAGE: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Live,
    Ready,
    Health,
    Api(Api),
    Echo,
    Unknown,
    WrongMethod(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Health,
    List,
    Add,
    One(Option<u64>),
    Stream,
    Slow,
}

fn route(method: &Method, path: &str) -> Route {
    let get = method == Method::GET || method == Method::HEAD;
    let found = match path {
        "/livez" => Route::Live,
        "/readyz" => Route::Ready,
        "/healthz" => Route::Health,
        "/echo" => return Route::Echo,
        "/api/healthz" => Route::Api(Api::Health),
        "/api/todos" if get => Route::Api(Api::List),
        "/api/todos" if method == Method::POST => return Route::Api(Api::Add),
        "/api/todos" => return Route::WrongMethod("GET, HEAD, POST"),
        "/api/stream" => Route::Api(Api::Stream),
        "/api/slow" => Route::Api(Api::Slow),
        _ => match path.strip_prefix("/api/todos/") {
            Some(id) => Route::Api(Api::One(id.parse().ok())),
            None => return Route::Unknown,
        },
    };
    if get { found } else { Route::WrongMethod("GET, HEAD") }
}

/// Answers one request and signs the answer.
pub(super) async fn respond(app: Arc<App>, busy: Busy, mut request: Request<Incoming>) -> Result<Response<Held>, Infallible> {
    let came = now();
    let (slot, mut response) = match route(request.method(), request.uri().path()) {
        Route::Live => {
            let latency = app.draw(&app.config.liveness_latency);
            if !latency.is_zero() {
                sleep(latency).await;
            }
            (None, probe(app.config.alive(app.up()), StatusCode::INTERNAL_SERVER_ERROR))
        }
        Route::Ready => (None, probe(is_ready(&app), StatusCode::SERVICE_UNAVAILABLE)),
        Route::Health => (None, probe(is_ready(&app) && app.config.alive(app.up()), StatusCode::SERVICE_UNAVAILABLE)),
        Route::Api(api) => {
            let slot = app.slot().await;
            (slot, behave(&app, api, &mut request).await)
        }
        Route::Echo => (None, echo(request)),
        Route::Unknown => (None, error(StatusCode::NOT_FOUND, "no such path")),
        Route::WrongMethod(allowed) => {
            let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "not with this method");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            (None, response)
        }
    };
    let headers = response.headers_mut();
    headers.insert(POD, app.config.pod.clone());
    headers.insert(VERSION, app.config.version.clone());
    let took = now().saturating_duration_since(came).as_secs_f64() * 1000.0;
    if let Ok(timing) = HeaderValue::try_from(format!("app;dur={took:.2}")) {
        headers.insert(TIMING, timing);
    }
    if app.is_draining() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    app.count();
    Ok(response.map(|body| Held::new(body, busy, slot)))
}

fn is_ready(app: &App) -> bool {
    app.config.ready(app.up(), app.is_draining())
}

fn probe(good: bool, otherwise: StatusCode) -> Response<Body> {
    let (status, text) = if good { (StatusCode::OK, "ok\n") } else { (otherwise, "not ok\n") };
    with(status, "text/plain", text)
}

/// Serves a request of `/api` as the environment wants it served.
async fn behave(app: &Arc<App>, api: Api, request: &mut Request<Incoming>) -> Response<Body> {
    let fate = app.fate();
    match fate {
        Fate::TooEarly => return error(StatusCode::SERVICE_UNAVAILABLE, "not serving yet"),
        Fate::Hang => return pending().await,
        Fate::Wait(time) => sleep(time).await,
        Fate::Serve | Fate::Error | Fate::Truncate => {}
    }
    let latency = app.draw(&app.config.latency);
    if !latency.is_zero() {
        sleep(latency).await;
    }
    burn(app.draw(&app.config.cpu_per_request));
    match fate {
        Fate::Error => error(StatusCode::INTERNAL_SERVER_ERROR, "failed by ERROR_RATIO"),
        Fate::Truncate => truncate(answer(app, api, request).await).await,
        _ => answer(app, api, request).await,
    }
}

async fn answer(app: &Arc<App>, api: Api, request: &mut Request<Incoming>) -> Response<Body> {
    match api {
        Api::Health => with(StatusCode::OK, "text/plain", "ok\n"),
        Api::List => json(StatusCode::OK, &app.todos().list(PAGE)),
        Api::One(id) => match id.and_then(|id| app.todos().get(id).cloned()) {
            Some(todo) => json(StatusCode::OK, &todo),
            None => error(StatusCode::NOT_FOUND, "no such todo in this pod"),
        },
        Api::Add => add(app, request).await,
        Api::Stream => {
            let per_second = query(request.uri(), "per_second").unwrap_or(10).clamp(1, 1000);
            let body =
                body::events(app, Duration::from_secs(1) / u32::try_from(per_second).unwrap_or(1), query(request.uri(), "events"));
            let mut response = Response::new(body);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            response
        }
        Api::Slow => {
            let time = Duration::from_millis(query(request.uri(), "ms").unwrap_or(1000)).min(SLOWEST);
            sleep(time).await;
            json(StatusCode::OK, &json!({"slept_ms": u64::try_from(time.as_millis()).unwrap_or(u64::MAX)}))
        }
    }
}

async fn add(app: &App, request: &mut Request<Incoming>) -> Response<Body> {
    let Ok(body) = Limited::new(request.body_mut(), LONGEST_BODY).collect().await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, "the body did not come whole, or is too long");
    };
    match serde_json::from_slice::<NewTodo>(&body.to_bytes()) {
        Ok(new) => {
            let todo = app.todos().add(new);
            let mut response = json(StatusCode::CREATED, &todo);
            if let Ok(location) = HeaderValue::try_from(format!("/api/todos/{}", todo.id)) {
                response.headers_mut().insert(LOCATION, location);
            }
            response
        }
        Err(wrong) => error(StatusCode::BAD_REQUEST, &wrong.to_string()),
    }
}

/// A request with a body gets it back; one without is described.
fn echo(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    if !body.is_end_stream() {
        let mut response = Response::new(body::echo(body));
        if let Some(kind) = head.headers.get(CONTENT_TYPE) {
            response.headers_mut().insert(CONTENT_TYPE, kind.clone());
        }
        return response;
    }
    let headers: Vec<_> = head.headers.iter().map(|(n, v)| (n.as_str(), String::from_utf8_lossy(v.as_bytes()))).collect();
    json(StatusCode::OK, &json!({"method": head.method.as_str(), "uri": head.uri.to_string(), "headers": headers}))
}

/// Keeps the head, with its true length, and cuts the body in two. An endless body is cut where it begins.
async fn truncate(response: Response<Body>) -> Response<Body> {
    let (mut head, whole) = response.into_parts();
    let whole = match whole.size_hint().exact() {
        Some(_) => whole.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default(),
        None => Bytes::new(),
    };
    if !whole.is_empty() {
        head.headers.insert(CONTENT_LENGTH, whole.len().into());
    }
    Response::from_parts(head, body::truncated(&whole))
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(text) => with(status, "application/json", text),
        Err(wrong) => with(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", wrong.to_string()),
    }
}

fn error(status: StatusCode, why: &str) -> Response<Body> {
    json(status, &json!({"error": why}))
}

fn with(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A number from the query string.
fn query(uri: &Uri, name: &str) -> Option<u64> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_find_their_route() {
        let cases = [
            (Method::GET, "/livez", Route::Live),
            (Method::HEAD, "/readyz", Route::Ready),
            (Method::POST, "/healthz", Route::WrongMethod("GET, HEAD")),
            (Method::POST, "/api/todos", Route::Api(Api::Add)),
            (Method::DELETE, "/api/todos", Route::WrongMethod("GET, HEAD, POST")),
            (Method::GET, "/api/todos/7", Route::Api(Api::One(Some(7)))),
            (Method::GET, "/api/todos/x", Route::Api(Api::One(None))),
            (Method::PUT, "/echo", Route::Echo),
            (Method::GET, "/api", Route::Unknown),
        ];
        for (method, path, expected) in cases {
            assert_eq!(route(&method, path), expected, "{method} {path}");
        }
    }
}

//! What the service answers over HTTP: health, metrics, its API, and its page. It changes nothing, so there are only reads.
//!
//! On loopback it is open, to whoever names it by a loopback name. Anywhere else every route but the two of health needs a token of the cluster
//! whose owner may `get` the path; and what is told of a namespace is for those who may `get` its `rolloutverifications`.
//!
//! One that does not lead answers health and metrics itself, and passes all else on to the one that does.

mod access;
mod events;
mod forward;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

use self::access::Viewer;
pub use self::access::{Access, Reviewer};
use crate::clock::Clock;
use crate::controller::Board;
use crate::controller::leader::{Leadership, Standing};
use crate::metrics::Metrics;

/// Seconds after which the report of a run that goes on is asked for again.
const AGAIN: &str = "2";
/// Whoever follows events at once.
const FOLLOWERS: usize = 64;
/// How long what is being answered may go on when the service ends: somebody may follow events elsewhere, and those do not end with us.
const FAREWELL: Duration = Duration::from_secs(3);
/// What the page may load: its own style and script, and answers of this service.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'none'";
/// What a report may load: nothing. Its style is its own.
const REPORT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the routes read.
#[derive(Clone)]
pub(crate) struct Shown {
    board: Board,
    metrics: Metrics,
    clock: Clock,
    leadership: Leadership,
    followers: Arc<Semaphore>,
}

/// All routes. `clock` is the service's: its metrics count minutes by it.
pub fn routes(board: Board, metrics: Metrics, clock: Clock, leadership: Leadership, access: Access) -> Router {
    let passing = forward::Passing::new(leadership.clone());
    let shown = Shown { board, metrics, clock, leadership, followers: Arc::new(Semaphore::new(FOLLOWERS)) };
    let of_the_leader = Router::new()
        .route("/", get(|| async { page("text/html; charset=utf-8", include_str!("page.html")) }))
        .route("/page.js", get(|| async { page("text/javascript; charset=utf-8", include_str!("page.js")) }))
        .route("/page.css", get(|| async { page("text/css; charset=utf-8", include_str!("page.css")) }))
        .route("/api/v1/policies", get(policies))
        .route("/api/v1/verifications", get(verifications))
        .route("/api/v1/runs/{id}/events", get(events::follow))
        .route("/api/v1/runs/{id}/report", get(report))
        .route("/api/v1/runs/{id}/recording", get(recording))
        .layer(middleware::from_fn_with_state(passing, forward::pass_on));
    let guarded =
        of_the_leader.route("/metrics", get(metrics_text)).layer(middleware::from_fn_with_state(Arc::new(access), access::check));
    let open = Router::new().route("/livez", get(live)).route("/readyz", get(ready));
    guarded.merge(open).layer(middleware::map_response(hardened)).with_state(shown)
}

/// Answers until `stop`, and then ends what it is at, at the latest after a few seconds.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) -> std::io::Result<()> {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    let served = axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(stop.clone().cancelled_owned())
        .into_future();
    tokio::select! {
        ended = served => ended,
        () = late => Ok(()),
    }
}

/// Whether it is worth keeping: what is not can only be started anew.
async fn live(State(shown): State<Shown>) -> Response {
    if shown.board.is_blind() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the thread that sends probes is gone\n").into_response();
    }
    "ok\n".into_response()
}

async fn ready(State(shown): State<Shown>) -> Response {
    let why = match shown.leadership.standing() {
        Standing::Leading if shown.board.is_ready() => None,
        Standing::Leading => Some("Deployments have not been listed yet\n"),
        Standing::Candidate { .. } => None,
        Standing::Looking => Some("the lease has not been seen yet\n"),
        Standing::Lost | Standing::Resigned => Some("this verifier ends\n"),
    };
    why.map_or_else(|| "ok\n".into_response(), |why| (StatusCode::SERVICE_UNAVAILABLE, why).into_response())
}

async fn metrics_text(State(shown): State<Shown>) -> Response {
    match shown.metrics.text(shown.clock.now()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn policies(State(shown): State<Shown>, Extension(viewer): Extension<Viewer>) -> Json<Value> {
    Json(json!({"items": visible(&viewer, shown.board.policy_views(), |view| &view.namespace).await}))
}

async fn verifications(State(shown): State<Shown>, Extension(viewer): Extension<Viewer>) -> Json<Value> {
    Json(json!({"items": visible(&viewer, shown.board.verification_views(), |view| &view.namespace).await}))
}

/// Those of the namespaces that the viewer may see into.
async fn visible<T>(viewer: &Viewer, all: Vec<T>, namespace: impl Fn(&T) -> &String) -> Vec<T> {
    let mut seen: BTreeMap<String, bool> = all.iter().map(|one| (namespace(one).clone(), false)).collect();
    for (namespace, may) in &mut seen {
        *may = viewer.may_see(namespace).await;
    }
    all.into_iter().filter(|one| seen.get(namespace(one)) == Some(&true)).collect()
}

/// Whether a run is there for this viewer: one that he may not see is not told from one that does not exist.
async fn is_visible(shown: &Shown, viewer: &Viewer, run: &str) -> bool {
    match shown.board.namespace_of(run) {
        Some(namespace) => viewer.may_see(&namespace).await,
        None => false,
    }
}

/// The report of a run: of one that goes on as it stands now, and a browser asks again by itself.
async fn report(State(shown): State<Shown>, Extension(viewer): Extension<Viewer>, Path(id): Path<String>) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, REPORT_POLICY)];
    if is_visible(&shown, &viewer, &id).await {
        if let Some(html) = shown.board.report_of(&id) {
            return (headers, html.to_string()).into_response();
        }
        if let Some(html) = shown.board.report_now(&id).await {
            return (headers, [(header::REFRESH, AGAIN)], html.to_string()).into_response();
        }
    }
    (StatusCode::NOT_FOUND, "there is no report of this run: it judged no rollout, or is long past\n").into_response()
}

/// The recording of a run that is over.
async fn recording(State(shown): State<Shown>, Extension(viewer): Extension<Viewer>, Path(id): Path<String>) -> Response {
    if is_visible(&shown, &viewer, &id).await
        && let Some(path) = shown.board.recording_of(&id)
        && let Ok(file) = tokio::fs::File::open(path).await
    {
        let name = format!("attachment; filename=\"{id}.ndjson\"");
        let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CONTENT_DISPOSITION, name.as_str())];
        return (headers, Body::from_stream(ReaderStream::new(file))).into_response();
    }
    (StatusCode::NOT_FOUND, "there is no recording of this run: it goes on, is long past, or nothing is recorded\n").into_response()
}

fn page(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, PAGE_POLICY)], text).into_response()
}

/// What every answer says to a browser.
async fn hardened(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;

//! One request from a client to a pod, and its answer back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, SERVER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep_until;

use super::Config;
use super::body::{Answer, Passed, Progress, ToPod};
use super::headers;
use super::pool::{ConnectError, Sender, Upstream};
use super::table::{Pick, Tables};
use crate::sandbox::wire::clock::now;
use crate::sandbox::wire::tasks::Tasks;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) tasks: Tasks,
    pub(super) tables: Arc<Tables>,
    places: Arc<Semaphore>,
}

impl Context {
    pub(super) fn new(config: Config, tasks: Tasks, tables: Arc<Tables>) -> Self {
        Self { places: Arc::new(Semaphore::new(config.max_requests)), config, tasks, tables }
    }
}

/// Who asks.
#[derive(Debug)]
pub(super) struct Client {
    /// As it is told to the pod.
    pub(super) address: HeaderValue,
}

/// Why the proxy answers by itself.
#[derive(Debug)]
enum Refusal {
    NoHost,
    Tunnel,
    TooBusy,
    NoRule,
    NoEndpoints,
    ConnectFailed,
    ConnectTimeout,
    NoAnswer,
    AnswerTimeout,
    ClientTimeout,
    ClientGone,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoHost | Self::ClientGone => StatusCode::BAD_REQUEST,
            Self::Tunnel => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooBusy | Self::NoEndpoints => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRule => StatusCode::NOT_FOUND,
            Self::ConnectFailed | Self::NoAnswer => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::AnswerTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NoHost => "no host was given\n",
            Self::Tunnel => "this is no tunnel\n",
            Self::TooBusy => "too many requests at once\n",
            Self::NoRule => "no rule for this host and path\n",
            Self::NoEndpoints => "no ready endpoint\n",
            Self::ConnectFailed => "the endpoint did not accept the connection\n",
            Self::ConnectTimeout => "the endpoint did not accept the connection in time\n",
            Self::NoAnswer => "the endpoint closed the connection without an answer\n",
            Self::AnswerTimeout => "the endpoint did not answer in time\n",
            Self::ClientTimeout => "the request did not come in time\n",
            Self::ClientGone => "the request broke off\n",
        }
    }

    fn response(&self) -> Response<Answer> {
        let mut response = Response::new(Answer::Own(Full::from(self.reason())));
        *response.status_mut() = self.status();
        response.headers_mut().insert(SERVER, HeaderValue::from_static("verifier-sandbox-ingress"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response
    }
}

/// Answers one request, by a pod or, when that fails, by itself.
pub(super) async fn exchange(
    context: Arc<Context>,
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    Ok(attempt(&context, &client, request).await.unwrap_or_else(|refusal| refusal.response()))
}

async fn attempt(context: &Context, client: &Client, request: Request<Incoming>) -> Result<Response<Answer>, Refusal> {
    let place = Arc::clone(&context.places).try_acquire_owned().map_err(|_| Refusal::TooBusy)?;
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::CONNECT {
        return Err(Refusal::Tunnel);
    }
    let host = headers::host(&parts).ok_or(Refusal::NoHost)?;
    let upstream = match context.tables.pick(host.to_str().map_err(|_| Refusal::NoHost)?, parts.uri.path()) {
        Pick::NoRule => return Err(Refusal::NoRule),
        Pick::NoEndpoints => return Err(Refusal::NoEndpoints),
        Pick::To(upstream) => upstream,
    };
    headers::for_pod(&mut parts, &client.address, host);
    let progress = Progress::new();
    let request = Request::from_parts(parts, ToPod::new(body, &progress));
    let result = send(context, &upstream, request, &progress, place).await;
    if matches!(result, Err(Refusal::ConnectFailed | Refusal::ConnectTimeout | Refusal::NoAnswer | Refusal::AnswerTimeout)) {
        upstream.count_failure();
    }
    result
}

/// Sends it once, on an idle connection if there is one, and passes the answer on as it comes.
async fn send(
    context: &Context,
    upstream: &Arc<Upstream>,
    request: Request<ToPod>,
    progress: &Progress,
    place: OwnedSemaphorePermit,
) -> Result<Response<Answer>, Refusal> {
    let config = &context.config;
    let mut sender = match upstream.take(config.upstream_keep_alive) {
        Some(sender) => sender,
        None => upstream.connect(&context.tasks, config.connect_timeout).await.map_err(|error| {
            tracing::debug!(endpoint = ?upstream.endpoint(), ?error, "no connection");
            match error {
                ConnectError::Failed(_) => Refusal::ConnectFailed,
                ConnectError::Timeout => Refusal::ConnectTimeout,
            }
        })?,
    };
    let (mut parts, incoming) = answer(&mut sender, request, progress, config.read_timeout).await?.into_parts();
    if parts.status.is_server_error() {
        upstream.count_server_error();
    }
    headers::remove_hop_by_hop(&mut parts.headers);
    let passed = Passed::new(incoming, sender, Arc::clone(upstream), config.upstream_idle, config.read_timeout, place);
    Ok(Response::from_parts(parts, Answer::Passed(passed)))
}

/// Waits for the head of the answer for as long as something moves.
async fn answer(
    sender: &mut Sender,
    request: Request<ToPod>,
    progress: &Progress,
    longest: Duration,
) -> Result<Response<Incoming>, Refusal> {
    // Making the connection had a limit of its own.
    progress.moved();
    let mut answer = std::pin::pin!(sender.send_request(request));
    loop {
        let deadline = progress.last() + longest;
        tokio::select! {
            answer = answer.as_mut() => return answer.map_err(|error| {
                // The only body we give to hyper is the client's: its error is the client's.
                if error.is_user() { Refusal::ClientGone } else { Refusal::NoAnswer }
            }),
            () = sleep_until(deadline) => if now() >= progress.last() + longest {
                return Err(if progress.client_is_due() { Refusal::ClientTimeout } else { Refusal::AnswerTimeout });
            },
        }
    }
}

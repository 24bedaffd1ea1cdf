//! What is asked of one that does not lead is passed on to the one that does. Who asks was already found to be allowed to, and is looked at by
//! the leader once more: its token goes along. Nothing but the address in the lease is ever asked, and by nobody twice.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::controller::leader::{Leadership, Standing};

/// Says that a request was passed on: it is not passed on again.
const PASSED_ON: HeaderName = HeaderName::from_static("x-verifier-passed-on");
/// What goes along of the request's headers.
const ALONG: [HeaderName; 5] =
    [header::AUTHORIZATION, header::ACCEPT, header::ACCEPT_ENCODING, header::USER_AGENT, HeaderName::from_static("last-event-id")];
/// What is about one connection, and not about the answer.
const OF_THE_CONNECTION: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest wait for the beginning of an answer.
const HEAD: Duration = Duration::from_secs(10);
/// Requests that are being passed on at once.
const PLACES: usize = 128;
/// When to ask again, in seconds.
const AGAIN: &str = "2";

/// A request as it is passed on: reads have no body.
type Asked = http::Request<Empty<Bytes>>;

/// What passing on needs.
#[derive(Clone)]
pub(super) struct Passing {
    leadership: Leadership,
    places: Arc<Semaphore>,
}

impl Passing {
    pub(super) fn new(leadership: Leadership) -> Self {
        Self { leadership, places: Arc::new(Semaphore::new(PLACES)) }
    }
}

/// Answers itself when it leads; otherwise the leader does.
pub(super) async fn pass_on(State(passing): State<Passing>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let leader = match passing.leadership.standing() {
        Standing::Leading => return next.run(request).await,
        // It is refused like everywhere.
        _ if !reads => return next.run(request).await,
        Standing::Candidate { leader: Some(leader) } => leader,
        Standing::Candidate { leader: None } | Standing::Looking | Standing::Lost | Standing::Resigned => {
            return later("no verifier leads now\n");
        }
    };
    if request.headers().contains_key(PASSED_ON) {
        return later("this was passed on to a verifier that does not lead\n");
    }
    let Ok(place) = Arc::clone(&passing.places).try_acquire_owned() else {
        return later("too much is being passed on already\n");
    };
    let asked = along(leader, &request);
    match ask(leader, asked, place).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(%leader, error, "the one that leads does not answer");
            later("the verifier that leads does not answer\n")
        }
    }
}

fn later(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, AGAIN)], why).into_response()
}

/// Asks on a connection of its own, which ends with the answer.
async fn ask(leader: SocketAddr, asked: Result<Asked, http::Error>, place: OwnedSemaphorePermit) -> Result<Response, String> {
    let asked = asked.map_err(|e| e.to_string())?;
    let connected = timeout(CONNECT, TcpStream::connect(leader)).await.map_err(|_| "it cannot be reached in time".to_owned())?;
    let stream = connected.map_err(|e| e.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // What breaks is seen in the answer.
        drop(connection.await);
    }));
    let answer = timeout(HEAD, sender.send_request(asked)).await.map_err(|_| "no answer begins in time".to_owned())?;
    let (head, body) = answer.map_err(|e| e.to_string())?.into_parts();
    let mut response = Response::new(Body::new(Passed { body, _connection: connection, _place: place }));
    *response.status_mut() = head.status;
    *response.headers_mut() = about_the_answer(head.headers);
    Ok(response)
}

/// The request as it is passed on.
fn along(leader: SocketAddr, request: &Request) -> Result<Asked, http::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut asked = http::Request::builder().method(request.method().clone()).uri(path).header(header::HOST, leader.to_string());
    for name in &ALONG {
        if let Some(value) = request.headers().get(name) {
            asked = asked.header(name, value);
        }
    }
    asked.header(PASSED_ON, "1").body(Empty::new())
}

/// The headers of an answer without those of its connection, some of which `connection` names.
fn about_the_answer(mut headers: HeaderMap) -> HeaderMap {
    let named = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> = named.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    for name in named.iter().chain(&OF_THE_CONNECTION) {
        headers.remove(name);
    }
    headers
}

/// The body of an answer as it comes. Its connection is closed and its place is free when it has come, or when nobody wants it any more.
struct Passed {
    body: Incoming,
    _connection: AbortOnDropHandle<()>,
    _place: OwnedSemaphorePermit,
}

impl hyper::body::Body for Passed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::Router;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tower::ServiceExt;

    use super::*;
    use crate::clock::Clock;
    use crate::controller::Board;
    use crate::metrics::Metrics;
    use crate::serve::{Access, routes};

    /// Longer than anything here takes.
    const DEADLINE: Duration = Duration::from_secs(20);

    /// A leader that answers with what `answers` says, and what it was asked.
    async fn leader(answers: Router) -> (SocketAddr, Arc<Mutex<Vec<(String, HeaderMap)>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<(String, HeaderMap)>>> = Arc::default();
        let heard = Arc::clone(&asked);
        let note = move |request: Request, next: Next| {
            heard.lock().unwrap().push((request.uri().to_string(), request.headers().clone()));
            next.run(request)
        };
        let answers = answers.layer(axum::middleware::from_fn(note));
        tokio::spawn(async move { axum::serve(listener, answers).await });
        (address, asked)
    }

    async fn ask(standing: Standing, path: &str, headers: &[(&str, &str)]) -> Response {
        let (_told, leadership) = Leadership::standing_as(standing);
        let routes = routes(Board::default(), Metrics::default(), Clock::start(), leadership, Access::Loopback);
        let mut request = Request::builder().uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        tokio::time::timeout(DEADLINE, routes.oneshot(request.body(Body::empty()).unwrap())).await.unwrap().unwrap()
    }

    #[track_caller]
    fn of<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
        headers[name].to_str().unwrap()
    }

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn what_is_asked_of_a_standby_the_leader_answers_under_the_callers_own_name() {
        let answers = Router::new().route(
            "/api/v1/policies",
            get(|| async {
                let headers = [("content-type", "application/json"), ("connection", "x-own"), ("x-own", "1"), ("x-other", "2")];
                (StatusCode::IM_A_TEAPOT, headers, "{}")
            }),
        );
        let (address, asked) = leader(answers).await;
        let sent = [
            ("authorization", "Bearer t"),
            ("cookie", "c"),
            ("x-forwarded-for", "1.2.3.4"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
        ];
        let response = ask(Standing::Candidate { leader: Some(address) }, "/api/v1/policies?a=b%20c", &sent).await;
        assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!((of(response.headers(), "content-type"), of(response.headers(), "x-other")), ("application/json", "2"));
        assert!(!response.headers().contains_key("x-own") && !response.headers().contains_key("connection"));
        assert_eq!(text(response).await, "{}");
        let asked = asked.lock().unwrap();
        let (path, headers) = &asked[0];
        assert_eq!((asked.len(), &**path), (1, "/api/v1/policies?a=b%20c"));
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "host", "x-verifier-passed-on"]);
        assert_eq!((of(headers, "authorization"), of(headers, "host")), ("Bearer t", &*address.to_string()));
    }

    #[tokio::test]
    async fn events_come_one_by_one_and_the_leader_learns_when_nobody_wants_them_any_more() {
        let (tell, told) = mpsc::channel::<Result<Bytes, std::convert::Infallible>>(1);
        let told = Arc::new(Mutex::new(Some(told)));
        let answer = move || {
            let told = told.lock().unwrap().take().unwrap();
            let events = futures_util::stream::unfold(told, |mut told| async { told.recv().await.map(|event| (event, told)) });
            std::future::ready(([("content-type", "text/event-stream")], Body::from_stream(events)))
        };
        let (address, _) = leader(Router::new().route("/api/v1/runs/r-1/events", get(answer))).await;
        tell.send(Ok("data: 1\n\n".into())).await.unwrap();
        let response = ask(Standing::Candidate { leader: Some(address) }, "/api/v1/runs/r-1/events", &[]).await;
        assert_eq!(of(response.headers(), "content-type"), "text/event-stream");
        let mut body = response.into_body();
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            let frame = tokio::time::timeout(DEADLINE, body.frame()).await.unwrap().unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), event);
            tell.send(Ok("data: 2\n\n".into())).await.unwrap();
        }
        drop(body);
        tokio::time::timeout(DEADLINE, tell.closed()).await.unwrap();
    }

    #[tokio::test]
    async fn health_and_metrics_are_a_standbys_own() {
        let (address, asked) = leader(Router::new()).await;
        let standing = Standing::Candidate { leader: Some(address) };
        assert_eq!(text(ask(standing, "/livez", &[]).await).await, "ok\n");
        assert_eq!(text(ask(standing, "/readyz", &[]).await).await, "ok\n");
        assert!(text(ask(standing, "/metrics", &[]).await).await.contains("verifier_build_info"));
        assert_eq!(asked.lock().unwrap().len(), 0);
        for standing in [Standing::Looking, Standing::Lost, Standing::Resigned] {
            assert_eq!(ask(standing, "/readyz", &[]).await.status(), StatusCode::SERVICE_UNAVAILABLE, "{standing:?}");
        }
    }

    #[tokio::test]
    async fn where_nobody_can_be_asked_it_says_when_to_ask_again() {
        let (address, asked) = leader(Router::new()).await;
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let leads = |leader| Standing::Candidate { leader };
        for (standing, headers, words) in [
            (leads(None), &[][..], "no verifier leads"),
            (Standing::Looking, &[], "no verifier leads"),
            (Standing::Lost, &[], "no verifier leads"),
            (leads(Some(gone)), &[], "does not answer"),
            (leads(Some(address)), &[("x-verifier-passed-on", "1")], "passed on to a verifier that does not lead"),
        ] {
            let response = ask(standing, "/", headers).await;
            assert_eq!(
                (response.status(), of(response.headers(), "retry-after")),
                (StatusCode::SERVICE_UNAVAILABLE, AGAIN),
                "{words}"
            );
            let text = text(response).await;
            assert!(text.contains(words), "{text:?} is not {words:?}");
        }
        assert_eq!(asked.lock().unwrap().len(), 0);
    }

    #[tokio::test]
    async fn who_leads_answers_what_was_passed_on() {
        let response = ask(Standing::Leading, "/api/v1/policies", &[("x-verifier-passed-on", "1")]).await;
        assert_eq!((response.status(), &*text(response).await), (StatusCode::OK, r#"{"items":[]}"#));
    }

    #[tokio::test]
    async fn who_may_not_ask_is_not_passed_on() {
        let (address, asked) = leader(Router::new()).await;
        let standing = Standing::Candidate { leader: Some(address) };
        let (_told, leadership) = Leadership::standing_as(standing);
        let routes = routes(Board::default(), Metrics::default(), Clock::start(), leadership, Access::Loopback);
        let request = Request::builder().uri("/").header("host", "evil.example").body(Body::empty()).unwrap();
        assert_eq!(routes.oneshot(request).await.unwrap().status(), StatusCode::FORBIDDEN);
        assert_eq!(asked.lock().unwrap().len(), 0);
    }
}

//! One HTTP GET on a connection of its own.

use std::fmt;
use std::net::Ipv4Addr;
use std::pin::pin;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{Purpose, connect_error, tls};
use crate::sandbox::model::kubelet::plan::HttpGet;

/// No more of an answer's body is read.
const BODY_LIMIT: usize = 10 << 10;

/// Redirects to the same host that are followed.
const REDIRECTS: usize = 10;

/// Where to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

/// The end of an answer's story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Why there was no answer, in the words of Go's client.
#[derive(Debug, thiserror::Error)]
pub(super) enum GetError {
    #[error("dial tcp {address}: {}", connect_error(source))]
    Connect { address: String, source: std::io::Error },
    #[error("tls: {0}")]
    Tls(std::io::Error),
    #[error("{0}")]
    Request(#[from] http::Error),
    #[error("{}", exchange_error(.0))]
    Exchange(#[from] hyper::Error),
    #[error("stopped after {REDIRECTS} redirects")]
    Redirects,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.path)
    }
}

impl Target {
    pub(super) fn new(get: &HttpGet, ip: Ipv4Addr) -> Self {
        let host = get.host.clone().unwrap_or_else(|| ip.to_string());
        Self { tls: get.tls, host, port: get.port, path: get.path.clone() }
    }

    /// Where a redirect leads, if it stays on this host.
    fn redirected(&self, location: &str) -> Option<Self> {
        let uri: Uri = location.parse().ok()?;
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let Some(host) = uri.host() else {
            return path.starts_with('/').then(|| Self { path, ..self.clone() });
        };
        let tls = uri.scheme_str().map_or(self.tls, |s| s == "https");
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        (host == self.host).then(|| Self { tls, host: self.host.clone(), port, path })
    }
}

/// Asks, and follows redirects within the same host.
pub(super) async fn get(first: &Target, headers: &[(String, String)], purpose: Purpose) -> Result<Answer, GetError> {
    let mut target = first.clone();
    for _ in 0..=REDIRECTS {
        let (answer, location) = one(&target, headers, purpose).await?;
        let next = location.filter(|_| (300..400).contains(&answer.status)).and_then(|l| target.redirected(&l));
        match next {
            Some(next) => target = next,
            None => return Ok(answer),
        }
    }
    Err(GetError::Redirects)
}

async fn one(target: &Target, headers: &[(String, String)], purpose: Purpose) -> Result<(Answer, Option<String>), GetError> {
    let request = request(target, headers, purpose)?;
    let address = format!("{}:{}", target.host, target.port);
    let connected = TcpStream::connect((target.host.as_str(), target.port)).await;
    let stream = connected.map_err(|source| GetError::Connect { address, source })?;
    if target.tls {
        // Large, and rarely used.
        let secure = Box::pin(tls::client(stream, &target.host)).await.map_err(GetError::Tls)?;
        Box::pin(exchange(secure, request)).await
    } else {
        exchange(stream, request).await
    }
}

fn request(target: &Target, headers: &[(String, String)], purpose: Purpose) -> Result<Request<Empty<Bytes>>, http::Error> {
    let mut request = Request::get(target.path.as_str()).body(Empty::new())?;
    let map = request.headers_mut();
    for (name, value) in headers {
        map.append(HeaderName::try_from(name.as_str())?, HeaderValue::try_from(value.as_str())?);
    }
    let purpose = if purpose == Purpose::Probe { "probe" } else { "lifecycle" };
    let defaults = [
        (USER_AGENT, format!("kube-{purpose}/1.34")),
        (ACCEPT, "*/*".to_owned()),
        (HOST, format!("{}:{}", target.host, target.port)),
    ];
    for (name, value) in defaults {
        if !map.contains_key(&name) {
            map.insert(name, HeaderValue::try_from(value)?);
        }
    }
    map.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<(Answer, Option<String>), GetError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut connection = pin!(connection);
    let mut connected = true;
    let mut asked = pin!(async {
        let response = sender.send_request(request).await?;
        let location = response.headers().get(LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let mut body = Limited::new(response.into_body(), BODY_LIMIT);
        let mut text = Vec::new();
        // A body that is too long or breaks off does not change what the status says.
        while let Some(Ok(frame)) = body.frame().await {
            text.extend(frame.into_data().unwrap_or_default());
        }
        Ok((Answer { status, body: String::from_utf8_lossy(&text).into_owned() }, location))
    });
    loop {
        tokio::select! {
            answer = &mut asked => return answer,
            // It may be over before the last of the body has been taken.
            _ = &mut connection, if connected => connected = false,
        }
    }
}

fn exchange_error(error: &hyper::Error) -> String {
    let io = std::error::Error::source(error).and_then(|s| s.downcast_ref::<std::io::Error>());
    match io.map(std::io::Error::kind) {
        Some(std::io::ErrorKind::ConnectionReset) => "read: connection reset by peer".to_owned(),
        _ if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => "EOF".to_owned(),
        _ => error.to_string(),
    }
}

//! Before a server that is not ours, with and without TLS.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::{HeaderMap, Request, Response, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::tls::{authority, config, leaf};
use super::*;
use crate::domain::traffic::Authorities;
use crate::load::Protocol;

/// Answers with how long the request's body was; `/large` with three megabytes, `/trailers` with trailers.
async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let version = format!("{:?}", request.version());
    let path = request.uri().path().to_owned();
    let length = request.into_body().collect().await?.to_bytes().len();
    let body = match path.as_str() {
        "/large" => Full::new(Bytes::from(vec![b'x'; 3 << 20])).boxed(),
        "/trailers" => {
            let trailers =
                HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), http::HeaderValue::from_static("0"))]);
            let frames = [Frame::data(Bytes::from_static(b"ok")), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
            StreamBody::new(futures_util::stream::iter(frames)).boxed()
        }
        _ => Full::new(Bytes::from(length.to_string())).boxed(),
    };
    Ok(Response::builder().header("x-pod", "real").header("x-version", version).body(body).unwrap_or_default())
}

/// A server of HTTP/2 (and, over TLS, of what is agreed on), which ends with the guard.
fn start(tls: Option<Arc<ServerConfig>>) -> (std::net::SocketAddr, DropGuard) {
    let over = CancellationToken::new();
    let (listener, stop) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), over.clone());
    let addr = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let service = service_fn(answer);
                    let _ = match tls {
                        None => builder.http2_only().serve_connection(TokioIo::new(stream), service).await,
                        Some(tls) => match TlsAcceptor::from(tls).accept(stream).await {
                            Ok(stream) => builder.serve_connection(TokioIo::new(stream), service).await,
                            Err(_) => Ok(()),
                        },
                    };
                });
            }
        });
    });
    (addr, over.drop_guard())
}

fn config_with(alpn: &[&str], by: &super::super::tls::Authority) -> Arc<ServerConfig> {
    let mut config = (*config(&leaf(by, "localhost", |_| {}), None)).clone();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

#[test]
fn a_real_server_is_understood_in_every_mode() {
    let (addr, _guard) = start(None);
    let lanes = |path: &str, rate: f64| {
        let url = format!("http://{addr}{path}");
        let stream = Mode::Stream { length: Duration::from_secs(3), stall: Duration::from_secs(2) };
        let stream = LanePlan { name: "stream".into(), ..lane(stream, &url, rate) };
        [fresh(&url, rate), kept(&url, rate, 2), stream].map(|lane| {
            let mut lane = over_http2(LanePlan { timeout: Duration::from_secs(4), ..lane });
            lane.expect.max_body = 4 << 20;
            lane
        })
    };
    let told = run(&plan(lanes("/", 100.0)), 120);
    assert_eq!(told.seen(), [Outcome::Ok], "{:?}", told.failures);
    let parts: Vec<_> = told.slices.iter().flat_map(|slice| &slice.parts).filter(|part| part.counts.good() > 0).collect();
    assert!(parts.iter().all(|p| p.pod.as_deref() == Some("real") && p.version.as_deref() == Some("HTTP/2.0")), "{parts:?}");
    assert_eq!(run(&plan(lanes("/large", 4.0)), 12).seen(), [Outcome::Ok], "more than a window");
    assert_eq!(run(&plan(lanes("/trailers", 20.0)), 20).seen(), [Outcome::Ok]);
}

#[test]
fn a_large_body_is_sent_whole() {
    let (addr, _guard) = start(None);
    let mut lane = over_http2(kept(&format!("http://{addr}/"), 8.0, 1));
    (lane.request.method, lane.request.body) = ("POST".into(), "x".repeat(1 << 20));
    lane.expect.body_contains = Some("1048576".into());
    lane.timeout = Duration::from_secs(4);
    assert_eq!(run(&plan([lane]), 8).seen(), [Outcome::Ok]);
}

#[test]
fn what_is_spoken_over_tls_is_what_was_agreed_on() {
    let by = authority("ours");
    let spoken = |alpn: &[&str], protocol: ProtocolChoice| {
        let (addr, _guard) = start(Some(config_with(alpn, &by)));
        let mut lane = fresh(&format!("https://localhost:{}/", addr.port()), 1.0);
        lane.request.connect_to = Some(addr.to_string());
        lane.request.tls.authorities = Authorities::Pem(by.pem());
        lane.request.protocol = protocol;
        let report = ask(&lane);
        let (alpn, version) = (report.tls.and_then(|tls| tls.alpn), report.version);
        (report.outcome, report.protocol.filter(|_| version.is_some()), alpn, report.note)
    };
    let good = |protocol, alpn: Option<&str>| (Outcome::Ok, Some(protocol), alpn.map(str::to_owned), String::new());
    let both: &[&str] = &["h2", "http/1.1"];
    assert_eq!(spoken(both, ProtocolChoice::Http2), good(Protocol::Http2, Some("h2")));
    assert_eq!(spoken(both, ProtocolChoice::Auto), good(Protocol::Http2, Some("h2")));
    assert_eq!(spoken(both, ProtocolChoice::Http1), good(Protocol::Http11, Some("http/1.1")));
    assert_eq!(spoken(&["http/1.1"], ProtocolChoice::Auto), good(Protocol::Http11, Some("http/1.1")));
    assert_eq!(spoken(&[], ProtocolChoice::Auto), good(Protocol::Http11, None));
    let (outcome, _, _, note) = spoken(&["http/1.1"], ProtocolChoice::Http2);
    assert_eq!((outcome, note.as_str()), (Outcome::Tls, "handshake: the server speaks none of the protocols offered"));
    let (outcome, _, _, note) = spoken(&[], ProtocolChoice::Http2);
    assert_eq!((outcome, note.as_str()), (Outcome::Tls, "the server did not agree on HTTP/2 (ALPN)"));
}

#[test]
fn kept_and_fresh_lanes_go_over_tls_too() {
    let by = authority("ours");
    let (addr, _guard) = start(Some(config_with(&["h2"], &by)));
    let secure = |mut lane: LanePlan| {
        lane.request.connect_to = Some(addr.to_string());
        lane.request.tls.authorities = Authorities::Pem(by.pem());
        (lane.request.method, lane.request.body) = ("PUT".into(), "x".repeat(100_000));
        lane.expect.body_contains = Some("100000".into());
        LanePlan { timeout: Duration::from_secs(4), ..over_http2(lane) }
    };
    let url = format!("https://localhost:{}/", addr.port());
    let told = run(&plan([fresh(&url, 10.0), kept(&url, 40.0, 2)].map(secure)), 40);
    assert_eq!(told.seen(), [Outcome::Ok], "{:?}", told.failures);
}

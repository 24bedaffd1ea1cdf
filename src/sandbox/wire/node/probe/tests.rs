use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);
const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn ask(port: u16, path: &str) -> HttpGet {
    HttpGet { tls: false, host: None, port, path: path.to_owned(), headers: vec![] }
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(text).unwrap()
}

/// Probes a server that gives these answers, one to a connection; the result, and what the server was asked.
async fn against(get: impl Fn(u16) -> HttpGet, answers: &[&str]) -> (ProbeResult, Vec<String>) {
    let (listener, port) = listener().await;
    let serve = async {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            asked.push(head(&mut stream).await);
            stream.write_all(answer.replace("PORT", &port.to_string()).as_bytes()).await.unwrap();
        }
        asked
    };
    let get = get(port);
    Box::pin(together(http(&get, LOCAL, LIMIT), serve)).await
}

async fn together<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    tokio::time::timeout(LIMIT, Box::pin(futures_util::future::join(a, b))).await.unwrap()
}

#[tokio::test]
async fn the_status_decides_and_the_request_is_the_kubelets() {
    let get = |port| HttpGet { headers: vec![("X-A".into(), "b".into())], ..ask(port, "/ready?x=1") };
    let (result, asked) = against(get, &["HTTP/1.1 204 No Content\r\n\r\n"]).await;
    assert_eq!(result, ProbeResult::Success);
    let mut lines: Vec<_> = asked[0].trim_end().split("\r\n").filter(|l| !l.starts_with("host: 127.0.0.1:")).collect();
    lines[1..].sort_unstable();
    assert_eq!(lines, ["GET /ready?x=1 HTTP/1.1", "accept: */*", "connection: close", "user-agent: kube-probe/1.34", "x-a: b"]);

    let (result, _) = against(|p| ask(p, "/"), &["HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"]).await;
    assert_eq!(result, ProbeResult::Failure("HTTP probe failed with statuscode: 503".into()));
}

#[tokio::test]
async fn a_body_that_is_too_long_or_breaks_off_does_not_matter() {
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 50000\r\n\r\n{}", "x".repeat(20_000));
    assert_eq!(against(|p| ask(p, "/"), &[&long]).await.0, ProbeResult::Success);
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only() {
    let here = "HTTP/1.1 302 Found\r\nlocation: /next\r\ncontent-length: 0\r\n\r\n";
    let whole = "HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:PORT/last\r\ncontent-length: 0\r\n\r\n";
    let (result, asked) = against(|p| ask(p, "/"), &[here, whole, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]).await;
    let paths: Vec<_> = asked.iter().map(|a| a.split(' ').nth(1).unwrap()).collect();
    assert_eq!((result, paths), (ProbeResult::Success, vec!["/", "/next", "/last"]));

    let away = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2/\r\ncontent-length: 2\r\n\r\nhi";
    let (result, _) = against(|p| ask(p, "/"), &[away]).await;
    assert_eq!(result, ProbeResult::Warning("Probe terminated redirects, Response body: hi".into()));
    let (result, asked) = against(|p| ask(p, "/"), &[here; 11]).await;
    assert!(matches!(result, ProbeResult::Failure(text) if text.ends_with("stopped after 10 redirects")));
    assert_eq!(asked.len(), 11);
}

#[tokio::test]
async fn what_goes_wrong_is_said_as_the_kubelet_says_it() {
    let (free, port) = listener().await;
    drop(free);
    let url = format!("Get \"http://127.0.0.1:{port}/\": ");
    let refused = format!("{url}dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(http(&ask(port, "/"), LOCAL, LIMIT).await, ProbeResult::Failure(refused));
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(tcp(None, port, LOCAL, LIMIT).await, ProbeResult::Failure(refused));

    let (silent, port) = listener().await;
    let late =
        format!("Get \"http://127.0.0.1:{port}/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
    assert_eq!(http(&ask(port, "/"), LOCAL, Duration::from_millis(50)).await, ProbeResult::Failure(late));
    assert_eq!(tcp(None, port, LOCAL, LIMIT).await, ProbeResult::Success);
    drop(silent);

    let (result, _) = against(|p| ask(p, "/"), &[""]).await;
    assert!(matches!(&result, ProbeResult::Failure(text) if text.ends_with("/\": EOF")), "{result:?}");
    let bad = HttpGet { headers: vec![("bad name".into(), String::new())], ..ask(port, "/") };
    let result = http(&bad, LOCAL, LIMIT).await;
    assert!(matches!(&result, ProbeResult::Failure(text) if text.contains("invalid HTTP header name")), "{result:?}");
}

#[tokio::test]
async fn a_hook_is_content_with_any_answer() {
    let (listener, port) = listener().await;
    let get = ask(port, "/drain");
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        asked
    };
    let (result, asked) = together(http_hook(&get, LOCAL), serve).await;
    assert!(asked.contains("user-agent: kube-lifecycle/1.34"), "{asked}");
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn over_tls_any_certificate_will_do() {
    let made = rcgen::generate_simple_self_signed(vec!["elsewhere.example".into()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (listener, port) = listener().await;
    let serve = async {
        let (stream, _): (_, SocketAddr) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    };
    let get = HttpGet { tls: true, ..ask(port, "/") };
    assert_eq!(Box::pin(together(http(&get, LOCAL, LIMIT), serve)).await.0, ProbeResult::Success);
}

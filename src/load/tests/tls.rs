//! TLS against servers that are right, wrong and hostile, with certificates made for the test.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::*;
use crate::domain::secret::Secret;
use crate::domain::traffic::{Authorities, ClientIdentity, TlsPlan};

pub(super) type Authority = CertifiedIssuer<'static, KeyPair>;
type Secured<'a> = rustls::Stream<'a, ServerConnection, std::net::TcpStream>;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nX-Pod: p\r\nContent-Length: 2\r\n\r\nok";

pub(super) fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `name`, and its key.
pub(super) fn leaf(by: &Authority, name: &str, change: impl Fn(&mut CertificateParams)) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    change(&mut params);
    (params.signed_by(&key, by).unwrap(), key)
}

pub(super) fn config((certificate, key): &(rcgen::Certificate, KeyPair), clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A server that does `serve` for each request; what goes wrong there is seen on our side.
fn server(config: Arc<ServerConfig>, serve: impl Fn(&mut Secured<'_>) + Send + Sync + 'static) -> Server {
    Server::start(move |peer, _| {
        peer.stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut session = ServerConnection::new(config.clone()).unwrap();
        let mut stream = rustls::Stream::new(&mut session, &mut peer.stream);
        let (mut read, mut buffer) = (Vec::new(), [0; 4_096]);
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            read.extend_from_slice(&buffer[..n]);
            if read.ends_with(b"\r\n\r\n") || read.ends_with(b"END") {
                read.clear();
                serve(&mut stream);
            }
        }
    })
}

fn say(stream: &mut Secured<'_>, text: &str) {
    // The client may be gone.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

fn lane(server: &Server, by: &Authority) -> LanePlan {
    let mut lane = fresh(&format!("https://localhost:{}/", server.addr.port()), 50.0);
    lane.request.connect_to = Some(server.addr.to_string());
    lane.request.tls.authorities = Authorities::Pem(by.pem());
    lane
}

#[test]
fn an_answer_through_tls_is_as_good_as_any() {
    let by = authority("ours");
    let server = server(config(&leaf(&by, "localhost", |_| {}), None), |stream| say(stream, ANSWER));
    let lane = lane(&server, &by);
    let report = ask(&lane);
    assert_eq!((report.outcome, report.status, report.pod.as_deref()), (Outcome::Ok, Some(200), Some("p")), "{report:?}");
    let tls = report.tls.unwrap();
    assert_eq!((tls.version.as_str(), tls.alpn.as_deref(), tls.resumed, tls.certificates), ("TLSv1_3", Some("http/1.1"), false, 1));
    // A moment is that of the event in which it was seen: on a busy machine connection and session may be seen in one.
    assert!(report.phases.tls.is_some() && report.phases.first_byte.is_some(), "{:?}", report.phases);

    let kept = LanePlan { mode: Mode::Kept { connections: 2 }, name: "kept".into(), ..lane.clone() };
    let told = run(&plan([lane, kept]), 40);
    assert_eq!(told.seen(), [Outcome::Ok], "{:?}", told.failures);
    let file = std::env::temp_dir().join(format!("verifier-ca-{}.pem", std::process::id()));
    std::fs::write(&file, by.pem()).unwrap();
    let mut by_file = self::lane(&server, &by);
    by_file.request.tls.authorities = Authorities::File(file.clone());
    assert_eq!(ask(&by_file).outcome, Outcome::Ok);
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_certificate_that_does_not_hold_is_named_by_what_is_wrong_with_it() {
    let (by, other) = (authority("ours"), authority("another"));
    let cases = [
        (leaf(&by, "localhost", |p| p.not_after = date_time_ymd(2020, 1, 2)), "the certificate expired at 2020-01-02T00:00:00Z"),
        (
            leaf(&by, "localhost", |p| p.not_before = date_time_ymd(2999, 1, 2)),
            "the certificate is valid only from 2999-01-02T00:00:00Z on",
        ),
        (leaf(&by, "shop.example", |_| {}), "the certificate is not for `localhost` but for shop.example"),
        (leaf(&other, "localhost", |_| {}), "the certificate is signed by none that is trusted (unknown issuer)"),
    ];
    for (leaf, note) in cases {
        let server = server(config(&leaf, None), |stream| say(stream, ANSWER));
        let mut lane = lane(&server, &by);
        let report = ask(&lane);
        assert_eq!((report.outcome, report.note), (Outcome::Tls, format!("handshake: {note}")));
        assert_eq!((report.phases.tls, report.phases.first_byte), (None, None));
        lane.request.tls.insecure_accept_any_certificate = true;
        assert_eq!(ask(&lane).outcome, Outcome::Ok, "whoever wants to take it, can: {note}");
    }
}

#[test]
fn a_server_may_ask_who_we_are() {
    let by = authority("ours");
    let server = server(config(&leaf(&by, "localhost", |_| {}), Some(&by)), |stream| say(stream, ANSWER));
    let mut lane = lane(&server, &by);
    let nobody = ask(&lane);
    assert_eq!((nobody.outcome, nobody.note.as_str()), (Outcome::Tls, "the server wants a client certificate"));
    let identify = |(certificate, key): (rcgen::Certificate, KeyPair)| {
        Some(ClientIdentity { certificate: certificate.pem(), key: Secret::new(key.serialize_pem()) })
    };
    lane.request.tls.client = identify(leaf(&authority("another"), "us", |_| {}));
    let stranger = ask(&lane);
    assert_eq!(stranger.outcome, Outcome::Tls, "{stranger:?}");
    assert!(stranger.note.starts_with("the server refused the client certificate"), "{stranger:?}");
    lane.request.tls.client = identify(leaf(&by, "us", |_| {}));
    assert_eq!(ask(&lane).outcome, Outcome::Ok);
}

type Serve = fn(&mut server::Peer, &[u8]);

#[test]
fn a_handshake_that_comes_to_no_end_is_a_failure_of_tls_and_known_at_its_deadline() {
    let by = authority("ours");
    let connect_timeout = Duration::from_millis(200);
    let hello = [0x16, 3, 3, 0, 200, 2, 0, 0, 196];
    let cases: [(Serve, &str); 5] = [
        (|peer, _| peer.pause(Duration::from_secs(1)), "the TLS handshake was not complete by the deadline"),
        (
            |peer, hello| {
                peer.say(hello);
                peer.pause(Duration::from_secs(1));
            },
            "the TLS handshake was not complete by the deadline",
        ),
        (
            |peer, hello| {
                peer.stream.read_exact(&mut [0; 50]).unwrap();
                peer.say(hello);
                peer.reset();
            },
            "handshake: Connection reset by peer (os error 104)",
        ),
        (
            |peer, _| {
                // Everything is read, so that the end is in order.
                _ = peer.stream.read(&mut [0; 9_000]);
            },
            "handshake: closed by the other side during the TLS handshake",
        ),
        (|peer, _| _ = peer.say("HTTP/1.1 400 Bad Request\r\n\r\n"), "handshake: the other side does not speak TLS"),
    ];
    for (serve, note) in cases {
        let server = Server::start(move |peer, _| {
            peer.stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            serve(peer, &hello);
        });
        let report = ask(&LanePlan { connect_timeout, ..lane(&server, &by) });
        assert_eq!((report.outcome, report.note.as_str()), (Outcome::Tls, note));
        let stalled = note.contains("deadline");
        assert!((report.phases.total >= 200_000) == stalled && report.phases.total < 900_000, "{note}: {:?}", report.phases);
    }
}

#[test]
fn an_answer_whose_end_is_the_end_of_the_connection_needs_the_end_of_tls_too() {
    let by = authority("ours");
    let leaf = leaf(&by, "localhost", |_| {});
    for (orderly, outcome) in [(true, Outcome::Ok), (false, Outcome::Truncated)] {
        let server = server(config(&leaf, None), move |stream| {
            say(stream, "HTTP/1.1 200 OK\r\n\r\nhalf of");
            if orderly {
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
            let _ = stream.sock.shutdown(std::net::Shutdown::Write);
        });
        assert_eq!(ask(&lane(&server, &by)).outcome, outcome);
    }
}

#[test]
fn kept_connections_go_on_with_their_sessions_and_fresh_ones_do_not() {
    let by = authority("ours");
    let resumed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server = server(config(&leaf(&by, "localhost", |_| {}), None), {
        let resumed = resumed.clone();
        move |stream| {
            let again = stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            resumed.fetch_add(usize::from(again), std::sync::atomic::Ordering::SeqCst);
            // The connection is not used again, so that the lane must open another.
            say(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        }
    });
    for (mode, resume, expected) in
        [(Mode::Fresh, None, false), (Mode::Kept { connections: 1 }, None, true), (Mode::Fresh, Some(true), true)]
    {
        let before = resumed.load(std::sync::atomic::Ordering::SeqCst);
        let mut lane = LanePlan { mode, ..lane(&server, &by) };
        (lane.rate, lane.request.tls) = (8.0, TlsPlan { resume, ..lane.request.tls });
        let told = run(&plan([lane]), 4);
        assert_eq!(told.seen(), [Outcome::Ok], "{:?}", told.failures);
        let after = resumed.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(after > before, expected, "{mode:?} {resume:?}");
    }
}

#[test]
fn a_large_body_is_sent_whole_with_and_without_tls() {
    let by = authority("ours");
    let secure = server(config(&leaf(&by, "localhost", |_| {}), None), |stream| say(stream, ANSWER));
    let plain = Server::start(|peer, _| {
        peer.stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while !all.ends_with(b"END") {
            match peer.stream.read(&mut buffer) {
                Ok(n @ 1..) => all.extend_from_slice(&buffer[..n]),
                _ => return,
            }
        }
        let head = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_default();
        peer.say(if all.len() - head - 4 == 1 << 20 { ANSWER } else { "?" });
    });
    for mut lane in [lane(&secure, &by), fresh(&plain.url(), 1.0)] {
        lane.request.method = "POST".into();
        lane.request.body = format!("{}END", "x".repeat((1 << 20) - 3));
        let report = ask(&lane);
        assert_eq!((report.outcome, report.note.as_str()), (Outcome::Ok, ""), "{}", lane.request.url);
    }
}

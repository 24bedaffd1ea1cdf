//! The API server on a socket: TLS by a certificate of its own making, one bearer token, and a stop that waits for everybody.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_util::sync::CancellationToken;

use super::access::Access;
use super::{ApiOptions, router};
use crate::sandbox::wire::world::World;

/// Connections at once.
const CONNECTIONS: usize = 1024;
/// How long a client may take for its handshake, and how long connections may take to end.
const HANDSHAKE: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_mins(2);
const TOKEN_BYTES: usize = 32;

/// The API server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No socket.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// No certificate.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// No TLS.
    #[error("cannot set up TLS")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// No random numbers for the token.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// A running API server. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct ApiServer {
    access: Access,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl ApiServer {
    /// Starts to serve on an address; port 0 takes any free one.
    pub async fn start(world: Arc<World>, listen: SocketAddr) -> Result<Self, ServeError> {
        let listener = TcpListener::bind(listen).await.map_err(|e| ServeError::Listen(listen, e))?;
        let address = listener.local_addr().map_err(|e| ServeError::Listen(listen, e))?;
        let (access, tls) = credentials(address)?;
        let stop = CancellationToken::new();
        let options = ApiOptions {
            token: Some(access.token.clone()),
            stop: stop.clone(),
            address: address.to_string(),
            ..ApiOptions::default()
        };
        let service = TowerToHyperService::new(router(world, options));
        let server = Listening { tls: TlsAcceptor::from(Arc::new(tls)), service, stop: stop.clone() };
        let task = tokio::spawn(server.run(listener));
        Ok(Self { access, stop, task })
    }

    /// How clients get in.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Ends all watches, lets requests finish for a moment, and waits for the end.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::warn!(%error, "the API server did not end well");
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A CA for this run only, the server's certificate, and a token.
fn credentials(address: SocketAddr) -> Result<(Access, ServerConfig), ServeError> {
    let mut token = [0_u8; TOKEN_BYTES];
    SysRng.try_fill_bytes(&mut token).map_err(|e| ServeError::Random(e.to_string()))?;
    let token = token.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));

    let ca_key = rcgen::KeyPair::generate()?;
    let mut ca = rcgen::CertificateParams::new(Vec::new())?;
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::DigitalSignature];
    ca.distinguished_name.push(rcgen::DnType::CommonName, "verifier sandbox");
    let ca_certificate = ca.self_signed(&ca_key)?;
    let issuer = rcgen::Issuer::new(ca, ca_key);

    let key = rcgen::KeyPair::generate()?;
    let names = vec![address.ip().to_string(), "localhost".to_owned(), "kubernetes.default.svc".to_owned()];
    let mut certificate = rcgen::CertificateParams::new(names)?;
    certificate.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    certificate.distinguished_name.push(rcgen::DnType::CommonName, "kube-apiserver");
    let certificate = certificate.signed_by(&key, &issuer)?;

    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let access = Access {
        url: format!("https://{address}"),
        ca_pem: ca_certificate.pem(),
        ca_der: ca_certificate.der().to_vec(),
        token: token.into(),
    };
    Ok((access, tls))
}

#[derive(Clone)]
struct Listening {
    tls: TlsAcceptor,
    service: TowerToHyperService<axum::Router>,
    stop: CancellationToken,
}

impl Listening {
    async fn run(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            // No room, no accept: the rest waits in the socket's own queue.
            let Ok(permit) = room.clone().acquire_owned().await else { break };
            tokio::select! {
                () = self.stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let server = self.clone();
                        connections.spawn(async move {
                            server.connection(stream).await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection to the API server could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
            while connections.try_join_next().is_some() {}
        }
        let farewell = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!(left = connections.len(), "connections to the API server did not end in time");
            connections.shutdown().await;
        }
    }

    async fn connection(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let handshake = tokio::time::timeout(HANDSHAKE, self.tls.accept(stream));
        let stream = tokio::select! {
            () = self.stop.cancelled() => return,
            accepted = handshake => match accepted {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "a client's handshake with the API server failed"),
                Err(_) => return tracing::debug!("a client was too slow for the API server"),
            },
        };
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(256).keep_alive_interval(IDLE);
        let connection = builder.serve_connection(TokioIo::new(stream), self.service.clone());
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to the API server ended with an error");
        }
    }
}

//! The Ingress proxy: routes HTTP by the Ingress objects to the ready endpoints of their Services, as Traefik and nginx do.
//!
//! | what happens | the client gets |
//! |---|---|
//! | no rule matches | 404 |
//! | the Service has no ready endpoint | 503 |
//! | the endpoint refuses, resets or closes before it has answered | 502 |
//! | the endpoint does not accept, or does not begin to answer, in time | 504 |
//! | the client does not go on with its request in time | 408 |
//! | the answer breaks off | the part that came, then the connection's end |
//!
//! These answers carry `Server: verifier-sandbox-ingress` and no pod's name. Nothing is ever sent twice. A kept upstream connection
//! that the pod closes just as it is taken from the pool gives a 502, where nginx (`proxy_next_upstream`) and Traefik (Go's
//! transport) would try once more for methods that allow it: the sandbox shows the race instead of hiding it.
//!
//! A change of routes or endpoints takes effect [`Config::lag`] after it happened. Requests that are then under way to an endpoint
//! which is gone go on; idle connections to it are closed.
//!
//! Not there: TLS, upgrades (WebSocket), HTTP/2 to the pods.

mod body;
mod exchange;
mod headers;
mod pool;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use socket2::SockRef;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{interval, sleep, timeout};

use super::follow::follow;
use super::service::{listen, next_client};
use super::tasks::Tasks;
use super::world::World;
use crate::sandbox::model::object::resource;
use crate::sandbox::model::routes::{self, CLASS, CONTROLLER};
use crate::sandbox::model::write::Write;
use exchange::{Client, Context};
pub use pool::Access;
use table::Tables;

/// How the Ingress proxy behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long after a change of Ingresses, Services or endpoints it takes effect.
    pub lag: Duration,
    /// How long an endpoint may take to accept.
    pub connect_timeout: Duration,
    /// How long either side may be silent when it is its turn to send.
    pub read_timeout: Duration,
    /// How long a client's connection is kept without a request.
    pub keep_alive: Duration,
    /// How long a connection to an endpoint is kept without a request.
    pub upstream_keep_alive: Duration,
    /// Idle connections kept per endpoint.
    pub upstream_idle: usize,
    /// Clients' connections at once; more of them wait in the kernel's queue.
    pub max_connections: usize,
    /// Requests at once; more of them get 503.
    pub max_requests: usize,
}

impl Default for Config {
    /// ingress-nginx's defaults for timeouts (connect 5 s, read 60 s, keep-alive 75 s and 60 s), Traefik's for idle connections. The
    /// lag is less than Traefik's two seconds, and about what a reload of nginx takes.
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            lag: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_mins(1),
            keep_alive: Duration::from_secs(75),
            upstream_keep_alive: Duration::from_mins(1),
            upstream_idle: 200,
            max_connections: 12_000,
            max_requests: 12_000,
        }
    }
}

/// The proxy could not listen.
#[derive(Debug, Error)]
#[error("cannot listen for the ingress on {address}")]
pub struct ListenError {
    address: SocketAddr,
    #[source]
    cause: io::Error,
}

/// The running proxy; it ends with the tasks it was started with.
#[derive(Debug)]
pub(super) struct Ingress {
    address: SocketAddr,
    tables: Arc<Tables>,
}

impl Ingress {
    /// Opens the port, announces the class, and begins to serve and to publish addresses.
    pub(super) fn start(world: &Arc<World>, tasks: &Tasks, config: Config) -> Result<Self, ListenError> {
        let opened = listen(config.listen).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = opened.map_err(|cause| ListenError { address: config.listen, cause })?;
        world.write(vec![class()]);

        let resources = vec![resource::INGRESSES, resource::INGRESS_CLASSES, resource::SERVICES, resource::ENDPOINT_SLICES];
        let (mut routes, following) = follow(Arc::clone(world), config.lag, resources, routes::build);
        let first = Arc::clone(&routes.borrow_and_update());
        let tables = Arc::new(Tables::new(&first));
        tasks.spawn_helper(following);
        let (applied, idle) = (Arc::clone(&tables), config.upstream_keep_alive);
        tasks.spawn_helper(async move {
            let mut sweep = interval((idle / 4).max(Duration::from_millis(1)));
            loop {
                tokio::select! {
                    changed = routes.changed() => match changed {
                        Ok(()) => applied.apply(&Arc::clone(&routes.borrow_and_update())),
                        Err(_) => return,
                    },
                    _ = sweep.tick() => applied.close_idle(idle),
                }
            }
        });
        tasks.spawn_helper(publish(Arc::clone(world), tasks, address));

        let max_connections = config.max_connections;
        let context = Arc::new(Context::new(config, tasks.clone(), Arc::clone(&tables)));
        tasks.spawn(accept(listener, context, Arc::new(Semaphore::new(max_connections))));
        Ok(Self { address, tables })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What each endpoint was sent so far.
    pub(super) fn access(&self) -> Vec<Access> {
        self.tables.access()
    }
}

/// The IngressClass that makes Ingresses ours, also those that name no class.
fn class() -> Write {
    let annotations = json!({"ingressclass.kubernetes.io/is-default-class": "true"});
    Write::Create {
        resource: resource::INGRESS_CLASSES,
        object: json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": CLASS, "annotations": annotations},
            "spec": {"controller": CONTROLLER}}),
    }
}

/// Keeps the status of our Ingresses saying where the proxy listens.
fn publish(world: Arc<World>, tasks: &Tasks, address: SocketAddr) -> impl Future<Output = ()> + Send + 'static {
    let resources = vec![resource::INGRESSES, resource::INGRESS_CLASSES];
    let (mut writes, following) = follow(Arc::clone(&world), Duration::ZERO, resources, move |read| routes::publish(read, address));
    tasks.spawn_helper(following);
    async move {
        loop {
            let writes_now = Vec::clone(&writes.borrow_and_update());
            world.write(writes_now);
            if writes.changed().await.is_err() {
                return;
            }
        }
    }
}

async fn accept(listener: TcpListener, context: Arc<Context>, places: Arc<Semaphore>) {
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, next_client(&listener).await)
        };
        tokio::select! {
            // The semaphore is never closed.
            (Ok(place), (stream, from)) = next => {
                context.tasks.spawn(Box::pin(connection(Arc::clone(&context), stream, from, place)));
            }
            () = context.tasks.stopping() => return context.tables.close_all(),
        }
    }
}

/// The longest head of a request; ingress-nginx takes four buffers of 8 KiB.
const LONGEST_HEAD: usize = 32 * 1024;

/// Serves one client connection to its end.
async fn connection(context: Arc<Context>, stream: TcpStream, from: SocketAddr, _place: OwnedSemaphorePermit) {
    let config = &context.config;
    // Failing on a socket means that it is gone, which reading it will tell.
    let _ = stream.set_nodelay(true);
    // A client that does not take its answer is given up by the kernel.
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(config.read_timeout));
    // Before anything else is set up: idle connections should cost little.
    let Ok(Ok(h2)) = timeout(config.keep_alive, speaks_h2(&stream)).await else { return };
    let Ok(client) = HeaderValue::try_from(from.ip().to_string()).map(|address| Arc::new(Client { address })) else { return };
    let service = {
        let context = Arc::clone(&context);
        // Boxed per request: an idle connection has no room set aside for one.
        service_fn(move |request| Box::pin(exchange::exchange(Arc::clone(&context), Arc::clone(&client), request)))
    };
    let (io, stopping) = (TokioIo::new(stream), context.tasks.stopping());
    // How a connection ended is the client's business, or was told to it already.
    if h2 {
        let mut builder = http2::Builder::new(context.tasks.clone());
        builder.timer(TokioTimer::new()).max_concurrent_streams(200).max_header_list_size(16 * 1024).max_send_buf_size(64 * 1024);
        builder.keep_alive_interval(config.read_timeout).keep_alive_timeout(config.read_timeout);
        let mut serving = Box::pin(builder.serve_connection(io, service));
        tokio::select! {
            _ = serving.as_mut() => return,
            () = stopping => serving.as_mut().graceful_shutdown(),
        }
        let _ = serving.await;
    } else {
        let mut builder = http1::Builder::new();
        // hyper begins to wait for the next head as soon as the last answer is out, so this is the keep-alive timeout as well.
        builder.timer(TokioTimer::new()).header_read_timeout(config.keep_alive).max_buf_size(LONGEST_HEAD);
        let mut serving = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            _ = serving.as_mut() => return,
            () = stopping => serving.as_mut().graceful_shutdown(),
        }
        let _ = serving.await;
    }
}

/// Does the client begin with HTTP/2's preface? No HTTP/1 method begins like it.
async fn speaks_h2(stream: &TcpStream) -> io::Result<bool> {
    const PREFACE: &[u8; 3] = b"PRI";
    let mut start = [0; PREFACE.len()];
    loop {
        let n = stream.peek(&mut start).await?;
        if n == PREFACE.len() || n == 0 || !PREFACE.starts_with(&start[..n]) {
            return Ok(&start == PREFACE);
        }
        // A peek does not wait for more than there was.
        sleep(Duration::from_millis(10)).await;
    }
}

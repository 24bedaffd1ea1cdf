//! The Service proxy: forwards TCP from each Service's cluster address to one of its endpoints, chosen when the client connects.
//!
//! Like kube-proxy: ready endpoints in turn, terminating ones that still serve when none is ready, no retry, and connections stay
//! where they are when endpoints change. A Service without endpoints refuses, for its port is open only while it has some. Unlike
//! kube-proxy a process stands in between, so a client is accepted before the endpoint is tried: an endpoint that refuses shows as
//! a reset, one that swallows connects as silence.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::follow::follow;
use super::tasks::Tasks;
use super::world::World;
use crate::sandbox::model::endpoints::Endpoint;
use crate::sandbox::model::object::resource;
use crate::sandbox::model::services::{self, Frontend};
use crate::sandbox::model::write::{EventType, Write};

/// How Services are forwarded.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long after a change of Services or endpoints it takes effect.
    pub lag: Duration,
    /// How long an endpoint may take to accept before the client is reset.
    pub connect_timeout: Duration,
    /// Connections at once, over all Services; more of them wait in the kernel's queue.
    pub max_connections: usize,
}

impl Default for Config {
    /// kube-proxy collects changes for 100 ms or so before it writes its rules.
    fn default() -> Self {
        Self { lag: Duration::from_millis(100), connect_timeout: Duration::from_secs(30), max_connections: 10_000 }
    }
}

/// When to try again to listen where it was refused.
const RETRY: Duration = Duration::from_secs(5);

/// Bytes buffered in each direction of a connection.
const BUFFER: usize = 8 * 1024;

/// Connections that the kernel may hold for one port until they are accepted.
pub(super) const BACKLOG: u32 = 4096;

/// Starts forwarding; ends with `tasks`.
pub(super) fn start(world: &Arc<World>, tasks: &Tasks, config: &Config) {
    let resources = vec![resource::SERVICES, resource::ENDPOINT_SLICES];
    let (frontends, following) = follow(Arc::clone(world), config.lag, resources, services::build);
    tasks.spawn_helper(following);
    let connections = Arc::new(Semaphore::new(config.max_connections));
    let context = Context { tasks: tasks.clone(), connect_timeout: config.connect_timeout, connections };
    let forwarder = Forwarder { world: Arc::clone(world), context, open: BTreeMap::new(), refused: BTreeMap::new() };
    tasks.spawn(forwarder.run(frontends));
}

/// Whom the clients of one port reach.
#[derive(Debug, Default)]
struct Target {
    endpoints: Vec<Endpoint>,
    sticky: bool,
}

impl Target {
    fn pick(&self, client: IpAddr, turn: usize) -> Option<SocketAddr> {
        let picked = if self.sticky {
            // The highest of all hashes: stays when others come, and moves only when its endpoint goes.
            self.endpoints.iter().max_by_key(|endpoint| {
                let mut hasher = DefaultHasher::new();
                (client, &endpoint.address).hash(&mut hasher);
                hasher.finish()
            })
        } else {
            self.endpoints.get(turn.checked_rem(self.endpoints.len())?)
        };
        picked.map(|endpoint| endpoint.address)
    }
}

#[derive(Clone, Debug)]
struct Context {
    tasks: Tasks,
    connect_timeout: Duration,
    connections: Arc<Semaphore>,
}

/// An open port.
#[derive(Debug)]
struct Port {
    target: watch::Sender<Target>,
    close: CancellationToken,
    /// Returns when the port is closed.
    closed: watch::Receiver<()>,
}

#[derive(Debug)]
struct Forwarder {
    world: Arc<World>,
    context: Context,
    open: BTreeMap<SocketAddr, Port>,
    /// Addresses where listening failed, and what was said about it.
    refused: BTreeMap<SocketAddr, String>,
}

impl Forwarder {
    async fn run(mut self, mut frontends: watch::Receiver<Arc<Vec<Frontend>>>) {
        loop {
            let wanted = Arc::clone(&frontends.borrow_and_update());
            self.apply(&wanted).await;
            tokio::select! {
                changed = frontends.changed() => if changed.is_err() { break },
                () = sleep(RETRY), if !self.refused.is_empty() => {}
                () = self.context.tasks.stopping() => break,
            }
        }
        self.apply(&[]).await;
    }

    /// Opens and closes ports so that they are those of the Services with endpoints.
    async fn apply(&mut self, frontends: &[Frontend]) {
        let mut wanted: BTreeMap<SocketAddr, &Frontend> = BTreeMap::new();
        for frontend in frontends.iter().filter(|f| !f.endpoints.usable().is_empty()) {
            // Of two Services at one address the first has it.
            wanted.entry(frontend.address).or_insert(frontend);
        }
        self.refused.retain(|address, _| wanted.contains_key(address));
        let (keep, gone) = std::mem::take(&mut self.open).into_iter().partition(|(address, _)| wanted.contains_key(address));
        self.open = keep;
        for mut port in BTreeMap::into_values(gone) {
            port.close.cancel();
            // An error means that the acceptor is gone, and the port with it.
            let _ = port.closed.changed().await;
        }
        for (address, frontend) in wanted {
            let target = Target { endpoints: frontend.endpoints.usable().to_vec(), sticky: frontend.sticky };
            if let Some(port) = self.open.get(&address) {
                port.target.send_replace(target);
            } else {
                match listen(address) {
                    Ok(listener) => self.open(address, listener, target),
                    Err(error) => self.report(frontend, &error),
                }
            }
        }
    }

    fn open(&mut self, address: SocketAddr, listener: TcpListener, target: Target) {
        self.refused.remove(&address);
        let (target, targets) = watch::channel(target);
        let (open, closed) = watch::channel(());
        let close = CancellationToken::new();
        let (context, closing) = (self.context.clone(), close.clone());
        self.context.tasks.spawn(async move {
            tokio::select! {
                () = accept(&listener, targets, &context) => {}
                () = closing.cancelled() => {}
            }
            drop(listener);
            drop(open);
        });
        self.open.insert(address, Port { target, close, closed });
    }

    /// Says once on the Service that its address cannot be listened on.
    fn report(&mut self, frontend: &Frontend, error: &io::Error) {
        let said = error.to_string();
        if self.refused.insert(frontend.address, said.clone()).as_ref() != Some(&said) {
            self.world.write(vec![cannot_listen(frontend, &said)]);
        }
    }
}

fn cannot_listen(frontend: &Frontend, error: &str) -> Write {
    Write::Event {
        about: frontend.service.clone(),
        kind: EventType::Warning,
        reason: "FailedToListen",
        message: format!("cannot listen on {}: {error}", frontend.address),
        by: "service-proxy",
    }
}

/// Opens a port that other connections of its past cannot block.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes the next connection. Running out of descriptors, or a client that has gone already, does not end the port.
pub(super) async fn next_client(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn accept(listener: &TcpListener, targets: watch::Receiver<Target>, context: &Context) {
    let mut turn: usize = 0;
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&context.connections).acquire_owned().await else { return };
        let (client, from) = next_client(listener).await;
        let endpoint = targets.borrow().pick(from.ip(), turn);
        turn = turn.wrapping_add(1);
        match endpoint {
            Some(endpoint) => context.tasks.spawn(forward(client, endpoint, context.connect_timeout, place)),
            None => reset(&client),
        }
    }
}

/// Carries bytes both ways until both have ended. A reset on one side becomes a reset on the other, an end an end.
async fn forward(mut client: TcpStream, endpoint: SocketAddr, connect_timeout: Duration, _place: OwnedSemaphorePermit) {
    let Ok(Ok(mut server)) = timeout(connect_timeout, TcpStream::connect(endpoint)).await else {
        reset(&client);
        return;
    };
    // A socket that is gone already will say so when it is read.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    if copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER).await.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// Makes the coming close a reset.
fn reset(stream: &TcpStream) {
    // It can only fail on a socket that is gone.
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests;

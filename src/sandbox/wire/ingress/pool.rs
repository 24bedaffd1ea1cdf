//! One endpoint seen from the proxy: its idle connections, and how it did.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::body::ToPod;
use crate::sandbox::model::endpoints::Endpoint;
use crate::sandbox::wire::clock::now;
use crate::sandbox::wire::tasks::Tasks;

/// The sending half of a connection to a pod.
pub(super) type Sender = SendRequest<ToPod>;

/// What one endpoint was sent, and how it answered. It stays known for a while after it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Is it in the routing table now?
    pub routed: bool,
    /// Requests for which it was picked.
    pub requests: u64,
    /// Answers of its own with a status of 500 or more.
    pub server_errors: u64,
    /// Requests that it did not answer, or not to the end.
    pub failures: u64,
}

/// The endpoint.
#[derive(Debug)]
pub(super) struct Upstream {
    endpoint: Endpoint,
    pool: Mutex<Pool>,
    requests: AtomicU64,
    server_errors: AtomicU64,
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct Pool {
    /// The one used last comes last, and is used first.
    idle: Vec<Idle>,
    routed: bool,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// Refused, reset or unreachable.
    #[expect(dead_code, reason = "read by its Debug, for the log")]
    Failed(io::Error),
    /// Not accepted in time.
    Timeout,
}

/// Connections looked at before a new one is made; the last few may still be busy with the end of their last answer.
const LOOK_AT: usize = 8;

impl Upstream {
    pub(super) fn new(endpoint: Endpoint) -> Arc<Self> {
        let (requests, server_errors, failures) = Default::default();
        Arc::new(Self { endpoint, pool: Mutex::default(), requests, server_errors, failures })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// An idle connection that can be sent on, as far as anybody knows.
    pub(super) fn take(&self, keep_alive: Duration) -> Option<Sender> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let oldest = now().checked_sub(keep_alive);
        let mut pool = self.pool();
        let mut at = pool.idle.len();
        let lowest = at.saturating_sub(LOOK_AT);
        while at > lowest {
            at -= 1;
            let idle = pool.idle.get(at)?;
            if idle.sender.is_closed() || oldest.is_some_and(|oldest| idle.since < oldest) {
                pool.idle.remove(at);
            } else if idle.sender.is_ready() {
                return Some(pool.idle.remove(at).sender);
            }
        }
        None
    }

    /// Gives a connection back after the end of an answer; at most `most` are kept.
    pub(super) fn give_back(&self, sender: Sender, most: usize) {
        let mut pool = self.pool();
        if pool.routed && !sender.is_closed() && pool.idle.len() < most {
            pool.idle.push(Idle { sender, since: now() });
        }
    }

    /// Opens a connection.
    pub(super) async fn connect(&self, tasks: &Tasks, within: Duration) -> Result<Sender, ConnectError> {
        let stream = match timeout(within, TcpStream::connect(self.endpoint.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(ConnectError::Failed(error)),
            Err(_) => return Err(ConnectError::Timeout),
        };
        // A socket that is gone already will say so when it is written to.
        let _ = stream.set_nodelay(true);
        let handshake = http1::Builder::new().max_buf_size(64 * 1024).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| ConnectError::Failed(io::Error::other(error)))?;
        tasks.spawn(async move {
            // How it ended is told to the request that was on it.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Puts it into the routing table or takes it out; outside of it, no idle connection is kept.
    pub(super) fn set_routed(&self, routed: bool) {
        let mut pool = self.pool();
        pool.routed = routed;
        if !routed {
            pool.idle.clear();
        }
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn close_idle(&self, keep_alive: Duration) {
        let oldest = now().checked_sub(keep_alive);
        self.pool().idle.retain(|idle| !idle.sender.is_closed() && oldest.is_none_or(|oldest| idle.since >= oldest));
    }

    /// The endpoint answered with an error.
    pub(super) fn count_server_error(&self) {
        self.server_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// The endpoint did not answer, or not to the end.
    pub(super) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn access(&self) -> Access {
        Access {
            endpoint: self.endpoint.clone(),
            routed: self.pool().routed,
            requests: self.requests.load(Ordering::Relaxed),
            server_errors: self.server_errors.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The routing table in use: routes with the endpoints' connections and whose turn it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::pool::{Access, Upstream};
use crate::sandbox::model::endpoints::Endpoint;
use crate::sandbox::model::routes::Routes;

/// Where a request goes.
#[derive(Debug)]
pub(super) enum Pick {
    /// No rule wants it.
    NoRule,
    /// The Service has no ready endpoint.
    NoEndpoints,
    /// To this endpoint.
    To(Arc<Upstream>),
}

#[derive(Debug)]
struct Table {
    routes: Arc<Routes>,
    /// One for each of [`Routes::backends`].
    backends: Vec<Backend>,
}

#[derive(Debug)]
struct Backend {
    upstreams: Vec<Arc<Upstream>>,
    turn: AtomicUsize,
}

/// The present table, and all endpoints that are or were in it.
#[derive(Debug)]
pub(super) struct Tables {
    present: RwLock<Arc<Table>>,
    known: Mutex<BTreeMap<Endpoint, Arc<Upstream>>>,
}

/// Endpoints remembered after they are gone.
const REMEMBERED: usize = 1000;

impl Tables {
    pub(super) fn new(routes: &Arc<Routes>) -> Self {
        let empty = Table { routes: Arc::default(), backends: Vec::new() };
        let tables = Self { present: RwLock::new(Arc::new(empty)), known: Mutex::default() };
        tables.apply(routes);
        tables
    }

    /// Makes these the routes. Endpoints that stay keep their connections.
    pub(super) fn apply(&self, routes: &Arc<Routes>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.table();
        let mut routed = BTreeSet::new();
        let mut backends = Vec::new();
        for (index, backend) in routes.backends().iter().enumerate() {
            let mut upstreams = Vec::new();
            for endpoint in &backend.endpoints {
                let upstream = known.entry(endpoint.clone()).or_insert_with(|| Upstream::new(endpoint.clone()));
                routed.insert(endpoint.clone());
                upstream.set_routed(true);
                upstreams.push(Arc::clone(upstream));
            }
            let turn = old.backends.get(index).map_or(0, |backend| backend.turn.load(Ordering::Relaxed));
            backends.push(Backend { upstreams, turn: AtomicUsize::new(turn) });
        }
        let table = Arc::new(Table { routes: Arc::clone(routes), backends });
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = table;
        // Only now, so that nothing is given back to an endpoint that new requests can no longer find.
        let mut gone = 0;
        known.retain(|endpoint, upstream| {
            let keep = routed.contains(endpoint);
            if !keep {
                upstream.set_routed(false);
                gone += 1;
            }
            keep || gone <= REMEMBERED
        });
    }

    /// The next endpoint, in turn, for a request.
    pub(super) fn pick(&self, host: &str, path: &str) -> Pick {
        let table = self.table();
        let Some(found) = table.routes.pick(host, path) else { return Pick::NoRule };
        let Some(backend) = table.backends.get(found.index) else { return Pick::NoRule };
        let turn = backend.turn.fetch_add(1, Ordering::Relaxed);
        let upstream = turn.checked_rem(backend.upstreams.len()).and_then(|at| backend.upstreams.get(at));
        upstream.map_or(Pick::NoEndpoints, |upstream| Pick::To(Arc::clone(upstream)))
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn close_idle(&self, keep_alive: Duration) {
        for upstream in self.known.lock().unwrap_or_else(PoisonError::into_inner).values() {
            upstream.close_idle(keep_alive);
        }
    }

    /// Closes all idle connections, and those in use when they become idle.
    pub(super) fn close_all(&self) {
        for upstream in self.known.lock().unwrap_or_else(PoisonError::into_inner).values() {
            upstream.set_routed(false);
        }
    }

    /// What each endpoint was sent so far.
    pub(super) fn access(&self) -> Vec<Access> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).values().map(|upstream| upstream.access()).collect()
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }
}

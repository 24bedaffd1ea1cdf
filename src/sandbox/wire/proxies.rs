//! The Service proxy and the Ingress proxy together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::DropGuard;

use super::ingress::{self, Access, Ingress, ListenError};
use super::service;
use super::tasks::Tasks;
use super::world::World;

/// How both behave.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The Service proxy.
    pub services: service::Config,
    /// The Ingress proxy.
    pub ingress: ingress::Config,
}

/// How long requests under way may take when the proxies stop.
const GRACE: Duration = Duration::from_millis(500);

/// Both proxies, running. Dropping this cuts them off; [`Proxies::stop`] lets them finish.
#[derive(Debug)]
pub struct Proxies {
    tasks: Tasks,
    ingress: Ingress,
    _cut: DropGuard,
}

impl Proxies {
    /// Starts both. The Ingress proxy listens, and its class is there, when this returns; Services are opened as they come.
    pub fn start(world: &Arc<World>, config: Config) -> Result<Self, ListenError> {
        let tasks = Tasks::default();
        let cut = tasks.guard();
        let ingress = Ingress::start(world, &tasks, config.ingress)?;
        service::start(world, &tasks, &config.services);
        Ok(Self { tasks, ingress, _cut: cut })
    }

    /// Where the Ingress proxy listens.
    pub fn ingress_address(&self) -> SocketAddr {
        self.ingress.address()
    }

    /// What the Ingress proxy sent to each endpoint so far.
    pub fn access(&self) -> Vec<Access> {
        self.ingress.access()
    }

    /// Closes all ports, lets requests finish for a moment, and returns when no connection and no task is left: within a second.
    pub async fn stop(self) {
        self.tasks.stop(GRACE).await;
    }
}

//! The sandbox's node: runs the pods that are assigned to it as local processes, each on an address of its own.
//!
//! What differs from a real node: a container has no file system, user or network of its own, its image is a local command
//! ([`Images`]), and a program must listen on `$HOST:$PORT` (see [`model::kubelet::env`](crate::sandbox::model::kubelet::env)).
//! Volumes are not mounted. CPU limits are not enforced; memory limits are, four times a second.

mod actions;
mod directory;
mod exec;
mod holes;
mod memory;
mod object;
mod probe;
mod range;
mod runner;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use crate::sandbox::model::kubelet::BackoffSettings;
pub use crate::sandbox::model::kubelet::images::Images;
pub use directory::{NodeHandle, Usage};
pub use range::{Range, RangeError};

use self::directory::Directory;
use self::runner::Runner;
use super::keeper::{KeeperError, Program};
use super::world::World;

/// What a node is to be.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its name: the `spec.nodeName` of its pods.
    pub name: String,
    /// Its addresses.
    pub range: Arc<Range>,
    /// The images there are.
    pub images: Images,
    /// Delays of restarts and image pulls.
    pub backoff: BackoffSettings,
    /// The program whose hidden subcommands keep the processes.
    pub program: Program,
}

/// A running node. Dropping it ends its processes, too; `stop` waits for that.
#[derive(Debug)]
pub struct Node {
    handle: NodeHandle,
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), NodeError>>>,
}

/// Why a node does not work, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The process keeper cannot be started, or did not end as it should.
    #[error("the node's processes")]
    Keeper(#[from] KeeperError),
    /// The process keeper was killed again and again.
    #[error("the node's process keeper ended {0} times within a minute")]
    KeeperDies(usize),
    /// The node's own task has panicked.
    #[error("the node's task")]
    Task(#[from] tokio::task::JoinError),
}

impl Node {
    /// Starts a node and writes its Node object. Must be called within a Tokio runtime.
    pub fn start(world: Arc<World>, config: NodeConfig) -> Result<Self, NodeError> {
        let stop = CancellationToken::new();
        let handle = NodeHandle { world: world.clone(), directory: Arc::new(Directory::default()) };
        let runner = Runner::new(world, config, handle.directory.clone(), base_environment())?;
        let task = tokio::spawn(runner.run(stop.clone()));
        Ok(Self { handle, stop, task: Some(task) })
    }

    /// To ask about its pods.
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Waits until the node has failed; for ever while it works.
    pub async fn failed(&mut self) -> NodeError {
        if let Some(task) = &mut self.task {
            let ended = task.await;
            self.task = None;
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(error) => return error.into(),
            }
        }
        std::future::pending().await
    }

    /// Kills all processes, without ado, and waits until they are gone. Pod objects are left as they are.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        self.stop.cancel();
        match self.task.take() {
            Some(task) => task.await?,
            None => Ok(()),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What an image would bring along. Nothing else of our own environment is shown to a container.
fn base_environment() -> BTreeMap<String, String> {
    let names = ["PATH", "HOME", "LANG", "TMPDIR", "TZ", "LD_LIBRARY_PATH"];
    names.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect()
}

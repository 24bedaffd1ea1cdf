//! A whole sandbox: the parts of `wire` put together, started in order and stopped in the reverse one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use http::uri::InvalidUri;
use kube::config::{AuthInfo, Config};
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::model::controllers::{PodMetrics, Usage};
use super::model::store::StoreConfig;
use super::wire::api::{Access, AccessError, ApiServer, ServeError};
use super::wire::control;
use super::wire::ingress::{self, ListenError};
use super::wire::keeper::Program;
use super::wire::node::{BackoffSettings, Images, Node, NodeConfig, NodeError, NodeHandle, Range, RangeError};
use super::wire::output::NodeLogs;
use super::wire::proxies::{self, Proxies};
use super::wire::world::World;

/// Third and fourth byte of the API server's address, and its port.
const API: (u8, u8, u16) = (0, 2, 6443);
/// The same of the Ingress proxy.
const INGRESS: (u8, u8, u16) = (0, 3, 8080);
/// Prefix length of the network of Services, which begins at the third byte [`SERVICES`].
const SERVICES_PREFIX: u8 = 20;
const SERVICES: u8 = 96;
/// What the use of pods is averaged over, roughly: autoscalers ask once in a while.
const WINDOW: TimeDelta = TimeDelta::seconds(15);

/// What a sandbox is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seeds uids, generated names and addresses.
    pub seed: u64,
    /// The images there are; the built-in workload answers for [`BUILT_IN`] after them.
    pub images: Images,
    /// How long the Ingress proxy takes to learn of a change.
    pub ingress_lag: Duration,
    /// The program whose hidden subcommands keep the processes, and whose `workload` is the built-in one.
    pub program: Program,
}

/// The image that the built-in workload answers for, whatever its tag, and the one scenarios use for a version that cannot be pulled.
pub const BUILT_IN: &str = "todo/backend";

/// Why a sandbox did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// No addresses.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// No API server.
    #[error("starting the API server")]
    Api(#[from] ServeError),
    /// No node.
    #[error("starting the node")]
    Node(#[from] NodeError),
    /// No ingress.
    #[error("starting the ingress")]
    Ingress(#[from] ListenError),
    /// The built-in workload's program cannot be named.
    #[error("finding the program of the built-in workload")]
    Program(#[source] io::Error),
}

/// A running sandbox. [`Sandbox::stop`] ends it in order; dropping it ends it, too, without waiting.
#[derive(Debug)]
pub struct Sandbox {
    world: Arc<World>,
    api: ApiServer,
    proxies: Proxies,
    node: Node,
    controllers: JoinHandle<()>,
    stop: CancellationToken,
    _cut: DropGuard,
}

impl Sandbox {
    /// Starts one. It answers when this returns. Must be called within a Tokio runtime.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let range = Arc::new(Range::claim()?);
        let config = StoreConfig {
            seed: options.seed,
            namespaces: true,
            cluster_ips: (range.address(SERVICES, 0), SERVICES_PREFIX),
            ..StoreConfig::default()
        };
        let world = World::started(&config);
        let address = |(third, fourth, port): (u8, u8, u16)| SocketAddr::new(IpAddr::V4(range.address(third, fourth)), port);
        let api = ApiServer::start(world.clone(), address(API)).await?;
        let ingress = ingress::Config { listen: address(INGRESS), lag: options.ingress_lag, ..ingress::Config::default() };
        let proxies = Proxies::start(&world, proxies::Config { ingress, ..proxies::Config::default() })?;
        let workload = options.program.line("workload").map_err(StartError::Program)?;
        let node = NodeConfig {
            name: "sandbox".into(),
            range,
            images: options.images.with_fixed(BUILT_IN, workload),
            backoff: BackoffSettings::default(),
            program: options.program,
        };
        let node = Node::start(world.clone(), node)?;
        world.provide_logs(Arc::new(NodeLogs::new(node.handle().clone())));
        let stop = CancellationToken::new();
        let metrics = measured(world.clone(), node.handle().clone());
        let controllers = tokio::spawn(control::run(world.clone(), options.seed, metrics, stop.clone()));
        Ok(Self { world, api, proxies, node, controllers, _cut: stop.clone().drop_guard(), stop })
    }

    /// How clients get in.
    pub fn access(&self) -> &Access {
        self.api.access()
    }

    /// The same for a `kube::Client`.
    pub fn config(&self) -> Result<Config, InvalidUri> {
        let access = self.access();
        let mut config = Config::new(access.url.parse()?);
        config.root_cert = Some(vec![access.ca_der.clone()]);
        config.auth_info = AuthInfo { token: Some(access.token.to_string().into()), ..AuthInfo::default() };
        Ok(config)
    }

    /// Writes a kubeconfig that only its owner may read.
    pub fn write_kubeconfig(&self, path: &Path) -> Result<(), AccessError> {
        self.access().write_kubeconfig("sandbox", path)
    }

    /// Where the Ingress proxy listens.
    pub fn ingress_address(&self) -> SocketAddr {
        self.proxies.ingress_address()
    }

    /// The shared state, for who wants to see what was asked and written.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Waits until the node has failed; for ever while it works.
    pub async fn failed(&mut self) -> NodeError {
        self.node.failed().await
    }

    /// Ends everything, and returns when no process, port or task of it is left.
    pub async fn stop(self) -> Result<(), NodeError> {
        self.stop.cancel();
        // It ends at once, and has nothing to say.
        let _ = self.controllers.await;
        self.proxies.stop().await;
        let ended = self.node.stop().await;
        self.api.stop().await;
        ended
    }
}

/// What the pods use, for autoscalers.
fn measured(world: Arc<World>, node: NodeHandle) -> control::Metrics {
    Arc::new(move || {
        let mut metrics = PodMetrics::default();
        for used in node.usage() {
            let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            let usage = Usage { cpu_millis: number(used.millicores), memory: number(used.bytes), at: world.now(), window: WINDOW };
            metrics.insert(used.pod.namespace, used.pod.name, usage);
        }
        metrics
    })
}

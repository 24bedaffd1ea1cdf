//! `verifier serve`: the in-cluster service, or the same on a sandbox of its own, for whoever wants to look.

mod demo;
mod election;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::args::ServeArgs;
use super::attached::Attached;
use super::conduct::{self, Stop, unreachable, usage};
use super::output::{complain, print, say};
use super::sandbox;
use crate::clock::Clock;
use crate::cluster::chain;
use crate::cluster::connect::{Connection, configure, connect_counted, connect_fenced};
use crate::cluster::count::Counter;
use crate::cluster::fence::fence;
use crate::controller::leader::{Campaign, Leadership};
use crate::controller::{Board, Controller, Settings};
use crate::exit::Exit;
use crate::load::StartError;
use crate::metrics::Metrics;
use crate::serve::{Access, Reviewer, routes, serve};

/// Longest wait for what goes on behind, once everything has ended.
const FAREWELL: Duration = Duration::from_millis(500);
/// What is logged when `RUST_LOG` says nothing.
const LOGGED: &str = "warn,verifier=info";

pub(super) fn main(args: &ServeArgs) -> Exit {
    log();
    let ended = block_on(go(args)).unwrap_or_else(|error| Err(unreachable(error)));
    ended.unwrap_or_else(|Stop(message, exit)| complain(&message, exit))
}

/// As for every command, but a name that is looked up while the network is away does not hold up the end: another one may lead by now.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let runtime = sandbox::runtime()?;
    let ended = runtime.block_on(future);
    runtime.shutdown_timeout(FAREWELL);
    Ok(ended)
}

/// To standard error: lines for people on a terminal, JSON for programs.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Somebody who set one up before is not in the way.
    drop(if std::io::stderr().is_terminal() { log.try_init() } else { log.json().try_init() });
}

async fn go(args: &ServeArgs) -> Result<Exit, Stop> {
    let failed = |e: std::io::Error| unreachable(format!("could not watch for signals: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let listener = TcpListener::bind(args.listen).await.map_err(|e| usage(format!("--listen {}: {e}", args.listen)))?;
    let address = listener.local_addr().map_err(|e| unreachable(e.to_string()))?;
    let (clock, metrics) = (Clock::start(), Metrics::default());
    let seed = sandbox::draw().map_err(unreachable)?;
    let opened = open(args, &metrics, seed, clock, address).await?;
    if args.sandbox {
        demo::deploy(&opened.connection).await.map_err(unreachable)?;
    }
    let stop = CancellationToken::new();
    let service = Service {
        args,
        seed,
        clock,
        metrics,
        connection: opened.connection,
        leadership: opened.leadership,
        board: Board::default(),
        stop: stop.clone(),
    };
    let running = service.run(listener, address, opened.campaign);
    let caught = async {
        tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        }
    };
    let mut running = std::pin::pin!(running);
    let ended = tokio::select! {
        ended = &mut running => ended.map(|()| Exit::Pass),
        number = caught => {
            stop.cancel();
            running.await.map(|()| Exit::Signal(number.as_raw_value()))
        }
    };
    if let Some(sandbox) = opened.sandbox
        && let Err(error) = sandbox.stop().await
    {
        say(&format!("warning: the sandbox did not end well: {}", chain(&error)));
    }
    ended
}

/// Where the service works.
struct Opened {
    /// Ends with the service.
    sandbox: Option<Attached>,
    connection: Connection,
    leadership: Leadership,
    campaign: Option<Campaign>,
}

/// The cluster that was chosen, or a sandbox; and the campaign for the lease there.
async fn open(args: &ServeArgs, metrics: &Metrics, seed: u64, clock: Clock, listen: SocketAddr) -> Result<Opened, Stop> {
    let counted = metrics.clone();
    let counter: Counter = Arc::new(move |code| counted.store().call(code));
    let failed = |error: &dyn std::error::Error| unreachable(chain(error));
    let (sandbox, (config, name), lease) = if args.sandbox {
        let started = Attached::start(&[], demo::INGRESS_LAG, seed).await;
        let (sandbox, config) = started.map_err(|e| failed(&e))?;
        (Some(sandbox), (config, "sandbox".to_owned()), None)
    } else {
        let choice = conduct::choose(&args.cluster).ok_or_else(|| {
            usage("no cluster was named, and this does not run in one: say --context, --kubeconfig, or --sandbox to look at one of its own")
        })?;
        let (config, name) = configure(&choice).await.map_err(|e| failed(&e))?;
        let lease = election::lease(args, &choice, &config.default_namespace);
        (None, (config, name), lease)
    };
    let Some(lease) = lease else {
        let connection = connect_counted(config, name, Some(&counter)).map_err(|e| failed(&e))?;
        return Ok(Opened { sandbox, connection, leadership: Leadership::alone(), campaign: None });
    };
    let (latch, fence) = fence(clock);
    let (connection, client) = connect_fenced(config, name, &counter, fence.clone()).map_err(|e| failed(&e))?;
    let bid = election::bid(lease, listen, seed, |name| std::env::var(name).ok());
    if bid.address.is_none() {
        tracing::warn!(
            "POD_IP does not say where this verifier can be reached: while it leads, the others have nobody to pass on to"
        );
    }
    let (leadership, campaign) = Campaign::begin(client, bid, clock, latch, fence);
    Ok(Opened { sandbox, connection, leadership, campaign: Some(campaign) })
}

struct Service<'a> {
    args: &'a ServeArgs,
    seed: u64,
    clock: Clock,
    metrics: Metrics,
    connection: Connection,
    leadership: Leadership,
    board: Board,
    stop: CancellationToken,
}

impl Service<'_> {
    /// Until it is told to stop, cannot go on, or has lost the lead: then at once, and without an end to anything, because another may be at it.
    async fn run(self, listener: TcpListener, address: SocketAddr, campaign: Option<Campaign>) -> Result<(), Stop> {
        tokio::select! {
            biased;
            () = self.leadership.lost() => {
                Err(unreachable("the lease could not be kept: this verifier leads no more, writes nothing more, and ends"))
            }
            ended = self.serve(listener, address, campaign) => ended,
        }
    }

    async fn serve(&self, listener: TcpListener, address: SocketAddr, campaign: Option<Campaign>) -> Result<(), Stop> {
        let access = if address.ip().is_loopback() {
            Access::Loopback
        } else {
            Access::Token(Reviewer::new(self.connection.reader.clone(), self.clock))
        };
        let routes = routes(self.board.clone(), self.metrics.clone(), self.clock, self.leadership.clone(), access);
        print(&format!("page        http://{address}/\nmetrics     http://{address}/metrics\n"));
        let demo = async {
            if self.args.sandbox {
                demo::play(&self.connection, &self.board, &self.stop).await
            } else {
                self.stop.cancelled().await;
                Ok(())
            }
        };
        let answers = serve(listener, routes, self.stop.clone());
        // Whichever cannot go on ends the others.
        let ended = tokio::join!(
            async {
                let led = self.lead().await;
                // Whatever was at work has come to its end: now another may begin.
                if let Some(campaign) = campaign {
                    campaign.resign().await;
                }
                self.stop.cancel();
                led
            },
            async { answers.await.inspect_err(|_| self.stop.cancel()) },
            async { demo.await.inspect_err(|_| self.stop.cancel()) },
        );
        ended.0.map_err(|e| unreachable(format!("could not probe: {}", chain(&e))))?;
        ended.1.map_err(|e| unreachable(format!("could not answer: {e}")))?;
        ended.2.map_err(unreachable)
    }

    /// Does the work, once it leads.
    async fn lead(&self) -> Result<(), StartError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(()),
            () = self.leadership.leads() => {}
        }
        let settings = Settings {
            namespace: self.args.namespace.clone(),
            ceiling: self.args.max_rate,
            max_actions: self.args.max_actions,
            keep: self.args.keep,
            keep_for: self.args.keep_for,
            recordings: self.args.recordings.clone(),
            seed: self.seed,
            command: "verifier serve".into(),
        };
        let (board, metrics) = (self.board.clone(), self.metrics.clone());
        metrics.store().lead();
        Controller::run(self.connection.clone(), settings, self.clock, board, metrics, self.stop.clone()).await
    }
}

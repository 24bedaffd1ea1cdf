//! The workload's life: delay, open the port, serve, drain, exit.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::app::App;
use super::config::{Config, Drain};
use super::cpu::warm_up;
use super::drain::{Signals, close_port, connection};
use super::log::Log;

/// What a shell reports for a process that SIGTERM ended.
const EXIT_TERMINATED: u8 = 143;

/// Why the workload could not run.
#[derive(Debug, Error)]
pub(super) enum RunError {
    /// No signal handler.
    #[error("cannot catch signals")]
    Signals(#[source] io::Error),
    /// No port.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
}

impl RunError {
    /// What the system said.
    pub(super) fn cause(&self) -> &io::Error {
        let (Self::Signals(cause) | Self::Listen(_, cause)) = self;
        cause
    }
}

/// Runs from start to exit.
pub(super) async fn run(config: Config, log: &Log) -> Result<ExitCode, RunError> {
    let mut signals = Signals::catch(config.drain).map_err(RunError::Signals)?;
    let drain = config.drain;
    let _ballast = touched(config.ballast);
    tokio::select! {
        () = sleep(config.start_delay) => {}
        signal = signals.wait() => {
            log.event(format_args!("{signal} before the port opened"));
            return Ok(if drain == Drain::Abrupt { ExitCode::from(EXIT_TERMINATED) } else { ExitCode::SUCCESS });
        }
    }
    let listener = listen(config.listen).map_err(|e| RunError::Listen(config.listen, e))?;
    let address = listener.local_addr().unwrap_or(config.listen);
    log.event(format_args!("listening on {address}"));
    let app = App::open(config);
    let mut server = Server { app: Arc::clone(&app), listener: Some(listener), connections: JoinSet::new(), log };
    let code = tokio::select! {
        code = server.until_drained(&mut signals) => code,
        code = crash(&app.config) => {
            log.event(format_args!("crashing with code {code}"));
            ExitCode::from(code)
        }
        () = leak(app.config.leak) => ExitCode::SUCCESS,
        () = warm_up(&app) => ExitCode::SUCCESS,
    };
    // Whatever still runs is cut here, as the end of a process would.
    server.connections.shutdown().await;
    Ok(code)
}

/// Listens with a queue as long as the system allows: bursts of connections are part of the job.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4096)
}

struct Server<'a> {
    app: Arc<App>,
    /// Until the port is closed.
    listener: Option<TcpListener>,
    connections: JoinSet<()>,
    log: &'a Log,
}

impl Server<'_> {
    async fn until_drained(&mut self, signals: &mut Signals) -> ExitCode {
        let signal = loop {
            tokio::select! {
                signal = signals.wait() => break signal,
                () = self.step() => {}
            }
        };
        if self.app.config.drain == Drain::Abrupt {
            self.log.event(format_args!("{signal}: exit at once, {} connections open", self.connections.len()));
            return ExitCode::from(EXIT_TERMINATED);
        }
        self.log.event(format_args!("{signal}: draining {} connections", self.connections.len()));
        self.app.begin_drain();
        if timeout(self.app.config.drain_timeout, self.drain()).await.is_err() {
            self.log.event(format_args!("drain timeout: {} connections cut", self.connections.len()));
        }
        self.log.event(format_args!("exit after {} answers", self.app.served()));
        ExitCode::SUCCESS
    }

    /// Takes one connection or lets one go.
    async fn step(&mut self) {
        let room = self.connections.len() < self.app.config.max_connections;
        tokio::select! {
            stream = accept(self.listener.as_ref()), if room => self.serve(stream),
            Some(_) = self.connections.join_next() => {}
            else => {}
        }
    }

    async fn drain(&mut self) {
        if self.app.config.drain == Drain::CloseFirst {
            self.listener = None;
        }
        while !self.connections.is_empty() {
            self.step().await;
        }
        // Nobody is left, but somebody may be waiting in the kernel's queue.
        if let Some(listener) = self.listener.take() {
            for stream in close_port(listener).unwrap_or_default() {
                self.serve(stream);
            }
        }
        while self.connections.join_next().await.is_some() {}
    }

    fn serve(&mut self, stream: TcpStream) {
        self.connections.spawn(connection(Arc::clone(&self.app), stream));
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Out of descriptors, or a client that is gone already: neither ends the port.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn crash(config: &Config) -> u8 {
    match config.crash_after {
        Some(after) => sleep(after).await,
        None => pending().await,
    }
    config.crash_code
}

/// Loses memory, page by page touched, until something kills the process.
async fn leak(megabytes_per_second: f64) {
    const TICK: Duration = Duration::from_millis(100);
    let chunk = megabytes_per_second * TICK.as_secs_f64();
    if touched(chunk).is_empty() {
        return pending().await;
    }
    let mut lost: Vec<Vec<u8>> = Vec::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        lost.push(touched(chunk));
    }
}

/// So much memory, each page of it written to.
fn touched(megabytes: f64) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10000 MB")]
    let bytes = (megabytes * 1e6) as usize;
    vec![0xa5; bytes]
}

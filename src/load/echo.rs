//! An HTTP server of our own on the loopback interface, for the control lane: what goes wrong between it and the driver is no target's fault.

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::time::At;
use crate::domain::traffic::{Expect, LanePlan, Mode, RequestPlan, Schedule};

/// The control lane's name within the driver; no lane of a plan has it.
pub(crate) const LANE: &str = "(control)";

/// Slots a second of the control lane.
const RATE: f64 = 10.0;
/// An echo of our own takes microseconds.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Connections at once; more are closed.
const CONNECTIONS_MAX: usize = 128;
const RETRY: Duration = Duration::from_millis(50);
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// A running echo; ends with its thread when dropped.
#[derive(Debug)]
pub(crate) struct Echo {
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = move || {
            runtime.block_on(async {
                // Without a listener the control lane fails, which is what it is for.
                if let Ok(listener) = TcpListener::from_std(listener) {
                    stopped.run_until_cancelled(serve(listener)).await;
                }
            });
        };
        let thread = std::thread::Builder::new().name("load-echo".into()).spawn(serving)?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// The control lane: one connection for each worker.
    pub(crate) fn lane(&self, workers: usize) -> LanePlan {
        LanePlan {
            name: LANE.into(),
            mode: Mode::Kept { connections: workers },
            rate: RATE,
            schedule: Schedule::default(),
            start: At::ZERO,
            request: RequestPlan { url: format!("http://{}/", self.address), ..RequestPlan::default() },
            expect: Expect::default(),
            timeout: TIMEOUT,
            connect_timeout: TIMEOUT,
            max_in_flight: 100,
            thresholds: Vec::new(),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It has no state that a panic could leave behind.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is free now.
            tokio::time::sleep(RETRY).await;
            continue;
        };
        if connections.len() < CONNECTIONS_MAX {
            connections.spawn(echo(stream));
        }
    }
}

/// Answers each request head; our own lane sends no bodies.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buffer, mut filled) = ([0; 4_096], 0);
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest).await? {
            0 => break,
            n => filled += n,
        }
        if buffer.get(..filled).is_some_and(|head| head.ends_with(b"\r\n\r\n")) {
            stream.write_all(ANSWER).await?;
            filled = 0;
        }
    }
    Ok(())
}

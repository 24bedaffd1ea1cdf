//! The end: signals, and how the port and the connections are closed without breaking a promise.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use super::app::App;
use super::body::Busy;
use super::config::Drain;
use super::routes;

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    ignored: bool,
}

impl Signals {
    /// Catches both from now on.
    pub(super) fn catch(drain: Drain) -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, ignored: drain == Drain::Ignore })
    }

    /// The name of the first that comes and counts.
    pub(super) async fn wait(&mut self) -> &'static str {
        if self.ignored {
            return pending().await;
        }
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// How long a TCP handshake that has begun may take to end, on one machine or in one rack.
const HANDSHAKE: Duration = Duration::from_micros(300);

/// Drops segments that open a connection (SYN without ACK) and lets all others pass. A TCP filter sees the TCP header first.
const NO_NEWCOMERS: [SockFilter; 5] = [
    SockFilter::new(0x30, 0, 0, 13),       // load the flags
    SockFilter::new(0x54, 0, 0, 0x12),     // of these SYN and ACK
    SockFilter::new(0x15, 0, 1, 0x02),     // SYN alone:
    SockFilter::new(0x06, 0, 0, 0),        // nothing of it
    SockFilter::new(0x06, 0, 0, u32::MAX), // else all of it
];

/// Closes the port and returns the connections that the kernel had accepted but nobody had taken: closing alone would reset them.
///
/// A filter first keeps newcomers out, so that no connection is completed between the last look and the close. A client that falls
/// into this moment sends its SYN again a second later and is refused then.
pub(super) fn close_port(listener: TcpListener) -> io::Result<Vec<TcpStream>> {
    // Without the filter (a kernel that refuses it) only that guarantee is lost.
    let _ = SockRef::from(&listener).attach_filter(&NO_NEWCOMERS);
    // Nobody else is being served, and a timer would be too coarse.
    std::thread::sleep(HANDSHAKE);
    let listener = listener.into_std()?;
    let mut waiting = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        waiting.push(TcpStream::from_std(stream)?);
    }
    Ok(waiting)
}

/// Serves one connection to its end.
///
/// Once the drain has begun, each answer carries `Connection: close`; a connection that stays silent for `DRAIN_IDLE` is closed. To
/// close silent connections at once, as `close-first` does, resets the request that is just on its way.
pub(super) async fn connection(app: Arc<App>, stream: TcpStream) {
    // A client that went away already is noticed when reading.
    let _ = stream.set_nodelay(true);
    let (busy, mut requests) = watch::channel(0);
    let busy = Arc::new(busy);
    let mut drain = app.watch_drain();
    let service = {
        let app = Arc::clone(&app);
        service_fn(move |request| routes::respond(Arc::clone(&app), Busy::on(&busy), request))
    };
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.config.keep_alive_timeout)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        biased;
        _ = serving.as_mut() => true,
        _ = drain.wait_for(|draining| *draining) => false,
    };
    if ended {
        // An error is the client's doing or a planned cut; either way the connection is gone, or will be when its end has arrived.
        return sleep(app.config.keep_alive_lag).await;
    }
    let patience = if app.config.drain == Drain::CloseFirst { Duration::ZERO } else { app.config.drain_idle };
    let mut told = false;
    loop {
        let idle = *requests.borrow_and_update() == 0;
        tokio::select! {
            biased;
            _ = serving.as_mut() => return,
            _ = requests.changed() => {}
            // A connection that never had a request does not end by being told to.
            () = sleep(patience), if idle && told => return,
            () = sleep(patience), if idle && !told => {
                serving.as_mut().graceful_shutdown();
                told = true;
            }
        }
    }
}

//! Bodies on their way through: streamed, watched for silence, and never completed when they were not complete.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use super::pool::{Sender, Upstream};
use crate::sandbox::wire::clock::now;

/// When a request's body last moved, and who is to move it next.
#[derive(Debug)]
pub(super) struct Progress {
    start: Instant,
    last_micros: AtomicU64,
    client_is_due: AtomicBool,
}

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { start: now(), last_micros: AtomicU64::new(0), client_is_due: AtomicBool::new(false) })
    }

    /// The last time that something moved.
    pub(super) fn last(&self) -> Instant {
        self.start + Duration::from_micros(self.last_micros.load(Ordering::Relaxed))
    }

    /// Is it the client that everybody waits for?
    pub(super) fn client_is_due(&self) -> bool {
        self.client_is_due.load(Ordering::Relaxed)
    }

    /// Something moves now.
    pub(super) fn moved(&self) {
        let micros = u64::try_from((now() - self.start).as_micros()).unwrap_or(u64::MAX);
        self.last_micros.store(micros, Ordering::Relaxed);
        self.client_is_due.store(false, Ordering::Relaxed);
    }
}

/// A request's body, on its way to the pod.
#[derive(Debug)]
pub(super) struct ToPod {
    incoming: Incoming,
    progress: Arc<Progress>,
}

impl ToPod {
    pub(super) fn new(incoming: Incoming, progress: &Arc<Progress>) -> Self {
        Self { incoming, progress: Arc::clone(progress) }
    }
}

impl Body for ToPod {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        match polled {
            Poll::Ready(_) => self.progress.moved(),
            Poll::Pending => self.progress.client_is_due.store(true, Ordering::Relaxed),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// An answer's body, on its way to the client.
#[derive(Debug)]
pub(super) enum Answer {
    /// The proxy's own words.
    Own(Full<Bytes>),
    /// What the pod sends.
    Passed(Passed),
}

/// A pod's answer as it comes. Its connection is given back when it has come whole, and closed when not.
#[derive(Debug)]
pub(super) struct Passed {
    incoming: Incoming,
    sender: Option<Sender>,
    upstream: Arc<Upstream>,
    keep_idle: usize,
    silence: Silence,
    end: End,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum End {
    /// More may come.
    Open,
    /// It came whole.
    Whole,
    /// It broke off; the client is told once what came before has been written.
    Broken(Option<io::Error>),
}

impl Passed {
    pub(super) fn new(
        incoming: Incoming,
        sender: Sender,
        upstream: Arc<Upstream>,
        keep_idle: usize,
        longest_silence: Duration,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let silence = Silence { longest: longest_silence, timer: None, running: false };
        Self { incoming, sender: Some(sender), upstream, keep_idle, silence, end: End::Open, _place: place }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let End::Broken(error) = &mut self.end {
            return Poll::Ready(error.take().map(Err));
        }
        let broken = match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.silence.running = false;
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => {
                self.end = End::Whole;
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(error))) => io::Error::other(error),
            Poll::Pending => match self.silence.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => io::ErrorKind::TimedOut.into(),
            },
        };
        self.upstream.count_failure();
        self.end = End::Broken(Some(broken));
        // An error makes hyper drop what it has not written yet, the answer's head perhaps. A pause makes it write first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        // A body of known length is not polled once more after its last byte.
        let whole = matches!(self.end, End::Whole) || self.incoming.is_end_stream();
        if let (true, Some(sender)) = (whole, self.sender.take()) {
            self.upstream.give_back(sender, self.keep_idle);
        }
    }
}

/// Measures how long nothing has come while something was asked for.
#[derive(Debug)]
struct Silence {
    longest: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    running: bool,
}

impl Silence {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(now() + self.longest)));
        if !self.running {
            self.running = true;
            timer.as_mut().reset(now() + self.longest);
        }
        timer.as_mut().poll(cx)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Own(own) => Pin::new(own).poll_frame(cx).map_err(|never| match never {}),
            Self::Passed(passed) => passed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(own) => own.is_end_stream(),
            Self::Passed(passed) => passed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(own) => own.size_hint(),
            Self::Passed(passed) => passed.incoming.size_hint(),
        }
    }
}

//! Response bodies: whole, cut in the middle, a stream of events, or the request's own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;

use super::app::App;

/// Any of them.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is there.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// The first half of a body, then the connection's end.
pub(super) fn truncated(bytes: &Bytes) -> Body {
    let half = bytes.slice(..bytes.len() / 2);
    let cut = stream::unfold(Some(half), |half| async move {
        if let Some(half) = half {
            return Some((Ok(Frame::data(half)), None));
        }
        // Lets the first half leave before the connection goes.
        sleep(Duration::from_millis(20)).await;
        Some((Err(io::Error::other("cut by TRUNCATE_RATIO")), None))
    });
    StreamBody::new(cut).boxed_unsync()
}

/// Server-sent events, the first at once. A stream without a limit ends when the drain begins; one with a limit is completed.
pub(super) fn events(app: &Arc<App>, period: Duration, limit: Option<u64>) -> Body {
    let events = stream::unfold((0u64, app.watch_drain()), move |(n, mut draining)| async move {
        if limit.is_some_and(|limit| n >= limit) {
            return None;
        }
        if n > 0 {
            tokio::select! {
                () = sleep(period) => {}
                _ = draining.wait_for(|draining| *draining), if limit.is_none() => return None,
            }
        }
        let event = format!("id: {n}\ndata: {{\"n\":{n}}}\n\n");
        Some((Ok(Frame::data(event.into())), (n + 1, draining)))
    });
    StreamBody::new(events).boxed_unsync()
}

/// The request's body, sent back as it comes.
pub(super) fn echo(incoming: Incoming) -> Body {
    incoming.map_err(io::Error::other).boxed_unsync()
}

/// A request being served on one connection, from its head to the last byte of its answer.
#[derive(Debug)]
pub(super) struct Busy(Arc<watch::Sender<usize>>);

impl Busy {
    /// Counts it on its connection.
    pub(super) fn on(connection: &Arc<watch::Sender<usize>>) -> Self {
        connection.send_modify(|n| *n += 1);
        Self(Arc::clone(connection))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

/// A body that keeps its connection busy and its place taken until it has been sent.
#[derive(Debug)]
pub(super) struct Held {
    body: Body,
    _busy: Busy,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Holds both until the body's end.
    pub(super) fn new(body: Body, busy: Busy, slot: Option<OwnedSemaphorePermit>) -> Self {
        Self { body, _busy: busy, _slot: slot }
    }
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

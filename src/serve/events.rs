//! The events of a run as they happen: server-sent events, each one line of what a recording would be.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::access::Viewer;
use super::{Shown, is_visible};

struct Reading {
    before: VecDeque<Arc<str>>,
    live: Receiver<Arc<str>>,
    /// One of those who may read at once.
    _place: OwnedSemaphorePermit,
}

pub(super) async fn follow(State(shown): State<Shown>, Extension(viewer): Extension<Viewer>, Path(id): Path<String>) -> Response {
    if !is_visible(&shown, &viewer, &id).await {
        return (StatusCode::NOT_FOUND, "no such run goes on\n").into_response();
    }
    let Ok(place) = Arc::clone(&shown.followers).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many follow events already\n").into_response();
    };
    let Some(follower) = shown.board.follow(&id) else {
        return (StatusCode::NOT_FOUND, "no such run goes on\n").into_response();
    };
    let reading = Reading { before: follower.before.into(), live: follower.live, _place: place };
    Sse::new(stream::unfold(reading, next)).keep_alive(KeepAlive::default()).into_response()
}

/// The next event; `missed` says how many a slow reader did not get. The stream ends with the run.
async fn next(mut reading: Reading) -> Option<(Result<Event, Infallible>, Reading)> {
    let event = match reading.before.pop_front() {
        Some(line) => Event::default().data(&*line),
        None => match reading.live.recv().await {
            Ok(line) => Event::default().data(&*line),
            Err(RecvError::Lagged(missed)) => Event::default().event("missed").data(missed.to_string()),
            Err(RecvError::Closed) => return None,
        },
    };
    Some((Ok(event), reading))
}

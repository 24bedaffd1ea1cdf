//! Watches: each reads the store's history at its own pace and is told when there is more.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Sleep;

use super::form::{RowObject, Showing};
use super::media::Form;
use super::{Call, respond};
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::kinds::Kind;
use crate::sandbox::model::object::Now;
use crate::sandbox::model::store::{Change, Event, ListQuery, Selection, Stored, event_of};

/// As many changes or objects as are read at once.
const BATCH: usize = 128;
const BOOKMARK: Duration = Duration::from_mins(1);
const LONGEST: i64 = 3600;

struct Watcher {
    call: Call,
    kind: Arc<Kind>,
    selection: Selection,
    namespace: Option<String>,
    /// Nothing up to this version is missing.
    after: u64,
    news: watch::Receiver<u64>,
    initial: VecDeque<Stored>,
    /// The end of the initial objects is to be marked.
    mark_initial: bool,
    bookmarks: bool,
    columns: bool,
    end: Pin<Box<Sleep>>,
    bookmark: Pin<Box<Sleep>>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

pub(super) fn answer(call: Call, kind: Arc<Kind>) -> Result<Response<Body>, ApiError> {
    let Ok(permit) = call.watches.clone().try_acquire_owned() else { return Err(super::too_many()) };
    let selection = call.params.selection(&kind.resource)?;
    let namespace = Some(call.resource.namespace.clone()).filter(|n| !n.is_empty());
    let news = call.world.watch();
    let wanted = call.params.version()?;
    let send_initial = match call.params.get("sendInitialEvents") {
        Some("true") => true,
        Some(_) => false,
        None => matches!(wanted, None | Some(0)),
    };
    let (initial, after) = call.world.read(|store| match (send_initial, wanted) {
        (true, _) => {
            let query = ListQuery { namespace: namespace.clone(), selection: selection.clone(), ..ListQuery::default() };
            store.page(&kind.resource, &query).map(|page| (page.items.into(), page.version))
        }
        (false, Some(version)) if version > 0 => Ok((VecDeque::new(), version.min(store.version()))),
        (false, _) => Ok((VecDeque::new(), store.version())),
    })?;
    // Without a wish the length is spread over half an hour, so that watchers do not all come back at once.
    let spread = i64::try_from(after % 1800).unwrap_or(0);
    let seconds = call.params.number("timeoutSeconds")?.filter(|s| *s > 0).unwrap_or(1800 + spread).min(LONGEST);
    let bookmarks = call.params.flag("allowWatchBookmarks");
    let watcher = Watcher {
        selection,
        namespace,
        after,
        news,
        initial,
        mark_initial: send_initial && call.params.get("sendInitialEvents").is_some() && bookmarks,
        bookmarks,
        columns: true,
        end: Box::pin(tokio::time::sleep(Duration::from_secs(seconds.unsigned_abs()))),
        bookmark: Box::pin(tokio::time::sleep(BOOKMARK)),
        ended: false,
        _permit: permit,
        kind,
        call,
    };
    let lines =
        stream::unfold(
            watcher,
            |mut watcher| async move { watcher.next().await.map(|bytes| (Ok::<_, Infallible>(bytes), watcher)) },
        );
    Ok(respond::body(StatusCode::OK, "application/json", Body::from_stream(lines)))
}

enum Woken {
    News,
    Bookmark,
    End,
    Stop,
}

impl Watcher {
    /// The next lines to send, or the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.ended {
                return None;
            }
            let lines = self.lines();
            if !lines.is_empty() {
                return Some(lines.into());
            }
            if self.ended {
                return None;
            }
            match self.woken().await {
                Woken::News => {}
                Woken::Bookmark => {
                    self.bookmark = Box::pin(tokio::time::sleep(BOOKMARK));
                    if self.bookmarks {
                        return Some(self.mark(false).into());
                    }
                }
                Woken::End => {
                    self.ended = true;
                    return self.bookmarks.then(|| self.mark(false).into());
                }
                Woken::Stop => return None,
            }
        }
    }

    async fn woken(&mut self) -> Woken {
        tokio::select! {
            () = self.call.stop.cancelled() => Woken::Stop,
            changed = self.news.changed() => if changed.is_ok() { Woken::News } else { Woken::Stop },
            () = &mut self.end => Woken::End,
            () = &mut self.bookmark => Woken::Bookmark,
        }
    }

    /// What there is to send now.
    fn lines(&mut self) -> Vec<u8> {
        let now = self.call.world.now();
        if !self.initial.is_empty() {
            let count = self.initial.len().min(BATCH);
            let batch: Vec<Event> = self.initial.drain(..count).map(|stored| Event { kind: "ADDED", stored }).collect();
            return self.written(&batch, now);
        }
        if std::mem::take(&mut self.mark_initial) {
            return self.mark(true);
        }
        let changes = match self.changes() {
            Ok(changes) => changes,
            Err(error) => {
                self.ended = true;
                return line("ERROR", &error.to_status());
            }
        };
        let events: Vec<Event> = changes.iter().filter_map(|c| event_of(c, self.namespace.as_deref(), &self.selection)).collect();
        if events.is_empty() && changes.len() == BATCH {
            return self.lines();
        }
        self.written(&events, now)
    }

    fn changes(&mut self) -> Result<Vec<Change>, ApiError> {
        self.news.borrow_and_update();
        let (changes, version, served) = self.call.world.read(|store| {
            let served = store.registry().find(&self.kind.group, &self.kind.version, &self.kind.plural).is_some();
            store.changes(&self.kind.resource, self.after, BATCH).map(|changes| (changes, store.version(), served))
        })?;
        self.after = match changes.last() {
            Some(last) if changes.len() == BATCH => last.version,
            _ => version,
        };
        // A definition that is gone has taken its objects along; there is nothing more to come.
        self.ended = !served;
        Ok(changes)
    }

    fn showing(&self, now: Now) -> Showing<'_> {
        Showing { kind: &self.kind, form: self.call.wanted.form, rows: RowObject::read(self.call.params.get("includeObject")), now }
    }

    fn written(&mut self, events: &[Event], now: Now) -> Vec<u8> {
        let mut lines = Vec::new();
        for event in events {
            let showing = self.showing(now);
            let object = if showing.form == Form::Table {
                let metadata = json!({"resourceVersion": event.stored.object["metadata"]["resourceVersion"]});
                showing.table(std::slice::from_ref(&event.stored), &metadata, self.columns)
            } else {
                showing.one(&event.stored)
            };
            self.columns = false;
            lines.extend(line(event.kind, &object));
        }
        lines
    }

    fn mark(&self, initial: bool) -> Vec<u8> {
        line("BOOKMARK", &self.showing(self.call.world.now()).bookmark(self.after, initial))
    }
}

fn line(kind: &str, object: &Value) -> Vec<u8> {
    let mut line = json!({"type": kind, "object": object}).to_string().into_bytes();
    line.push(b'\n');
    line
}

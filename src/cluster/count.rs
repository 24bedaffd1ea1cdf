//! Counts the calls of a client by the status of their answers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{Layer, Service};

/// Told of each answer: its status, or `none` when none came.
pub type Counter = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Puts a counter around a client's service.
pub(super) struct Counted(pub(super) Counter);

impl<S> Layer<S> for Counted {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Counting<S> {
        Counting { inner, counter: Arc::clone(&self.0) }
    }
}

/// The service with its counter.
pub(super) struct Counting<S> {
    inner: S,
    counter: Counter,
}

impl<S, A, B> Service<Request<A>> for Counting<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: 'static,
    S::Error: 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (answer, counter) = (self.inner.call(request), Arc::clone(&self.counter));
        Box::pin(async move {
            let answer = answer.await;
            counter(answer.as_ref().map_or("none", |answer| word(answer.status().as_u16())));
            answer
        })
    }
}

/// Statuses that are told by themselves; the others by their class.
const NAMED: [(u16, &str); 12] = [
    (200, "200"),
    (201, "201"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (409, "409"),
    (410, "410"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (503, "503"),
    (504, "504"),
];

/// A closed set of words.
fn word(status: u16) -> &'static str {
    let named = NAMED.iter().find(|(number, _)| *number == status).map(|(_, word)| *word);
    named.unwrap_or(match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_word_of_a_closed_set() {
        assert_eq!([200, 202, 304, 404, 418, 503, 599].map(word), ["200", "2xx", "3xx", "404", "4xx", "503", "5xx"]);
        let words: std::collections::BTreeSet<&str> = (100..=u16::MAX).map(word).collect();
        assert_eq!(words.len(), NAMED.len() + 5);
    }
}

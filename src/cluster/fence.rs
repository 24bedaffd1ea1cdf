//! Only who leads may write: a fence around the client that writes. It asks nobody: until when it is open was said before, so it closes by
//! itself when nothing more is heard.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use thiserror::Error;
use tokio::sync::watch;
use tower::{BoxError, Layer, Service};

use crate::clock::Clock;
use crate::domain::time::At;

/// Why something was not written, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this verifier does not lead: nothing is written")]
pub struct NotLeading;

/// Opens and closes a fence. Without it the fence stays as it is, and closes when its time has come.
#[derive(Debug)]
pub struct Latch(watch::Sender<Option<At>>);

/// Whether writing is allowed now.
#[derive(Clone, Debug)]
pub struct Fence {
    clock: Clock,
    until: watch::Receiver<Option<At>>,
}

/// A closed fence, and what opens it.
pub fn fence(clock: Clock) -> (Latch, Fence) {
    let (latch, until) = watch::channel(None);
    (Latch(latch), Fence { clock, until })
}

impl Latch {
    /// Writing is allowed until then.
    pub fn open(&self, until: At) {
        self.0.send_replace(Some(until));
    }

    /// Writing is not allowed from now on, and what is being written is broken off.
    pub fn close(&self) {
        self.0.send_replace(None);
    }
}

impl Fence {
    /// Whether it is open at this moment.
    pub fn is_open(&self, now: At) -> bool {
        self.until.borrow().is_some_and(|until| now < until)
    }

    /// Waits until it is closed.
    pub async fn closed(&mut self) {
        loop {
            let until = *self.until.borrow_and_update();
            let Some(until) = until.filter(|until| self.clock.now() < *until) else { return };
            let time = tokio::time::sleep_until(self.clock.instant(until).into());
            tokio::select! {
                () = time => {}
                Ok(()) = self.until.changed() => {}
            }
        }
    }
}

/// Puts a fence, if there is one, around a client's service.
pub(super) struct Fenced(pub(super) Option<Fence>);

impl<S> Layer<S> for Fenced {
    type Service = Fencing<S>;

    fn layer(&self, inner: S) -> Fencing<S> {
        Fencing { inner, fence: self.0.clone() }
    }
}

/// The service with its fence.
pub(super) struct Fencing<S> {
    inner: S,
    fence: Option<Fence>,
}

impl<S, A, B> Service<Request<A>> for Fencing<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + 'static,
    B: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let Some(mut fence) = self.fence.clone().filter(|_| !reads) else {
            let answer = self.inner.call(request);
            return Box::pin(async move { answer.await.map_err(Into::into) });
        };
        if !fence.is_open(fence.clock.now()) {
            return Box::pin(std::future::ready(Err(NotLeading.into())));
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            tokio::select! {
                // First: a process that was stopped and goes on looks whether it still leads before it does anything.
                biased;
                () = fence.closed() => Err(NotLeading.into()),
                answer = answer => answer.map_err(Into::into),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::sync::Notify;
    use tower::{ServiceExt, service_fn};

    use super::*;

    /// Longer than anything here takes.
    const DEADLINE: Duration = Duration::from_secs(20);
    const LONG: Duration = Duration::from_hours(1);

    type Asked = Result<Response<()>, BoxError>;

    /// Asks an API that counts what reaches it, and answers writes when it is told to.
    #[derive(Clone, Default)]
    struct Api {
        reached: Arc<AtomicUsize>,
        answer: Arc<Notify>,
        begun: Arc<Notify>,
    }

    impl Api {
        fn ask(&self, fence: Option<&Fence>, method: Method) -> impl Future<Output = Asked> + Send + 'static {
            let api = self.clone();
            let service = service_fn(move |request: Request<()>| {
                let api = api.clone();
                async move {
                    api.reached.fetch_add(1, Ordering::SeqCst);
                    api.begun.notify_one();
                    if request.method() != Method::GET {
                        api.answer.notified().await;
                    }
                    Ok::<_, Infallible>(Response::new(()))
                }
            });
            let request = Request::builder().method(method).body(()).unwrap();
            Fenced(fence.cloned()).layer(service).oneshot(request)
        }

        fn reached(&self) -> usize {
            self.reached.load(Ordering::SeqCst)
        }
    }

    #[track_caller]
    fn refused(asked: Asked) {
        let error = asked.unwrap_err();
        assert!(error.is::<NotLeading>(), "{error}");
    }

    #[tokio::test]
    async fn who_does_not_lead_reads_and_writes_nothing() {
        let (clock, api) = (Clock::start(), Api::default());
        let (latch, fence) = fence(clock);
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            refused(api.ask(Some(&fence), method).await);
        }
        assert_eq!(api.reached(), 0);
        api.ask(Some(&fence), Method::GET).await.unwrap();
        assert_eq!(api.reached(), 1);
        latch.open(clock.now() + LONG);
        api.answer.notify_one();
        api.ask(Some(&fence), Method::PATCH).await.unwrap();
        // One whose time is over is closed, though nobody closes it, and nobody may be there any more.
        latch.open(clock.now());
        drop(latch);
        refused(api.ask(Some(&fence), Method::PATCH).await);
        assert_eq!(api.reached(), 2);
        api.answer.notify_one();
        api.ask(None, Method::PATCH).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_being_written_is_broken_off_when_the_lead_is_lost() {
        let (clock, api) = (Clock::start(), Api::default());
        let (latch, fence) = fence(clock);
        latch.open(clock.now() + LONG);
        let writing = tokio::spawn(api.ask(Some(&fence), Method::PATCH));
        api.begun.notified().await;
        // Renewed meanwhile: it goes on.
        latch.open(clock.now() + LONG + LONG);
        tokio::task::yield_now().await;
        assert!(!writing.is_finished());
        latch.close();
        refused(tokio::time::timeout(DEADLINE, writing).await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn what_is_being_written_is_broken_off_when_nothing_more_is_heard() {
        let (clock, api) = (Clock::start(), Api::default());
        let (latch, fence) = fence(clock);
        latch.open(clock.now() + Duration::from_millis(50));
        let writing = tokio::spawn(api.ask(Some(&fence), Method::PATCH));
        drop(latch);
        refused(tokio::time::timeout(DEADLINE, writing).await.unwrap().unwrap());
    }
}

//! The Kubernetes API as the run needs it: connect, look, watch, act. Thin: what it sees becomes domain events, and what it does was
//! decided elsewhere.

pub mod act;
pub mod around;
pub mod connect;
mod convert;
pub mod count;
pub mod discover;
pub mod fence;
pub mod fleet;
#[cfg(test)]
mod integrations;
mod kinds;
pub mod lease;
pub mod policy;
pub mod put_back;
pub mod review;
pub mod standing;
mod time;
pub mod verification;
pub mod watch;
pub mod ways;

use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use thiserror::Error;

/// The objects of a kind in this namespace; in all of them when none is named.
fn within<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    namespace.map_or_else(|| Api::all(client.clone()), |ns| Api::namespaced(client.clone(), ns))
}

/// A call that failed, and what it was for.
#[derive(Debug, Error)]
#[error("could not {operation}")]
pub struct ClusterError {
    /// What was tried: `patch deployment todo/backend`.
    pub operation: String,
    /// What came back.
    #[source]
    pub source: Box<kube::Error>,
}

impl ClusterError {
    fn new(operation: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let operation = operation.into();
        move |source| Self { operation, source: Box::new(source) }
    }

    /// No answer came in the time that the caller had.
    fn timed_out(operation: impl Into<String>) -> Self {
        let source = kube::Error::Service("no answer came in time".into());
        Self { operation: operation.into(), source: Box::new(source) }
    }

    /// Did the API refuse for lack of permission?
    pub fn is_forbidden(&self) -> bool {
        matches!(&*self.source, kube::Error::Api(status) if status.code == 403 || status.code == 401)
    }
}

/// An error with all its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

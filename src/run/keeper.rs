//! What a run has to put back: knows how things were before, and puts them so at the end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::Value;

use super::executor::complete;
use crate::cluster::connect::Connection;
use crate::cluster::put_back::{self, Created, Restored, Spec};
use crate::cluster::{ClusterError, chain};
use crate::domain::event::PutBack;
use crate::domain::scenario::Target;

/// How long what was deleted may take until it is gone: namespaces go last, and slowly.
const GONE_WITHIN: Duration = Duration::from_secs(90);
/// Between two looks at what was deleted.
const LOOK: Duration = Duration::from_millis(200);

/// What is put back at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutBackWhat {
    /// Nothing: it stays as the run leaves it.
    Nothing,
    /// The target's spec, as it was before the change.
    Spec,
    /// Everything that was not there before is removed.
    Created,
}

/// Remembers how it was.
pub(super) struct Keeper {
    what: PutBackWhat,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The target's spec before the change.
    before: Option<Spec>,
    /// The template that the change brought.
    ours: Option<Value>,
    /// What was not there before, in the order of its creation.
    created: Vec<Created>,
}

impl Keeper {
    pub(super) fn new(what: PutBackWhat) -> Self {
        Self { what, memory: Mutex::default() }
    }

    fn remember(&self, what: impl FnOnce(&mut Memory)) {
        what(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes which of the objects will be new. Before they are applied, so that nothing is forgotten when that is interrupted.
    pub(super) async fn before_apply(
        &self,
        connection: &Connection,
        objects: &[Value],
        namespace: &str,
    ) -> Result<(), ClusterError> {
        if self.what == PutBackWhat::Created {
            let missing = put_back::missing(&connection.reader, objects, namespace).await?;
            self.remember(|memory| memory.created.extend(missing));
        }
        Ok(())
    }

    /// Notes the target's spec.
    pub(super) async fn before_change(&self, connection: &Connection, target: &Target) -> Result<(), ClusterError> {
        if self.what == PutBackWhat::Spec {
            let spec = put_back::spec(&connection.reader, &target.namespace, &target.deployment).await?;
            self.remember(|memory| memory.before = spec);
        }
        Ok(())
    }

    /// Notes the template that the change has brought.
    pub(super) async fn after_change(&self, connection: &Connection, target: &Target) -> Result<(), ClusterError> {
        if self.what == PutBackWhat::Spec {
            let spec = put_back::spec(&connection.reader, &target.namespace, &target.deployment).await?;
            self.remember(|memory| memory.ours = spec.map(|spec| spec.value["template"].clone()));
        }
        Ok(())
    }

    /// Puts back. `scales`: the run has set the number of replicas. `within`: how long the Deployment may take to be complete again.
    pub(super) async fn put_back(&self, connection: &Connection, target: &Target, scales: bool, within: Duration) -> PutBack {
        let memory = std::mem::take(&mut *self.memory.lock().unwrap_or_else(PoisonError::into_inner));
        match self.what {
            PutBackWhat::Nothing => PutBack::default(),
            PutBackWhat::Spec => restore(connection, target, &memory, scales, within).await,
            PutBackWhat::Created => remove(&memory.created).await,
        }
    }
}

async fn restore(connection: &Connection, target: &Target, memory: &Memory, scales: bool, within: Duration) -> PutBack {
    let (ns, name) = (target.namespace.as_str(), target.deployment.as_str());
    let who = format!("deployment {ns}/{name}");
    // Nothing was changed before the spec was read.
    let Some(before) = &memory.before else { return PutBack::default() };
    let left = |why: &str| PutBack { left: vec![format!("{who} {why}")], ..PutBack::default() };
    let done = |how: &str| PutBack { done: vec![format!("{who} {how}")], ..PutBack::default() };
    match put_back::restore(&connection.writer, ns, name, before, memory.ours.as_ref(), scales).await {
        Err(error) => left(&format!("could not be put back: {}", chain(&error))),
        Ok(Restored::Replaced) => left("was deleted or replaced: it was left alone"),
        Ok(Restored::Foreign) => left("was given another template by somebody else: it was left alone"),
        Ok(Restored::Unchanged) => done("is as it was"),
        Ok(Restored::Done) => {
            let api: Api<Deployment> = Api::namespaced(connection.reader.clone(), ns);
            let again = tokio::time::timeout(within, kube::runtime::wait::await_condition(api, name, complete)).await;
            match again {
                Ok(Ok(_)) => done("has the spec that it had, and is complete"),
                Ok(Err(error)) => {
                    left(&format!("has the spec that it had; whether it is complete is not known: {}", chain(&error)))
                }
                Err(_) => {
                    let within = humantime::format_duration(within);
                    left(&format!("has the spec that it had, but was not complete within {within}"))
                }
            }
        }
    }
}

/// Removes the objects, the last one first, and waits until they are gone.
async fn remove(created: &[Created]) -> PutBack {
    let mut outcome = PutBack::default();
    let mut going = Vec::new();
    for object in created.iter().rev() {
        match object.delete().await {
            Ok(()) => going.push(object),
            Err(error) => outcome.left.push(format!("{}: {}", object.label(), chain(&error))),
        }
    }
    let waiting = async {
        for object in &going {
            // An API that does not answer for a moment is asked again.
            while !matches!(object.is_there().await, Ok(false)) {
                tokio::time::sleep(LOOK).await;
            }
            outcome.done.push(format!("removed {}", object.label()));
        }
    };
    let late = tokio::time::timeout(GONE_WITHIN, waiting).await.is_err();
    if late {
        let gone = outcome.done.len();
        let text =
            |object: &&Created| format!("{} is deleted, but was not gone within {} s", object.label(), GONE_WITHIN.as_secs());
        outcome.left.extend(going.iter().skip(gone).map(text));
    }
    outcome
}

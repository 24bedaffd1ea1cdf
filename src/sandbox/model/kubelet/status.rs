//! The status of a pod, as the kubelet reports it.

use serde_json::{Value, json};

use super::container::{Container, Ended};
use super::io::Action;
use super::machine::Machine;
use super::plan::Role;
use crate::sandbox::model::object::{self, Now};
use crate::sandbox::model::write::Write;

/// The last status that was written, and over which version of the object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sent {
    version: String,
    status: Value,
}

impl Machine {
    /// Writes the status if the store has another one.
    pub(super) fn write_status(&mut self, now: Now) {
        let status = self.render_status(now);
        let stored = &self.object["status"];
        if status.as_object().is_some_and(|fields| fields.iter().all(|(field, value)| stored[field] == *value)) {
            return;
        }
        let version = self.object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let sent = Sent { version, status };
        if self.sent.as_ref() == Some(&sent) {
            return;
        }
        // A condition of somebody else may have come in between: then this write is refused, and made again over the new object.
        let if_version = (!sent.version.is_empty()).then(|| sent.version.clone());
        let patch = json!({"status": sent.status});
        self.out.push(Action::Write(Write::PatchStatus { key: self.key(), if_version, patch }));
        self.sent = Some(sent);
    }

    fn render_status(&mut self, now: Now) -> Value {
        let phase = self.phase();
        let conditions = self.render_conditions(phase, now);
        let host = self.settings.host.to_string();
        let ip = self.ip.to_string();
        let mut status = json!({
            "phase": phase,
            "conditions": conditions,
            "hostIP": host,
            "hostIPs": [{"ip": host}],
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "startTime": object::time(self.start_time),
            "qosClass": super::resources::qos_class(&self.plan.spec),
            "containerStatuses": self.statuses(false),
        });
        if self.containers.iter().any(|c| c.plan.role != Role::App) {
            status["initContainerStatuses"] = self.statuses(true);
        }
        let generation = object::generation(&self.object);
        if generation > 0 {
            status["observedGeneration"] = generation.into();
        }
        status
    }

    /// Ordinary containers are listed by name, init containers in their order.
    fn statuses(&self, init: bool) -> Value {
        let mut statuses: Vec<_> = self.containers.iter().filter(|c| (c.plan.role != Role::App) == init).collect();
        if !init {
            statuses.sort_by(|a, b| a.name().cmp(b.name()));
        }
        statuses.into_iter().map(|c| self.container_status(c)).collect()
    }

    fn container_status(&self, container: &Container) -> Value {
        let shown = self.shown(container);
        let mut status = json!({
            "name": container.name(),
            "image": container.plan.image(),
            "imageID": "",
            "ready": container.ready(),
            "started": container.started(),
            "restartCount": container.created.saturating_sub(1),
            "state": shown.state,
            "lastState": shown.last,
        });
        if let Some(attempt) = container.created.checked_sub(1) {
            status["imageID"] = format!("sandbox://{}", container.plan.image()).into();
            status["containerID"] = self.container_id(container, attempt).into();
        }
        status
    }

    fn shown(&self, container: &Container) -> Shown {
        let terminated = |ended: &Option<Ended>| ended.as_ref().map_or(json!({}), |e| self.terminated(container, e));
        if let Some(started_at) = container.shown_running() {
            let state = json!({"running": {"startedAt": object::time(started_at)}});
            return Shown { state, last: terminated(&container.ended) };
        }
        if let Some(waiting) = &container.waiting {
            let state = json!({"waiting": {"reason": waiting.reason, "message": waiting.message}});
            return Shown { state, last: terminated(&container.ended) };
        }
        if container.ended.is_some() {
            return Shown { state: terminated(&container.ended), last: terminated(&container.previous) };
        }
        if self.finished && self.is_initialized() {
            let message = "The container could not be located when the pod was terminated";
            let state = json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": message}});
            return Shown { state, last: json!({}) };
        }
        let first = self.containers.iter().all(|c| c.plan.role == Role::App);
        let reason = if first { "ContainerCreating" } else { "PodInitializing" };
        Shown { state: json!({"waiting": {"reason": reason}}), last: json!({}) }
    }

    fn terminated(&self, container: &Container, ended: &Ended) -> Value {
        let mut state = json!({
            "exitCode": ended.code,
            "reason": ended.reason,
            "startedAt": object::time(ended.started_at),
            "finishedAt": object::time(ended.finished_at),
            "containerID": self.container_id(container, ended.attempt),
        });
        if !ended.message.is_empty() {
            state["message"] = ended.message.as_str().into();
        }
        json!({"terminated": state})
    }

    fn container_id(&self, container: &Container, attempt: u32) -> String {
        format!("sandbox://{}-{}-{attempt}", object::uid(&self.object), container.name())
    }

    /// `status.phase`
    fn phase(&self) -> &'static str {
        let apps = || self.containers.iter().filter(|c| c.plan.role == Role::App);
        if self.finished {
            let well = self.is_initialized() && apps().all(Container::succeeded);
            return if well { "Succeeded" } else { "Failed" };
        }
        let never_created = apps().any(|c| c.created == 0 || c.shown_running().is_none() && c.ended.is_none());
        if !self.is_initialized() || never_created { "Pending" } else { "Running" }
    }
}

struct Shown {
    state: Value,
    last: Value,
}

//! The conditions of a pod: the five the kubelet owns, and those of others, which it must carry along.

use serde_json::{Value, json};

use super::machine::Machine;
use super::plan::Role;
use crate::sandbox::model::object::{self, Now};

const OWN: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// What `status.conditions` holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    foreign: Vec<Value>,
    own: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    kind: &'static str,
    status: bool,
    reason: &'static str,
    message: String,
    since: Now,
}

/// A condition that holds, or does not and says why.
struct Finding {
    status: bool,
    reason: &'static str,
    message: String,
}

impl Finding {
    const YES: Self = Self { status: true, reason: "", message: String::new() };

    fn no(reason: &'static str, message: String) -> Self {
        Self { status: false, reason, message }
    }
}

impl Conditions {
    /// The conditions as an object has them; for our own, only since when.
    pub(super) fn read(pod: &Value) -> Self {
        let mut conditions = Self::default();
        for kind in OWN {
            let stored = stored(pod).find(|c| c["type"] == kind);
            if let Some((status, since)) =
                stored.and_then(|c| Some((c["status"] == "True", object::parse_time(&c["lastTransitionTime"])?)))
            {
                conditions.own.push(Condition { kind, status, reason: "", message: String::new(), since });
            }
        }
        conditions.keep_foreign(pod);
        conditions
    }

    /// Takes over the conditions of others.
    pub(super) fn keep_foreign(&mut self, pod: &Value) {
        self.foreign = stored(pod).filter(|c| !OWN.iter().any(|own| c["type"] == *own)).cloned().collect();
    }

    fn set(&mut self, kind: &'static str, finding: Finding, now: Now) {
        let Finding { status, reason, message } = finding;
        let before = self.own.iter().find(|c| c.kind == kind);
        let since = before.filter(|c| c.status == status).map_or(now, |c| c.since);
        self.own.retain(|c| c.kind != kind);
        self.own.push(Condition { kind, status, reason, message, since });
    }

    fn render(&self, generation: i64) -> Value {
        let own = OWN.iter().filter_map(|kind| self.own.iter().find(|c| c.kind == *kind)).map(|c| {
            let mut value = json!({
                "type": c.kind,
                "status": if c.status { "True" } else { "False" },
                "lastTransitionTime": object::time(c.since),
            });
            for (field, text) in [("reason", c.reason), ("message", c.message.as_str())] {
                if !text.is_empty() {
                    value[field] = text.into();
                }
            }
            if generation > 0 {
                value["observedGeneration"] = generation.into();
            }
            value
        });
        self.foreign.iter().cloned().chain(own).collect()
    }
}

fn stored(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["status"]["conditions"].as_array().into_iter().flatten()
}

impl Machine {
    /// Finds out all conditions and renders them.
    pub(super) fn render_conditions(&mut self, phase: &str, now: Now) -> Value {
        let network = if self.finished { Finding::no("", String::new()) } else { Finding::YES };
        let containers_ready = self.containers_ready(phase);
        let ready = match self.unready_gates() {
            message if containers_ready.status && !message.is_empty() => Finding::no("ReadinessGatesNotReady", message),
            _ => Finding { message: containers_ready.message.clone(), ..containers_ready },
        };
        let initialized = self.initialized(phase);
        self.conditions.set("PodReadyToStartContainers", network, now);
        self.conditions.set("Initialized", initialized, now);
        self.conditions.set("Ready", ready, now);
        self.conditions.set("ContainersReady", containers_ready, now);
        self.conditions.set("PodScheduled", Finding::YES, now);
        self.conditions.render(object::generation(&self.object))
    }

    fn containers_ready(&self, phase: &str) -> Finding {
        match phase {
            "Succeeded" => return Finding::no("PodCompleted", String::new()),
            "Failed" => return Finding::no("PodFailed", String::new()),
            _ => {}
        }
        let unready: Vec<_> = self
            .containers
            .iter()
            .filter(|c| c.plan.role != Role::Init && !c.ready())
            .map(super::container::Container::name)
            .collect();
        if unready.is_empty() {
            return Finding::YES;
        }
        Finding::no("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
    }

    fn unready_gates(&self) -> String {
        let unready = self.plan.gates.iter().filter_map(|gate| {
            match stored(&self.object).find(|c| c["type"] == gate.as_str()).map(|c| c["status"].as_str().unwrap_or_default()) {
                Some("True") => None,
                Some(other) => Some(format!("the status of pod readiness gate \"{gate}\" is not \"True\", but {other}")),
                None => Some(format!("corresponding condition of pod readiness gate \"{gate}\" does not exist.")),
            }
        });
        unready.collect::<Vec<_>>().join(", ")
    }

    fn initialized(&self, phase: &str) -> Finding {
        if phase == "Succeeded" {
            return Finding { reason: "PodCompleted", ..Finding::YES };
        }
        let incomplete = self.containers.iter().filter(|c| match c.plan.role {
            Role::Init => !c.ready(),
            Role::Sidecar => !c.started(),
            Role::App => false,
        });
        let incomplete: Vec<_> = incomplete.map(super::container::Container::name).collect();
        if incomplete.is_empty() || self.is_initialized() {
            return Finding::YES;
        }
        Finding::no("ContainersNotInitialized", format!("containers with incomplete status: [{}]", incomplete.join(" ")))
    }
}

//! Pods live and die in virtual time: a laboratory plays the node, the processes and the store.
#![expect(clippy::needless_pass_by_value, reason = "JSON is written where it is needed")]

mod ending;
mod order;
mod probes;
mod random;
mod restarts;
mod status;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};

use super::Machine;
use super::io::{Action, Exit, Input, ProbeKind, ProbeResult, Pull, Run, Settings, Signal, StartError};
use super::plan::PodPlan;
use crate::sandbox::model::object::{Now, parse_time, time};
use crate::sandbox::model::write::{EventType, Write};

/// What the processes of a pod do.
type Starts = Box<dyn Fn(&str, u32) -> Start>;
type Probes = Box<dyn Fn(ProbeKind, i64) -> ProbeResult>;

#[derive(Clone)]
enum Start {
    Runs,
    RunsFor(i64, Exit),
    Fails(StartError),
}

struct Lab {
    now: i64,
    machine: Machine,
    pod: Value,
    version: u64,
    agenda: BTreeMap<(i64, u64), Input>,
    sequence: u64,
    log: Vec<(i64, String)>,
    statuses: Vec<(i64, Value)>,
    pull: Pull,
    starts: Starts,
    probes: Probes,
    probe_takes: i64,
    hook_takes: i64,
    hook_result: Result<(), String>,
    on_term: Option<(i64, Exit)>,
}

fn at(ms: i64) -> Now {
    DateTime::from_timestamp_millis(ms).unwrap()
}

/// A pod of one container, `c`, which `container` completes.
fn pod(container: Value, spec: Value) -> Value {
    let mut c = json!({"name": "c", "image": "web:1"});
    json_patch::merge(&mut c, &container);
    let mut pod = json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1, "resourceVersion": "1"},
        "spec": {"nodeName": "sandbox", "containers": [c]},
    });
    json_patch::merge(&mut pod["spec"], &spec);
    pod
}

impl Lab {
    fn new(pod: Value) -> Self {
        let plan = PodPlan::read(&pod).unwrap();
        let settings = Settings::new(Ipv4Addr::new(127, 16, 0, 1));
        let machine = Machine::new(Arc::new(pod.clone()), plan, Ipv4Addr::new(127, 16, 1, 1), settings, at(0));
        Self {
            now: 0,
            machine,
            pod,
            version: 1,
            agenda: BTreeMap::new(),
            sequence: 0,
            log: Vec::new(),
            statuses: Vec::new(),
            pull: Pull::Available,
            starts: Box::new(|_, _| Start::Runs),
            probes: Box::new(|_, _| ProbeResult::Success),
            probe_takes: 1,
            hook_takes: 1,
            hook_result: Ok(()),
            on_term: Some((0, Exit::Code(0))),
        }
    }

    fn starts(mut self, starts: impl Fn(&str, u32) -> Start + 'static) -> Self {
        self.starts = Box::new(starts);
        self
    }

    fn probes(mut self, probes: impl Fn(ProbeKind, i64) -> ProbeResult + 'static) -> Self {
        self.probes = Box::new(probes);
        self
    }

    /// Lets time pass until `until` milliseconds.
    fn run(&mut self, until: i64) -> &mut Self {
        if self.sequence == 0 {
            self.later(0, Input::Changed(Arc::new(self.pod.clone())));
        }
        for _ in 0..100_000 {
            let wake = self.machine.wake().map(|w| w.timestamp_millis().max(self.now));
            let agenda = self.agenda.first_key_value().map(|(k, _)| k.0);
            let Some(next) = wake.into_iter().chain(agenda).min().filter(|&n| n <= until) else {
                self.now = until;
                return self;
            };
            self.now = next;
            let input = if agenda == Some(next) { self.agenda.pop_first().unwrap().1 } else { Input::Tick };
            let is_up = |machine: &Machine, run: &Run| machine.running().any(|r| r == *run);
            match &input {
                Input::Exited(run, _) if is_up(&self.machine, run) => {
                    self.note(format!("exit {}/{}", self.name(run.container), run.attempt));
                }
                Input::Started(run) => self.note(format!("up {}/{}", self.name(run.container), run.attempt)),
                _ => {}
            }
            let actions = self.machine.handle(input, at(next));
            for action in actions {
                self.carry_out(action);
            }
        }
        panic!("the machine does not come to rest at {} ms: {:?}", self.now, self.log);
    }

    fn later(&mut self, ms: i64, input: Input) {
        self.sequence += 1;
        self.agenda.insert((self.now + ms, self.sequence), input);
    }

    fn note(&mut self, what: impl Into<String>) {
        self.log.push((self.now, what.into()));
    }

    fn name(&self, container: usize) -> String {
        self.machine.plan().containers[container].spec.name.clone()
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Pull(container) => self.later(0, Input::Pulled(container, self.pull)),
            Action::Start(run) => self.start(run),
            Action::Probe(run, kind) => {
                self.note(format!("probe {}", kind.name().to_lowercase()));
                let result = (self.probes)(kind, self.now);
                self.later(self.probe_takes, Input::Probed(run, kind, result));
            }
            Action::Hook(run, kind) => {
                self.note(format!("hook {kind:?}"));
                self.later(self.hook_takes, Input::HookDone(run, kind, self.hook_result.clone()));
            }
            Action::Signal(run, signal) => {
                self.note(format!("{} {}", if signal == Signal::Term { "TERM" } else { "KILL" }, self.name(run.container)));
                match signal {
                    Signal::Term => {
                        if let Some((after, exit)) = self.on_term {
                            self.later(after, Input::Exited(run, exit));
                        }
                    }
                    Signal::Kill => self.later(0, Input::Exited(run, Exit::Signal(9))),
                }
            }
            Action::ReleaseAddress => self.note("release"),
            Action::Write(write) => self.write(write),
        }
    }

    fn start(&mut self, run: Run) {
        let name = self.name(run.container);
        self.note(format!("start {name}/{}", run.attempt));
        match (self.starts)(&name, run.attempt) {
            Start::Runs => self.later(0, Input::Started(run)),
            Start::RunsFor(ms, exit) => {
                self.later(0, Input::Started(run));
                self.later(ms, Input::Exited(run, exit));
            }
            Start::Fails(error) => self.later(0, Input::StartFailed(run, error)),
        }
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::PatchStatus { if_version, patch, .. } => {
                if if_version.as_deref() == self.pod["metadata"]["resourceVersion"].as_str() {
                    self.change(&patch);
                    self.statuses.push((self.now, self.pod["status"].clone()));
                }
            }
            Write::Event { kind, reason, message, .. } => {
                let kind = if kind == EventType::Warning { "!" } else { "" };
                self.note(format!("{kind}{reason}: {message}"));
            }
            Write::Delete { uid, grace, .. } => {
                self.note(format!("delete {} {}", uid.unwrap_or_default(), grace.unwrap_or(-1)));
                self.later(0, Input::Removed);
            }
            other => panic!("a kubelet does not write this: {other:?}"),
        }
    }

    /// Somebody changes the object.
    fn change(&mut self, patch: &Value) -> &mut Self {
        json_patch::merge(&mut self.pod, patch);
        self.version += 1;
        self.pod["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.later(0, Input::Changed(Arc::new(self.pod.clone())));
        self
    }

    fn delete(&mut self, grace: i64) -> &mut Self {
        let stamp = time(at(self.now) + TimeDelta::seconds(grace));
        self.change(&json!({"metadata": {"deletionTimestamp": stamp, "deletionGracePeriodSeconds": grace}}))
    }

    /// The log's entries that begin with one of these words.
    fn seen(&self, words: &[&str]) -> Vec<(i64, &str)> {
        self.log.iter().filter(|(_, l)| words.iter().any(|w| l.starts_with(w))).map(|(t, l)| (*t, l.as_str())).collect()
    }

    fn status(&self) -> &Value {
        &self.pod["status"]
    }

    fn container(&self) -> &Value {
        &self.status()["containerStatuses"][0]
    }

    /// When the named condition changed, and to what.
    fn condition(&self, kind: &str) -> Vec<(i64, bool)> {
        let mut seen: Vec<(i64, bool)> = Vec::new();
        for (ms, status) in &self.statuses {
            let condition = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == kind).unwrap();
            let is = condition["status"] == "True";
            if seen.last().is_none_or(|last| last.1 != is) {
                assert_eq!(parse_time(&condition["lastTransitionTime"]).unwrap().timestamp(), ms / 1000);
                seen.push((*ms, is));
            }
        }
        seen
    }

    /// Each `state` that was told of the one container, with its reason.
    fn states(&self) -> Vec<(i64, String)> {
        let mut seen: Vec<(i64, String)> = Vec::new();
        for (ms, status) in &self.statuses {
            let (kind, detail) = status["containerStatuses"][0]["state"].as_object().unwrap().iter().next().unwrap();
            let reason = detail["reason"].as_str().map(|r| format!(" {r}")).unwrap_or_default();
            let state = format!("{kind}{reason}");
            if seen.last().is_none_or(|last| last.1 != state) {
                seen.push((*ms, state));
            }
        }
        seen
    }
}

//! The HorizontalPodAutoscaler: looks at what pods use every 15 s, and resizes their workload. Resource and ContainerResource
//! metrics; pods on their way in or out during a rollout are counted as the real controller counts them.

mod behavior;
pub mod metrics;
mod replicas;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use self::behavior::{History, Limits, normalize};
use self::metrics::PodMetrics;
use self::replicas::{Metric, Proposal, Resource, Target};
use super::conditions;
use super::view::meta::if_version;
use super::view::{View, status_patch};
use crate::sandbox::model::object::{self, Key, Now, Object, resource, time};
use crate::sandbox::model::quantity::{self, Quantity};
use crate::sandbox::model::selector::LabelSelector;
use crate::sandbox::model::write::{EventType, Step, Write};

const PERIOD: TimeDelta = TimeDelta::seconds(15);
const FIELDS: [&str; 5] = ["currentReplicas", "desiredReplicas", "lastScaleTime", "currentMetrics", "conditions"];

/// What the controller remembers of each autoscaler, by uid.
#[derive(Debug, Default)]
pub struct Memory {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    due: Now,
    history: History,
}

/// Looks after the autoscalers whose time has come. `metrics` is asked for once, if at all.
pub fn step(view: &View, memory: &mut Memory, metrics: &dyn Fn() -> PodMetrics, now: Now) -> Step {
    let mut step = Step::default();
    let mut entries = BTreeMap::new();
    let mut measured = None;
    for autoscaler in view.autoscalers.all().iter().map(|a| &a.0) {
        let uid = object::uid(autoscaler).to_owned();
        let new = || Entry { due: now + PERIOD, history: History::default() };
        let mut entry = memory.entries.remove(&uid).unwrap_or_else(new);
        if entry.due <= now {
            entry.due = now + PERIOD;
            let metrics = measured.get_or_insert_with(metrics);
            Sync { view, autoscaler, conditions: Conditions::of(autoscaler), now, step: &mut step }
                .run(&mut entry.history, metrics);
        }
        step.wake_at(entry.due);
        entries.insert(uid, entry);
    }
    memory.entries = entries;
    step
}

/// What is scaled.
struct Scale<'a> {
    object: &'a Object,
    key: Key,
    selector: Option<&'a LabelSelector>,
    replicas: i64,
}

struct Sync<'a, 's> {
    view: &'a View,
    autoscaler: &'a Object,
    conditions: Conditions,
    now: Now,
    step: &'s mut Step,
}

impl<'a> Sync<'a, '_> {
    fn run(mut self, history: &mut History, metrics: &PodMetrics) {
        let spec = &self.autoscaler["spec"];
        let scale = match self.scale() {
            Ok(scale) => scale,
            Err(error) => {
                let message = format!("the HPA controller was unable to get the target's current scale: {error}");
                self.conditions.set("AbleToScale", false, "FailedGetScale", &message, self.now);
                self.event(EventType::Warning, "FailedGetScale", error);
                return self.write_status(None);
            }
        };
        let message = "the HPA controller was able to get the target's current scale";
        self.conditions.set("AbleToScale", true, "SucceededGetScale", message, self.now);
        let current = scale.replicas;
        history.begin(current, self.now);
        let limits = Limits { min: spec["minReplicas"].as_i64().unwrap_or(1), max: spec["maxReplicas"].as_i64().unwrap_or(1) };
        let mut statuses = Vec::new();
        let (desired, reason) = if current == 0 && limits.min != 0 {
            let message = "scaling is disabled since the replica count of the target is zero";
            self.conditions.set("ScalingActive", false, "ScalingDisabled", message, self.now);
            (current, String::new())
        } else if current > limits.max {
            (limits.max, "Current number of replicas above Spec.MaxReplicas".to_owned())
        } else if current < limits.min {
            (limits.min, "Current number of replicas below Spec.MinReplicas".to_owned())
        } else {
            let Some((recommended, metric)) = self.recommend(&scale, metrics, &mut statuses) else {
                return self.write_status(Some(Status { current, desired: None, statuses, rescaled: false }));
            };
            let reason =
                if recommended > current { format!("{metric} above target") } else { "All metrics below target".to_owned() };
            let normalized = normalize(&spec["behavior"], history, limits, current, recommended, self.now);
            self.conditions.set("AbleToScale", true, normalized.able.0, normalized.able.1, self.now);
            self.conditions.set("ScalingLimited", normalized.is_limited, normalized.limit.0, normalized.limit.1, self.now);
            (normalized.replicas, reason)
        };
        let rescaled = desired != current;
        if rescaled {
            let patch = json!({"spec": {"replicas": desired}});
            self.step.writes.push(Write::Patch { key: scale.key, if_version: if_version(scale.object), patch });
            self.event(EventType::Normal, "SuccessfulRescale", format!("New size: {desired}; reason: {reason}"));
            let message = format!("the HPA controller was able to update the target scale to {desired}");
            self.conditions.set("AbleToScale", true, "SucceededRescale", &message, self.now);
            history.scaled(current, desired, self.now);
        }
        self.write_status(Some(Status { current, desired: Some(desired), statuses, rescaled }));
    }

    fn scale(&self) -> Result<Scale<'a>, String> {
        let target = &self.autoscaler["spec"]["scaleTargetRef"];
        let (namespace, name) = (object::namespace(self.autoscaler), target["name"].as_str().unwrap_or_default());
        let scale = |resource, object, selector, replicas| Scale { object, key: Key::of(resource, object), selector, replicas };
        match target["kind"].as_str() {
            Some("Deployment") => match self.view.deployments.get(namespace, name) {
                Some(d) => Ok(scale(resource::DEPLOYMENTS, &d.object, d.selector.as_ref(), d.replicas)),
                None => Err(format!("deployments.apps \"{name}\" not found")),
            },
            Some("ReplicaSet") => match self.view.replica_sets.get(namespace, name) {
                Some(s) => Ok(scale(resource::REPLICA_SETS, &s.object, s.selector.as_ref(), s.replicas)),
                None => Err(format!("replicasets.apps \"{name}\" not found")),
            },
            kind => {
                let api = target["apiVersion"].as_str().unwrap_or_default();
                Err(format!("no matches for kind \"{}\" in group \"{api}\"", kind.unwrap_or_default()))
            }
        }
    }

    /// The most that any metric asks for, and the metric that asks for it. `None` when nothing can be said, or only that there
    /// should be fewer while some metrics are silent.
    fn recommend(&mut self, scale: &Scale<'a>, metrics: &PodMetrics, statuses: &mut Vec<Value>) -> Option<(i64, String)> {
        let Some(selector) = scale.selector else {
            let message = "the HPA target's scale is missing a selector";
            self.conditions.set("ScalingActive", false, "InvalidSelector", message, self.now);
            self.event(EventType::Warning, "SelectorRequired", "selector is required".into());
            return None;
        };
        let pods = self.view.pods_selected(object::namespace(self.autoscaler), selector);
        let default = [json!({"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}})];
        let specs = self.autoscaler["spec"]["metrics"].as_array().filter(|m| !m.is_empty()).map_or(&default[..], Vec::as_slice);
        let (mut best, mut first_error, mut errors) = (None::<(i64, String)>, None, 0);
        for spec in specs {
            let source = Source::read(spec);
            match source.metric().and_then(|m| Ok((m, m.propose(scale.replicas, &pods, metrics, self.now)?))) {
                Ok((metric, proposal)) => {
                    statuses.push(source.status(metric, proposal));
                    if best.as_ref().is_none_or(|(n, _)| proposal.replicas > *n) {
                        best = Some((proposal.replicas, source.describe(metric)));
                    }
                }
                Err(error) => {
                    let error = format!("failed to get {}: {error}", source.what());
                    self.event(EventType::Warning, source.failure(), error.clone());
                    errors += 1;
                    first_error.get_or_insert((source, error));
                }
            }
        }
        if let Some((source, error)) = first_error
            && best.as_ref().is_none_or(|(n, _)| *n < scale.replicas)
        {
            let message = format!("the HPA was unable to compute the replica count: {error}");
            self.conditions.set("ScalingActive", false, source.failure(), &message, self.now);
            let message = format!(
                "invalid metrics ({errors} invalid out of {}), first error is: failed to get {} metric value: {error}",
                specs.len(),
                source.value()
            );
            self.event(EventType::Warning, "FailedComputeMetricsReplicas", message);
            return None;
        }
        let (replicas, name) = best?;
        let message = format!("the HPA was able to successfully calculate a replica count from {name}");
        self.conditions.set("ScalingActive", true, "ValidMetricFound", &message, self.now);
        Some((replicas, name))
    }

    /// Writes the status; without one only the conditions.
    fn write_status(self, new: Option<Status>) {
        let old = &self.autoscaler["status"];
        let mut status = Map::new();
        let mut owned = &FIELDS[4..];
        if let Some(new) = new {
            owned = &FIELDS;
            status.insert("currentReplicas".into(), new.current.into());
            let desired = new.desired.or(old["desiredReplicas"].as_i64()).unwrap_or(0);
            status.insert("desiredReplicas".into(), desired.into());
            let last = if new.rescaled { time(self.now) } else { old["lastScaleTime"].clone() };
            if !last.is_null() {
                status.insert("lastScaleTime".into(), last);
            }
            if !new.statuses.is_empty() {
                status.insert("currentMetrics".into(), new.statuses.into());
            }
        }
        status.insert("conditions".into(), self.conditions.0.into());
        if let Some(patch) = status_patch(self.autoscaler, owned, status) {
            let key = Key::of(resource::HORIZONTAL_POD_AUTOSCALERS, self.autoscaler);
            self.step.writes.push(Write::PatchStatus { key, if_version: if_version(self.autoscaler), patch });
        }
    }

    fn event(&mut self, kind: EventType, reason: &'static str, message: String) {
        let about = Key::of(resource::HORIZONTAL_POD_AUTOSCALERS, self.autoscaler);
        self.step.writes.push(Write::Event { about, kind, reason, message, by: "horizontal-pod-autoscaler" });
    }
}

struct Status {
    current: i64,
    /// As it was, when nothing could be decided.
    desired: Option<i64>,
    statuses: Vec<Value>,
    rescaled: bool,
}

/// One entry of `spec.metrics`.
#[derive(Clone, Copy)]
struct Source<'a> {
    kind: &'a str,
    spec: &'a Value,
}

impl<'a> Source<'a> {
    fn read(spec: &'a Value) -> Self {
        let kind = spec["type"].as_str().unwrap_or_default();
        let field = if kind == "ContainerResource" { "containerResource" } else { "resource" };
        Self { kind, spec: &spec[field] }
    }

    fn metric(&self) -> Result<Metric<'a>, String> {
        if !matches!(self.kind, "Resource" | "ContainerResource") {
            return Err("no such metrics API is served here".into());
        }
        let target = &self.spec["target"];
        let average = target["averageValue"].as_str().and_then(quantity::millis).map(Target::AverageValue);
        let target = average.or(target["averageUtilization"].as_i64().map(Target::Utilization));
        let resource = Resource::read(&self.spec["name"]).ok_or("only cpu and memory are measured here")?;
        let missing =
            "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set";
        Ok(Metric { resource, target: target.ok_or(missing)?, container: self.spec["container"].as_str() })
    }

    fn name(&self) -> &'a str {
        self.spec["name"].as_str().unwrap_or_default()
    }

    /// What could not be got, inside.
    fn what(&self) -> String {
        let kind = if self.spec["target"]["averageValue"].is_string() { "usage" } else { "utilization" };
        format!("{} {kind}", self.name())
    }

    /// And outside.
    fn value(&self) -> String {
        match self.spec["container"].as_str() {
            Some(container) => format!("{container} container"),
            None => format!("{} resource", self.name()),
        }
    }

    fn failure(&self) -> &'static str {
        match self.kind {
            "Resource" => "FailedGetResourceMetric",
            "ContainerResource" => "FailedGetContainerResourceMetric",
            "Pods" => "FailedGetPodsMetric",
            "Object" => "FailedGetObjectMetric",
            "External" => "FailedGetExternalMetric",
            _ => "InvalidMetricSourceType",
        }
    }

    fn describe(&self, metric: Metric<'_>) -> String {
        match (metric.target, metric.container) {
            (Target::AverageValue(_), _) => format!("{} resource", self.name()),
            (Target::Utilization(_), None) => format!("{} resource utilization (percentage of request)", self.name()),
            (Target::Utilization(_), Some(_)) => format!("{} container resource utilization (percentage of request)", self.name()),
        }
    }

    fn status(&self, metric: Metric<'_>, proposal: Proposal) -> Value {
        let mut current = json!({"averageValue": Quantity::of_millis(proposal.average).to_string()});
        if let Some(utilization) = proposal.utilization {
            current["averageUtilization"] = utilization.into();
        }
        match metric.container {
            None => json!({"type": "Resource", "resource": {"name": self.name(), "current": current}}),
            Some(container) => {
                let resource = json!({"name": self.name(), "container": container, "current": current});
                json!({"type": "ContainerResource", "containerResource": resource})
            }
        }
    }
}

/// The conditions of an autoscaler.
struct Conditions(Vec<Value>);

impl Conditions {
    fn of(autoscaler: &Object) -> Self {
        Self(autoscaler["status"]["conditions"].as_array().cloned().unwrap_or_default())
    }

    fn set(&mut self, kind: &str, status: bool, reason: &str, message: &str, now: Now) {
        let status = if status { "True" } else { "False" };
        let condition =
            json!({"type": kind, "status": status, "lastTransitionTime": time(now), "reason": reason, "message": message});
        conditions::put(&mut self.0, condition);
    }
}

//! How many replicas a metric asks for, given what the pods use. Pods that are not ready, or not measured, are guessed at so that
//! the guess can only dampen the change.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde_json::Value;

use super::metrics::PodMetrics;
use crate::sandbox::model::controllers::view::pod::{Phase, Pod, Requests, condition};
use crate::sandbox::model::object::{Now, parse_time};

/// While a pod is this young, its cpu counts only if it is ready and was so for the whole window measured.
const CPU_INITIALIZATION: TimeDelta = TimeDelta::minutes(5);
/// A pod that became unready within this time of its start has never been ready.
const INITIAL_READINESS_DELAY: TimeDelta = TimeDelta::seconds(30);
/// Ratios this near to 1 change nothing.
const TOLERANCE: f64 = 0.1;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Cpu,
    Memory,
}

/// What it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Per cent of what the pods request.
    Utilization(i64),
    /// Per pod, in thousandths.
    AverageValue(i64),
}

/// A metric of an autoscaler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Metric<'a> {
    pub(super) resource: Resource,
    pub(super) target: Target,
    /// Only the requests of this container count.
    pub(super) container: Option<&'a str>,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proposal {
    pub(super) replicas: i64,
    /// Per cent, where the target is.
    pub(super) utilization: Option<i64>,
    /// Per pod, in thousandths.
    pub(super) average: i64,
}

impl Metric<'_> {
    /// How many replicas should there be instead of `current`?
    pub(super) fn propose(&self, current: i64, pods: &[&Pod], metrics: &PodMetrics, now: Now) -> Result<Proposal, String> {
        if pods.is_empty() {
            return Err("no pods returned by selector while calculating replica count".into());
        }
        let mut groups = self.group(pods, metrics, now);
        if !groups.measured_any {
            return Err(format!(
                "unable to get metrics for resource {}: no metrics returned from resource metrics API",
                self.resource.name()
            ));
        }
        if groups.values.is_empty() {
            return Err("did not receive metrics for targeted pods (pods might be unready)".into());
        }
        let requests = match self.target {
            Target::Utilization(_) => self.requests(pods)?,
            Target::AverageValue(_) => BTreeMap::new(),
        };
        let (ratio, mut proposal) = self.ratio(&groups.values, &requests, current)?;
        let grow_unready = !groups.unready.is_empty() && ratio > 1.0;
        if !grow_unready && groups.missing.is_empty() {
            if !within_tolerance(ratio) {
                proposal.replicas = times(ratio, groups.values.len());
            }
            return Ok(proposal);
        }
        for pod in &groups.missing {
            // Unmeasured pods are taken to use all they may when the others use little, and nothing when they use much.
            let guess = match self.target {
                _ if ratio > 1.0 => 0,
                Target::Utilization(percent) => requests.get(pod).copied().unwrap_or(0) * percent.max(100) / 100,
                Target::AverageValue(value) => value,
            };
            groups.values.insert(pod, guess);
        }
        if grow_unready {
            groups.values.extend(groups.unready.iter().map(|pod| (*pod, 0)));
        }
        let (guessed, _) = self.ratio(&groups.values, &requests, current)?;
        let replicas = times(guessed, groups.values.len());
        let turns = (ratio < 1.0 && guessed > 1.0) || (ratio > 1.0 && guessed < 1.0);
        let reverses = (guessed < 1.0 && replicas > current) || (guessed > 1.0 && replicas < current);
        if !within_tolerance(guessed) && !turns && !reverses {
            proposal.replicas = replicas;
        }
        Ok(proposal)
    }

    fn group<'p>(&self, pods: &[&'p Pod], metrics: &PodMetrics, now: Now) -> Groups<'p> {
        let mut groups = Groups::default();
        for pod in pods {
            let usage = metrics.get(pod.namespace(), pod.name());
            groups.measured_any |= usage.is_some();
            if pod.meta.deleting || pod.phase == Phase::Failed {
                continue;
            }
            let Some(usage) = usage.filter(|_| pod.phase != Phase::Pending) else {
                let group = if pod.phase == Phase::Pending { &mut groups.unready } else { &mut groups.missing };
                group.push(pod.name());
                continue;
            };
            if self.resource == Resource::Cpu && is_unready(pod, usage.at - usage.window, now) {
                groups.unready.push(pod.name());
                continue;
            }
            let value = match self.resource {
                Resource::Cpu => usage.cpu_millis,
                Resource::Memory => usage.memory.saturating_mul(1000),
            };
            groups.values.insert(pod.name(), value);
        }
        groups
    }

    fn requests<'p>(&self, pods: &[&'p Pod]) -> Result<BTreeMap<&'p str, i64>, String> {
        pods.iter().map(|pod| Ok((pod.name(), self.request(pod)?))).collect()
    }

    fn request(&self, pod: &Pod) -> Result<i64, String> {
        let spec = &pod.object["spec"];
        let sidecars = spec["initContainers"].as_array().into_iter().flatten().filter(|c| c["restartPolicy"] == "Always");
        let containers = spec["containers"].as_array().into_iter().flatten().chain(sidecars);
        let mut total = 0;
        for container in containers.filter(|c| self.container.is_none_or(|name| c["name"] == name)) {
            let requests = Requests::of_container(container);
            let asked = match self.resource {
                Resource::Cpu => requests.cpu_millis,
                Resource::Memory => requests.memory.saturating_mul(1000),
            };
            if asked == 0 {
                let name = container["name"].as_str().unwrap_or_default();
                return Err(format!("missing request for {} in container {name} of Pod {}", self.resource.name(), pod.name()));
            }
            total += asked;
        }
        Ok(total)
    }

    /// How much is used of what should be.
    fn ratio(&self, values: &BTreeMap<&str, i64>, requests: &BTreeMap<&str, i64>, current: i64) -> Result<(f64, Proposal), String> {
        let total: i64 = values.values().sum();
        let pods = i64::try_from(values.len()).unwrap_or(i64::MAX);
        let average = total / pods.max(1);
        let proposal = |utilization| Proposal { replicas: current, utilization, average };
        match self.target {
            Target::AverageValue(target) => Ok((divide(average, target), proposal(None))),
            Target::Utilization(target) => {
                let requested: i64 = values.keys().filter_map(|pod| requests.get(pod)).sum();
                if requested == 0 {
                    return Err("no metrics returned matched known pods".into());
                }
                let utilization = total.saturating_mul(100) / requested;
                Ok((divide(utilization, target), proposal(Some(utilization))))
            }
        }
    }
}

#[derive(Default)]
struct Groups<'p> {
    measured_any: bool,
    /// In thousandths.
    values: BTreeMap<&'p str, i64>,
    unready: Vec<&'p str>,
    missing: Vec<&'p str>,
}

fn is_unready(pod: &Pod, window_start: Now, now: Now) -> bool {
    let status = &pod.object["status"];
    let (Some(ready), Some(started)) = (condition(status, "Ready"), parse_time(&status["startTime"])) else { return true };
    let is_false = ready["status"] == "False";
    let since = pod.ready_changed.unwrap_or(Now::UNIX_EPOCH);
    if started + CPU_INITIALIZATION > now {
        is_false || window_start < since
    } else {
        is_false && started + INITIAL_READINESS_DELAY > since
    }
}

impl Resource {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }

    pub(super) fn read(name: &Value) -> Option<Self> {
        match name.as_str()? {
            "cpu" => Some(Self::Cpu),
            "memory" => Some(Self::Memory),
            _ => None,
        }
    }
}

fn within_tolerance(ratio: f64) -> bool {
    (1.0 - TOLERANCE..=1.0 + TOLERANCE).contains(&ratio)
}

#[expect(clippy::cast_precision_loss, reason = "loads and requests are far below 2^52")]
fn divide(a: i64, b: i64) -> f64 {
    a as f64 / (b.max(1)) as f64
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a number of pods; the cast saturates")]
fn times(ratio: f64, pods: usize) -> i64 {
    (ratio * pods as f64).ceil() as i64
}

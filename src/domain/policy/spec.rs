//! A policy: how a Deployment is probed all day, and how its rollouts are judged. Everything may be left out.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Way;
use super::freeze::FreezeWhen;
use super::shape::{self, MAX_OBJECTIVE, MAX_OBJECTIVES, MAX_RATE};
use super::span::{self, Range};
use crate::domain::objective::{Goal, Objective, Ppm};
use crate::domain::rollout::guard::Guard;
use crate::domain::scenario::{self, Scenario};
use crate::domain::traffic::Name;

/// A policy may not be larger than this.
const MAX_BYTES: usize = 16 * 1024;
/// How long it may take until the target has been found and asked for the first time.
const FOUND_WITHIN: Duration = Duration::from_secs(30);
/// The least that error budgets are reckoned over.
const WINDOW: Duration = Duration::from_secs(30);

const SOAK: Range = Range { least: Duration::ZERO, most: Duration::from_hours(1) };
const BASELINE: Range = Range { least: Duration::ZERO, most: Duration::from_hours(1) };
const DEADLINE: Range = Range { least: Duration::from_secs(1), most: Duration::from_hours(24) };
const EVERY: Range = Range { least: Duration::from_secs(1), most: Duration::from_mins(10) };

/// What is asked of a Deployment. Names nothing outside of its namespace: traffic goes through the Ingress that leads to it, or to its Service,
/// and nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = shape::rules()))]
pub struct PolicySpec {
    /// What must hold: `availability >= 99%`, `p99 < 500ms`.
    #[schemars(schema_with = "shape::objectives")]
    pub then: Vec<Objective>,
    /// What a breach does to the Deployment: `none`, `pause`, `hold` or `undo`.
    pub guard: Guard,
    /// What is asked for; what the Ingress leads to the Deployment when it is left out.
    #[schemars(schema_with = "shape::path")]
    pub path: String,
    /// Where requests enter: `ingress`, as users do, or `service`, as other pods do. The Ingress, unless a Service is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Entry")]
    pub entry: Option<Entry>,
    /// The Ingress to go through, of the same namespace. The first one that leads to the Deployment when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::name")]
    pub ingress: Option<String>,
    /// The Service to ask, of the same namespace. The first one that selects the Deployment's pods when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::name")]
    pub service: Option<String>,
    /// Ways of sending while a rollout is judged, by name: `fresh` opens a connection for each request, `kept` keeps them, `stream` reads
    /// long answers.
    #[schemars(extend("minProperties" = 1, "maxProperties" = shape::LANES.len(), "x-kubernetes-validations" = shape::lanes()))]
    pub lanes: BTreeMap<String, LaneSpec>,
    /// How the service is asked between rollouts.
    pub probing: ProbingSpec,
    /// Rollouts are frozen while the error budget is nearly spent: `budget < 10%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "FreezeWhen")]
    pub freeze_when: Option<FreezeWhen>,
    /// Measured on for so long after a rollout is complete: `10s`.
    #[serde(with = "span")]
    #[schemars(with = "String", extend("pattern" = span::PATTERN, "maxLength" = span::LENGTH, "x-kubernetes-validations" = SOAK.rule()))]
    pub soak: Duration,
    /// The service must have been healthy for so long before a rollout, or it is inconclusive: `0s` demands nothing.
    #[serde(with = "span")]
    #[schemars(with = "String", extend("pattern" = span::PATTERN, "maxLength" = span::LENGTH, "x-kubernetes-validations" = BASELINE.rule()))]
    pub baseline: Duration,
    /// A rollout that takes longer is inconclusive.
    #[serde(with = "span")]
    #[schemars(with = "String", extend("pattern" = span::PATTERN, "maxLength" = span::LENGTH, "x-kubernetes-validations" = DEADLINE.rule()))]
    pub deadline: Duration,
}

/// Where requests enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Entry {
    /// Through an Ingress, as users do.
    Ingress,
    /// At the cluster address of a Service, as other pods do.
    Service,
}

/// One way of sending.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LaneSpec {
    /// Requests a second: above 0, at most 500.
    #[schemars(extend("minimum" = 0, "exclusiveMinimum" = true, "maximum" = MAX_RATE))]
    pub rate: f64,
    /// Another path than the policy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "shape::path")]
    pub path: Option<String>,
}

/// How a service is asked between rollouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ProbingSpec {
    /// One request each time: `10s`.
    #[serde(with = "span")]
    #[schemars(with = "String", extend("pattern" = span::PATTERN, "maxLength" = span::LENGTH, "x-kubernetes-validations" = EVERY.rule()))]
    pub every: Duration,
}

impl Default for LaneSpec {
    fn default() -> Self {
        Self { rate: 10.0, path: None }
    }
}

impl Default for ProbingSpec {
    fn default() -> Self {
        Self { every: Duration::from_secs(10) }
    }
}

impl Default for PolicySpec {
    fn default() -> Self {
        Self {
            then: vec![Objective { lane: None, goal: Goal::Availability(Ppm(990_000)) }],
            guard: Guard::None,
            path: "/".into(),
            entry: None,
            ingress: None,
            service: None,
            lanes: ["fresh", "kept"].into_iter().map(|name| (name.to_owned(), LaneSpec::default())).collect(),
            probing: ProbingSpec::default(),
            freeze_when: None,
            soak: Duration::from_secs(10),
            baseline: Duration::ZERO,
            deadline: Duration::from_mins(15),
        }
    }
}

impl PolicySpec {
    /// Reads one as people write it, and checks it whole. The error is a sentence for the status of whoever wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("{} bytes are more than a policy may have ({MAX_BYTES})", text.len()));
        }
        let spec = if text.trim().is_empty() {
            Self::default()
        } else {
            let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
            let read: Result<Self, _> = serde_saphyr::from_str_with_options(text, options);
            read.map_err(|e| e.without_snippet().to_string().lines().next().unwrap_or_default().to_owned())?
        };
        spec.check()?;
        Ok(spec)
    }

    /// The same from an object.
    pub fn read(value: Value) -> Result<Self, String> {
        let spec: Self = serde_json::from_value(value).map_err(|e| e.to_string())?;
        spec.check()?;
        Ok(spec)
    }

    /// What types alone cannot say. Whatever passes also passes the schema of a policy, as it is written here.
    pub fn check(&self) -> Result<(), String> {
        SOAK.check("soak", self.soak)?;
        BASELINE.check("baseline", self.baseline)?;
        DEADLINE.check("deadline", self.deadline)?;
        EVERY.check("probing.every", self.probing.every)?;
        if self.deadline <= self.soak {
            return Err(shape::NO_TIME.into());
        }
        if self.then.len() > MAX_OBJECTIVES || self.then.iter().any(|o| o.to_string().len() > MAX_OBJECTIVE) {
            return Err(format!(
                "a policy has at most {MAX_OBJECTIVES} objectives, none of them longer than {MAX_OBJECTIVE} signs"
            ));
        }
        shape::check_path(&self.path)?;
        if self.lanes.is_empty() {
            return Err("a policy has at least one lane".into());
        }
        for (name, lane) in &self.lanes {
            shape::check_lane(name)?;
            lane.path.as_deref().map_or(Ok(()), shape::check_path)?;
            if !(lane.rate > 0.0 && lane.rate <= MAX_RATE) {
                return Err(format!(
                    "lane `{name}`: a rate is above 0 and at most {MAX_RATE} requests a second, not {}",
                    lane.rate
                ));
            }
        }
        self.ingress.as_deref().map_or(Ok(()), |name| shape::check_name("ingress", name))?;
        self.service.as_deref().map_or(Ok(()), |name| shape::check_name("service", name))?;
        match (&self.ingress, &self.service, self.entry) {
            (Some(_), Some(_), _) => Err(shape::NOT_BOTH.to_owned()),
            (Some(_), None, Some(Entry::Service)) => Err(shape::NOT_SERVICE.to_owned()),
            (None, Some(_), Some(Entry::Ingress)) => Err(shape::NOT_INGRESS.to_owned()),
            _ => Ok(()),
        }?;
        self.scenario("namespace", "deployment").map(drop)
    }

    /// Where requests enter.
    pub fn way(&self) -> Way {
        let name = |name: &Option<String>| name.as_deref().map(Name::from);
        match (&self.service, self.entry) {
            (None, None | Some(Entry::Ingress)) => Way::Ingress(name(&self.ingress)),
            (service, _) => Way::Service(name(service)),
        }
    }

    /// Requests a second of all lanes.
    pub fn rate(&self) -> f64 {
        self.lanes.values().map(|lane| lane.rate).sum()
    }

    /// The share of requests that the service promises to answer well: of the objective about all lanes, or the usual one.
    pub fn promise(&self) -> Ppm {
        let all = self.then.iter().filter(|o| o.lane.is_none());
        let promised = all.filter_map(|o| if let Goal::Availability(share) = o.goal { Some(share) } else { None });
        promised.max().unwrap_or(Ppm(990_000))
    }

    /// The run that a rollout is judged by.
    pub fn scenario(&self, namespace: &str, deployment: &str) -> Result<Scenario, String> {
        let span = |d: Duration| humantime::format_duration(d).to_string();
        let entry = if matches!(self.way(), Way::Service(_)) { "service" } else { "ingress" };
        let lanes = self.lanes.iter().map(|(name, lane)| {
            let mut value = json!({"rate": lane.rate, "entry": entry});
            if let Some(path) = &lane.path {
                value["path"] = path.as_str().into();
            }
            (name.clone(), value)
        });
        let then: Vec<Value> = self.then.iter().map(|o| Value::from(o.to_string())).collect();
        let text = json!({
            "name": "serve",
            "about": "A rollout of a Deployment that is probed all day is held against objectives while it happens.",
            "target": {"deployment": deployment, "namespace": namespace},
            "given": {"healthy_for": span(self.baseline), "ready_within": span(FOUND_WITHIN)},
            "traffic": {"path": self.path, "lanes": lanes.collect::<serde_json::Map<_, _>>()},
            "observe": {"wait": false},
            "then": then,
            "window": span(self.soak.max(WINDOW)),
            "soak": span(self.soak),
            "deadline": span(self.deadline),
            "guard": self.guard,
        });
        scenario::parse("policy", &text.to_string(), &[]).map_err(|e| e.message)
    }
}

#[cfg(test)]
mod tests;

//! Deployments and ReplicaSets as the controllers see them, with the API's defaults filled in.

use chrono::TimeDelta;
use serde_json::Value;

use super::meta::Meta;
use super::table::Typed;
use crate::sandbox::model::controllers::deployment::template;
use crate::sandbox::model::object::{self, Object};
use crate::sandbox::model::selector::LabelSelector;

/// A number, or a share of the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Number(i64),
    /// So many per cent.
    Percent(i64),
}

impl Amount {
    /// Reads an IntOrString.
    pub fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(n) => n.as_i64().map(Self::Number),
            Value::String(s) => s.strip_suffix('%')?.parse().ok().map(Self::Percent),
            _ => None,
        }
    }

    /// The amount out of `total`, shares rounded up.
    pub fn round_up(self, total: i64) -> i64 {
        match self {
            Self::Number(n) => n,
            Self::Percent(p) => (p * total + 99).div_euclid(100),
        }
    }

    /// The amount out of `total`, shares rounded down.
    pub fn round_down(self, total: i64) -> i64 {
        match self {
            Self::Number(n) => n,
            Self::Percent(p) => (p * total).div_euclid(100),
        }
    }
}

/// `spec.strategy`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// All old pods go before a new one comes.
    Recreate,
    /// New pods replace old ones step by step.
    RollingUpdate {
        /// `maxSurge`
        surge: Amount,
        /// `maxUnavailable`
        unavailable: Amount,
    },
}

impl Strategy {
    fn read(strategy: &Value) -> Self {
        if strategy["type"] == "Recreate" {
            return Self::Recreate;
        }
        let amount = |field: &str| Amount::read(&strategy["rollingUpdate"][field]).unwrap_or(Amount::Percent(25));
        Self::RollingUpdate { surge: amount("maxSurge"), unavailable: amount("maxUnavailable") }
    }
}

/// The pod counts of a Deployment's or ReplicaSet's status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// `observedGeneration`
    pub observed: i64,
    /// `replicas`
    pub replicas: i64,
    /// `updatedReplicas` of a Deployment
    pub updated: i64,
    /// `readyReplicas`
    pub ready: i64,
    /// `availableReplicas`
    pub available: i64,
    /// `terminatingReplicas`, where known
    pub terminating: Option<i64>,
}

impl Counts {
    fn read(status: &Value) -> Self {
        let int = |field: &str| status[field].as_i64().unwrap_or(0);
        Self {
            observed: int("observedGeneration"),
            replicas: int("replicas"),
            updated: int("updatedReplicas"),
            ready: int("readyReplicas"),
            available: int("availableReplicas"),
            terminating: status["terminatingReplicas"].as_i64(),
        }
    }
}

/// A Deployment.
#[derive(Debug)]
pub struct Deployment {
    /// Where it was read from.
    pub object: Object,
    /// Its metadata.
    pub meta: Meta,
    /// `spec.selector`
    pub selector: Option<LabelSelector>,
    /// `spec.replicas`
    pub replicas: i64,
    /// `spec.paused`
    pub paused: bool,
    /// `spec.strategy`
    pub strategy: Strategy,
    /// `spec.minReadySeconds`
    pub min_ready: i64,
    /// `spec.progressDeadlineSeconds`; `None` is for ever.
    pub deadline: Option<TimeDelta>,
    /// `spec.revisionHistoryLimit`; `None` is no limit.
    pub history_limit: Option<usize>,
    /// A digest of the template.
    pub template: u64,
    /// The counts in its status.
    pub status: Counts,
}

/// A ReplicaSet.
#[derive(Debug)]
pub struct ReplicaSet {
    /// Where it was read from.
    pub object: Object,
    /// Its metadata.
    pub meta: Meta,
    /// `spec.selector`
    pub selector: Option<LabelSelector>,
    /// `spec.replicas`
    pub replicas: i64,
    /// `spec.minReadySeconds`
    pub min_ready: i64,
    /// A digest of the template without its hash label.
    pub template: u64,
    /// The counts in its status.
    pub status: Counts,
}

impl Typed for Deployment {
    fn read(object: Object) -> Self {
        // In the API the largest int32 stands for "none".
        let none = i64::from(i32::MAX);
        let spec = &object["spec"];
        let deadline = spec["progressDeadlineSeconds"].as_i64().unwrap_or(600);
        let limit = spec["revisionHistoryLimit"].as_i64().unwrap_or(10);
        Self {
            meta: Meta::read(&object),
            selector: LabelSelector::of_object(&spec["selector"]).and_then(LabelSelector::not_empty),
            replicas: spec["replicas"].as_i64().unwrap_or(1),
            paused: spec["paused"] == true,
            strategy: Strategy::read(&spec["strategy"]),
            min_ready: spec["minReadySeconds"].as_i64().unwrap_or(0),
            deadline: (deadline != none).then(|| TimeDelta::seconds(deadline)),
            history_limit: (limit != none).then(|| usize::try_from(limit).unwrap_or(0)),
            template: template::digest(&spec["template"]),
            status: Counts::read(&object["status"]),
            object,
        }
    }
    fn object(&self) -> &Object {
        &self.object
    }
}

impl Typed for ReplicaSet {
    fn read(object: Object) -> Self {
        let spec = &object["spec"];
        Self {
            meta: Meta::read(&object),
            selector: LabelSelector::of_object(&spec["selector"]).and_then(LabelSelector::not_empty),
            replicas: spec["replicas"].as_i64().unwrap_or(1),
            min_ready: spec["minReadySeconds"].as_i64().unwrap_or(0),
            template: template::digest(&spec["template"]),
            status: Counts::read(&object["status"]),
            object,
        }
    }
    fn object(&self) -> &Object {
        &self.object
    }
}

macro_rules! named {
    ($($kind:ty),*) => { $(impl $kind {
        /// `metadata.name`
        pub fn name(&self) -> &str {
            object::name(&self.object)
        }

        /// `metadata.namespace`
        pub fn namespace(&self) -> &str {
            object::namespace(&self.object)
        }

        /// `metadata.labels`
        pub fn labels(&self) -> &Value {
            &self.object["metadata"]["labels"]
        }

        /// `status.conditions`
        pub fn conditions(&self) -> &[Value] {
            self.object["status"]["conditions"].as_array().map_or(&[], Vec::as_slice)
        }
    })* }
}
named!(Deployment, ReplicaSet);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_up_for_surge_and_down_for_unavailable() {
        let quarter = Amount::Percent(25);
        assert_eq!([1, 2, 4, 5, 10].map(|n| quarter.round_up(n)), [1, 1, 1, 2, 3]);
        assert_eq!([1, 2, 4, 5, 10].map(|n| quarter.round_down(n)), [0, 0, 1, 1, 2]);
        assert_eq!((Amount::Number(3).round_up(1), Amount::Percent(100).round_up(7)), (3, 7));
    }
}

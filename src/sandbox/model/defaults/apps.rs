//! Defaults of Deployments and ReplicaSets.

use serde_json::Value;

use super::pod::template;
use super::{absent, empty, within};

/// Defaults of a Deployment.
pub fn deployment(deployment: &mut Value) {
    let Some(spec) = within(deployment, "spec") else { return };
    absent(spec, "replicas", 1);
    absent(spec, "revisionHistoryLimit", 10);
    absent(spec, "progressDeadlineSeconds", 600);
    if let Some(strategy) = within(spec, "strategy") {
        empty(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate"
            && let Some(rolling) = within(strategy, "rollingUpdate")
        {
            absent(rolling, "maxUnavailable", "25%");
            absent(rolling, "maxSurge", "25%");
        }
    }
    template(spec);
}

/// Defaults of a ReplicaSet.
pub fn replica_set(set: &mut Value) {
    if let Some(spec) = within(set, "spec") {
        absent(spec, "replicas", 1);
        template(spec);
    }
}

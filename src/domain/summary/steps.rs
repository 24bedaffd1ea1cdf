//! The steps of the change, in words.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Seconds;
use crate::domain::course::Course;
use crate::domain::display::clean;
use crate::domain::scenario::{self, SetStep, Wait};

/// A step of the change that was begun. Waits are not carried out as steps, so they are not listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Its place in the scenario's `when`, from 0.
    pub step: usize,
    /// What it does.
    pub what: String,
    /// When it began.
    pub began_s: Seconds,
    /// When it ended; nothing while it lasts.
    pub ended_s: Option<Seconds>,
}

impl Step {
    /// All that were begun.
    pub fn all(course: &Course) -> Vec<Self> {
        let steps = &course.head().scenario.when;
        let what = |step: usize| steps.get(step).map(what).unwrap_or_default();
        course
            .steps()
            .map(|(step, began, ended)| Self { step, what: what(step), began_s: Seconds(began), ended_s: ended.map(Seconds) })
            .collect()
    }
}

/// What a step does. Values of variables and patches are left out: they may be secret.
fn what(step: &scenario::Step) -> String {
    let text = match step {
        scenario::Step::Apply(files) => format!("apply {}", files.join(", ")),
        scenario::Step::Set(set) => set_text(set),
        scenario::Step::Patch(_) => "patch the Deployment".into(),
        scenario::Step::Restart => "restart the Deployment".into(),
        scenario::Step::Scale(replicas) => format!("scale to {replicas}"),
        scenario::Step::DeletePods(n) => format!("delete {n} of the pods"),
        scenario::Step::Wait(Wait::Rollout) => "wait for the rollout".into(),
        scenario::Step::Wait(Wait::For(span)) => format!("wait {}", humantime::format_duration(*span)),
    };
    clean(&text)
}

fn set_text(set: &SetStep) -> String {
    let mut parts: Vec<String> = set.image.iter().map(|image| format!("image {image}")).collect();
    if !set.env.is_empty() {
        parts.push(set.env.keys().cloned().collect::<Vec<_>>().join(", "));
    }
    let container = set.container.as_ref().map(|c| format!(" of container {c}")).unwrap_or_default();
    format!("set {}{container}", parts.join(" and "))
}

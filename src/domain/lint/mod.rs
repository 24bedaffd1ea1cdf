//! What can be foreseen of a rollout from its manifests alone, before any traffic: settings that will cost requests, with the field, the
//! patch, and the loss where it can be reckoned. A pure reading of objects as the API has them.

mod around;
mod pods;
mod view;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::display::clean;
use view::{Deployment, Surroundings};

/// The version of the published form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Schema {
    /// The first.
    #[serde(rename = "verifier/lint/v1")]
    V1,
}

/// What was found in all manifests together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The version of this form.
    pub schema: Schema,
    /// The Deployments that were looked at: `todo/backend`.
    pub deployments: Vec<String>,
    /// What was found, by Deployment, the worst first.
    pub problems: Vec<Problem>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Rollouts, or drains of nodes, will fail or cost requests.
    Error,
    /// They may.
    Warning,
}

impl Level {
    /// The word in files and on screens.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One setting that should be another. All text is clean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// A stable word: `no-prestop`.
    pub rule: String,
    /// The finding that a run would make of it, where there is one: see `verifier explain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How bad it is.
    pub level: Level,
    /// The object: `Deployment todo/backend`.
    pub object: String,
    /// One sentence.
    pub title: String,
    /// The manifest field, as a path.
    pub field: String,
    /// What to lay over the object: a strategic merge patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Value>,
    /// What it will cost, where that can be reckoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
}

/// Looks at every Deployment among the objects, with the Services, autoscalers and disruption budgets among them that are about it.
pub fn lint(objects: &[Value]) -> Report {
    let deployments: Vec<Deployment<'_>> = objects.iter().filter_map(Deployment::of).collect();
    let mut problems = Vec::new();
    for deployment in &deployments {
        let surroundings = Surroundings::of(deployment, objects);
        let mut found = pods::problems(deployment, &surroundings);
        found.extend(around::problems(deployment, &surroundings));
        // Stable: of equal level, in the order of the rules.
        found.sort_by_key(|p| p.level);
        problems.extend(found);
    }
    Report { schema: Schema::V1, deployments: deployments.iter().map(Deployment::label).collect(), problems }
}

impl Report {
    /// So many of a level.
    pub fn count(&self, level: Level) -> usize {
        self.problems.iter().filter(|p| p.level == level).count()
    }
}

impl Problem {
    fn new(level: Level, rule: &str, object: &str, field: &str, title: impl AsRef<str>) -> Self {
        Self {
            rule: rule.into(),
            code: None,
            level,
            object: clean(object),
            title: clean(title.as_ref()),
            field: clean(field),
            patch: None,
            loss: None,
        }
    }

    fn code(self, code: &str) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    fn patch(self, patch: Value) -> Self {
        Self { patch: Some(patch), ..self }
    }

    fn loss(self, loss: impl AsRef<str>) -> Self {
        Self { loss: Some(clean(loss.as_ref())), ..self }
    }
}

#[cfg(test)]
mod tests;

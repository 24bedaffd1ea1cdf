//! What the in-cluster service decides: what a policy means and whose it is, which runs there are, what a verification says, what is left of an
//! error budget, and what is forgotten. Pure: `now` is an argument, in time since the service began.

pub mod budget;
pub mod freeze;
pub mod plan;
pub mod selection;
pub mod shape;
mod span;
pub mod spec;
pub mod standing;
pub mod template;
pub mod verification;

use std::fmt;

use super::traffic::Name;

/// The annotation that asks for a Deployment to be verified; its value is a [`spec::PolicySpec`] as YAML or JSON.
pub const ANNOTATION: &str = "verifier.dev/policy";

/// The annotation by which a Deployment is left alone, whatever policies there are: `"true"`.
pub const SKIP: &str = "verifier.dev/skip";

/// The annotation by which somebody rolls out although the error budget is spent: `"true"`.
pub const IGNORE_BUDGET: &str = "verifier.dev/ignore-budget";

/// What the two of them say.
pub const YES: &str = "true";

/// Where a policy was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the annotation of the Deployment.
    Annotation,
    /// In the `RolloutPolicy` of this name.
    Policy(Name),
}

/// Where requests enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the Ingress of this name, or the first that leads to the Deployment.
    Ingress(Option<Name>),
    /// At the cluster address of the Service of this name, or of the first that selects the Deployment's pods.
    Service(Option<Name>),
}

/// A Deployment by its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// `metadata.namespace`
    pub namespace: Name,
    /// `metadata.name`
    pub name: Name,
}

impl Key {
    /// A key from its two parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

//! What the in-cluster service decides: what a policy means, which runs there are, what a verification says, what is left of an error budget,
//! and what is forgotten. Pure: `now` is an argument, in time since the service began.

pub mod budget;
pub mod plan;
pub mod spec;
pub mod verification;

use std::fmt;

use super::traffic::Name;

/// The annotation that asks for a Deployment to be verified; its value is a [`spec::PolicySpec`] as YAML or JSON.
pub const ANNOTATION: &str = "verifier.dev/policy";

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

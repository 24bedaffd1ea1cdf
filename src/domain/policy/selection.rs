//! Which policy a Deployment has. Its own annotation comes first; of the RolloutPolicies that ask for it, the oldest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shape::{self, MAX_NAMED, MAX_TERMS, MAX_VALUES};
use super::spec::PolicySpec;
use super::{Key, Source};
use crate::domain::traffic::Name;

/// What a policy says when it says both or neither.
pub const ONE_OF_BOTH: &str = "a policy has either `deployments` or a `selector`: `selector: {}` selects all of its namespace";

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// Selects by labels: all that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Selector {
    /// Labels that are exactly so.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "shape::labels")]
    pub match_labels: Labels,
    /// What else must hold of labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_TERMS))]
    pub match_expressions: Vec<Requirement>,
}

/// What must hold of one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)", "message": VALUES,
}]))]
pub struct Requirement {
    /// The label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: Operator,
    /// With `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_VALUES), inner(length(max = 63)))]
    pub values: Vec<String>,
}

const VALUES: &str = "`In` and `NotIn` need `values`, `Exists` and `DoesNotExist` have none";

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Operator {
    /// It is there, with one of the values.
    In,
    /// It is not there, or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let there = labels.get(&self.key);
        match self.operator {
            Operator::In => there.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => there.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => there.is_some(),
            Operator::DoesNotExist => there.is_none(),
        }
    }

    fn check(&self) -> Result<(), String> {
        let needs = matches!(self.operator, Operator::In | Operator::NotIn);
        if needs == self.values.is_empty() || self.values.len() > MAX_VALUES {
            return Err(format!("`matchExpressions`, `{}`: {VALUES}", self.key.escape_debug()));
        }
        Ok(())
    }
}

impl Selector {
    /// Whether all of it holds. One that says nothing selects everything.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.holds(labels))
    }

    fn check(&self) -> Result<(), String> {
        if self.match_labels.len().max(self.match_expressions.len()) > MAX_TERMS {
            return Err(format!("a selector has at most {MAX_TERMS} labels and as many expressions"));
        }
        self.match_expressions.iter().try_for_each(Requirement::check)
    }
}

/// Which Deployments a policy asks for, of its own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Those of these names.
    Named(BTreeSet<String>),
    /// Those with such labels.
    Selected(Selector),
}

impl Whom {
    /// Exactly one of both.
    pub fn of(deployments: Option<Vec<String>>, selector: Option<Selector>) -> Result<Self, String> {
        match (deployments, selector) {
            (Some(names), None) if names.is_empty() || names.len() > MAX_NAMED => {
                Err(format!("`deployments` names between 1 and {MAX_NAMED} of them"))
            }
            (Some(names), None) => {
                names.iter().try_for_each(|name| shape::check_name("deployments", name))?;
                let (count, names) = (names.len(), names.into_iter().collect::<BTreeSet<_>>());
                if names.len() == count { Ok(Self::Named(names)) } else { Err("`deployments` names one of them twice".into()) }
            }
            (None, Some(selector)) => selector.check().map(|()| Self::Selected(selector)),
            (Some(_), Some(_)) | (None, None) => Err(ONE_OF_BOTH.into()),
        }
    }

    fn asks_for(&self, name: &str, labels: &Labels) -> bool {
        match self {
            Self::Named(names) => names.contains(name),
            Self::Selected(selector) => selector.selects(labels),
        }
    }
}

/// Reads the spec of a RolloutPolicy: whom it asks for, and what. Each is read without the other, so that of a policy that cannot be used is
/// still known whose it is.
pub fn read(spec: Value) -> (Result<Whom, String>, Result<PolicySpec, String>) {
    let Value::Object(mut fields) = spec else {
        let wrong = || "a policy has a `spec` with fields".to_owned();
        return (Err(wrong()), Err(wrong()));
    };
    let (deployments, selector) = (fields.remove("deployments"), fields.remove("selector"));
    (whom(deployments, selector), PolicySpec::read(Value::Object(fields)))
}

fn whom(deployments: Option<Value>, selector: Option<Value>) -> Result<Whom, String> {
    let names = deployments.map(serde_json::from_value).transpose().map_err(|e| format!("`deployments`: {e}"))?;
    let selector = selector.map(serde_json::from_value).transpose().map_err(|e| format!("`selector`: {e}"))?;
    Whom::of(names, selector)
}

/// A RolloutPolicy.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its namespace and its name.
    pub key: Key,
    /// `metadata.uid`
    pub uid: String,
    /// When it was created, in seconds since 1970.
    pub created: i64,
    /// `metadata.generation`
    pub generation: i64,
    /// Whom it asks for, or what is wrong with that.
    pub whom: Result<Whom, String>,
    /// What it asks, or what is wrong with that.
    pub policy: Result<PolicySpec, String>,
}

impl Rule {
    /// What is wrong with it, if anything is.
    pub fn wrong(&self) -> Option<&str> {
        self.whom.as_ref().err().or(self.policy.as_ref().err()).map(String::as_str)
    }

    fn asks_for(&self, name: &str, wish: &Wish) -> bool {
        self.whom.as_ref().is_ok_and(|whom| whom.asks_for(name, &wish.labels))
    }
}

/// What of a Deployment decides which policy it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Its labels.
    pub labels: Labels,
    /// What its annotation asks.
    pub annotation: Option<Arc<str>>,
    /// Its annotation says that it is left alone.
    pub skip: bool,
}

/// The policies of one namespace, those that come first first.
#[derive(Clone, Debug)]
pub struct Rules<'a>(Vec<&'a Rule>);

impl<'a> Rules<'a> {
    /// The oldest first; of those that are as old as each other, by name.
    pub fn new(rules: impl Iterator<Item = &'a Rule>) -> Self {
        let mut rules: Vec<&Rule> = rules.collect();
        rules.sort_by_key(|rule| (rule.created, &rule.key));
        Self(rules)
    }

    /// The one that a Deployment has. One that cannot be used stands in the way of a younger one as well: a slip in it must not put another
    /// one in its place without a word.
    pub fn choose(&self, name: &str, wish: &Wish) -> Option<Source> {
        if wish.skip {
            return None;
        }
        if wish.annotation.is_some() {
            return Some(Source::Annotation);
        }
        self.0.iter().find(|rule| rule.asks_for(name, wish)).map(|rule| Source::Policy(Arc::clone(&rule.key.name)))
    }

    /// What each of them has, and does not have, of its namespace's Deployments.
    pub fn claims<'d>(&self, deployments: impl Iterator<Item = (&'d Name, &'d Wish)>) -> Vec<(&'a Rule, Claim)> {
        let mut claims: Vec<(&Rule, Claim)> = self.0.iter().map(|rule| (*rule, Claim::default())).collect();
        let mut there: BTreeSet<&str> = BTreeSet::new();
        for (name, wish) in deployments {
            there.insert(name);
            let source = self.choose(name, wish);
            for (rule, claim) in claims.iter_mut().filter(|(rule, _)| rule.asks_for(name, wish)) {
                match &source {
                    None => claim.skipped += 1,
                    Some(Source::Annotation) => claim.annotated += 1,
                    Some(Source::Policy(has)) if *has == rule.key.name => claim.has.push(Arc::clone(name)),
                    Some(Source::Policy(has)) => *claim.lost.entry(Arc::clone(has)).or_default() += 1,
                }
            }
        }
        for (rule, claim) in &mut claims {
            if let Ok(Whom::Named(names)) = &rule.whom {
                claim.missing = names.iter().filter(|name| !there.contains(name.as_str())).cloned().collect();
            }
        }
        claims
    }
}

/// What came of a policy's asking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The Deployments that have it, by name.
    pub has: Vec<Name>,
    /// How many have another policy that came first, by that one's name.
    pub lost: BTreeMap<Name, usize>,
    /// How many have an annotation of their own.
    pub annotated: usize,
    /// How many are left alone by their annotation.
    pub skipped: usize,
    /// Those that it names and that are not there.
    pub missing: Vec<String>,
}

#[cfg(test)]
mod tests;

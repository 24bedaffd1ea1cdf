//! How a RolloutPolicy stands: the status of its object.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::selection::{Claim, Rule};
use super::verification::Condition;
use crate::domain::display::clean;

/// Deployments that are named in a status, of however many there are.
const NAMED: usize = 20;
/// Policies and missing Deployments that a message names.
const TOLD: usize = 3;
/// The longest message that is written.
const MAX_MESSAGE: usize = 1_000;

/// How a policy stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The policy's generation that this is about.
    pub observed_generation: i64,
    /// How many Deployments have this policy.
    #[schemars(with = "i32", range(min = 0))]
    pub matched: u32,
    /// The first of them, by name.
    #[schemars(length(max = NAMED))]
    pub deployments: Vec<String>,
    /// `Ready`, `Stalled`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl PolicyStatus {
    /// How it stands. `before` is what was told last, `now` by the wall, RFC 3339.
    pub fn of(rule: &Rule, claim: &Claim, before: &Self, now: &str) -> Self {
        let (reason, message) = match rule.wrong() {
            Some(why) => ("InvalidPolicy", format!("the policy cannot be used: {}", clean(why))),
            None => (reason(claim), told(claim)),
        };
        let wrong = rule.wrong().is_some();
        let condition = |kind: &str, is: bool| {
            let status = if is { "True" } else { "False" };
            let message = message.chars().take(MAX_MESSAGE).collect();
            Condition::new((kind, status, reason), message, rule.generation, &before.conditions, now)
        };
        Self {
            observed_generation: rule.generation,
            matched: u32::try_from(claim.has.len()).unwrap_or(u32::MAX),
            deployments: claim.has.iter().take(NAMED).map(ToString::to_string).collect(),
            conditions: vec![condition("Ready", !wrong), condition("Stalled", wrong)],
        }
    }
}

fn reason(claim: &Claim) -> &'static str {
    match (claim.lost.is_empty(), claim.has.is_empty()) {
        (false, _) => "Overlapping",
        (true, false) => "Selected",
        (true, true) => "NothingSelected",
    }
}

/// What a policy has, and why it does not have the rest.
fn told(claim: &Claim) -> String {
    let mut parts = vec![match claim.has.len() {
        0 => "no Deployment has this policy".to_owned(),
        1 => "1 Deployment has this policy".to_owned(),
        n => format!("{n} Deployments have this policy"),
    }];
    parts.extend(claim.lost.iter().take(TOLD).map(|(policy, n)| format!("{n} more of the older policy `{policy}`")));
    let others: usize = claim.lost.values().skip(TOLD).sum();
    let counted = [
        (others, "of other older policies"),
        (claim.annotated, "with an annotation of its own"),
        (claim.skipped, "left alone by its annotation"),
    ];
    parts.extend(counted.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} more {what}")));
    if !claim.missing.is_empty() {
        let more = if claim.missing.len() > TOLD { ", …" } else { "" };
        let names: Vec<&str> = claim.missing.iter().take(TOLD).map(String::as_str).collect();
        parts.push(format!("{} not there: {}{more}", claim.missing.len(), names.join(", ")));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::domain::policy::Key;
    use crate::domain::policy::selection::read;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn rule(spec: serde_json::Value, generation: i64) -> Rule {
        let (whom, policy) = read(spec);
        Rule { key: Key::new("todo", "p"), uid: "u".into(), created: 0, generation, whom, policy }
    }

    fn status(claim: &Claim) -> PolicyStatus {
        PolicyStatus::of(&rule(json!({"selector": {}}), 1), claim, &PolicyStatus::default(), NOW)
    }

    /// Status, reason and message of the first condition.
    fn ready(status: &PolicyStatus) -> (&str, &str, &str) {
        let ready = &status.conditions[0];
        (&ready.status, &ready.reason, &ready.message)
    }

    #[test]
    fn a_policy_says_what_it_has_and_who_has_the_rest() {
        let has = |n: usize| (0..n).map(|i| format!("d{i}").into()).collect::<Vec<_>>();
        assert_eq!(
            ready(&status(&Claim { has: has(1), ..Claim::default() })),
            ("True", "Selected", "1 Deployment has this policy")
        );
        let claim = Claim { has: has(30), annotated: 2, skipped: 1, ..Claim::default() };
        let many = status(&claim);
        assert_eq!((many.matched, many.deployments.len()), (30, NAMED));
        let message = "30 Deployments have this policy; 2 more with an annotation of its own; 1 more left alone by its annotation";
        assert_eq!(ready(&many), ("True", "Selected", message));
        let lost = BTreeMap::from([("a".into(), 3), ("b".into(), 1), ("c".into(), 1), ("d".into(), 5), ("e".into(), 6)]);
        let overlapping = status(&Claim { has: has(2), lost, ..Claim::default() });
        let (is, reason, message) = ready(&overlapping);
        assert_eq!((is, reason), ("True", "Overlapping"));
        assert!(
            message.contains("; 3 more of the older policy `a`; 1 more") && message.ends_with("; 11 more of other older policies"),
            "{message}"
        );
        let missing = status(&Claim { missing: ["x", "y"].map(str::to_owned).into(), ..Claim::default() });
        assert_eq!(ready(&missing), ("True", "NothingSelected", "no Deployment has this policy; 2 not there: x, y"));
    }

    #[test]
    fn one_that_cannot_be_used_is_stalled_and_keeps_the_times_of_changes() {
        let good = status(&Claim::default());
        let wrong = PolicyStatus::of(&rule(json!({"selector": {}, "guard": "pray"}), 2), &Claim::default(), &good, "later");
        let conditions: Vec<(&str, &str, &str)> =
            wrong.conditions.iter().map(|c| (c.kind.as_str(), c.status.as_str(), c.reason.as_str())).collect();
        assert_eq!(conditions, [("Ready", "False", "InvalidPolicy"), ("Stalled", "True", "InvalidPolicy")]);
        assert!(ready(&wrong).2.contains("pray") && wrong.observed_generation == 2);
        assert!(wrong.conditions.iter().all(|c| c.last_transition_time == "later"));
        let again = PolicyStatus::of(&rule(json!({"selector": {}, "guard": "beg"}), 3), &Claim::default(), &wrong, "much later");
        assert!(again.conditions.iter().all(|c| c.last_transition_time == "later" && c.observed_generation == 3));
    }

    #[test]
    fn what_has_not_changed_is_the_same() {
        let claim = Claim::default();
        let first = status(&claim);
        assert_eq!(PolicyStatus::of(&rule(json!({"selector": {}}), 1), &claim, &first, "later"), first);
        let read: PolicyStatus = serde_json::from_value(serde_json::to_value(&first).unwrap()).unwrap();
        assert_eq!(read, first);
    }
}

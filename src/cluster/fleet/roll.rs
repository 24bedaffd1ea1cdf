//! Deployments and policies by name: who has which, and what of that was told. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use super::Sighting;
use super::light::Seen;
use crate::domain::policy::plan::Watched;
use crate::domain::policy::selection::{Claim, Rule, Rules};
use crate::domain::policy::spec::PolicySpec;
use crate::domain::policy::{Key, Source};
use crate::domain::traffic::Name;

/// All that there are.
#[derive(Default)]
pub(super) struct Roll {
    deployments: BTreeMap<Key, Entry>,
    policies: BTreeMap<Key, Rule>,
    /// Deployments that have changed since they were told.
    changed: BTreeSet<Key>,
    /// By namespace, the policies that have changed since.
    edited: BTreeMap<Name, BTreeSet<Name>>,
    /// Namespaces in which policies may have other Deployments than before.
    moved: BTreeSet<Name>,
    /// Deployments that are gone, and were told.
    gone: Vec<Key>,
}

struct Entry {
    seen: Seen,
    /// With which policy it was told.
    told: Option<Source>,
}

/// The entries of one namespace.
fn within<'a, T>(all: &'a BTreeMap<Key, T>, namespace: &Name) -> impl Iterator<Item = (&'a Key, &'a T)> + use<'a, T> {
    let namespace = namespace.clone();
    all.range(Key::new(&namespace, "")..).take_while(move |(key, _)| key.namespace == namespace)
}

impl Roll {
    pub(super) fn deployments(&self) -> Vec<Key> {
        self.deployments.keys().cloned().collect()
    }

    pub(super) fn policies(&self) -> Vec<Key> {
        self.policies.keys().cloned().collect()
    }

    /// How a Deployment is now.
    pub(super) fn see(&mut self, key: Key, seen: Seen) {
        let before = self.deployments.get_mut(&key);
        if before.as_ref().is_some_and(|entry| entry.seen == seen) {
            return;
        }
        if before.as_ref().is_none_or(|entry| entry.seen.wish != seen.wish) {
            self.moved.insert(key.namespace.clone());
        }
        match before {
            Some(entry) => entry.seen = seen,
            None => drop(self.deployments.insert(key.clone(), Entry { seen, told: None })),
        }
        self.changed.insert(key);
    }

    /// A Deployment is gone.
    pub(super) fn lose(&mut self, key: &Key) {
        let Some(entry) = self.deployments.remove(key) else { return };
        self.changed.remove(key);
        self.moved.insert(key.namespace.clone());
        if entry.told.is_some() {
            self.gone.push(key.clone());
        }
    }

    /// How a policy is now.
    pub(super) fn rule(&mut self, rule: Rule) {
        let before = self.policies.get(&rule.key);
        if before == Some(&rule) {
            return;
        }
        let edited = self.edited.entry(rule.key.namespace.clone()).or_default();
        if before.is_none_or(|before| before.policy != rule.policy) {
            edited.insert(rule.key.name.clone());
        }
        self.moved.insert(rule.key.namespace.clone());
        self.policies.insert(rule.key.clone(), rule);
    }

    /// A policy is gone.
    pub(super) fn unrule(&mut self, key: &Key) {
        if self.policies.remove(key).is_some() {
            self.edited.entry(key.namespace.clone()).or_default();
            self.moved.insert(key.namespace.clone());
        }
    }

    /// What has changed since this was asked last. While not all policies are known, only annotations decide.
    pub(super) fn news(&mut self, whole: bool) -> Vec<Sighting> {
        let mut news: Vec<Sighting> = std::mem::take(&mut self.gone).into_iter().map(Sighting::Gone).collect();
        let edited = if whole { std::mem::take(&mut self.edited) } else { BTreeMap::new() };
        let mut keys: BTreeSet<Key> = self.changed.clone();
        for namespace in edited.keys() {
            keys.extend(within(&self.deployments, namespace).map(|(key, _)| key.clone()));
        }
        // In their order, so that those of one namespace come after each other.
        let mut rules: Option<(Name, Rules<'_>)> = None;
        for key in keys {
            if rules.as_ref().is_none_or(|(namespace, _)| *namespace != key.namespace) {
                let known = within(&self.policies, &key.namespace).map(|(_, rule)| rule).filter(|_| whole);
                rules = Some((key.namespace.clone(), Rules::new(known)));
            }
            let (Some((_, rules)), Some(entry)) = (&rules, self.deployments.get_mut(&key)) else { continue };
            let source = rules.choose(&key.name, &entry.seen.wish);
            let is_edited = |name: &Name| edited.get(&key.namespace).is_some_and(|names| names.contains(name));
            let again = self.changed.contains(&key) || matches!(&source, Some(Source::Policy(name)) if is_edited(name));
            let before = std::mem::replace(&mut entry.told, source.clone());
            match source {
                Some(source) if again || before.as_ref() != Some(&source) => {
                    let policy = policy(&self.policies, &key, &source, &entry.seen);
                    news.push(Sighting::Seen(key, Box::new(watched(&entry.seen, source, policy))));
                }
                None if before.is_some() => news.push(Sighting::Gone(key)),
                Some(_) | None => {}
            }
        }
        self.changed.clear();
        news
    }

    /// What policies have by now, of the namespaces where that may have changed.
    pub(super) fn claims(&self) -> Vec<(&Rule, Claim)> {
        let of = |namespace: &Name| {
            let rules = Rules::new(within(&self.policies, namespace).map(|(_, rule)| rule));
            rules.claims(within(&self.deployments, namespace).map(|(key, entry)| (&key.name, &entry.seen.wish)))
        };
        self.moved.iter().flat_map(of).collect()
    }

    /// The claims were heard.
    pub(super) fn counted(&mut self) {
        self.moved.clear();
    }
}

/// What is asked of a Deployment.
fn policy(policies: &BTreeMap<Key, Rule>, key: &Key, source: &Source, seen: &Seen) -> Result<PolicySpec, String> {
    match source {
        Source::Annotation => PolicySpec::parse(seen.wish.annotation.as_deref().unwrap_or_default()),
        Source::Policy(name) => {
            let rule = policies.get(&Key { namespace: key.namespace.clone(), name: name.clone() });
            rule.map_or_else(|| Err(format!("there is no policy `{name}`")), |rule| rule.policy.clone())
        }
    }
}

fn watched(seen: &Seen, source: Source, policy: Result<PolicySpec, String>) -> Watched {
    Watched {
        uid: seen.uid.clone(),
        policy,
        source,
        paused: seen.paused,
        replicas: seen.replicas,
        template: seen.template.clone(),
        generation: seen.generation,
        observed: seen.observed,
        complete: seen.complete,
        lacking: seen.lacking,
        labels: seen.labels.clone(),
        unfrozen: seen.unfrozen,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::policy::selection::{Wish, read};
    use crate::domain::rollout::guard::Guard;

    fn seen(annotation: Option<&str>) -> Seen {
        Seen {
            wish: Wish { annotation: annotation.map(Into::into), ..Wish::default() },
            uid: "u".into(),
            paused: false,
            replicas: 1,
            template: "t".into(),
            generation: 1,
            observed: true,
            complete: true,
            lacking: false,
            labels: BTreeMap::new(),
            unfrozen: false,
        }
    }

    fn rule(name: &str, created: i64, guard: &str) -> Rule {
        rule_of(name, created, json!({"selector": {}, "guard": guard}))
    }

    fn rule_of(name: &str, created: i64, spec: Value) -> Rule {
        let (whom, policy) = read(spec);
        Rule { key: Key::new("todo", name), uid: name.into(), created, generation: created, whom, policy }
    }

    /// What is told, in short: the Deployment, where its policy was written, and its guard.
    fn told(roll: &mut Roll) -> Vec<String> {
        let say = |sighting| match sighting {
            Sighting::Seen(key, watched) => {
                let guard = watched.policy.as_ref().map_or("wrong", |policy| policy.guard.label());
                match &watched.source {
                    Source::Annotation => format!("{} {guard}", key.name),
                    Source::Policy(name) => format!("{} {guard} by {name}", key.name),
                }
            }
            Sighting::Gone(key) => format!("{} gone", key.name),
            other => format!("{other:?}"),
        };
        roll.news(true).into_iter().map(say).collect()
    }

    fn see(roll: &mut Roll, name: &str, seen: Seen) -> Vec<String> {
        roll.see(Key::new("todo", name), seen);
        told(roll)
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let mut roll = Roll::default();
        assert_eq!(see(&mut roll, "a", seen(Some("guard: hold"))), ["a hold"]);
        assert_eq!(see(&mut roll, "a", seen(Some("guard: hold"))), [""; 0], "it is as it was");
        assert_eq!(see(&mut roll, "b", seen(None)), [""; 0], "nobody asks for it");
        assert_eq!(see(&mut roll, "a", Seen { complete: false, ..seen(Some("guard: hold")) }), ["a hold"]);
        assert_eq!(see(&mut roll, "a", seen(Some("guard: pray"))), ["a wrong"]);
        assert_eq!(see(&mut roll, "a", seen(None)), ["a gone"]);
        assert_eq!(see(&mut roll, "a", seen(Some(""))), ["a none"]);
        roll.lose(&Key::new("todo", "a"));
        roll.lose(&Key::new("todo", "b"));
        assert_eq!(told(&mut roll), ["a gone"]);
    }

    #[test]
    fn a_policy_that_is_edited_is_told_of_all_that_have_it_and_of_no_others() {
        let mut roll = Roll::default();
        for (name, annotation) in [("a", None), ("b", None), ("c", Some("guard: undo"))] {
            see(&mut roll, name, seen(annotation));
        }
        roll.see(Key::new("other", "a"), seen(None));
        roll.rule(rule("young", 2, "hold"));
        assert_eq!(told(&mut roll), ["a hold by young", "b hold by young"]);
        roll.rule(rule("young", 2, "pause"));
        assert_eq!(told(&mut roll), ["a pause by young", "b pause by young"]);
        roll.rule(Rule { generation: 9, ..rule("young", 2, "pause") });
        assert_eq!(told(&mut roll), [""; 0], "it asks the same");
        roll.rule(rule_of("old", 1, json!({"deployments": ["b"]})));
        assert_eq!(told(&mut roll), ["b none by old"]);
        roll.rule(rule_of("old", 1, json!({"deployments": ["a"]})));
        assert_eq!(told(&mut roll), ["a none by old", "b pause by young"]);
        roll.unrule(&Key::new("todo", "young"));
        assert_eq!(told(&mut roll), ["b gone"]);
        roll.rule(rule_of("old", 1, json!({"deployments": ["a"], "guard": "pray"})));
        assert_eq!(told(&mut roll), ["a wrong by old"]);
        roll.unrule(&Key::new("todo", "old"));
        assert_eq!(told(&mut roll), ["a gone"]);
    }

    #[test]
    fn policies_decide_when_all_of_them_are_known() {
        let mut roll = Roll::default();
        roll.see(Key::new("todo", "a"), seen(None));
        roll.see(Key::new("todo", "b"), seen(Some("{}")));
        roll.rule(rule("young", 2, "hold"));
        let early = roll.news(false);
        assert!(matches!(&early[..], [Sighting::Seen(key, _)] if &*key.name == "b"), "{early:?}");
        roll.rule(rule("old", 1, "undo"));
        assert_eq!(told(&mut roll), ["a undo by old"]);
    }

    #[test]
    fn claims_are_counted_anew_where_something_moved() {
        let mut roll = Roll::default();
        roll.rule(rule("old", 1, "hold"));
        roll.see(Key::new("todo", "a"), seen(None));
        let has = |roll: &Roll| {
            roll.claims().into_iter().map(|(rule, claim)| (rule.key.name.clone(), claim.has.len())).collect::<Vec<_>>()
        };
        assert_eq!(has(&roll), [("old".into(), 1)]);
        roll.counted();
        assert!(has(&roll).is_empty());
        roll.see(Key::new("todo", "a"), Seen { complete: false, ..seen(None) });
        roll.see(Key::new("other", "a"), seen(None));
        assert!(has(&roll).is_empty(), "what it is like does not decide whose it is");
        roll.see(Key::new("todo", "b"), seen(None));
        assert_eq!(has(&roll), [("old".into(), 2)]);
        roll.counted();
        roll.rule(Rule { generation: 9, ..rule("old", 1, "hold") });
        assert_eq!(has(&roll), [("old".into(), 2)], "its status is about the latest generation");
    }

    #[test]
    fn what_is_told_is_how_the_deployment_is() {
        let mut roll = Roll::default();
        let labels = BTreeMap::from([("app".to_owned(), "a".to_owned())]);
        let now = Seen { paused: true, replicas: 3, unfrozen: true, labels: labels.clone(), ..seen(Some("guard: hold")) };
        roll.see(Key::new("todo", "a"), now);
        let told = roll.news(true).pop();
        let Some(Sighting::Seen(_, watched)) = told else { panic!("{told:?}") };
        assert_eq!((watched.paused, watched.replicas, watched.unfrozen, watched.labels), (true, 3, true, labels));
        assert_eq!((watched.source, &*watched.template), (Source::Annotation, "t"));
        assert_eq!(watched.policy.map(|policy| policy.guard), Ok(Guard::Hold));
    }
}

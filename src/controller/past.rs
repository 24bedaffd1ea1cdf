//! What other verifiers have left behind, as objects: rollouts that they judged, and such that they were at.

use std::collections::BTreeMap;

use crate::cluster::verification::Found;
use crate::domain::policy::Key;
use crate::domain::policy::plan::Watched;
use crate::domain::traffic::Name;

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Past {
    judged: Vec<Found>,
    /// Oldest first.
    open: Vec<Found>,
    /// Those that are taken up.
    taken: BTreeMap<Key, Found>,
}

impl Past {
    /// `found` is sorted, the newest last.
    pub(super) fn of(found: Vec<Found>) -> Self {
        let (judged, open) = found.into_iter().partition(|one| one.status.verdict.is_some());
        Self { judged, open, taken: BTreeMap::new() }
    }

    /// Those that have a verdict.
    pub(super) fn judged(&self) -> &[Found] {
        &self.judged
    }

    /// The template that was judged last, of each Deployment.
    pub(super) fn templates(&self) -> impl Iterator<Item = (&Key, &Name)> {
        let latest: BTreeMap<&Key, &Name> =
            self.judged.iter().filter(|one| !one.status.template.is_empty()).map(|one| (&one.key, &one.template)).collect();
        latest.into_iter()
    }

    /// Takes up what can be: the newest of a Deployment, when its template is still wanted. Answers with the others.
    pub(super) fn settle(&mut self, watched: &BTreeMap<Key, Watched>) -> Vec<Found> {
        let mut past = Vec::new();
        for one in std::mem::take(&mut self.open).into_iter().rev() {
            let wanted =
                watched.get(&one.key).is_some_and(|w| w.policy.is_ok() && !w.paused && *w.template == *one.status.template);
            if wanted && !self.taken.contains_key(&one.key) {
                self.taken.insert(one.key.clone(), one);
            } else {
                past.push(one);
            }
        }
        past
    }

    /// Those that are taken up.
    pub(super) fn open(&self) -> impl Iterator<Item = &Key> {
        self.taken.keys()
    }

    /// The verification that a run goes on with.
    pub(super) fn take(&mut self, key: &Key) -> Option<Found> {
        self.taken.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Source;
    use crate::domain::policy::spec::PolicySpec;
    use crate::domain::policy::verification::VerificationStatus;
    use crate::domain::verdict::VerdictKind;

    fn found(name: &str, deployment: &str, template: &str, verdict: Option<VerdictKind>) -> Found {
        let status = VerificationStatus { verdict, ..VerificationStatus::begin(template) };
        Found { name: name.into(), key: Key::new("todo", deployment), created: String::new(), template: template.into(), status }
    }

    fn watched(template: &str, paused: bool) -> Watched {
        Watched {
            uid: "u".into(),
            policy: Ok(PolicySpec::default()),
            source: Source::Annotation,
            paused,
            replicas: 1,
            template: template.into(),
            generation: 1,
            observed: true,
            complete: false,
            lacking: false,
            labels: BTreeMap::new(),
            unfrozen: false,
        }
    }

    #[test]
    fn the_latest_rollout_is_taken_up_if_it_still_goes_on() {
        let open = |name: &str, deployment: &str, template: &str| found(name, deployment, template, None);
        let mut past = Past::of(vec![
            found("a0", "a", "t0", Some(VerdictKind::Pass)),
            found("a1", "a", "t1", Some(VerdictKind::Breach)),
            open("a2", "a", "t2"),
            open("a3", "a", "t2"),
            open("b1", "b", "t1"),
            open("c1", "c", "t1"),
            open("d1", "d", "t1"),
        ]);
        assert_eq!(past.templates().map(|(key, t)| (&*key.name, &**t)).collect::<Vec<_>>(), [("a", "t1")]);
        let seen = [("a", watched("t2", false)), ("b", watched("t2", false)), ("c", watched("t1", true))];
        let seen = seen.into_iter().map(|(name, w)| (Key::new("todo", name), w)).collect();
        let ended: Vec<String> = past.settle(&seen).into_iter().map(|one| one.name).collect();
        assert_eq!(ended, ["d1", "c1", "b1", "a2"], "gone, paused, another template, not the latest");
        assert_eq!(past.open().map(|key| &*key.name).collect::<Vec<_>>(), ["a"]);
        assert_eq!(past.take(&Key::new("todo", "a")).map(|one| one.name).as_deref(), Some("a3"));
        assert!(past.take(&Key::new("todo", "a")).is_none());
    }
}

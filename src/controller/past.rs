//! What other verifiers have left behind, as objects: rollouts that they judged, and such that they were at.

use std::collections::BTreeMap;

use kube::Client;

use crate::clock::Clock;
use crate::cluster::act::guard::{self, Place};
use crate::cluster::verification::Found;
use crate::domain::policy::Key;
use crate::domain::policy::plan::Watched;
use crate::domain::rollout::guard::{ActionEnded, Guard};

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
        let (open, judged) = found.into_iter().partition(|one| one.status.is_open(one.guard));
        Self { judged, open, taken: BTreeMap::new() }
    }

    /// Those that nothing is left to be done about.
    pub(super) fn judged(&self) -> &[Found] {
        &self.judged
    }

    /// What was judged last, of each Deployment.
    pub(super) fn latest(&self) -> impl Iterator<Item = &Found> {
        let open = self.open.iter().filter(|one| one.status.verdict.is_some());
        // An open one is newer than what was brought to an end.
        let told = self.judged.iter().chain(open).filter(|one| !one.status.template.is_empty());
        let latest: BTreeMap<&Key, &Found> = told.map(|one| (&one.key, one)).collect();
        latest.into_values()
    }

    /// Whether anything is open that no run is at.
    pub(super) fn is_settled(&self) -> bool {
        self.open.is_empty() && self.taken.is_empty()
    }

    /// Takes up what can be: the newest of a Deployment, as long as its template is still wanted and no guard has acted. Answers with the
    /// others.
    pub(super) fn settle(&mut self, watched: &BTreeMap<Key, Watched>) -> Vec<Found> {
        let mut past = Vec::new();
        let mut open = std::mem::take(&mut self.open);
        open.extend(std::mem::take(&mut self.taken).into_values());
        for one in open.into_iter().rev() {
            let wanted =
                watched.get(&one.key).is_some_and(|w| w.policy.is_ok() && !w.paused && *w.template == *one.status.template);
            if wanted && one.status.action.is_none() && !self.taken.contains_key(&one.key) {
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

    /// A run that was to go on with it did not come to it.
    pub(super) fn give_back(&mut self, left: Found) {
        self.taken.insert(left.key.clone(), left);
    }

    /// The verification that a run goes on with.
    pub(super) fn take(&mut self, key: &Key) -> Option<Found> {
        self.taken.remove(key)
    }
}

/// Brings one to its end that is not taken up. What its guard did is to be seen on the Deployment: half a hold would leave bad pods where they
/// are, and nobody judges what is paused, so the other half is done now.
pub(super) async fn close(client: &Client, clock: Clock, mut one: Found, watched: bool) -> Found {
    let (namespace, deployment, run) = (&*one.key.namespace, &*one.key.name, &*one.status.run_id);
    let did = if watched && one.guard != Guard::None {
        guard::finish(client, clock, Place { namespace, deployment, run }, &one.status.revision).await
    } else {
        None
    };
    let now = clock.stamp();
    match did {
        Some((record, ended)) => one.status.acted(&record, &rest(ended), &now),
        None => one.status.interrupt(&now),
    }
    one
}

/// What came of the second half of an action.
fn rest(ended: Option<ActionEnded>) -> String {
    match ended {
        None => "; the verifier ended thereafter".into(),
        Some(ActionEnded::Accepted { .. }) => "; the verifier ended after the pause, and the next one finished the hold".into(),
        Some(ActionEnded::LeftAlone(refusal)) => format!("; it came no further than the pause: {}", refusal.sentence()),
        Some(ActionEnded::Failed { why, .. }) => format!("; {why}"),
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
        let (name, key, template) = (name.into(), Key::new("todo", deployment), template.into());
        Found { name, key, created: String::new(), template, guard: Guard::Hold, status }
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

    /// Its verifier came to an end with it.
    fn done(mut one: Found) -> Found {
        one.status.phase = "done".into();
        one
    }

    #[test]
    fn a_breach_that_no_guard_has_acted_on_yet_is_taken_up() {
        let breach = |name: &str, deployment: &str| found(name, deployment, "t2", Some(VerdictKind::Breach));
        let mut acted = breach("b1", "b");
        acted.status.action = Some("hold".into());
        let mut past = Past::of(vec![breach("a1", "a"), acted, done(breach("c1", "c"))]);
        let templates: Vec<_> = past.latest().map(|one| (&*one.key.name, &*one.template)).collect();
        assert_eq!(templates, [("a", "t2"), ("b", "t2"), ("c", "t2")], "all of them are judged");
        assert_eq!(past.judged().iter().map(|one| &*one.name).collect::<Vec<_>>(), ["c1"]);
        let seen = ["a", "b", "c"].map(|name| (Key::new("todo", name), watched("t2", false))).into();
        let ended: Vec<String> = past.settle(&seen).into_iter().map(|one| one.name).collect();
        assert_eq!(ended, ["b1"], "it was acted on");
        assert_eq!(past.open().map(|key| &*key.name).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn the_latest_rollout_is_taken_up_if_it_still_goes_on() {
        let open = |name: &str, deployment: &str, template: &str| found(name, deployment, template, None);
        let mut past = Past::of(vec![
            found("a0", "a", "t0", Some(VerdictKind::Pass)),
            done(found("a1", "a", "t1", Some(VerdictKind::Breach))),
            open("a2", "a", "t2"),
            open("a3", "a", "t2"),
            open("b1", "b", "t1"),
            open("c1", "c", "t1"),
            open("d1", "d", "t1"),
        ]);
        assert_eq!(past.latest().map(|one| (&*one.key.name, &*one.template)).collect::<Vec<_>>(), [("a", "t1")]);
        let seen = [("a", watched("t2", false)), ("b", watched("t2", false)), ("c", watched("t1", true))];
        let seen: BTreeMap<Key, Watched> = seen.into_iter().map(|(name, w)| (Key::new("todo", name), w)).collect();
        let ended: Vec<String> = past.settle(&seen).into_iter().map(|one| one.name).collect();
        assert_eq!(ended, ["d1", "c1", "b1", "a2"], "gone, paused, another template, not the latest");
        assert_eq!(past.open().map(|key| &*key.name).collect::<Vec<_>>(), ["a"]);
        assert!(past.settle(&seen).is_empty() && !past.is_settled(), "no run has begun with it yet");
        let mut taken = Past::of(vec![open("a3", "a", "t2")]);
        taken.settle(&seen);
        assert_eq!(taken.take(&Key::new("todo", "a")).map(|one| one.name).as_deref(), Some("a3"));
        assert!(taken.take(&Key::new("todo", "a")).is_none() && taken.is_settled());
        taken.give_back(open("a3", "a", "t2"));
        assert!(taken.take(&Key::new("todo", "a")).is_some());
        // Nobody asks for it any more, before a way was found.
        let gone: Vec<String> = past.settle(&BTreeMap::new()).into_iter().map(|one| one.name).collect();
        assert!(gone == ["a3"] && past.is_settled());
    }
}

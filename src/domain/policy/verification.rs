//! What is told of one rollout's verification: the status of its object, and what the service's own API says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::course::{Course, Stage};
use crate::domain::display::{clean, percent, span};
use crate::domain::objective::{Goal, Ppm};
use crate::domain::outcome::Blame;
use crate::domain::rollout::guard::{Guard, Record};
use crate::domain::summary::Answers;
use crate::domain::verdict::VerdictKind;

/// The longest message of a condition that is written.
const MAX_MESSAGE: usize = 1_000;
/// The phase of a verification that nobody is at any more.
const DONE: &str = "done";

/// The generation of a verification's object: its `spec` is written once.
const OWN_GENERATION: i64 = 1;

/// How a verification stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationStatus {
    /// Names the run: sent with each request as `x-verifier-run`.
    pub run_id: String,
    /// The revision that is rolled out, by its `pod-template-hash`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revision: String,
    /// `surging`, `replacing`, `terminating`, `settled`; at the end `done`.
    pub phase: String,
    /// `pass`, `breach`, `inconclusive`, `superseded` or `aborted`; nothing while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictKind>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Requests since the change that say something about the target.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Requests that say nothing, because the verifier could not send or see them.
    pub excluded: u64,
    /// Good ones of `requests`, rounded down: `99.98%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability: Option<String>,
    /// 99 % of good answers took at most so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<String>,
    /// What the guard did, once the API accepted it: `hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Which pod template it is about: a hash of ours, the same for all versions of the verifier.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub template: String,
    /// When this was written, RFC 3339.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub updated: String,
    /// A verifier ended in the midst of it, and another one went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// The Deployment's generation that this is about.
    #[serde(default)]
    pub target_generation: i64,
    /// The generation of this very object that this was written for, as tools compare it with `metadata.generation`.
    pub observed_generation: i64,
    /// `Verified`, `Ready`, `Reconciling`, `Stalled`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A time in which nobody measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The last word of the verifier that ended, RFC 3339.
    pub since: String,
    /// The first word of the one that went on.
    pub until: String,
    /// Verifiers that ended in the midst of it; with more than one the gap is the latest.
    pub times: u32,
    /// Requests that were counted before it.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Those that say nothing.
    pub excluded: u64,
}

/// A condition, as Kubernetes has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// CamelCase.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
    /// When `status` changed last, RFC 3339.
    pub last_transition_time: String,
    /// The generation that it is about.
    pub observed_generation: i64,
}

impl Condition {
    /// A condition as it is `now`. While its status is that of `before`, it keeps the time of the change.
    pub fn new((kind, status, reason): (&str, &str, &str), message: String, generation: i64, before: &[Self], now: &str) -> Self {
        let same = before.iter().find(|c| c.kind == kind && c.status == status);
        Self {
            kind: kind.into(),
            status: status.into(),
            reason: reason.into(),
            message,
            last_transition_time: same.map_or_else(|| now.to_owned(), |c| c.last_transition_time.clone()),
            observed_generation: generation,
        }
    }
}

impl VerificationStatus {
    /// Of a rollout with this template nothing is known yet.
    pub fn begin(template: &str) -> Self {
        Self { template: template.into(), ..Self::default() }
    }

    /// What another verifier left open is taken up.
    pub fn resume(mut self, now: &str) -> Self {
        let times = self.gap.as_ref().map_or(0, |gap| gap.times).saturating_add(1);
        let (requests, errors, excluded) = (self.requests, self.errors, self.excluded);
        self.gap = Some(Gap { since: self.updated.clone(), until: now.into(), times, requests, errors, excluded });
        self
    }

    /// How a run that has begun to measure stands. `before` is what was told last, `now` by the wall, RFC 3339.
    pub fn of(course: &Course, before: &Self, now: &str) -> Self {
        let sums = course.tally.measured();
        let (stage, _) = course.stage();
        let earlier = before.gap.clone().unwrap_or_default();
        let bad = sums.counts.bad() + earlier.errors;
        let good = sums.counts.good() + (earlier.requests - earlier.errors.min(earlier.requests));
        let (verdict, message) = match judged(course, before.gap.as_ref(), Ppm::of(good, good + bad)) {
            // Found by a verifier that ended before the guard had acted: this one acts when it finds it again.
            (verdict, _) if before.is_breach() && verdict != Some(VerdictKind::Breach) => (before.verdict, before.message.clone()),
            judged => judged,
        };
        let generation = course.rollout.target().map_or(before.target_generation, |d| d.generation);
        let revision = course.rollout.new_revision().map_or_else(|| before.revision.clone(), |r| clean(r));
        let share = Ppm::of(good, good + bad);
        let mut status = Self {
            run_id: course.head().run_id.clone(),
            revision,
            phase: if stage == Stage::Done { DONE } else { course.rollout.phase().label() }.into(),
            verdict,
            message: message.chars().take(MAX_MESSAGE).collect(),
            requests: good + bad,
            errors: bad,
            excluded: sums.counts.of(Blame::Verifier) + earlier.excluded,
            availability: share.map(percent),
            p99: sums.latency.quantile(Ppm(990_000)).map(span),
            action: action(course),
            template: before.template.clone(),
            updated: now.into(),
            gap: before.gap.clone(),
            target_generation: generation,
            observed_generation: OWN_GENERATION,
            conditions: Vec::new(),
        };
        status.conditions = status.conditions(before, now);
        status
    }

    /// The run is over: these are its last figures.
    pub fn end(&mut self, answers: &Answers, now: &str) {
        let before = self.gap.clone().unwrap_or_default();
        self.phase = DONE.into();
        self.updated = now.into();
        (self.requests, self.errors) = (answers.valid + before.requests, answers.bad + before.errors);
        self.excluded = answers.excluded + before.excluded;
        self.availability = Ppm::of(self.requests - self.errors.min(self.requests), self.requests).map(percent);
    }

    /// The process that judged it is gone, and nothing more will be known of it. A verdict that had fallen stands.
    pub fn interrupt(&mut self, now: &str) {
        let (verdict, message) = match self.verdict {
            Some(verdict) => (verdict, self.message.clone()),
            None => (VerdictKind::Inconclusive, "interrupted: the verifier ended before the rollout was judged".to_owned()),
        };
        self.close(verdict, &message, now);
    }

    /// The same, and the Deployment tells what its guard did: only a breach makes it act.
    pub fn acted(&mut self, record: &Record, more: &str, now: &str) {
        self.action = Some(record.verb.label().to_owned());
        self.close(VerdictKind::Breach, &format!("{}{more}", clean(&record.reason)), now);
    }

    fn close(&mut self, verdict: VerdictKind, message: &str, now: &str) {
        let before = self.clone();
        self.updated = now.into();
        self.observed_generation = OWN_GENERATION;
        self.verdict = Some(verdict);
        self.phase = DONE.into();
        self.message = message.chars().take(MAX_MESSAGE).collect();
        self.conditions = self.conditions(&before, now);
    }

    /// Its run is over, and nobody is at it any more.
    pub fn is_done(&self) -> bool {
        self.phase == DONE
    }

    fn is_breach(&self) -> bool {
        self.verdict == Some(VerdictKind::Breach)
    }

    /// No verdict has fallen; or a breach has, and the verifier ended before what `guard` does about it was over.
    pub fn is_open(&self, guard: Guard) -> bool {
        self.verdict.is_none() || (self.is_breach() && guard != Guard::None && !self.is_done())
    }

    fn conditions(&self, before: &Self, now: &str) -> Vec<Condition> {
        let condition = |kind: &str, status: &str, reason: &str| {
            Condition::new((kind, status, reason), self.message.clone(), OWN_GENERATION, &before.conditions, now)
        };
        let (verified, reason) = match self.verdict {
            None => ("Unknown", "InProgress"),
            Some(VerdictKind::Pass) => ("True", "Pass"),
            Some(VerdictKind::Breach) => ("False", "Breach"),
            Some(VerdictKind::Inconclusive) => ("Unknown", "Inconclusive"),
            Some(VerdictKind::Superseded) => ("Unknown", "Superseded"),
            Some(VerdictKind::Aborted) => ("Unknown", "Aborted"),
        };
        let (ready, reconciling, stalled) = match self.verdict {
            None => ("False", "True", "False"),
            Some(VerdictKind::Pass) => ("True", "False", "False"),
            // Nothing more comes of it, whatever is waited for.
            Some(_) => ("False", "False", "True"),
        };
        let all = [("Verified", verified), ("Ready", ready), ("Reconciling", reconciling), ("Stalled", stalled)];
        all.map(|(kind, status)| condition(kind, status, reason)).into()
    }

    /// The status of a condition.
    pub fn condition(&self, kind: &str) -> Option<&str> {
        self.conditions.iter().find(|c| c.kind == kind).map(|c| c.status.as_str())
    }
}

/// The verdict and why. What was seen before a gap counts: a rollout that missed an objective then did not meet it.
fn judged(course: &Course, gap: Option<&Gap>, share: Option<Ppm>) -> (Option<VerdictKind>, String) {
    let Some(verdict) = course.verdict() else { return (None, String::new()) };
    let message = verdict.reasons.first().map(|r| clean(&r.message)).unwrap_or_default();
    let Some(gap) = gap else { return (Some(verdict.verdict), message) };
    let unseen = format!("nobody measured from {} to {}, when the verifier was replaced", gap.since, gap.until);
    let missed = course.head().scenario.then.iter().find(|objective| {
        let least = if let Goal::Availability(least) = objective.goal { Some(least) } else { None };
        objective.lane.is_none() && least.zip(share).is_some_and(|(least, share)| share < least)
    });
    match missed.filter(|_| verdict.verdict == VerdictKind::Pass) {
        Some(objective) => {
            let why = format!("{objective} was not met when what failed before is counted; {unseen}");
            (Some(VerdictKind::Inconclusive), why)
        }
        None => (Some(verdict.verdict), format!("{message}; {unseen}")),
    }
}

/// What the guard did, if the API accepted it.
fn action(course: &Course) -> Option<String> {
    let deed = course.deed().filter(|d| d.accepted().is_some())?;
    deed.action.as_ref().map(|action| action.verb.label().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{breach, fold, healthy};
    use crate::domain::rollout::guard::Verb;
    use crate::domain::traffic::Name;

    const NOW: &str = "2026-01-01T00:00:00Z";

    #[test]
    fn a_status_has_the_figures_of_the_run() {
        for (events, verdict, verified, ready) in
            [(healthy(), VerdictKind::Pass, "True", "True"), (breach(), VerdictKind::Breach, "False", "False")]
        {
            let course = fold(&events);
            let status = VerificationStatus::of(&course, &VerificationStatus::default(), NOW);
            let measured = crate::domain::summary::Summary::of(&course).traffic.measured;
            assert_eq!((status.requests, status.errors), (measured.answers.valid, measured.answers.bad));
            assert_eq!((status.availability.clone(), status.excluded), (measured.answers.availability, measured.answers.excluded));
            assert_eq!((status.verdict, status.phase.as_str()), (Some(verdict), "done"));
            assert_eq!((status.condition("Verified"), status.condition("Ready")), (Some(verified), Some(ready)));
            assert_eq!(status.condition("Stalled"), Some(if ready == "True" { "False" } else { "True" }));
        }
    }

    #[test]
    fn what_was_counted_before_a_gap_counts_and_the_gap_is_told() {
        let course = fold(&healthy());
        let alone = VerificationStatus::of(&course, &VerificationStatus::begin("t"), NOW);
        let left =
            |errors| VerificationStatus { requests: 1_000, errors, updated: "then".into(), ..VerificationStatus::begin("t") };
        let resumed = VerificationStatus::of(&course, &left(1).resume(NOW), "later");
        assert_eq!((resumed.requests, resumed.errors), (alone.requests + 1_000, alone.errors + 1));
        assert_eq!((resumed.verdict, resumed.template.as_str()), (Some(VerdictKind::Pass), "t"));
        assert!(resumed.message.contains(&format!("nobody measured from then to {NOW}")), "{}", resumed.message);
        let again = VerificationStatus::of(&course, &resumed, "later");
        assert_eq!((again.requests, again.errors), (resumed.requests, resumed.errors), "what was before is counted once");
        let worse = VerificationStatus::of(&course, &left(1_000).resume(NOW), "later");
        assert_eq!(worse.verdict, Some(VerdictKind::Inconclusive), "{}", worse.message);
        assert_eq!(left(1).resume("a").resume("b").gap.unwrap().times, 2);
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_last_change() {
        let open = fold(&healthy()[..healthy().len() / 2]);
        let first = VerificationStatus::of(&open, &VerificationStatus::default(), NOW);
        assert_eq!((first.condition("Verified"), first.condition("Reconciling")), (Some("Unknown"), Some("True")));
        let again = VerificationStatus::of(&open, &first, "later");
        assert!(again.conditions.iter().all(|c| c.last_transition_time == NOW));
        let ended = VerificationStatus::of(&fold(&healthy()), &again, "later");
        let changed: Vec<&str> =
            ended.conditions.iter().filter(|c| c.last_transition_time == "later").map(|c| c.kind.as_str()).collect();
        assert_eq!(changed, ["Verified", "Ready", "Reconciling"], "it never was stalled");
        let mut interrupted = again;
        interrupted.interrupt("later");
        assert_eq!((interrupted.verdict, interrupted.condition("Stalled")), (Some(VerdictKind::Inconclusive), Some("True")));
    }

    #[test]
    fn a_breach_that_was_found_stays_one_and_is_open_until_its_guard_has_done_what_it_does() {
        let (pass, breach) = (fold(&healthy()), fold(&breach()));
        let ended = VerificationStatus::of(&breach, &VerificationStatus::begin("t"), NOW);
        let left = VerificationStatus { phase: "surging".into(), ..ended.clone() };
        assert_eq!([Guard::Hold, Guard::None].map(|guard| left.is_open(guard)), [true, false], "without a guard nothing is left");
        assert!(!ended.is_open(Guard::Hold) && VerificationStatus::begin("t").is_open(Guard::None));
        assert!(!VerificationStatus { verdict: Some(VerdictKind::Pass), ..left.clone() }.is_open(Guard::Hold));

        let again = VerificationStatus::of(&pass, &left.clone().resume(NOW), "later");
        assert_eq!((again.verdict, &again.message), (Some(VerdictKind::Breach), &left.message));
        let mut interrupted = left;
        interrupted.interrupt("later");
        assert_eq!((interrupted.verdict, interrupted.phase.as_str()), (Some(VerdictKind::Breach), "done"));

        let n = Name::from;
        let (run, at, uid, revision) = (n("r-1"), n(NOW), n("u"), n("abc"));
        let record = Record { verb: Verb::Hold, run, at, uid, revision, reason: "9 of 10 requests failed".into() };
        let mut held = VerificationStatus::begin("t");
        held.acted(&record, "; it was finished", "later");
        assert_eq!((held.verdict, held.action.as_deref()), (Some(VerdictKind::Breach), Some("hold")));
        assert_eq!((held.condition("Verified"), &*held.message), (Some("False"), "9 of 10 requests failed; it was finished"));
    }
}

//! From what a detector found to the published form: counts, lanes, pods, phase, and how each attribution was made.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::seen::{Failed, Seen};
use super::{Finding, Prescription};
use crate::domain::attribution::{How, Moment};
use crate::domain::display::{clean, count, plural, span};
use crate::domain::outcome::Outcome;
use crate::domain::rollout::{Phase, PodLife};
use crate::domain::traffic::Name;

/// A cause as its detector found it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) code: &'static str,
    /// The failures that it explains, by their place in what was seen.
    pub(super) claims: Vec<usize>,
    title: String,
    pods: Vec<Name>,
    phase: Option<Phase>,
    evidence: Vec<String>,
    prescription: Option<Prescription>,
}

impl Found {
    /// A cause that explains these failures. The pods behind it are theirs.
    pub(super) fn of(code: &'static str, failures: &[&Failed<'_>], title: impl Into<String>) -> Self {
        let pods: BTreeSet<&Name> = failures.iter().flat_map(|f| f.who.suspects()).collect();
        Self {
            code,
            claims: failures.iter().map(|f| f.index).collect(),
            title: title.into(),
            pods: pods.into_iter().cloned().collect(),
            phase: None,
            evidence: Vec::new(),
            prescription: None,
        }
    }

    /// With these pods behind it.
    pub(super) fn pods<'p>(mut self, pods: impl IntoIterator<Item = &'p PodLife>) -> Self {
        let names: BTreeSet<Name> = pods.into_iter().map(|p| p.state.name.clone()).collect();
        self.pods = names.into_iter().collect();
        self
    }

    /// With the phase it fell into, where no failure tells.
    pub(super) const fn phase(mut self, phase: Phase) -> Self {
        self.phase = Some(phase);
        self
    }

    /// With a sentence of what was seen.
    pub(super) fn seen(mut self, sentence: impl Into<String>) -> Self {
        self.evidence.push(sentence.into());
        self
    }

    /// With advice for which no manifest field is enough.
    pub(super) fn advice(mut self, advice: impl Into<String>, gain: impl Into<String>) -> Self {
        self.prescription = Some(Prescription { advice: advice.into(), field: None, patch: None, gain: gain.into() });
        self
    }

    /// With a field to change, and what to lay over its object.
    pub(super) fn set(
        mut self,
        advice: impl Into<String>,
        field: impl Into<String>,
        patch: Value,
        gain: impl Into<String>,
    ) -> Self {
        let field = Some(field.into());
        self.prescription = Some(Prescription { advice: advice.into(), field, patch: Some(patch), gain: gain.into() });
        self
    }

    /// The published form.
    pub(super) fn finding(self, seen: &Seen<'_>) -> Finding {
        let claimed: Vec<&Failed<'_>> = self.claims.iter().filter_map(|i| seen.failures.get(*i)).collect();
        let lanes: BTreeSet<&Name> = claimed.iter().map(|f| &f.failure.lane).collect();
        let mut evidence = self.evidence;
        evidence.extend(outcomes(&claimed));
        evidence.extend(attributions(&claimed));
        let unlisted = seen.course.failures().1;
        if unlisted > 0 && !claimed.is_empty() {
            evidence.push(format!("{} later failures were counted but not kept one by one: they may be its too", count(unlisted)));
        }
        Finding {
            code: self.code.to_owned(),
            title: clean(&self.title),
            failures: claimed.len() as u64,
            of: seen.bad,
            lanes: lanes.into_iter().map(|l| clean(l)).collect(),
            pods: self.pods.iter().map(|p| clean(p)).collect(),
            phase: most_common(claimed.iter().map(|f| f.phase)).or(self.phase),
            evidence: evidence.iter().map(|e| clean(e)).collect(),
            prescription: self.prescription.map(|p| Prescription { advice: clean(&p.advice), ..p }),
        }
    }
}

/// `0 to 2.7 s`: how long after the turn in their pods' lives these failures were due.
pub(super) fn after(failures: &[&Failed<'_>]) -> String {
    let times = || {
        failures.iter().filter_map(|f| match f.who.moment {
            Moment::Terminating(us) | Moment::Down(us) | Moment::Young(us) => Some(us),
            Moment::Steady | Moment::Unknown => None,
        })
    };
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return String::new() };
    let tenths = |us: u64| match us / 100_000 {
        0 => "0".to_owned(),
        tenths => span(Duration::from_millis(tenths * 100)),
    };
    if first / 100_000 == last / 100_000 { tenths(last) } else { format!("{} to {}", tenths(first), tenths(last)) }
}

fn most_common<T: Ord + Copy>(all: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    all.for_each(|t| *counts.entry(t).or_default() += 1);
    counts.into_iter().max_by_key(|(_, n)| *n).map(|(t, _)| t)
}

fn outcomes(failures: &[&Failed<'_>]) -> Option<String> {
    let mut counts: BTreeMap<Outcome, u64> = BTreeMap::new();
    for failed in failures {
        *counts.entry(failed.outcome()).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let texts: Vec<String> = counts.iter().map(|(outcome, n)| format!("{} {}", count(*n), outcome.label())).collect();
    (!texts.is_empty()).then(|| format!("they ended in {}", texts.join(", ")))
}

/// How it is known whose failures these are.
fn attributions(failures: &[&Failed<'_>]) -> Option<String> {
    let mut counts: BTreeMap<How, u64> = BTreeMap::new();
    for failed in failures {
        *counts.entry(failed.who.how).or_default() += 1;
    }
    let text = |(how, n): (How, u64)| {
        let how = match how {
            How::Connection => "named by the answer or the connection itself",
            How::PodLane => "by the pod's own lane at the same moment",
            How::Time => "by the only pods whose state at that moment explains them",
            How::Unknown => "unknown",
        };
        format!("{} {how}", count(n))
    };
    let texts: Vec<String> = counts.into_iter().map(text).collect();
    (!texts.is_empty()).then(|| format!("attributed to pods: {}", texts.join(", ")))
}

/// `1 of 43 failures`.
pub(super) fn share(failures: &[&Failed<'_>], seen: &Seen<'_>) -> String {
    format!("{} of {}", count(failures.len() as u64), plural(seen.bad, "failure"))
}

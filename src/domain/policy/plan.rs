//! Which runs there shall be: one for each rollout that a policy asks to be judged, as long as the traffic of all stays below the ceiling.

use std::collections::BTreeMap;
use std::time::Duration;

use super::spec::PolicySpec;
use super::{Key, Source};
use crate::domain::objective::Ppm;
use crate::domain::scenario::Ruling;
use crate::domain::time::At;
use crate::domain::traffic::Name;
use crate::domain::verdict::VerdictKind;

/// After a run that found no way to its target, the next one waits this long, then twice as long each time.
const RETRY: Duration = Duration::from_secs(2);
/// But never longer.
const MAX_RETRY: Duration = Duration::from_mins(1);
/// The time over which the guards' actions are counted.
pub const ACTIONS_WITHIN: Duration = Duration::from_hours(1);

/// A Deployment that a policy asks for, as the API has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// `metadata.uid`
    pub uid: String,
    /// What is asked, or what is wrong with it.
    pub policy: Result<PolicySpec, String>,
    /// Where that was written.
    pub source: Source,
    /// `spec.paused`
    pub paused: bool,
    /// `spec.replicas`
    pub replicas: i32,
    /// Tells templates apart, from one version of this program to the next.
    pub template: Name,
    /// `metadata.generation`
    pub generation: i64,
    /// Its controller has seen this generation: before that nobody knows whether a rollout has begun.
    pub observed: bool,
    /// The latest template is rolled out.
    pub complete: bool,
    /// Fewer pods are available than are wanted.
    pub lacking: bool,
    /// Of the pod template: what Services select by.
    pub labels: BTreeMap<String, String>,
    /// Whoever changed it takes the error budget on himself: annotation `verifier.dev/ignore-budget`.
    pub unfrozen: bool,
}

/// A run that judges a rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Requests a second that it sends.
    pub rate: f64,
    /// The Deployment's uid when it was started.
    pub uid: String,
    /// The template that it was started for.
    pub template: Name,
    /// It was told to end.
    pub stopping: bool,
}

/// What is remembered of a Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    /// Its run.
    pub running: Option<Running>,
    /// The template that nothing more is to be found out about: judged, or complete before anybody looked.
    pub judged: Option<Name>,
    /// Since when a rollout waits for its run.
    waiting: Option<At>,
    /// It was seen before.
    known: bool,
    /// When its last run ended.
    ended: Option<At>,
    /// Runs in a row that found no way to the target, and what the last one said.
    lost: Option<(u32, String)>,
}

impl Book {
    /// The Deployment was seen. One that was complete when it came into sight has nothing to be judged.
    pub fn see(&mut self, watched: &Watched, now: At) {
        if !self.known && self.judged.is_none() && watched.complete {
            self.judged = Some(watched.template.clone());
        }
        // To ask for it is a change of its annotations, and each of those is a new generation.
        self.known |= watched.observed;
        self.waiting = if self.is_due(watched) { self.waiting.or(Some(now)) } else { None };
    }

    /// A former process was at this template's rollout and came to no verdict: it is taken up again, complete or not.
    pub fn resume(&mut self) {
        self.judged = None;
    }

    /// Its rollout is to be judged.
    fn is_due(&self, watched: &Watched) -> bool {
        self.known && !watched.paused && watched.replicas > 0 && self.judged.as_ref() != Some(&watched.template)
    }

    /// A run has ended. `unready` says why it found no way to its target.
    pub fn end(&mut self, unready: Option<String>, now: At) {
        self.running = None;
        self.ended = Some(now);
        self.lost = unready.map(|why| (self.lost.take().map_or(1, |(times, _)| times.saturating_add(1)), why));
    }

    /// The verdict about a rollout has fallen. Of one that was superseded nothing is known.
    pub fn judge(&mut self, verdict: VerdictKind, template: &Name) {
        self.judged = match verdict {
            VerdictKind::Pass | VerdictKind::Breach | VerdictKind::Inconclusive => Some(template.clone()),
            VerdictKind::Superseded | VerdictKind::Aborted => None,
        };
    }

    /// When the next run may begin.
    fn ready(&self) -> At {
        match (&self.lost, self.ended) {
            (Some((times, _)), Some(ended)) => ended + RETRY.saturating_mul(1 << (times - 1).min(10)).min(MAX_RETRY),
            _ => At::ZERO,
        }
    }
}

/// Why nothing is sent to a Deployment that a policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idle {
    /// The policy says nothing that can be done.
    Invalid(String),
    /// It wants no pods.
    NoReplicas,
    /// No way leads to it.
    Unreachable(String),
    /// Its rollout waits for others to end: what all of them ask for together is above the ceiling.
    Ceiling,
}

impl Idle {
    /// The reason of a condition.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "InvalidPolicy",
            Self::NoReplicas => "NoReplicas",
            Self::Unreachable(_) => "Unreachable",
            Self::Ceiling => "TrafficCeiling",
        }
    }

    /// A sentence for people.
    pub fn message(&self) -> String {
        match self {
            Self::Invalid(why) => format!("the policy cannot be used: {why}"),
            Self::NoReplicas => "the Deployment wants no pods: there is nothing to probe".into(),
            Self::Unreachable(why) => why.clone(),
            Self::Ceiling => "the traffic of all rollouts together is at the ceiling: this one waits for another to end".into(),
        }
    }
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    /// Judge the rollout.
    Start,
    /// End its run.
    Stop,
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// By Deployment, in the order in which it is to be done.
    pub todo: Vec<(Key, Do)>,
    /// Those that nothing is sent to, or whose rollout waits, and why.
    pub idle: BTreeMap<Key, Idle>,
    /// When to look again, if nothing happens earlier.
    pub wake: Option<At>,
}

/// Decides. `ceiling` is in requests a second, of all runs together.
pub fn plan(watched: &BTreeMap<Key, Watched>, books: &BTreeMap<Key, Book>, ceiling: f64, now: At) -> Plan {
    let mut plan = Plan::default();
    let mut rate: f64 = books.values().filter_map(|b| b.running.as_ref()).map(|r| r.rate).sum();
    let mut waiting: Vec<(Option<At>, &Key, f64)> = Vec::new();
    for (key, book) in books {
        let seen = watched.get(key);
        if let Some(running) = &book.running {
            if !running.stopping && seen.is_none_or(|w| w.uid != running.uid) {
                plan.todo.push((key.clone(), Do::Stop));
            }
            continue;
        }
        let Some(seen) = seen else { continue };
        let policy = match probed(seen) {
            Ok(policy) => policy,
            Err(idle) => {
                plan.idle.insert(key.clone(), idle);
                continue;
            }
        };
        if !book.is_due(seen) {
            continue;
        }
        if book.ready() <= now {
            waiting.push((book.waiting, key, policy.rate()));
        } else {
            plan.wake = Some(plan.wake.map_or(book.ready(), |wake| wake.min(book.ready())));
            let why = book.lost.as_ref().map(|(_, why)| why.clone()).unwrap_or_default();
            plan.idle.insert(key.clone(), Idle::Unreachable(why));
        }
    }
    // Who has waited longest comes first.
    waiting.sort_by_key(|(since, key, _)| (since.is_none(), *since, *key));
    for (_, key, asked) in waiting {
        if rate + asked > ceiling {
            plan.idle.insert(key.clone(), Idle::Ceiling);
        } else {
            rate += asked;
            plan.todo.push((key.clone(), Do::Start));
        }
    }
    plan
}

/// What a Deployment is probed by between its rollouts, or why it is not.
pub fn probed(watched: &Watched) -> Result<&PolicySpec, Idle> {
    let policy = watched.policy.as_ref().map_err(|why| Idle::Invalid(why.clone()))?;
    if watched.replicas == 0 { Err(Idle::NoReplicas) } else { Ok(policy) }
}

/// Whether rollouts are frozen with this share of the error budget left.
pub fn frozen(left: f64, least: Ppm) -> Option<Ruling> {
    #[expect(clippy::cast_possible_truncation, reason = "it saturates, and nobody tells -10^12 % from less")]
    let millionths = (left * 1e6).floor() as i64;
    (left < least.fraction()).then_some(Ruling::BudgetSpent { left: millionths, least })
}

/// Whether too much failed before a rollout for anything to be blamed on it: the same share as in a run's own baseline.
pub fn unhealthy(bad: u64, valid: u64) -> Option<Ruling> {
    (bad * 100 > valid).then_some(Ruling::Unhealthy { bad, valid })
}

/// Whether the guards may act once more: not more than `cap` times within an hour, all Deployments together. Forgets older actions.
pub fn permit(actions: &mut Vec<At>, cap: usize, now: At) -> Result<(), String> {
    actions.retain(|at| now.since(*at) < ACTIONS_WITHIN);
    if actions.len() >= cap {
        return Err(format!(
            "the guards have acted {} times within an hour, which is the cap for all Deployments together",
            actions.len()
        ));
    }
    actions.push(now);
    Ok(())
}

/// Of verifications, each with its Deployment and its age, those to forget: beyond `count` of a Deployment, or older than `age`. Those that
/// still go on have no age.
pub fn forgotten<T: Clone>(all: &[(T, Key, Option<Duration>)], count: usize, age: Duration) -> Vec<T> {
    let mut ended: Vec<(&T, &Key, Duration)> = all.iter().filter_map(|(id, key, old)| Some((id, key, (*old)?))).collect();
    ended.sort_by_key(|(_, key, old)| (*key, *old));
    let mut places: BTreeMap<&Key, usize> = BTreeMap::new();
    let goes = ended.into_iter().filter(|(_, key, old)| {
        let place = places.entry(key).or_default();
        *place += 1;
        *place > count || *old > age
    });
    goes.map(|(id, ..)| id.clone()).collect()
}

#[cfg(test)]
mod tests;

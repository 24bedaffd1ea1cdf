//! Which runs there shall be: one for each Deployment that a policy asks for, as long as the traffic of all stays below the ceiling.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Key;
use super::spec::PolicySpec;
use crate::domain::time::At;
use crate::domain::verdict::VerdictKind;

/// After a run that found no way to its target, the next one waits this long, then twice as long each time.
const RETRY: Duration = Duration::from_secs(2);
/// But never longer.
const MAX_RETRY: Duration = Duration::from_mins(1);
/// The time over which the guards' actions are counted.
pub const ACTIONS_WITHIN: Duration = Duration::from_hours(1);

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Probes, and judges the next rollout, or the one that is under way.
    Follow,
    /// Only probes: the Deployment is paused, or its rollout was judged already and goes no further.
    Measure,
}

/// A Deployment that a policy asks for, as the API has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// `metadata.uid`
    pub uid: String,
    /// What is asked, or what is wrong with it.
    pub policy: Result<PolicySpec, String>,
    /// `spec.paused`
    pub paused: bool,
    /// `spec.replicas`
    pub replicas: i32,
    /// Tells templates apart.
    pub template: u64,
    /// `metadata.generation`
    pub generation: i64,
    /// The latest template is rolled out.
    pub complete: bool,
}

/// A run that goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// What it does.
    pub mode: Mode,
    /// What it was started with.
    pub policy: PolicySpec,
    /// The Deployment's uid when it was.
    pub uid: String,
    /// It judges a rollout: a policy that changes now is for the next one.
    pub judging: bool,
    /// It was told to end.
    pub stopping: bool,
}

/// What is remembered of a Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    /// Its run.
    pub running: Option<Running>,
    /// The template whose rollout was judged last.
    pub judged: Option<u64>,
    /// When its last run ended.
    pub ended: Option<At>,
    /// Runs in a row that found no way to the target, and what the last one said.
    pub lost: Option<(u32, String)>,
}

impl Book {
    /// A run has ended. `unready` says why it found no way to its target.
    pub fn end(&mut self, unready: Option<String>, now: At) {
        self.running = None;
        self.ended = Some(now);
        self.lost = unready.map(|why| (self.lost.take().map_or(1, |(times, _)| times.saturating_add(1)), why));
    }

    /// The verdict about a rollout has fallen. Of one that was superseded nothing is known.
    pub fn judge(&mut self, verdict: VerdictKind, template: u64) {
        self.judged = match verdict {
            VerdictKind::Pass | VerdictKind::Breach | VerdictKind::Inconclusive => Some(template),
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
    /// What all Deployments ask for together is above the ceiling.
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
            Self::Ceiling => "the traffic of all policies together is above the ceiling: this one waits".into(),
        }
    }
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    /// Start a run.
    Start(Mode),
    /// End its run.
    Stop,
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// By Deployment, in the order in which it is to be done.
    pub todo: Vec<(Key, Do)>,
    /// Those that nothing is sent to, and why.
    pub idle: BTreeMap<Key, Idle>,
    /// When to look again, if nothing happens earlier.
    pub wake: Option<At>,
}

/// Decides. `ceiling` is in requests a second, of all runs together.
pub fn plan(watched: &BTreeMap<Key, Watched>, books: &BTreeMap<Key, Book>, ceiling: f64, now: At) -> Plan {
    let mut plan = Plan::default();
    let keys: BTreeSet<&Key> = watched.keys().chain(books.keys()).collect();
    let mut rate: f64 = books.values().filter_map(|b| b.running.as_ref()).map(|r| r.policy.rate()).sum();
    let mut waiting: Vec<(Option<At>, &Key, Mode, f64)> = Vec::new();
    for key in keys {
        let book = books.get(key).cloned().unwrap_or_default();
        let wanted = watched.get(key).map(|w| wanted(w, &book));
        if let Some(running) = &book.running {
            if !running.stopping && is_outdated(running, watched.get(key), wanted.as_ref()) {
                plan.todo.push((key.clone(), Do::Stop));
            }
            continue;
        }
        match wanted {
            None => {}
            Some(Err(idle)) => {
                plan.idle.insert(key.clone(), idle);
            }
            Some(Ok((mode, policy))) if book.ready() <= now => waiting.push((book.ended, key, mode, policy.rate())),
            Some(Ok(_)) => {
                plan.wake = Some(plan.wake.map_or(book.ready(), |wake| wake.min(book.ready())));
                let why = book.lost.map(|(_, why)| why).unwrap_or_default();
                plan.idle.insert(key.clone(), Idle::Unreachable(why));
            }
        }
    }
    // Who has waited longest comes first, and who was never served before all others.
    waiting.sort_by_key(|(ended, key, ..)| (*ended, *key));
    for (_, key, mode, asked) in waiting {
        if rate + asked > ceiling {
            plan.idle.insert(key.clone(), Idle::Ceiling);
        } else {
            rate += asked;
            plan.todo.push((key.clone(), Do::Start(mode)));
        }
    }
    plan
}

/// What is to be done about a Deployment as it is.
fn wanted<'a>(watched: &'a Watched, book: &Book) -> Result<(Mode, &'a PolicySpec), Idle> {
    let policy = watched.policy.as_ref().map_err(|why| Idle::Invalid(why.clone()))?;
    if watched.replicas == 0 {
        return Err(Idle::NoReplicas);
    }
    let judged = !watched.complete && book.judged == Some(watched.template);
    Ok((if watched.paused || judged { Mode::Measure } else { Mode::Follow }, policy))
}

/// A run that judges goes on to its verdict; any other one ends when something else is wanted.
fn is_outdated(running: &Running, watched: Option<&Watched>, wanted: Option<&Result<(Mode, &PolicySpec), Idle>>) -> bool {
    match (watched, wanted) {
        (Some(watched), Some(Ok((mode, policy)))) => {
            watched.uid != running.uid || (!running.judging && (*mode != running.mode || **policy != running.policy))
        }
        _ => !running.judging || watched.is_none(),
    }
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

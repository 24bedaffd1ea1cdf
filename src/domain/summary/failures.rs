//! What failed: counted exactly by outcome, lane, phase and side of the change, with a few examples one by one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rollout::{Side, side_of};
use super::{Millis, Seconds};
use crate::domain::breakdown::Spell;
use crate::domain::course::Course;
use crate::domain::display::clean;
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::rollout::Phase;
use crate::domain::slice::Failure;
use crate::domain::traffic::Name;

/// Examples in a summary.
const MAX_EXAMPLES: usize = 20;

/// What failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failures {
    /// By kind, those before the change first, then most frequent first. Their counts add up to `bad` and `excluded`.
    pub groups: Vec<Group>,
    /// Up to 20, of each outcome and lane some, in order of their intended start.
    pub examples: Vec<Example>,
}

/// Failures that have outcome, lane, phase and side of the change in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// How many.
    pub count: u64,
    /// Whether they came after the change began, so that objectives count them.
    pub measured: bool,
    /// How they ended.
    pub outcome: Outcome,
    /// Whose failure that is: the target's, or the verifier's own.
    pub blame: Blame,
    /// The lane.
    pub lane: String,
    /// The phase in which they became known.
    pub phase: Phase,
    /// The side of the change that the answering pod is on; `unknown` when no pod answered.
    pub side: Side,
    /// When the first became known, to a tenth of a second.
    pub first_s: Seconds,
    /// When the last became known, to a tenth of a second.
    pub last_s: Seconds,
}

/// One failed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Example {
    /// The lane.
    pub lane: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Its intended start.
    pub due_s: Seconds,
    /// When its first byte was written, if one was.
    pub sent_s: Option<Seconds>,
    /// When its failure became known.
    pub known_s: Seconds,
    /// The phase of the rollout at its intended start.
    pub phase: Phase,
    /// The status, if there was one.
    pub status: Option<u16>,
    /// The pod that answered, if it said so.
    pub pod: Option<String>,
    /// The revision of that pod.
    pub revision: Option<String>,
    /// The version that the answer named.
    pub version: Option<String>,
    /// The connection it used.
    pub connection: Option<Connection>,
    /// What the system said.
    pub note: String,
}

/// The connection of a failed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Connection {
    /// The verifier's local port.
    pub local_port: u16,
    /// Its age when the request was written.
    pub age_ms: Millis,
    /// Requests it had served before.
    pub served: u64,
    /// The pod that last answered on it.
    pub last_pod: Option<String>,
}

impl Failures {
    /// All failures so far.
    pub fn of(course: &Course) -> Self {
        Self { groups: Group::all(course), examples: examples(course) }
    }
}

impl Group {
    /// All groups.
    pub fn all(course: &Course) -> Vec<Self> {
        let mut spells: BTreeMap<_, Spell> = BTreeMap::new();
        for (kind, spell) in course.breakdown().iter() {
            let side = side_of(course, kind.pod.as_deref().and_then(|p| course.revision_of(p)));
            let key = (kind.measured, kind.outcome, &kind.lane, kind.phase, side);
            spells.entry(key).and_modify(|s| *s = s.joined(*spell)).or_insert(*spell);
        }
        let group = |((measured, outcome, lane, phase, side), spell): ((bool, Outcome, &Name, Phase, Side), Spell)| Self {
            count: spell.count,
            measured,
            outcome,
            blame: outcome.blame(),
            lane: clean(lane),
            phase,
            side,
            first_s: Seconds(spell.first),
            last_s: Seconds(spell.last),
        };
        let mut groups: Vec<_> = spells.into_iter().map(group).collect();
        groups.sort_by_key(|g| (g.measured, std::cmp::Reverse(g.count)));
        groups
    }
}

fn examples(course: &Course) -> Vec<Example> {
    let mut taken: BTreeMap<_, usize> = course.failures().0.map(|f| ((f.outcome, &f.lane), 0)).collect();
    let each = (MAX_EXAMPLES / taken.len().max(1)).max(1);
    let mut chosen: Vec<&Failure> = Vec::new();
    for failure in course.failures().0 {
        let of_kind = taken.entry((failure.outcome, &failure.lane)).or_default();
        if *of_kind < each && chosen.len() < MAX_EXAMPLES {
            *of_kind += 1;
            chosen.push(failure);
        }
    }
    chosen.sort_by(|a, b| (a.due, &a.lane).cmp(&(b.due, &b.lane)));
    chosen.into_iter().map(|f| Example::of(course, f)).collect()
}

impl Example {
    fn of(course: &Course, failure: &Failure) -> Self {
        Self {
            lane: clean(&failure.lane),
            outcome: failure.outcome,
            due_s: Seconds(failure.due),
            sent_s: failure.sent.map(Seconds),
            known_s: Seconds(failure.known),
            phase: course.phase_at(failure.due),
            status: failure.status,
            pod: failure.pod.as_deref().map(clean),
            revision: failure.pod.as_deref().and_then(|p| course.revision_of(p)).map(|r| clean(r)),
            version: failure.version.as_deref().map(clean),
            connection: failure.connection.as_ref().map(|c| Connection {
                local_port: c.local_port,
                age_ms: Millis(std::time::Duration::from_micros(c.age)),
                served: c.served,
                last_pod: c.last_pod.as_deref().map(clean),
            }),
            note: clean(&failure.note),
        }
    }
}

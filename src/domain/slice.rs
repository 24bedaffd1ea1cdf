//! Traffic folded into tenths of a second: what the driver reports and the judge reads. Ten thousand users cost what ten do.

use serde::{Deserialize, Serialize};

use super::outcome::{Counts, Outcome};
use super::time::At;
use super::traffic::Name;
use super::validity::Validity;

/// The length of a slice in microseconds.
pub const SLICE_MICROS: u64 = 100_000;

/// What the driver tells the run, in this order for each slice of time: failures, closed connections, gaps, slices, validity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LoadEvent {
    /// A tenth of a second of one lane; every lane reports every tenth, also an empty one.
    Slice(Slice),
    /// One failed slot.
    Failure(Failure),
    /// A stretch without success.
    Gap(Gap),
    /// A kept connection ended outside a request.
    Closed(Closed),
    /// A second of the verifier's own condition.
    Validity(Validity),
}

/// What became known about one lane during one slice of time. `due` counts by intended start, everything else by the moment it became
/// known; so slots in flight are the running sum of `due` minus the running sum of all counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The lane.
    pub lane: Name,
    /// The end of the slice, a multiple of [`SLICE_MICROS`]; it began one slice earlier.
    pub end: At,
    /// Slots whose intended start fell into the slice.
    pub due: u64,
    /// Who answered what; a part without pod and version is unattributed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// The latest intended-start-to-send delay seen in this slice, in microseconds.
    pub lag_max: u64,
}

impl Slice {
    /// All parts together.
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.parts.iter().for_each(|p| all.merge(&p.counts));
        all
    }
}

/// The share of one pod (as it named itself) in a slice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The pod, when the answer named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Name>,
    /// Its version, when the answer named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Name>,
    /// How the slots ended.
    pub counts: Counts,
    /// Per threshold of the lane: slots that became known not to have been answered well within it, unless they had already failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slow: Vec<u64>,
    /// Latencies of good answers from the intended start, as `(microseconds rounded up to 3 significant digits, count)`, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latency: Vec<(u64, u32)>,
    /// On a stream lane: how long nothing came between two pieces, in the same form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<(u64, u32)>,
}

/// One failed (or unsendable) slot, with all that the connection knew. The first few thousand of a run are kept one by one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The lane.
    pub lane: Name,
    /// Intended start.
    pub due: At,
    /// When the first byte was written, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<At>,
    /// When the failure became known.
    pub known: At,
    /// How far the request came.
    #[serde(default, skip_serializing_if = "Phases::is_empty")]
    pub phases: Phases,
    /// How it ended.
    pub outcome: Outcome,
    /// The status, if the answer's head came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The pod, when the answer named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Name>,
    /// The request went straight to the pod's own address, so `pod` is known without an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct: bool,
    /// Its version, when the answer named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Name>,
    /// The connection it used, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// What the system said, at most 160 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// When a request went through its phases, as far as it came. The first byte written is the failure's `sent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// Connecting began; nothing when the request met an open connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_start: Option<At>,
    /// The connection stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<At>,
    /// The TLS session stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secured: Option<At>,
    /// The first byte of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<At>,
    /// The latest byte of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_byte: Option<At>,
}

impl Phases {
    /// Whether nothing happened at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A kept connection that ended between requests: no slot failed, the next one in turn opens it anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The lane.
    pub lane: Name,
    /// When it was seen.
    pub at: At,
    /// How it ended.
    pub how: Ending,
    /// The connection.
    pub connection: Connection,
}

/// How a connection ended between requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The other side closed it in order, or announced so in its last answer.
    Closed,
    /// The other side or something on the way reset it.
    Reset,
    /// The other side sent bytes that nobody had asked for.
    Unasked,
}

/// The connection that a request used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Unique in its lane; a reopened connection has a new one.
    pub id: u64,
    /// Our local port.
    pub local_port: u16,
    /// Age when the request was written (or when it ended, if it was idle), in microseconds.
    pub age: u64,
    /// Requests it had served before.
    pub served: u64,
    /// The pod that last answered on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pod: Option<Name>,
}

/// A stretch of one lane without any good answer, by intended starts: from the first bad slot to the next good one. While it is open
/// it is reported again whenever it has grown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// The lane.
    pub lane: Name,
    /// Intended start of the first bad slot.
    pub from: At,
    /// Intended start of the last bad slot known so far.
    pub last: At,
    /// Intended start of the next good slot (or of the first that says nothing, if none before it was bad); nothing while the gap is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<At>,
    /// Bad slots in it so far.
    pub failed: u64,
}

//! What traffic to send: plain data, made from a scenario, carried out by `load`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::time::{At, as_micros};

/// A short shared name: a lane, a pod, a revision.
pub type Name = Arc<str>;

/// One way of sending: entry point times connection mode, with its own schedule, series and verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LanePlan {
    /// `fresh`, `kept`; unique within a run.
    pub name: Name,
    /// What happens to connections.
    pub mode: Mode,
    /// Slots a second at the start. An open schedule never waits for answers; a closed one is never faster than this.
    pub rate: f64,
    /// How slots follow each other, and how the rate changes.
    #[serde(default, skip_serializing_if = "Schedule::is_plain")]
    pub schedule: Schedule,
    /// When the first slot is due; a lane whose start has passed begins at once.
    #[serde(default)]
    pub start: At,
    /// Where and what to ask.
    pub request: RequestPlan,
    /// What a good answer looks like.
    pub expect: Expect,
    /// From the intended start; an answer that is not complete by then has failed.
    #[serde(with = "as_micros")]
    pub timeout: Duration,
    /// From the start of connecting.
    #[serde(with = "as_micros")]
    pub connect_timeout: Duration,
    /// Slots in flight at once; above it a slot is booked `not_sent`.
    pub max_in_flight: usize,
    /// Latency thresholds of the objectives, ascending: slower answers are counted per threshold as soon as it has passed.
    pub thresholds: Vec<Micros>,
}

impl LanePlan {
    /// Its requests go to each pod's own address: it shows who failed, and counts in no objective.
    pub fn asks_pods(&self) -> bool {
        self.request.connect_to.as_deref() == Some(PODS)
    }

    /// It asks the pods that wait to be let in, and sends nothing while none does.
    pub fn judges_admission(&self) -> bool {
        self.asks_pods() && self.name.starts_with(ADMISSION)
    }
}

/// How slots follow each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// What makes a slot due.
    #[serde(default)]
    pub arrivals: Arrivals,
    /// How the rate changes, one stage after the other; the last rate stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
}

impl Schedule {
    /// Evenly spaced at one rate.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// The rate follows the answers: when the target is slow, less is sent, so that its latencies are those of a lightly loaded target and
    /// say nothing about what users who come on their own would have waited.
    pub const fn is_closed(&self) -> bool {
        matches!(self.arrivals, Arrivals::Closed { .. })
    }

    /// The highest rate, in slots a second, of a schedule that begins at `rate`.
    pub fn peak(&self, rate: f64) -> f64 {
        self.stages.iter().map(|stage| stage.rate).fold(rate, f64::max)
    }
}

/// What makes a slot due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// The clock, evenly.
    #[default]
    Even,
    /// The clock, as a Poisson process: as users who know nothing of each other come. Drawn from the plan's seed.
    Poisson,
    /// The end of an earlier request: so many users who ask, wait, think and ask again.
    Closed {
        /// How many.
        users: usize,
        /// Mean think time, exponentially distributed; without one they ask as soon as they are answered.
        #[serde(default, with = "as_micros")]
        think: Duration,
    },
}

/// A stage of a changing rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// The rate moves evenly towards `rate` in this time; without any it is a step.
    #[serde(with = "as_micros")]
    pub over: Duration,
    /// Slots a second at the end of the stage.
    pub rate: f64,
}

/// A threshold in microseconds.
pub type Micros = u64;

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A new connection for each request, closed after it.
    Fresh,
    /// This many connections, opened once, reused in turn, and reopened only when they die.
    Kept {
        /// How many.
        connections: usize,
    },
    /// A new connection for each request, whose answer is a stream (server-sent events, or any body that comes in pieces). The slot ends well
    /// when the stream ends in order or has lasted for `length`. Its timeout, its thresholds and its latency are those of the first byte.
    /// A stream that is ended by closing its connection cannot be told from one whose server died in order.
    Stream {
        /// From the beginning of the slot; then we end it.
        #[serde(with = "as_micros")]
        length: Duration,
        /// A silence this long is a failure: `response_timeout`, with the time of the last byte.
        #[serde(with = "as_micros")]
        stall: Duration,
    },
}

/// As `connect_to`: each pod's own address in turn; the driver is told which while it runs, and sends nothing before.
/// Kept connections stay with their pods until these are to be asked no more.
pub const PODS: &str = "pods";

/// What the names of lanes begin with that ask pods before they are let in. No lane of a scenario is called so.
pub const ADMISSION: &str = "admission";

/// A pod and where it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodTarget {
    /// `metadata.name`
    pub pod: Name,
    /// The pod's own address and the port that it serves.
    pub address: SocketAddr,
}

/// One request, the same for every slot of a lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestPlan {
    /// `http://host:port/path?query` or `https://`. The host goes into `Host` (and SNI) and is resolved unless `connect_to` is given.
    pub url: String,
    /// `address:port` to connect to instead of resolving the URL's host; or [`PODS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_to: Option<String>,
    /// `GET` unless said otherwise: one that changes something must be named.
    pub method: String,
    /// Added to the verifier's own headers. Their values are secrets: a recording shows none of them.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Sent with a method that has a body; at most 1 MiB.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// What is spoken on the connection.
    #[serde(default, skip_serializing_if = "ProtocolChoice::is_default")]
    pub protocol: ProtocolChoice,
    /// For `https://`: whom to trust and who we are.
    #[serde(default, skip_serializing_if = "TlsPlan::is_default")]
    pub tls: TlsPlan,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolChoice {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: agreed on by ALPN over TLS, and else without asking. Kept connections then carry several requests at once.
    Http2,
    /// What the server chooses by ALPN; without TLS HTTP/1.1.
    Auto,
}

impl ProtocolChoice {
    /// HTTP/1.1.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for RequestPlan {
    fn default() -> Self {
        Self {
            url: String::new(),
            connect_to: None,
            method: "GET".into(),
            headers: BTreeMap::new(),
            body: String::new(),
            protocol: ProtocolChoice::default(),
            tls: TlsPlan::default(),
        }
    }
}

/// How TLS sessions are begun.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsPlan {
    /// Whose signature on the server's certificate is trusted.
    #[serde(default)]
    pub authorities: Authorities,
    /// Who we are, if the server asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientIdentity>,
    /// Take any certificate, expired, forged or for another host: whoever is on the way can answer in the target's place.
    #[serde(default)]
    pub insecure_accept_any_certificate: bool,
    /// Whether a new connection may go on with an earlier session, which spares both sides the expensive half of the handshake. By default
    /// kept connections do and fresh ones do not: they stand for users who come for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<bool>,
}

impl TlsPlan {
    /// Nothing out of the ordinary.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whose signatures are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authorities {
    /// Those of the system or the container's image; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured.
    #[default]
    System,
    /// Those of this file in PEM, and no others.
    File(PathBuf),
    /// These in PEM, and no others.
    Pem(String),
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientIdentity {
    /// The certificate, then those between it and the authority, in PEM.
    pub certificate: String,
    /// Its private key in PEM.
    pub key: Secret,
}

/// What a good answer looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// Inclusive ranges of good statuses; 200..=399 by default.
    pub status: Vec<(u16, u16)>,
    /// Response headers that name the pod that answered, the first present wins.
    pub pod_headers: Vec<String>,
    /// Response headers that name its version.
    pub version_headers: Vec<String>,
    /// A substring that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    /// A regular expression that must match somewhere in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_matches: Option<String>,
    /// What the body must say as JSON: `$.status == "ok"`, `$.items[0].id exists`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<String>,
    /// What headers must say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderExpect>,
    /// Bytes of body read at most.
    pub max_body: usize,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            status: vec![(200, 399)],
            pod_headers: vec!["x-pod-name".into(), "x-pod".into(), "x-served-by".into()],
            version_headers: vec!["x-app-version".into(), "x-version".into()],
            body_contains: None,
            body_matches: None,
            json: Vec::new(),
            headers: Vec::new(),
            max_body: 1 << 20,
        }
    }
}

/// What a header must say; when it comes more than once, one of them must.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderExpect {
    /// The header.
    pub name: String,
    /// Its whole value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// A regular expression that must match somewhere in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
}

/// What the driver is told: all lanes and one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrafficPlan {
    /// The lanes, at most 16.
    pub lanes: Vec<LanePlan>,
    /// Drawn on by nothing but Poisson arrivals and think times; printed in every report.
    pub seed: u64,
    /// Sent as `x-verifier-run`, so that the other side can tell this traffic.
    pub run_id: String,
}

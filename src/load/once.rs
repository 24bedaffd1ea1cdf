//! One request and all that was seen of it: a lane of one slot in a worker of its own, so the very code that sends a fresh lane's slots.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::conn::Trace;
use super::fold::histogram;
use super::lane::{Lane, Schedule as Slots, Stride};
use super::mailbox::Mailbox;
use super::plan::{Endpoint, LaneError, LaneSpec};
use super::resolve::look_up;
use super::tls::TlsFacts;
use super::wires::Wires;
use super::worker::Worker;
use super::{JoinError, StartError};
use crate::clock::Clock;
use crate::domain::outcome::Outcome;
use crate::domain::time::{At, micros};
use crate::domain::traffic::{LanePlan, Micros, Mode, Name, Schedule};

/// The response headers that a report keeps, besides those that name the pod and its version.
const KEPT: [&str; 10] = [
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "location",
    "retry-after",
    "server",
    "transfer-encoding",
    "via",
];

/// Slots a second of a schedule that has one slot: the next would be due after any timeout.
const RATE: f64 = 1e-6;

/// Reports under way; they are read and thrown away.
const REPORTS: usize = 4;

/// One request, and all that was seen of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OnceReport {
    /// How it ended.
    pub outcome: Outcome,
    /// The status, if the answer's head came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What was spoken, if a connection stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The address that was connected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// What TLS agreed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFacts>,
    /// How long each phase took, as far as it came.
    pub phases: OncePhases,
    /// The pod, when the answer named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Name>,
    /// Its version, when the answer named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Name>,
    /// Some of the answer's headers, by an allow-list, in the order of that list; values are cut and escaped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// For a failure, what the system or the decoder said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// How long the phases of one request took, each from the end of the one before, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OncePhases {
    /// Until the name was resolved or known not to be; nothing when an address was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Micros>,
    /// Until the connection stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Micros>,
    /// Until the TLS session stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Micros>,
    /// Until the first byte of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Micros>,
    /// Until the last byte of the answer that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_byte: Option<Micros>,
    /// From the intended start to the outcome.
    pub total: Micros,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Protocol {
    /// HTTP/1.1, or what answered as HTTP/1.0.
    #[serde(rename = "http/1.1")]
    Http11,
    /// HTTP/2.
    #[serde(rename = "http/2")]
    Http2,
}

impl Protocol {
    /// Its name, as in reports.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Http11 => "http/1.1",
            Self::Http2 => "http/2",
        }
    }
}

/// The end of the one slot, as its lane saw it.
#[derive(Debug)]
pub(crate) struct Witnessed {
    pub(crate) outcome: Outcome,
    pub(crate) due: At,
    pub(crate) known: At,
    /// Nothing when there was no connection.
    pub(crate) trace: Option<Trace>,
    pub(crate) note: String,
}

/// Sends the request of `plan` once, now, on a fresh connection, whatever its mode and rate say. Answers when its outcome is known, at the
/// latest when its timeout has passed. Dropping the future ends it.
pub async fn once(plan: &LanePlan, run_id: &str, clock: Clock) -> Result<OnceReport, OnceError> {
    let plan = LanePlan { mode: Mode::Fresh, rate: RATE, schedule: Schedule::default(), max_in_flight: 1, ..plan.clone() };
    let spec = LaneSpec::new(&plan, run_id).map_err(|why| OnceError::Lane(LaneError { lane: plan.name.clone(), why }))?;
    let spec = LaneSpec { kept_headers: kept_headers(&plan), ..spec };
    let endpoint = spec.endpoint.clone();
    let mailbox = Arc::new(Mailbox::new().map_err(StartError::Descriptors)?);
    let wires = Wires::new(clock, mailbox.bell()).map_err(StartError::Descriptors)?;
    let empty = histogram().map_err(StartError::Histogram)?;
    let (witness, witnessed) = oneshot::channel();
    let (reports, mut received) = mpsc::channel(REPORTS);
    let guard = AbortOnDrop(mailbox.clone());
    let working = tokio::task::spawn_blocking(move || {
        // The slot is due when the thread is there to begin it.
        let slots = Stride::new(&spec, 0, 1).and_then(|stride| Slots::new(&spec, clock.now(), stride, 0));
        let Some(slots) = slots else {
            return Ok(());
        };
        let mut lane = Lane::new(0, Arc::new(spec), slots, empty);
        lane.set_witness(witness);
        mailbox.stop();
        Worker::new(0, vec![Some(lane)], wires, mailbox, reports).run()
    });
    let from = clock.now();
    let mut resolved = None;
    let resolving = async {
        if let Endpoint::Name { host, port } = &endpoint {
            let target = look_up(host, *port).await;
            resolved = Some(clock.now());
            guard.0.set_target(0, target);
        }
        std::future::pending::<()>().await;
    };
    // The worker's end of the channel goes with the worker.
    let draining = async { while received.recv().await.is_some() {} };
    tokio::select! {
        () = resolving => {}
        () = draining => {}
    }
    working.await.map_err(|_| JoinError::Thread)?.map_err(JoinError::Worker)?;
    let seen = witnessed.await.map_err(|_| JoinError::Thread)?;
    Ok(report(seen, resolved.map(|at| micros(at.since(from)))))
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// The request cannot be sent.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// The machine gave too little.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The worker failed.
    #[error(transparent)]
    Join(#[from] JoinError),
}

/// Ends the worker when nobody waits for it any more.
struct AbortOnDrop(Arc<Mailbox>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn kept_headers(plan: &LanePlan) -> Vec<String> {
    let own = plan.expect.pod_headers.iter().chain(&plan.expect.version_headers);
    KEPT.iter().map(|name| (*name).to_owned()).chain(own.cloned()).collect()
}

fn report(seen: Witnessed, dns: Option<Micros>) -> OnceReport {
    let bare = OnceReport {
        outcome: seen.outcome,
        status: None,
        protocol: None,
        peer: None,
        tls: None,
        phases: OncePhases { dns, total: micros(seen.known.since(seen.due)), ..OncePhases::default() },
        pod: None,
        version: None,
        headers: Vec::new(),
        note: seen.note,
    };
    let Some(trace) = seen.trace else {
        return bare;
    };
    let phases = trace.phases;
    let between = |from: Option<At>, to: Option<At>| Some(micros(to?.since(from?)));
    OnceReport {
        status: trace.status,
        protocol: trace.protocol,
        peer: Some(trace.peer),
        tls: trace.tls,
        phases: OncePhases {
            connect: between(phases.connect_start, phases.connected),
            tls: between(phases.connected, phases.secured),
            first_byte: between(phases.secured.or(phases.connected), phases.first_byte),
            last_byte: between(phases.first_byte, phases.last_byte),
            ..bare.phases
        },
        pod: trace.pod,
        version: trace.version,
        headers: trace.headers,
        ..bare
    }
}

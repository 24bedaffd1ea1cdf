//! What is told of a single request: all that was seen of it.

use std::net::SocketAddr;

use serde::Serialize;

use super::conn::Trace;
use super::tls::TlsFacts;
use crate::domain::outcome::Outcome;
use crate::domain::time::{At, micros};
use crate::domain::traffic::{Micros, Name};

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

/// From what the lane saw, and how long the name took.
pub(super) fn report(seen: Witnessed, dns: Option<Micros>) -> OnceReport {
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

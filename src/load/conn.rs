//! One connection and the request on it, as a state machine: readiness in, at most one verdict out.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType, sockopt};

use super::answer::{Answer, Reading};
use super::classify;
use super::http1::{AtEof, Decoder, Rules};
use super::names::Names;
use super::plan::LaneSpec;
use super::reactor::Ready;
use super::tls::TlsFacts;
use super::transport::{Fault, Got, Transport};
use crate::domain::outcome::Outcome;
use crate::domain::slice::{Connection, Ending, Phases};
use crate::domain::time::{At, micros};
use crate::domain::traffic::Name;

/// Whose a connection is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// Index of the lane.
    pub(crate) lane: usize,
    /// Its place among the lane's kept connections; a fresh one has none.
    pub(crate) place: Option<u32>,
    /// Unique in the lane.
    pub(crate) id: u64,
}

/// A TCP connection of ours.
#[derive(Debug)]
pub(crate) struct Conn {
    transport: Transport,
    pub(crate) owner: Owner,
    peer: SocketAddr,
    local_port: u16,
    stage: Stage,
    /// The slot whose request is on the connection.
    pub(crate) slot: Option<u64>,
    written: usize,
    decoder: Decoder,
    answer: Answer,
    served: u64,
    last_pod: Option<Name>,
    opened: At,
    connected: Option<At>,
    secured: Option<At>,
    sent: Option<At>,
    first_byte: Option<At>,
    last_byte: Option<At>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    /// The TLS handshake.
    Handshake,
    Exchange,
    Idle,
    /// The answer is complete and the other side is to close first, so that the closed port lingers there and not here.
    Parting,
}

/// What a connection is doing before its first request; each has its own deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Connecting.
    Tcp,
    /// The TLS handshake.
    Tls,
}

/// What came of an event.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Nothing yet.
    Wait,
    /// The request has ended.
    Settled(Verdict),
    /// An idle or parting connection has ended.
    Ended(Ending),
}

/// How a request ended on the wire.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    /// What the system or the decoder said, for failures.
    pub(crate) note: String,
    pub(crate) then: Then,
}

/// What becomes of the connection after its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It can carry another one.
    Keep,
    /// The other side will close it, or should.
    Part,
    /// It is of no more use.
    Close,
}

/// All that a connection knew when its request ended.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) status: Option<u16>,
    pub(crate) pod: Option<Name>,
    pub(crate) version: Option<Name>,
    pub(crate) sent: Option<At>,
    pub(crate) phases: Phases,
    pub(crate) connection: Connection,
    pub(crate) peer: SocketAddr,
    /// Those that the lane keeps.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) tls: Option<TlsFacts>,
}

impl Conn {
    /// Begins to connect, for `slot`.
    pub(crate) fn open(to: SocketAddr, spec: &LaneSpec, owner: Owner, slot: u64, now: At) -> Result<Self, Fault> {
        let socket = connect(to).map_err(Fault::System)?;
        let local_port = rustix::net::getsockname(&socket).map_or(0, port);
        Ok(Self {
            transport: Transport::new(socket, spec.tls.as_ref())?,
            owner,
            peer: to,
            local_port,
            stage: Stage::Connecting,
            slot: Some(slot),
            written: 0,
            decoder: Decoder::default(),
            answer: Answer::default(),
            served: 0,
            last_pod: None,
            opened: now,
            connected: None,
            secured: None,
            sent: None,
            first_byte: None,
            last_byte: None,
        })
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        self.transport.socket()
    }

    /// What it does before its first request; nothing when that is over.
    pub(crate) fn opening(&self) -> Option<Opening> {
        match self.stage {
            Stage::Connecting => Some(Opening::Tcp),
            Stage::Handshake => Some(Opening::Tls),
            Stage::Exchange | Stage::Idle | Stage::Parting => None,
        }
    }

    /// What it leads to.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The first and the latest byte of the answer so far.
    pub(crate) fn bytes(&self) -> Option<(At, At)> {
        self.first_byte.zip(self.last_byte)
    }

    /// Puts the request of `slot` on an idle connection.
    pub(crate) fn begin(&mut self, spec: &LaneSpec, slot: u64, now: At) -> Step {
        self.stage = Stage::Exchange;
        self.slot = Some(slot);
        self.written = 0;
        self.decoder.reset();
        self.answer = Answer::default();
        (self.sent, self.first_byte, self.last_byte) = (None, None, None);
        match self.write(spec, now) {
            Ok(()) => Step::Wait,
            Err(fault) => self.broken(Some(&fault)),
        }
    }

    /// Reacts to readiness. `buffer` is scratch space.
    pub(crate) fn on_ready(&mut self, ready: Ready, spec: &LaneSpec, names: &mut Names, buffer: &mut [u8], now: At) -> Step {
        match self.stage {
            Stage::Connecting => self.on_connect(ready, spec, names, buffer, now),
            Stage::Handshake => self.shake(spec, names, buffer, now),
            Stage::Exchange => self.exchange(ready, spec, names, buffer, now),
            Stage::Idle | Stage::Parting if ready.readable => self.unasked(buffer),
            Stage::Idle | Stage::Parting => Step::Wait,
        }
    }

    /// How a request ends whose time is over here.
    pub(crate) fn timed_out(&self) -> (Outcome, &'static str) {
        match self.opening() {
            Some(Opening::Tcp) => return (Outcome::ConnectTimeout, "no connection by the deadline"),
            Some(Opening::Tls) => return (Outcome::Tls, "the TLS handshake was not complete by the deadline"),
            None => {}
        }
        let note = if self.decoder.has_head() { "the body was not complete by the deadline" } else { "no answer by the deadline" };
        (self.answer.by_head.unwrap_or(Outcome::ResponseTimeout), note)
    }

    /// After a request: lets the connection be reused, or waits for the other side to close it.
    pub(crate) fn rest(&mut self, parting: bool) {
        self.stage = if parting { Stage::Parting } else { Stage::Idle };
        self.slot = None;
        if let Some(pod) = self.answer.pod.take() {
            self.last_pod = Some(pod);
        }
        self.served += 1;
        self.answer = Answer::default();
    }

    /// The pod and version that the answer named.
    pub(crate) fn answered_by(&self) -> (Option<&Name>, Option<&Name>) {
        (self.answer.pod.as_ref(), self.answer.version.as_ref())
    }

    /// All that is known about the request and its connection.
    pub(crate) fn trace(&self, now: At) -> Trace {
        let fresh = self.served == 0;
        Trace {
            status: self.answer.status,
            pod: self.answer.pod.clone(),
            version: self.answer.version.clone(),
            sent: self.sent,
            phases: Phases {
                connect_start: fresh.then_some(self.opened),
                connected: self.connected.filter(|_| fresh),
                secured: self.secured.filter(|_| fresh),
                first_byte: self.first_byte,
                last_byte: self.last_byte,
            },
            connection: self.connection(self.sent.unwrap_or(now)),
            peer: self.peer,
            headers: self.answer.headers.clone(),
            tls: self.transport.tls_facts(),
        }
    }

    /// The connection as it stands at `at`.
    pub(crate) fn connection(&self, at: At) -> Connection {
        Connection {
            id: self.owner.id,
            local_port: self.local_port,
            age: self.connected.map_or(0, |connected| micros(at.since(connected))),
            served: self.served,
            last_pod: self.last_pod.clone(),
        }
    }

    fn on_connect(&mut self, ready: Ready, spec: &LaneSpec, names: &mut Names, buffer: &mut [u8], now: At) -> Step {
        if ready.failed
            && let Some(errno) = self.take_error()
        {
            return verdict(classify::connecting(errno), format!("connect: {errno}"), Then::Close);
        }
        if !ready.writable {
            return Step::Wait;
        }
        self.connected = Some(now);
        if self.transport.is_tls() {
            self.stage = Stage::Handshake;
            return self.shake(spec, names, buffer, now);
        }
        self.stage = Stage::Exchange;
        if ready.ended {
            // Dead before a byte of ours left, unless it says first why: some gateways refuse with an answer.
            return self.read(ready, spec, names, buffer, now);
        }
        self.exchange(ready, spec, names, buffer, now)
    }

    fn shake(&mut self, spec: &LaneSpec, names: &mut Names, buffer: &mut [u8], now: At) -> Step {
        match self.transport.shake() {
            Ok(false) => Step::Wait,
            Ok(true) => {
                self.secured = Some(now);
                self.stage = Stage::Exchange;
                // What came with the end of the handshake makes no event of its own.
                let all = Ready { readable: true, writable: true, ended: false, failed: false };
                self.exchange(all, spec, names, buffer, now)
            }
            Err(fault) => verdict(classify::handshake(&fault), format!("handshake: {}", fault.note()), Then::Close),
        }
    }

    fn exchange(&mut self, ready: Ready, spec: &LaneSpec, names: &mut Names, buffer: &mut [u8], now: At) -> Step {
        if ready.writable
            && (self.written < spec.request.len() || self.transport.wants_write())
            && let Err(fault) = self.write(spec, now)
            && self.sent.is_none()
        {
            return self.broken(Some(&fault));
        }
        if ready.readable { self.read(ready, spec, names, buffer, now) } else { Step::Wait }
    }

    fn write(&mut self, spec: &LaneSpec, now: At) -> Result<(), Fault> {
        loop {
            let taken = self.transport.write(spec.request.get(self.written..).unwrap_or_default())?;
            self.written += taken.bytes;
            if taken.left {
                self.sent.get_or_insert(now);
            }
            if taken.bytes == 0 || self.written == spec.request.len() {
                return Ok(());
            }
        }
    }

    fn read(&mut self, ready: Ready, spec: &LaneSpec, names: &mut Names, buffer: &mut [u8], now: At) -> Step {
        let rules = Rules { bodiless: spec.bodiless, max_body: spec.expect.max_body as u64 };
        loop {
            let n = match self.transport.read(buffer) {
                Ok(Got::Bytes(n)) => n,
                Ok(Got::Nothing) => return Step::Wait,
                Ok(Got::End) => return self.ended(spec),
                Ok(Got::Cut) => return self.broken(None),
                Err(fault) => return self.broken(Some(&fault)),
            };
            self.first_byte.get_or_insert(now);
            self.last_byte = Some(now);
            let mut sink = Reading { answer: &mut self.answer, spec, names };
            match self.decoder.feed(buffer.get(..n).unwrap_or_default(), rules, &mut sink) {
                Ok(used) if self.decoder.done() => return self.complete(used < n, ready, spec),
                Ok(_) => {}
                Err(violation) => {
                    let (outcome, why) = classify::violation(violation);
                    return self.failed(outcome, why.to_owned());
                }
            }
            if n < buffer.len() && !ready.ended && self.transport.empties() {
                // The socket is empty: what comes later makes an event of its own.
                return Step::Wait;
            }
        }
    }

    /// The whole answer came.
    fn complete(&self, surplus: bool, ready: Ready, spec: &LaneSpec) -> Step {
        let then = match self.owner.place {
            _ if surplus || ready.ended || self.written < spec.request.len() || self.transport.wants_write() => Then::Close,
            None => Then::Part,
            Some(_) if self.decoder.keep_alive() => Then::Keep,
            Some(_) => Then::Close,
        };
        let (outcome, note) = self.answer.outcome(spec);
        verdict(outcome, note, then)
    }

    /// The other side will send no more.
    fn ended(&self, spec: &LaneSpec) -> Step {
        match self.decoder.at_eof() {
            AtEof::Complete => {
                let (outcome, note) = self.answer.outcome(spec);
                verdict(outcome, note, Then::Close)
            }
            AtEof::Truncated | AtEof::NoHead => self.broken(None),
        }
    }

    fn broken(&self, fault: Option<&Fault>) -> Step {
        let note = fault.map_or_else(|| "closed by the other side".to_owned(), Fault::note);
        self.failed(classify::broken(fault, self.sent.is_some(), self.decoder.has_head()), note)
    }

    /// A failure; an unwanted status that came before it has decided already.
    fn failed(&self, outcome: Outcome, note: String) -> Step {
        verdict(self.answer.by_head.unwrap_or(outcome), note, Then::Close)
    }

    /// Something came on a connection without a request.
    fn unasked(&mut self, buffer: &mut [u8]) -> Step {
        match self.transport.read(buffer) {
            Ok(Got::End | Got::Cut) => Step::Ended(Ending::Closed),
            Ok(Got::Bytes(_)) | Err(Fault::Tls(_)) => Step::Ended(Ending::Unasked),
            Ok(Got::Nothing) => Step::Wait,
            Err(Fault::System(_)) => Step::Ended(Ending::Reset),
        }
    }

    fn take_error(&self) -> Option<Errno> {
        sockopt::socket_error(self.transport.socket()).unwrap_or_else(Err).err()
    }
}

fn connect(to: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

fn verdict(outcome: Outcome, note: String, then: Then) -> Step {
    Step::Settled(Verdict { outcome, note, then })
}

fn port(addr: SocketAddrAny) -> u16 {
    SocketAddr::try_from(addr).map_or(0, |addr| addr.port())
}

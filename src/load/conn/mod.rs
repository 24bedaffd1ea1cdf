//! One connection and the requests on it, as a state machine: readiness in, verdicts out. How it is opened and ended is here; what is
//! spoken on it is in `http1` and `http2`.

mod asked;
mod http1;
mod http2;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketFlags, SocketType, sockopt};

pub(crate) use self::asked::{Asked, Trace};
use self::http1::Http1;
use self::http2::Http2;
use super::classify;
use super::names::Names;
use super::once::Protocol;
use super::plan::LaneSpec;
use super::reactor::Ready;
use super::transport::{Fault, Got, Transport};
use crate::domain::outcome::Outcome;
use crate::domain::slice::{Connection, Ending, Phases};
use crate::domain::time::{At, micros};
use crate::domain::traffic::{Name, ProtocolChoice};

/// Whose a connection is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// Index of the lane.
    pub(crate) lane: usize,
    /// Its place among the lane's kept connections; a fresh one has none, nor has one that gets no more requests.
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
    talk: Talk,
    served: u64,
    last_pod: Option<Name>,
    opened: At,
    connected: Option<At>,
    secured: Option<At>,
}

/// What is spoken, and about which requests. Before that is agreed on it is taken to be HTTP/1.1.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the common one, and a connection of it is to cost one allocation less"
)]
enum Talk {
    Http1(Http1),
    Http2(Box<Http2>),
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
    /// Requests may have ended, and the connection too: see [`Conn::next_over`] and [`Conn::fate`].
    Streams,
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
    /// It may carry others at the same time, and says itself what becomes of it.
    Shared {
        /// The answer came whole.
        served: bool,
    },
}

/// What is to become of a connection that several requests may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It takes requests, now or later.
    Lives,
    /// It takes no more, and ends with those that it has.
    Retires,
    /// It has ended; with how, if that is to be told.
    Gone(Option<Ending>),
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
            talk: Talk::Http1(Http1::new(Asked::new(slot, true), owner.place.is_some())),
            served: 0,
            last_pod: None,
            opened: now,
            connected: None,
            secured: None,
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

    /// The request that is on the connection; the oldest, when there are several.
    pub(crate) fn asked(&self) -> Option<&Asked> {
        match &self.talk {
            Talk::Http1(http1) => http1.asked.as_ref(),
            Talk::Http2(http2) => http2.first(),
        }
    }

    /// Puts the request of `slot` on a connection that has room for it.
    pub(crate) fn begin(&mut self, spec: &LaneSpec, slot: u64, now: At) -> Step {
        self.stage = Stage::Exchange;
        let asked = Asked::new(slot, false);
        match &mut self.talk {
            Talk::Http1(http1) => http1.begin(asked, &mut self.transport, spec, now),
            Talk::Http2(http2) => http2.begin(asked, &mut self.transport, spec, now),
        }
    }

    /// Reacts to readiness. `buffer` is scratch space.
    pub(crate) fn on_ready(&mut self, ready: Ready, spec: &LaneSpec, names: &mut Names, buffer: &mut [u8], now: At) -> Step {
        match (self.stage, &self.talk) {
            (Stage::Connecting, _) => self.on_connect(ready, spec, names, buffer, now),
            (Stage::Handshake, _) => self.shake(spec, names, buffer, now),
            (Stage::Exchange, _) | (_, Talk::Http2(_)) => self.exchange(ready, spec, names, buffer, now),
            (Stage::Idle | Stage::Parting, Talk::Http1(_)) if ready.readable => self.unasked(buffer),
            (Stage::Idle | Stage::Parting, Talk::Http1(_)) => Step::Wait,
        }
    }

    /// The next request that has ended, on a connection that several may share.
    pub(crate) fn next_over(&mut self) -> Option<(Asked, Verdict)> {
        match &mut self.talk {
            Talk::Http1(_) => None,
            Talk::Http2(http2) => http2.next_over(),
        }
    }

    /// What is to become of it, if several requests may share it.
    pub(crate) fn fate(&self) -> Option<Fate> {
        match &self.talk {
            Talk::Http1(_) => None,
            Talk::Http2(http2) => Some(http2.fate()),
        }
    }

    /// Whether there is room for a request on a connection whose turn it is. The lane has it on no list from now on.
    pub(crate) fn admits(&mut self) -> bool {
        match &mut self.talk {
            Talk::Http1(_) => true,
            Talk::Http2(http2) => {
                http2.delist();
                http2.has_room()
            }
        }
    }

    /// Whether there is room for a request, and the lane has the connection on no list. It has from now on.
    pub(crate) fn enlist(&mut self) -> bool {
        match &mut self.talk {
            Talk::Http1(_) => false,
            Talk::Http2(http2) => http2.enlist(),
        }
    }

    /// Whether the lane has the connection on its list of those with room. It has not from now on.
    pub(crate) fn delist(&mut self) -> bool {
        match &mut self.talk {
            Talk::Http1(_) => false,
            Talk::Http2(http2) => http2.delist(),
        }
    }

    /// Gives it no more requests, if several may share it. `false` if not.
    pub(crate) fn retire(&mut self) -> bool {
        match &mut self.talk {
            Talk::Http1(_) => false,
            Talk::Http2(http2) => {
                http2.retire();
                true
            }
        }
    }

    /// How the request of `slot` ends when its time is over here.
    pub(crate) fn timed_out(&self, slot: u64, spec: &LaneSpec) -> (Outcome, &'static str) {
        match (self.opening(), &self.talk) {
            (Some(Opening::Tcp), _) => (Outcome::ConnectTimeout, "no connection by the deadline"),
            (Some(Opening::Tls), _) => (Outcome::Tls, "the TLS handshake was not complete by the deadline"),
            (None, Talk::Http2(http2)) => http2.timed_out(slot, spec),
            (None, Talk::Http1(http1)) => {
                http1.asked.as_ref().map_or((Outcome::ResponseTimeout, "no answer by the deadline"), Asked::timed_out)
            }
        }
    }

    /// Takes the request of `slot` off, ended or given up.
    pub(crate) fn take(&mut self, slot: u64) -> Option<Asked> {
        match &mut self.talk {
            Talk::Http1(http1) => http1.asked.take_if(|asked| asked.slot == slot),
            Talk::Http2(http2) => http2.cancel(slot),
        }
    }

    /// Tells the other side what was given up.
    pub(crate) fn flush(&mut self, spec: &LaneSpec, now: At) -> Step {
        match &mut self.talk {
            Talk::Http1(_) => Step::Wait,
            Talk::Http2(http2) => http2.flush(&mut self.transport, spec, now),
        }
    }

    /// After a whole answer: lets the connection be reused, or waits for the other side to close it.
    pub(crate) fn rest(&mut self, asked: Asked, parting: bool, spec: &LaneSpec, now: At) {
        self.served += 1;
        if let Some(pod) = asked.answer.pod {
            self.last_pod = Some(pod);
        }
        match &mut self.talk {
            Talk::Http2(http2) if parting => http2.leave(&mut self.transport, spec, now),
            Talk::Http2(_) => return,
            Talk::Http1(_) => {}
        }
        self.stage = if parting { Stage::Parting } else { Stage::Idle };
    }

    /// All that is known about a request and its connection.
    pub(crate) fn trace(&self, asked: &Asked, now: At) -> Trace {
        let protocol = match &self.talk {
            _ if self.connected.is_none() => None,
            Talk::Http1(_) => Some(Protocol::Http11),
            Talk::Http2(_) => Some(Protocol::Http2),
        };
        Trace {
            status: asked.answer.status,
            pod: asked.answer.pod.clone(),
            version: asked.answer.version.clone(),
            sent: asked.sent,
            phases: Phases {
                connect_start: asked.opener.then_some(self.opened),
                connected: self.connected.filter(|_| asked.opener),
                secured: self.secured.filter(|_| asked.opener),
                first_byte: asked.first_byte,
                last_byte: asked.last_byte,
            },
            connection: self.connection(asked.sent.unwrap_or(now)),
            peer: self.peer,
            protocol,
            headers: asked.answer.headers.clone(),
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
        if spec.protocol == ProtocolChoice::Http2 {
            self.turn_to_http2(spec);
        }
        if !ready.ended {
            return self.exchange(ready, spec, names, buffer, now);
        }
        // Dead before a byte of ours left, unless it says first why: some gateways refuse with an answer.
        match &mut self.talk {
            Talk::Http1(http1) => http1.read(ready, &mut self.transport, spec, names, buffer, now),
            Talk::Http2(http2) => http2.read(ready, &mut self.transport, spec, names, buffer, now),
        }
    }

    fn shake(&mut self, spec: &LaneSpec, names: &mut Names, buffer: &mut [u8], now: At) -> Step {
        match self.transport.shake() {
            Ok(false) => Step::Wait,
            Ok(true) => {
                self.secured = Some(now);
                self.stage = Stage::Exchange;
                match spec.protocol {
                    ProtocolChoice::Http2 | ProtocolChoice::Auto if self.transport.agreed_on_http2() => self.turn_to_http2(spec),
                    ProtocolChoice::Http2 => {
                        return verdict(Outcome::Tls, "the server did not agree on HTTP/2 (ALPN)".into(), Then::Close);
                    }
                    ProtocolChoice::Http1 | ProtocolChoice::Auto => {}
                }
                // What came with the end of the handshake makes no event of its own.
                let all = Ready { readable: true, writable: true, ended: false, failed: false };
                self.exchange(all, spec, names, buffer, now)
            }
            Err(fault) => verdict(classify::handshake(&fault), format!("handshake: {}", fault.note()), Then::Close),
        }
    }

    fn turn_to_http2(&mut self, spec: &LaneSpec) {
        if let Talk::Http1(http1) = &mut self.talk
            && let Some(asked) = http1.asked.take()
        {
            self.talk = Talk::Http2(Box::new(Http2::new(asked, self.owner.place.is_some(), spec)));
        }
    }

    fn exchange(&mut self, ready: Ready, spec: &LaneSpec, names: &mut Names, buffer: &mut [u8], now: At) -> Step {
        match &mut self.talk {
            Talk::Http1(http1) => http1.exchange(ready, &mut self.transport, spec, names, buffer, now),
            Talk::Http2(http2) => http2.exchange(ready, &mut self.transport, spec, names, buffer, now),
        }
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

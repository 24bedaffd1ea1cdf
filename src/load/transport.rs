//! The bytes of one connection: straight from and to its socket, or through TLS.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::SendFlags;

use super::tls::{Session, Setup, TlsFacts};

/// What ALPN calls the protocols that are spoken here.
pub(crate) const HTTP1: &[u8] = b"http/1.1";
/// See [`HTTP1`].
pub(crate) const HTTP2: &[u8] = b"h2";

/// A socket, and TLS on it if the lane wants it.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: OwnedFd,
    tls: Option<Box<Session>>,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many bytes, at the start of the buffer.
    Bytes(usize),
    /// Nothing now; an event will tell.
    Nothing,
    /// The other side will send no more, and says so.
    End,
    /// The connection was closed without the end of its TLS session: what came may not be all.
    Cut,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Bytes taken; none when there is no room.
    pub(crate) bytes: usize,
    /// Something left this machine's hands.
    pub(crate) left: bool,
}

/// Why no more can be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The system says so.
    System(Errno),
    /// TLS says so.
    Tls(String),
}

impl Transport {
    /// Over a connecting socket.
    pub(crate) fn new(socket: OwnedFd, tls: Option<&Setup>) -> Result<Self, Fault> {
        let tls = tls.map(Session::new).transpose()?.map(Box::new);
        Ok(Self { socket, tls })
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether TLS has agreed on HTTP/2.
    pub(crate) fn agreed_on_http2(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.alpn() == Some(HTTP2))
    }

    /// Goes on with what must precede the first request; `true` once that is done.
    pub(crate) fn shake(&mut self) -> Result<bool, Fault> {
        self.tls.as_mut().map_or(Ok(true), |tls| tls.shake(&self.socket))
    }

    /// Reads what is there.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<Got, Fault> {
        if let Some(tls) = &mut self.tls {
            return tls.read(&self.socket, buffer);
        }
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.socket, &mut *buffer)) {
            Ok(0) => Ok(Got::End),
            Ok(n) => Ok(Got::Bytes(n)),
            Err(Errno::AGAIN) => Ok(Got::Nothing),
            Err(errno) => Err(Fault::System(errno)),
        }
    }

    /// Whether a read that did not fill its buffer has emptied the connection.
    pub(crate) fn empties(&self) -> bool {
        self.tls.is_none()
    }

    /// Writes as much as there is room for.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<Taken, Fault> {
        if let Some(tls) = &mut self.tls {
            return tls.write(&self.socket, bytes);
        }
        match rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL)) {
            Ok(n) => Ok(Taken { bytes: n, left: n > 0 }),
            Err(Errno::AGAIN) => Ok(Taken { bytes: 0, left: false }),
            Err(errno) => Err(Fault::System(errno)),
        }
    }

    /// Whether something that was taken still waits for room.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// What TLS has agreed on.
    pub(crate) fn tls_facts(&self) -> Option<TlsFacts> {
        self.tls.as_ref().and_then(|tls| tls.facts())
    }
}

impl Fault {
    /// What the system or TLS said.
    pub(crate) fn note(&self) -> String {
        match self {
            Self::System(errno) => errno.to_string(),
            Self::Tls(why) => why.clone(),
        }
    }
}

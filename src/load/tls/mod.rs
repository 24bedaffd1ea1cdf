//! TLS on a connection: rustls, driven by the worker's own loop through the socket's readiness.

mod facts;
mod setup;

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::SendFlags;
use rustls::ClientConnection;

pub use self::facts::TlsFacts;
pub(crate) use self::setup::Setup;
pub use self::setup::TlsError;
use super::transport::{Fault, Got, Taken};

/// Bytes from the other side that bring no text of the answer, in a row: a handshake with long chains of certificates needs a tenth of it.
const SILENT_MAX: usize = 256 * 1024;

/// One TLS session. Its memory is bounded by rustls: 64 KiB of a handshake message, a record of what was received, and our own request.
#[derive(Debug)]
pub(crate) struct Session {
    inner: ClientConnection,
    silent: usize,
}

impl Session {
    /// Nothing is sent yet.
    pub(crate) fn new(setup: &Setup) -> Result<Self, Fault> {
        let inner = setup.connect().map_err(|error| Fault::Tls(facts::why(&error)))?;
        Ok(Self { inner, silent: 0 })
    }

    /// Goes on with the handshake. `true` once it is complete and all of it has been sent.
    pub(crate) fn shake(&mut self, socket: &OwnedFd) -> Result<bool, Fault> {
        loop {
            self.flush(socket)?;
            if !self.inner.is_handshaking() || self.inner.wants_write() {
                return Ok(!self.inner.is_handshaking() && !self.inner.wants_write());
            }
            match self.receive(socket)? {
                None => return Ok(false),
                Some(0) => return Err(Fault::Tls("closed by the other side during the TLS handshake".into())),
                Some(_) => {}
            }
        }
    }

    /// Reads text of the answer.
    pub(crate) fn read(&mut self, socket: &OwnedFd, buffer: &mut [u8]) -> Result<Got, Fault> {
        loop {
            match self.inner.reader().read(buffer) {
                Ok(0) => return Ok(Got::End),
                Ok(n) => {
                    self.silent = 0;
                    return Ok(Got::Bytes(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Ok(Got::Cut),
            }
            let received = self.receive(socket)?;
            // Key updates want an answer; it may wait for room.
            self.flush(socket)?;
            if received.is_none() {
                return Ok(Got::Nothing);
            }
        }
    }

    /// Takes as much of `bytes` as there is room for, and sends what it can.
    pub(crate) fn write(&mut self, socket: &OwnedFd, bytes: &[u8]) -> Result<Taken, Fault> {
        let taken = if bytes.is_empty() { 0 } else { self.inner.writer().write(bytes).map_err(|error| fault(&error))? };
        Ok(Taken { bytes: taken, left: self.flush(socket)? > 0 })
    }

    /// Whether something waits to be sent.
    pub(crate) fn wants_write(&self) -> bool {
        self.inner.wants_write()
    }

    /// The protocol that was agreed on.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.inner.alpn_protocol()
    }

    /// What was agreed on; nothing before the handshake is complete.
    pub(crate) fn facts(&self) -> Option<TlsFacts> {
        facts::of(&self.inner)
    }

    /// Bytes received: none when there are none now, zero at the end.
    fn receive(&mut self, socket: &OwnedFd) -> Result<Option<usize>, Fault> {
        let received = match self.inner.read_tls(&mut Socket(socket)) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(fault(&error)),
        };
        self.silent += received;
        if self.silent > SILENT_MAX {
            return Err(Fault::Tls("too much TLS without an answer".into()));
        }
        if let Err(error) = self.inner.process_new_packets() {
            // The alert that tells the other side why. It need not arrive.
            let _ = self.inner.write_tls(&mut Socket(socket));
            return Err(Fault::Tls(facts::why(&error)));
        }
        Ok(Some(received))
    }

    /// Sends what waits, as far as there is room; answers how many bytes left.
    fn flush(&mut self, socket: &OwnedFd) -> Result<usize, Fault> {
        let mut left = 0;
        while self.inner.wants_write() {
            match self.inner.write_tls(&mut Socket(socket)) {
                Ok(n) => left += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(fault(&error)),
            }
        }
        Ok(left)
    }
}

fn fault(error: &io::Error) -> Fault {
    Errno::from_io_error(error).map_or_else(|| Fault::Tls(error.to_string()), Fault::System)
}

/// The socket as rustls wants it.
struct Socket<'a>(&'a OwnedFd);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::read(self.0, &mut *buffer))?)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::net::send(self.0, bytes, SendFlags::NOSIGNAL))?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Addresses of pods that are gone: they swallow connects, as an address does whose network was deleted. (A pod that lives and has
//! merely closed its port refuses, and that needs no help.)

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use chrono::TimeDelta;
use socket2::{Domain, Socket, Type};

use crate::sandbox::model::object::Now;

/// How long a hole stays. Ingress proxies have long forgotten the address by then.
const LIFE: TimeDelta = TimeDelta::minutes(2);

/// Each hole costs a file descriptor.
const LIMIT: usize = 256;

/// The holes there are, oldest first.
#[derive(Debug, Default)]
pub(super) struct Holes {
    open: VecDeque<(Now, Socket)>,
}

impl Holes {
    /// Makes the ports of an address swallow connects from now on. A port that cannot be had, because something still sits on it or
    /// because it is a privileged one, is left as it is: it refuses.
    pub(super) fn dig(&mut self, ip: Ipv4Addr, ports: &[u16], now: Now) {
        for &port in ports {
            match hole(SocketAddrV4::new(ip, port)) {
                Ok(socket) => self.open.push_back((now, socket)),
                Err(error) => tracing::debug!(%ip, port, %error, "this address of a pod that is gone will refuse connects"),
            }
        }
        let excess = self.open.len().saturating_sub(LIMIT);
        self.open.drain(..excess);
    }

    /// Closes the holes that have been there long enough.
    pub(super) fn fill(&mut self, now: Now) {
        while self.open.front().is_some_and(|(since, _)| now - since >= LIFE) {
            self.open.pop_front();
        }
    }

    /// When `fill` has something to do.
    pub(super) fn wake(&self) -> Option<Now> {
        self.open.front().map(|(since, _)| *since + LIFE)
    }
}

/// A listener whose queue holds one connection, and has it: the kernel drops every further SYN.
fn hole(address: SocketAddrV4) -> std::io::Result<Socket> {
    let address = SocketAddr::V4(address);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // The connections of the process that was there may linger.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(0)?;
    // Never accepted, so it stays in the queue although our end of it is closed again. Should a client come first, its connection is
    // the one in the queue.
    let _ = TcpStream::connect_timeout(&address, Duration::from_millis(20));
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpListener;

    use chrono::DateTime;

    use super::*;
    use crate::sandbox::wire::node::range::Range;

    fn at(seconds: i64) -> Now {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn connect(address: SocketAddrV4, timeout: Duration) -> Result<(), ErrorKind> {
        TcpStream::connect_timeout(&address.into(), timeout).map(drop).map_err(|e| e.kind())
    }

    #[test]
    fn the_address_of_a_pod_that_is_gone_neither_answers_nor_refuses_until_the_hole_is_filled() {
        let range = Range::claim().unwrap();
        let pod = SocketAddrV4::new(range.address(1, 1), 8080);
        let listener = TcpListener::bind(pod).unwrap();
        let old = TcpStream::connect(pod).unwrap();
        let accepted = listener.accept().unwrap().0;
        drop((listener, accepted));
        assert_eq!(connect(pod, Duration::from_secs(3)), Err(ErrorKind::ConnectionRefused), "merely closed, it refuses");

        let mut holes = Holes::default();
        holes.dig(*pod.ip(), &[pod.port()], at(0));
        // Long enough for a SYN to be sent twice: the kernel repeats it after a second.
        let clients: Vec<_> = (0..8).map(|_| std::thread::spawn(move || connect(pod, Duration::from_millis(1200)))).collect();
        let answers: Vec<_> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        assert_eq!(answers, [Err(ErrorKind::TimedOut); 8]);

        assert_eq!(holes.wake(), Some(at(120)));
        holes.fill(at(119));
        assert_eq!(connect(pod, Duration::from_millis(100)), Err(ErrorKind::TimedOut));
        holes.fill(at(120));
        assert_eq!(connect(pod, Duration::from_secs(3)), Err(ErrorKind::ConnectionRefused));
        drop(old);
    }

    #[test]
    fn the_oldest_holes_make_room() {
        let range = Range::claim().unwrap();
        let ports: Vec<u16> = (20_000..20_000 + 300).collect();
        let mut holes = Holes::default();
        holes.dig(range.address(1, 1), &ports, at(0));
        assert_eq!(holes.open.len(), LIMIT);
        let of = |port| SocketAddrV4::new(range.address(1, 1), port);
        assert_eq!(connect(of(20_000), Duration::from_secs(3)), Err(ErrorKind::ConnectionRefused));
        assert_eq!(connect(of(20_299), Duration::from_millis(100)), Err(ErrorKind::TimedOut));
    }
}

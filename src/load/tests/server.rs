//! A server that misbehaves on purpose, on a loopback port of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What to do with a connection; the number is the connection's, from 0.
type Serve = dyn Fn(&mut Peer, usize) + Send + Sync;

/// A server; ends with all its threads when dropped.
pub(in crate::load) struct Server {
    pub(in crate::load) addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

/// The server's end of a connection.
pub(in crate::load) struct Peer {
    pub(in crate::load) stream: TcpStream,
    over: Arc<AtomicBool>,
    /// Bytes of the next request that have been read already.
    read: Vec<u8>,
}

impl Server {
    pub(in crate::load) fn start(serve: impl Fn(&mut Peer, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (over, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let serve: Arc<Serve> = Arc::new(serve);
        let acceptor = std::thread::spawn({
            let (over, accepted) = (over.clone(), accepted.clone());
            move || {
                let threads = Mutex::new(Vec::new());
                for stream in listener.incoming().map_while(Result::ok) {
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                    let nth = accepted.fetch_add(1, Ordering::SeqCst);
                    let (serve, over) = (serve.clone(), over.clone());
                    threads.lock().unwrap().push(std::thread::spawn(move || {
                        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                        stream.set_nodelay(true).unwrap();
                        serve(&mut Peer { stream, over, read: Vec::new() }, nth);
                    }));
                }
                drop(listener);
                threads.into_inner().unwrap().into_iter().for_each(|thread| thread.join().unwrap());
            }
        });
        Self { addr, accepted, over, acceptor: Some(acceptor) }
    }

    /// Connections accepted so far.
    pub(in crate::load) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(in crate::load) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        if let Some(acceptor) = self.acceptor.take()
            && acceptor.join().is_err()
        {
            assert!(std::thread::panicking(), "the server's thread panicked");
        }
    }
}

impl Peer {
    /// Reads a request up to its empty line; `None` when the client is gone or the test is over.
    pub(in crate::load) fn request(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                return String::from_utf8(self.take(end + 4)).ok();
            }
            self.read_more()?;
        }
    }

    /// Reads so many bytes; `None` when the client is gone or the test is over.
    pub(in crate::load) fn bytes(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.read.len() < n {
            self.read_more()?;
        }
        Some(self.take(n))
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        let rest = self.read.split_off(n);
        std::mem::replace(&mut self.read, rest)
    }

    fn read_more(&mut self) -> Option<()> {
        let mut buffer = [0; 4_096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => {
                    self.read.extend_from_slice(&buffer[..n]);
                    return Some(());
                }
                Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    if self.over.load(Ordering::SeqCst) {
                        return None;
                    }
                }
                Err(_) => return None,
            }
        }
    }

    /// Writes; `false` when the client is gone or the test is over.
    pub(in crate::load) fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        !self.over.load(Ordering::SeqCst) && self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Answers 200 with two bytes of body.
    pub(in crate::load) fn ok(&mut self) -> bool {
        self.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    }

    /// Waits in silence until the client or the test goes.
    pub(in crate::load) fn hang(&mut self) {
        while self.bytes(1).is_some() {}
    }

    /// Closes with a reset.
    pub(in crate::load) fn reset(&mut self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Waits, but not beyond the end of the test.
    pub(in crate::load) fn pause(&self, time: Duration) {
        let steps = time.as_millis() / 5;
        for _ in 0..steps {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

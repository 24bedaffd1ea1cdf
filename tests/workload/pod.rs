//! Starts the workload as a process of its own, and talks to it.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes, on a busy machine too.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A running workload; killed when dropped.
pub(crate) struct Pod {
    pub(crate) address: SocketAddr,
    child: Child,
    log: JoinHandle<Vec<String>>,
}

/// A finished workload.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    pub(crate) log: Vec<String>,
}

/// `verifier workload` with this environment and no other.
pub(crate) fn command(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verifier"));
    command.arg("workload").env_clear().env("PORT", "0").envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Pod {
    /// Starts one and waits until its port is open.
    pub(crate) async fn start(environment: &[(&str, &str)]) -> Self {
        let mut child = command(environment).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let first = timeout(DEADLINE, lines.next_line()).await.expect("the port opens").expect("stderr").expect("a line");
        let address = first.rsplit_once("listening on ").unwrap_or_else(|| panic!("{first}")).1.parse().expect("an address");
        let log = tokio::spawn(async move {
            let mut log = vec![first];
            while let Ok(Some(line)) = lines.next_line().await {
                log.push(line);
            }
            log
        });
        Self { address, child, log }
    }

    pub(crate) fn terminate(&self) {
        let pid = self.pid();
        kill_process(pid, Signal::TERM).expect("it still runs");
    }

    pub(crate) fn pid(&self) -> Pid {
        let id = self.child.id().expect("not waited for yet");
        Pid::from_raw(i32::try_from(id).expect("a pid")).expect("not 0")
    }

    /// Waits until it has exited by itself.
    pub(crate) async fn exit(mut self) -> Exit {
        let status = timeout(DEADLINE, self.child.wait()).await.expect("it exits").expect("its status");
        Exit { status, log: self.log.await.expect("its log") }
    }

    /// One GET on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, String> {
        self.connect().await.map_err(|e| format!("connect: {e}"))?.get(path).await
    }

    pub(crate) async fn connect(&self) -> std::io::Result<Connection> {
        connect(self.address).await
    }

    /// Asks until `wanted` is the status, and gives the last one up when it never is.
    pub(crate) async fn until_status(&self, path: &str, wanted: StatusCode) {
        let mut last = None;
        let waiting = async {
            while last != Some(Ok(wanted)) {
                last = Some(self.get(path).await.map(|a| a.status));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = timeout(DEADLINE, waiting).await.is_ok();
        assert!(in_time, "{path} last said {last:?}, not {wanted}");
    }
}

/// A response, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().expect("text"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A connection that is kept.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<hyper::Result<()>>,
}

pub(crate) async fn connect(address: SocketAddr) -> std::io::Result<Connection> {
    let stream = timeout(DEADLINE, TcpStream::connect(address)).await.expect("connect ends")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    Ok(Connection { sender, driver: tokio::spawn(connection) })
}

impl Connection {
    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.send(Method::GET, path, "").await
    }

    pub(crate) async fn send(&mut self, method: Method, path: &str, body: &'static str) -> Result<Answer, String> {
        let whole = async {
            self.sender.ready().await.map_err(|e| format!("ready: {e:?}"))?;
            let request = Request::builder().method(method).uri(path).header("host", "todo.example");
            let request = request.body(Full::from(body)).expect("a request");
            let (head, body) = self.sender.send_request(request).await.map_err(|e| format!("head: {e:?}"))?.into_parts();
            let body = body.collect().await.map_err(|e| format!("body after {}: {e:?}", head.status))?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        timeout(DEADLINE, whole).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    /// Waits until the server closes it.
    pub(crate) async fn closed(self) {
        timeout(DEADLINE, self.driver).await.expect("the server closes the connection").expect("no panic").expect("a clean close");
        drop(self.sender);
    }
}

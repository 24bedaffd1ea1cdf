//! The Ingress proxy with real sockets on loopback, against pods that are scripted to the byte.

mod flow;
mod refusals;

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::*;
use crate::sandbox::wire::proxies::{self, Proxies};
use crate::sandbox::wire::testing::{DEADLINE, Is, add_service, set_endpoint, until, world};

/// A cluster with proxies and the Service `backend` behind the host `h`.
struct Cluster {
    world: Arc<World>,
    proxies: Proxies,
}

/// Quick enough for tests, and slow enough for a busy machine.
fn config() -> Config {
    Config {
        lag: Duration::from_millis(20),
        connect_timeout: Duration::from_millis(300),
        read_timeout: Duration::from_millis(400),
        ..Config::default()
    }
}

impl Cluster {
    fn start(config: Config, pods: &[(&str, SocketAddr)]) -> Self {
        let world = world();
        for (name, address) in pods {
            set_endpoint(&world, "backend", name, *address, Is::Ready);
        }
        add_service(&world, "backend", "None", 80);
        add_ingress(&world, "backend", "h", "/", "backend");
        let config = proxies::Config { ingress: config, ..proxies::Config::default() };
        let proxies = Proxies::start(&world, config).unwrap();
        Self { world, proxies }
    }

    async fn get(&self, path: &str) -> Result<Answer, String> {
        self.client().await.get(path).await
    }

    async fn client(&self) -> Client {
        Client::connect(self.proxies.ingress_address()).await
    }

    async fn stop(self) {
        timeout(Duration::from_secs(1), self.proxies.stop()).await.expect("stops within a second");
    }
}

fn add_ingress(world: &World, name: &str, host: &str, path: &str, service: &str) {
    let backend = json!({"service": {"name": service, "port": {"name": "http"}}});
    let rule = json!({"host": host, "http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}});
    let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"namespace": "todo", "name": name},
        "spec": {"rules": [rule]}});
    world.write(vec![Write::Create { resource: resource::INGRESSES, object }]);
}

/// A client's connection, kept.
struct Client(SendRequest<Full<Bytes>>);

/// A response, read whole.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.ask("h", path).await
    }

    async fn ask(&mut self, host: &str, path: &str) -> Result<Answer, String> {
        let request = Request::get(path).header("host", host).body(Full::default()).unwrap();
        let asking = async {
            self.0.ready().await.map_err(|e| format!("ready: {e:?}"))?;
            let response = self.0.send_request(request).await.map_err(|e| format!("head: {e:?}"))?;
            read(response).await
        };
        timeout(DEADLINE, asking).await.expect("an answer or an error comes")
    }
}

/// Reads an answer to its end; when it breaks off, says what came.
async fn read(response: http::Response<Incoming>) -> Result<Answer, String> {
    let (head, mut body) = response.into_parts();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => whole.extend_from_slice(frame.data_ref().map_or(&[], |d| &d[..])),
            Err(_) => return Err(format!("{}, cut after {:?}", head.status.as_u16(), String::from_utf8_lossy(&whole))),
        }
    }
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: whole.into() })
}

/// What a pod does with a request, when it has read its head.
#[derive(Clone, Debug)]
enum Act {
    /// Sends this and goes on.
    Send(&'static str),
    /// Sends its name as a proper answer.
    Name,
    /// Sends the request's head back as a proper answer.
    Echo,
    /// Waits this many milliseconds.
    Wait(u64),
    /// Ends the connection.
    Close,
    /// Resets the connection.
    Reset,
}

/// What a pod does, by request.
type Script = &'static [&'static [Act]];

/// A pod that does for its nth request on each connection what stands at the nth place, and for later ones what stands last.
struct Pod {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    /// Connections that have ended.
    ended: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Pod {
    async fn start(name: &'static str, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests, ended): (Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let counts = (Arc::clone(&connections), Arc::clone(&requests), Arc::clone(&ended));
        let serving = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (connections, requests, ended) = counts.clone();
                connections.fetch_add(1, Ordering::SeqCst);
                serving.spawn(async move {
                    play(name, stream, script, &requests).await;
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, connections, requests, ended, serving }
    }

    /// Connections and requests so far.
    fn counts(&self) -> (usize, usize) {
        (self.connections.load(Ordering::SeqCst), self.requests.load(Ordering::SeqCst))
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

async fn play(name: &str, mut stream: TcpStream, script: Script, requests: &AtomicUsize) {
    for n in 0.. {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        requests.fetch_add(1, Ordering::SeqCst);
        for act in script[n.min(script.len() - 1)] {
            let answer =
                |body: &str| format!("HTTP/1.1 200 OK\r\nx-pod-name: {name}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let bytes = match act {
                Act::Send(text) => (*text).to_owned(),
                Act::Name => answer(name),
                Act::Echo => answer(&String::from_utf8_lossy(&head)),
                Act::Wait(time) => {
                    // A client that leaves meanwhile is noticed; one that sends is not listened to.
                    let left = async {
                        if matches!(stream.peek(&mut [0]).await, Ok(1)) {
                            std::future::pending::<()>().await;
                        }
                    };
                    if timeout(Duration::from_millis(*time), left).await.is_ok() {
                        return;
                    }
                    continue;
                }
                Act::Close => return,
                Act::Reset => {
                    stream.set_zero_linger().unwrap();
                    return;
                }
            };
            if stream.write_all(bytes.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

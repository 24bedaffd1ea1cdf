//! The forwarder with real sockets on loopback.

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::*;
use crate::sandbox::model::endpoints::Endpoints;
use crate::sandbox::model::object::Key;
use crate::sandbox::model::write::Read as _;
use crate::sandbox::wire::testing::{DEADLINE, Is, add_service, set_endpoint, until, world};

/// A cluster with its forwarder.
struct Cluster {
    world: Arc<World>,
    tasks: Tasks,
    address: SocketAddr,
}

impl Cluster {
    /// With the Service `backend` at an address that differs by test and by process.
    fn start(test: u8) -> Self {
        let process = u8::try_from(std::process::id() % 250).unwrap();
        let address = SocketAddr::new(Ipv4Addr::new(127, 8, process, test).into(), 8080);
        let (world, tasks) = (world(), Tasks::default());
        add_service(&world, "backend", &address.ip().to_string(), address.port());
        let config = Config { lag: Duration::from_millis(10), connect_timeout: Duration::from_secs(2), max_connections: 100 };
        start(&world, &tasks, &config);
        Self { world, tasks, address }
    }

    fn endpoint(&self, pod: &str, address: SocketAddr, is: Is) {
        set_endpoint(&self.world, "backend", pod, address, is);
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        timeout(DEADLINE, TcpStream::connect(self.address)).await.expect("connecting ends")
    }

    /// Waits until the port is open.
    async fn open(&self) {
        until(None, async || self.connect().await.err().map(|e| e.kind())).await;
    }

    async fn refuses(&self) {
        until(Some(ErrorKind::ConnectionRefused), async || self.connect().await.err().map(|e| e.kind())).await;
    }

    async fn stop(self) {
        timeout(Duration::from_secs(2), self.tasks.stop(Duration::from_millis(200))).await.expect("stops in time");
    }
}

/// An endpoint that does the same with every connection.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            each(stream).await;
        }
    });
    (address, serving)
}

/// An endpoint that says its name and closes.
async fn named(name: &'static str) -> SocketAddr {
    serve(async move |mut stream| stream.write_all(name.as_bytes()).await.unwrap()).await.0
}

async fn read_all(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut text)).await.expect("the stream ends").map(|_| text)
}

#[tokio::test]
async fn bytes_go_both_ways_and_each_way_ends_by_itself() {
    let cluster = Cluster::start(1);
    let (address, _serving) = serve(async |mut stream| {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        stream.write_all(format!("{} bytes", received.len()).as_bytes()).await.unwrap();
    })
    .await;
    cluster.endpoint("a", address, Is::Ready);
    cluster.open().await;
    let mut client = cluster.connect().await.unwrap();
    client.write_all(&vec![7; 1_000_000]).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await.unwrap(), "1000000 bytes");
    cluster.stop().await;
}

#[tokio::test]
async fn a_reset_by_the_endpoint_reaches_the_client_as_a_reset() {
    let cluster = Cluster::start(2);
    let (address, _serving) = serve(async |mut stream| {
        if stream.read(&mut [0]).await.is_ok_and(|n| n > 0) {
            reset(&stream);
        }
    })
    .await;
    cluster.endpoint("a", address, Is::Ready);
    cluster.open().await;
    let mut client = cluster.connect().await.unwrap();
    client.write_all(b"x").await.unwrap();
    assert_eq!(read_all(&mut client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    cluster.stop().await;
}

#[tokio::test]
async fn a_reset_by_the_client_reaches_the_endpoint_as_a_reset() {
    let cluster = Cluster::start(3);
    let (told, mut ends) = tokio::sync::mpsc::channel(100);
    let (address, _serving) = serve(move |mut stream: TcpStream| {
        let told = told.clone();
        async move {
            let mut received = Vec::new();
            let end = stream.read_to_end(&mut received).await.map_err(|e| e.kind());
            if !received.is_empty() {
                told.send(end).await.unwrap();
            }
        }
    })
    .await;
    cluster.endpoint("a", address, Is::Ready);
    cluster.open().await;
    let mut client = cluster.connect().await.unwrap();
    client.write_all(b"x").await.unwrap();
    // The byte must be there before the reset, which overtakes all else.
    tokio::time::sleep(Duration::from_millis(50)).await;
    reset(&client);
    drop(client);
    let end = timeout(DEADLINE, ends.recv()).await.expect("the endpoint hears of it").unwrap();
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    cluster.stop().await;
}

#[tokio::test]
async fn a_service_refuses_unless_it_has_endpoints_and_kept_connections_stay() {
    let cluster = Cluster::start(4);
    cluster.refuses().await;
    let (address, _serving) = serve(async |mut stream| {
        let mut byte = [0];
        while stream.read_exact(&mut byte).await.is_ok() {
            stream.write_all(&byte).await.unwrap();
        }
    })
    .await;
    cluster.endpoint("a", address, Is::Ready);
    cluster.open().await;
    let mut kept = cluster.connect().await.unwrap();
    let mut byte = [0];
    for sent in [b'1', b'2'] {
        kept.write_all(&[sent]).await.unwrap();
        timeout(DEADLINE, kept.read_exact(&mut byte)).await.expect("an echo").unwrap();
        assert_eq!(byte, [sent]);
        if sent == b'1' {
            cluster.endpoint("a", address, Is::Gone);
            cluster.refuses().await;
        }
    }
    cluster.stop().await;
}

#[tokio::test]
async fn ready_endpoints_take_turns_and_terminating_ones_serve_when_none_is_ready() {
    let cluster = Cluster::start(5);
    let (a, b) = (named("a").await, named("b").await);
    cluster.endpoint("a", a, Is::Ready);
    cluster.endpoint("b", b, Is::Ready);
    cluster.open().await;
    let ask = async || {
        let mut names = String::new();
        for _ in 0..4 {
            match cluster.connect().await {
                Ok(mut client) => names += &read_all(&mut client).await.unwrap(),
                Err(error) => names += &error.to_string(),
            }
        }
        let mut sorted: Vec<_> = names.chars().collect();
        sorted.sort_unstable();
        sorted.into_iter().collect::<String>()
    };
    until("aabb".to_owned(), ask).await;
    cluster.endpoint("a", a, Is::Terminating);
    until("bbbb".to_owned(), ask).await;
    cluster.endpoint("b", b, Is::Gone);
    until("aaaa".to_owned(), ask).await;
    cluster.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_refuses_resets_the_client_and_no_other_is_tried() {
    let cluster = Cluster::start(6);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    cluster.endpoint("nobody", nobody, Is::Ready);
    cluster.endpoint("a", named("a").await, Is::Ready);
    cluster.open().await;
    let ask = async || {
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(match cluster.connect().await {
                Ok(mut client) => read_all(&mut client).await.map_err(|e| e.kind()),
                Err(error) => Err(error.kind()),
            });
        }
        answers.sort();
        answers
    };
    let (served, reset) = (Ok("a".to_owned()), Err(ErrorKind::ConnectionReset));
    until(vec![served.clone(), served, reset.clone(), reset], ask).await;
    cluster.stop().await;
}

#[tokio::test]
async fn an_address_that_cannot_be_used_leaves_the_other_services_alone() {
    let cluster = Cluster::start(7);
    let IpAddr::V4(own) = cluster.address.ip() else { panic!("an IPv6 address") };
    let [.., process, test] = own.octets();
    let taken = SocketAddr::new(Ipv4Addr::new(127, 8, process, test + 100).into(), 8080);
    let _listener = std::net::TcpListener::bind(taken).unwrap();
    add_service(&cluster.world, "elsewhere", &taken.ip().to_string(), taken.port());
    let a = named("a").await;
    set_endpoint(&cluster.world, "elsewhere", "a", a, Is::Ready);
    cluster.endpoint("a", a, Is::Ready);
    cluster.open().await;
    let reasons =
        || cluster.world.read(|s| s.list(&resource::EVENTS, None).iter().map(|e| e["reason"].clone()).collect::<Vec<_>>());
    until(vec!["FailedToListen".into()], async || reasons()).await;
    cluster.stop().await;
}

#[test]
fn a_refused_address_is_told_as_a_warning_on_the_service() {
    let service = Key::new(resource::SERVICES, "todo", "backend");
    let address = "192.0.2.1:80".parse().unwrap();
    let frontend = Frontend { service: service.clone(), address, endpoints: Endpoints::default(), sticky: false };
    assert_eq!(
        cannot_listen(&frontend, "Permission denied (os error 13)"),
        Write::Event {
            about: service,
            kind: EventType::Warning,
            reason: "FailedToListen",
            message: "cannot listen on 192.0.2.1:80: Permission denied (os error 13)".to_owned(),
            by: "service-proxy",
        }
    );
}

#[test]
fn a_sticky_client_stays_until_its_endpoint_goes() {
    let endpoint = |n: u8| Endpoint { address: SocketAddr::new(Ipv4Addr::new(127, 0, 0, n).into(), 80), pod: n.to_string() };
    let target = |ns: &[u8]| Target { endpoints: ns.iter().map(|n| endpoint(*n)).collect(), sticky: true };
    let clients: Vec<IpAddr> = (0..100).map(|n| Ipv4Addr::new(10, 0, 0, n).into()).collect();
    let picked = |ns: &[u8], turn| -> Vec<_> { clients.iter().map(|c| target(ns).pick(*c, turn).unwrap()).collect() };
    let before = picked(&[1, 2, 3], 0);
    assert_eq!(picked(&[1, 2, 3], 1), before);
    let after = picked(&[1, 3], 2);
    let gone = endpoint(2).address;
    assert!(before.contains(&gone) && !after.contains(&gone));
    assert!(before.iter().zip(&after).all(|(b, a)| b == a || *b == gone));
}

#[tokio::test]
async fn stopping_closes_ports_and_connections() {
    let cluster = Cluster::start(8);
    let (address, _serving) = serve(async |mut stream| {
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received).await;
    })
    .await;
    cluster.endpoint("a", address, Is::Ready);
    cluster.open().await;
    let mut client = cluster.connect().await.unwrap();
    let address = cluster.address;
    cluster.stop().await;
    assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    // Open until then, ended now.
    assert!(read_all(&mut client).await.is_ok_and(|text| text.is_empty()));
}

//! What goes right: routing in turn, streaming, HTTP/2, and how changes and the end are taken.

use std::convert::Infallible;

use futures_util::StreamExt as _;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;

use super::*;
use crate::sandbox::model::object::Key;
use crate::sandbox::model::write::Read as _;
use crate::sandbox::wire::clock::now;

const NAME: Script = &[&[Act::Name]];

#[tokio::test]
async fn endpoints_take_turns_and_connections_to_them_are_kept() {
    let (a, b) = (Pod::start("a", NAME).await, Pod::start("b", NAME).await);
    let cluster = Cluster::start(config(), &[("a", a.address), ("b", b.address)]);
    let mut client = cluster.client().await;
    let mut names = String::new();
    for _ in 0..6 {
        let answer = client.get("/").await.unwrap();
        assert_eq!((answer.status, answer.header("x-pod-name").as_bytes()), (200, &answer.body[..]));
        names += answer.header("x-pod-name");
    }
    assert!(names == "ababab" || names == "bababa", "{names}");
    assert_eq!((a.counts(), b.counts()), ((1, 3), (1, 3)));
    cluster.stop().await;
}

#[tokio::test]
async fn the_pod_hears_who_asked_for_which_host() {
    let pod = Pod::start("a", &[&[Act::Echo]]).await;
    let cluster = Cluster::start(config(), &[("a", pod.address)]);
    let answer = cluster.get("/api/todos?x=1").await.unwrap();
    let mut head: Vec<_> = std::str::from_utf8(&answer.body).unwrap().lines().filter(|l| !l.is_empty()).collect();
    head.sort_unstable();
    assert_eq!(
        head,
        [
            "GET /api/todos?x=1 HTTP/1.1",
            "host: h",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: h",
            "x-forwarded-proto: http",
            "x-real-ip: 127.0.0.1"
        ]
    );
    cluster.stop().await;
}

#[tokio::test]
async fn the_address_is_found_in_the_objects() {
    let cluster = Cluster::start(config(), &[]);
    let address = cluster.proxies.ingress_address();
    let found = async || {
        let ingress = cluster.world.read(|s| s.get(&Key::new(resource::INGRESSES, "todo", "backend"))).unwrap();
        ingress["status"]["loadBalancer"].clone()
    };
    until(json!({"ingress": [{"ip": "127.0.0.1", "ports": [{"port": address.port(), "protocol": "TCP"}]}]}), found).await;
    let class = cluster.world.read(|s| s.get(&Key::new(resource::INGRESS_CLASSES, "", CLASS))).unwrap();
    assert_eq!(class["spec"]["controller"], CONTROLLER);
    cluster.stop().await;
}

#[tokio::test]
async fn a_change_takes_effect_one_lag_after_it_happened() {
    let (a, b) = (Pod::start("a", NAME).await, Pod::start("b", NAME).await);
    let lag = Duration::from_millis(300);
    let cluster = Cluster::start(Config { lag, ..config() }, &[("a", a.address)]);
    let mut client = cluster.client().await;
    set_endpoint(&cluster.world, "backend", "b", b.address, Is::Ready);
    set_endpoint(&cluster.world, "backend", "a", a.address, Is::Terminating);
    let start = now();
    let mut switched = None;
    while switched.is_none() && start.elapsed() < DEADLINE {
        let asked = start.elapsed();
        let answer = client.get("/").await.unwrap();
        switched = (answer.header("x-pod-name") == "b").then(|| (asked, start.elapsed()));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (asked, answered) = switched.expect("b answers in the end");
    assert!(answered >= lag && asked < lag + Duration::from_millis(500), "between {asked:?} and {answered:?}");
    cluster.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_goes_finishes_its_requests_and_loses_its_idle_connections() {
    let pod = Pod::start("a", &[&[Act::Wait(50), Act::Name], &[Act::Wait(1000), Act::Name]]).await;
    let cluster = Cluster::start(Config { read_timeout: Duration::from_secs(10), ..config() }, &[("a", pod.address)]);
    let (mut first, mut second) = (cluster.client().await, cluster.client().await);
    let (x, y) = tokio::join!(first.get("/"), second.get("/"));
    assert_eq!((x.unwrap().status, y.unwrap().status, pod.counts()), (200, 200, (2, 2)));
    let (slow, ()) = tokio::join!(first.get("/"), async {
        until((2, 3), async || pod.counts()).await;
        set_endpoint(&cluster.world, "backend", "a", pod.address, Is::Gone);
        // The idle one, and not the one in use.
        until(1, async || pod.ended()).await;
        assert_eq!(second.get("/").await.unwrap().status, 503);
    });
    assert_eq!(slow.unwrap().status, 200);
    until(2, async || pod.ended()).await;
    assert_eq!(cluster.proxies.access().iter().map(|a| (a.routed, a.requests)).collect::<Vec<_>>(), [(false, 3)]);
    cluster.stop().await;
}

/// A pod that sends back each piece of a body as it comes.
async fn echo_pod() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut serving = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let echo =
                service_fn(|request: Request<Incoming>| async { Ok::<_, Infallible>(http::Response::new(request.into_body())) });
            serving.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), echo));
        }
    });
    (address, serving)
}

#[tokio::test]
async fn bodies_stream_both_ways_piece_by_piece() {
    const PIECES: usize = 400;
    let (address, pod) = echo_pod().await;
    let cluster = Cluster::start(config(), &[("a", address)]);
    let stream = TcpStream::connect(cluster.proxies.ingress_address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let (pieces, to_send) = mpsc::channel::<Bytes>(1);
    let pieces_stream = futures_util::stream::unfold(to_send, |mut rx| async { rx.recv().await.map(|piece| (piece, rx)) });
    let body = StreamBody::new(pieces_stream.map(|piece| Ok::<_, Infallible>(Frame::data(piece))).boxed());
    pieces.send(Bytes::from(vec![0; 65_536])).await.unwrap();
    let response = sender.send_request(Request::post("/").header("host", "h").body(body).unwrap()).await.unwrap();
    let mut echoed = response.into_body();
    // Each piece is back before the next one is sent: nobody waits for the whole.
    for n in 0..PIECES {
        let mut piece = Vec::new();
        while piece.len() < 65_536 {
            let frame = timeout(DEADLINE, echoed.frame()).await.expect("it comes").unwrap().unwrap();
            piece.extend_from_slice(&frame.into_data().unwrap());
        }
        let expected = u8::try_from(n % 256).unwrap();
        assert!(piece.len() == 65_536 && piece.iter().all(|b| *b == expected), "piece {n}");
        if n + 1 < PIECES {
            pieces.send(Bytes::from(vec![u8::try_from((n + 1) % 256).unwrap(); 65_536])).await.unwrap();
        }
    }
    drop(pieces);
    assert!(timeout(DEADLINE, echoed.frame()).await.expect("it ends").is_none());
    drop(sender);
    connection.await.unwrap().unwrap();
    pod.abort();
    cluster.stop().await;
}

#[tokio::test]
async fn http2_is_served_side_by_side_and_a_cut_resets_its_stream_only() {
    let pod = Pod::start("a", &[&[Act::Wait(200), Act::Name]]).await;
    let broken = Pod::start("b", &[&[Act::Send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf."), Act::Close]]).await;
    let cluster = Cluster::start(config(), &[("a", pod.address)]);
    set_endpoint(&cluster.world, "broken", "b", broken.address, Is::Ready);
    add_service(&cluster.world, "broken", "None", 80);
    add_ingress(&cluster.world, "broken", "broken", "/", "broken");
    // Cut, and no longer 404: the route is there.
    until(None, async || cluster.client().await.ask("broken", "/").await.ok().map(|answer| answer.status)).await;

    let stream = TcpStream::connect(cluster.proxies.ingress_address()).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let ask = |host: &str| {
        let request = Request::get(format!("http://{host}/")).body(Full::<Bytes>::default()).unwrap();
        let mut sender = sender.clone();
        async move { read(sender.send_request(request).await.unwrap()).await }
    };
    let (one, two, cut) = timeout(DEADLINE, async { tokio::join!(ask("h"), ask("h"), ask("broken")) }).await.unwrap();
    assert_eq!((one.unwrap().status, two.unwrap().status, cut.unwrap_err().as_str()), (200, 200, "200, cut after \"half.\""));
    assert_eq!(pod.counts(), (2, 2), "one after the other, they would have shared a connection");
    drop(sender);
    connection.await.unwrap().unwrap();
    cluster.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_with_it() {
    let pod = Pod::start("a", &[&[Act::Wait(60_000)]]).await;
    let cluster = Cluster::start(Config { read_timeout: Duration::from_mins(1), ..config() }, &[("a", pod.address)]);
    let mut stream = TcpStream::connect(cluster.proxies.ingress_address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    until((1, 1), async || pod.counts()).await;
    drop(stream);
    until(1, async || pod.ended()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_silent_client_is_let_go() {
    let pod = Pod::start("a", NAME).await;
    let cluster = Cluster::start(Config { keep_alive: Duration::from_millis(200), ..config() }, &[("a", pod.address)]);
    // Before a word, in the middle of a head, within HTTP/2's preface, and after an answer.
    for start in ["", "GET / HT", "PR", "GET / HTTP/1.1\r\nhost: h\r\n\r\n"] {
        let mut stream = TcpStream::connect(cluster.proxies.ingress_address()).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        // By a reset where something was left unread.
        let _ = timeout(DEADLINE, stream.read_to_end(&mut received)).await.expect("it is closed");
        assert_eq!(received.is_empty(), !start.ends_with("\r\n\r\n"), "{start:?}: {}", String::from_utf8_lossy(&received));
    }
    cluster.stop().await;
}

#[tokio::test]
async fn stopping_finishes_what_is_quick_and_cuts_the_rest() {
    let quick = Pod::start("quick", &[&[Act::Wait(200), Act::Name]]).await;
    let cluster = Cluster::start(Config { read_timeout: Duration::from_mins(1), ..config() }, &[("quick", quick.address)]);
    let slow = Pod::start("slow", &[&[Act::Wait(60_000)]]).await;
    set_endpoint(&cluster.world, "slow", "slow", slow.address, Is::Ready);
    add_service(&cluster.world, "slow", "None", 80);
    add_ingress(&cluster.world, "slow", "slow", "/", "slow");
    add_ingress(&cluster.world, "empty", "empty", "/", "empty");
    // Routed as soon as the last of these changes is.
    until(503, async || cluster.client().await.ask("empty", "/").await.unwrap().status).await;
    let address = cluster.proxies.ingress_address();
    let (mut one, mut two, _silent) = (cluster.client().await, cluster.client().await, cluster.client().await);
    let (quick_answer, slow_answer, ()) = tokio::join!(one.get("/"), two.ask("slow", "/"), async {
        until((1, 1), async || (quick.counts().1, slow.counts().1)).await;
        cluster.stop().await;
    });
    assert_eq!(quick_answer.unwrap().status, 200);
    assert!(slow_answer.as_ref().is_err_and(|e| e.starts_with("head: ")), "{slow_answer:?}");
    assert!(TcpStream::connect(address).await.is_err());
}

//! Each way of failing has the answer that real proxies give, and is tried once.

use tokio::net::TcpSocket;

use super::*;
use crate::sandbox::wire::clock::now;

const HANG: Script = &[&[Act::Wait(60_000)]];
const NAME: Script = &[&[Act::Name]];

/// An address that nobody listens on.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Asserts that the proxy itself answered with this status.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16) {
    assert_eq!((answer.status, answer.header("server"), answer.header("x-pod-name")), (status, "verifier-sandbox-ingress", ""));
}

#[tokio::test]
async fn no_rule_is_404_and_no_endpoint_is_503() {
    let cluster = Cluster::start(config(), &[]);
    assert_refused(&cluster.get("/").await.unwrap(), 503);
    assert_refused(&cluster.client().await.ask("elsewhere", "/").await.unwrap(), 404);
    cluster.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_502_and_no_other_is_tried() {
    let pod = Pod::start("a", NAME).await;
    let cluster = Cluster::start(config(), &[("a", pod.address), ("nobody", nobody())]);
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let answer = cluster.get("/").await.unwrap();
        if answer.status != 200 {
            assert_refused(&answer, 502);
        }
        statuses.push(answer.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 5], [502; 5]].concat());
    let mut access: Vec<_> = cluster.proxies.access().into_iter().map(|a| (a.endpoint.pod, a.requests, a.failures)).collect();
    access.sort();
    assert_eq!(access, [("a".to_owned(), 5, 0), ("nobody".to_owned(), 5, 5)]);
    cluster.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_closes_or_resets_before_it_answers_is_502() {
    let scripts: [Script; 3] = [&[&[Act::Close]], &[&[Act::Reset]], &[&[Act::Send("HTTP/1.1 200 OK\r\ncontent-le"), Act::Close]]];
    for script in scripts {
        let pod = Pod::start("a", script).await;
        let cluster = Cluster::start(config(), &[("a", pod.address)]);
        assert_refused(&cluster.get("/").await.unwrap(), 502);
        assert_eq!(pod.counts(), (1, 1), "{script:?}");
        cluster.stop().await;
    }
}

#[tokio::test]
async fn a_kept_connection_that_dies_when_used_is_502_without_a_second_try() {
    let pod = Pod::start("a", &[&[Act::Name], &[Act::Close]]).await;
    let cluster = Cluster::start(config(), &[("a", pod.address)]);
    assert_eq!(cluster.get("/").await.unwrap().status, 200);
    assert_refused(&cluster.get("/").await.unwrap(), 502);
    assert_eq!(pod.counts(), (1, 2));
    cluster.stop().await;
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_is_not_used() {
    let pod = Pod::start("a", &[&[Act::Name, Act::Close]]).await;
    let cluster = Cluster::start(config(), &[("a", pod.address)]);
    for n in 1..=5 {
        assert_eq!(cluster.get("/").await.unwrap().status, 200);
        until(n, async || pod.ended()).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(pod.counts(), (5, 5));
    cluster.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_in_time_is_504() {
    let pod = Pod::start("a", HANG).await;
    let cluster = Cluster::start(config(), &[("a", pod.address)]);
    let start = now();
    assert_refused(&cluster.get("/").await.unwrap(), 504);
    assert!(start.elapsed() >= config().read_timeout);
    assert_eq!(pod.counts(), (1, 1));
    // The connection is of no use any more.
    until(1, async || pod.ended()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_swallows_connects_is_504() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Fills the queue; what comes then is dropped by the kernel.
    let _queued = (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
    let cluster = Cluster::start(config(), &[("a", address)]);
    assert_refused(&cluster.get("/").await.unwrap(), 504);
    cluster.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_request_gets_408() {
    let pod = Pod::start("a", HANG).await;
    let cluster = Cluster::start(config(), &[("a", pod.address)]);
    let mut stream = TcpStream::connect(cluster.proxies.ingress_address()).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    timeout(DEADLINE, stream.read_exact(&mut start)).await.expect("an answer").unwrap();
    assert_eq!(&start, b"HTTP/1.1 408");
    cluster.stop().await;
}

#[tokio::test]
async fn more_requests_than_allowed_at_once_are_503() {
    let pod = Pod::start("a", HANG).await;
    let cluster = Cluster::start(Config { max_requests: 1, ..config() }, &[("a", pod.address)]);
    let (first, second) = tokio::join!(cluster.get("/"), async {
        until((1, 1), async || pod.counts()).await;
        cluster.get("/").await
    });
    assert_refused(&second.unwrap(), 503);
    assert_refused(&first.unwrap(), 504);
    cluster.stop().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_cut_where_it_broke() {
    const LENGTH: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf.";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhalf.\r\n";
    const MOMENT: u64 = 50;
    let scripts: [Script; 5] = [
        &[&[Act::Send(LENGTH), Act::Close]],
        &[&[Act::Send(LENGTH), Act::Wait(MOMENT), Act::Reset]],
        &[&[Act::Send(CHUNKED), Act::Close]],
        &[&[Act::Send(CHUNKED), Act::Wait(MOMENT), Act::Reset]],
        // Silence is cut as well.
        &[&[Act::Send(LENGTH), Act::Wait(60_000)]],
    ];
    for script in scripts {
        let pod = Pod::start("a", script).await;
        let cluster = Cluster::start(config(), &[("a", pod.address)]);
        assert_eq!(cluster.get("/").await.unwrap_err(), "200, cut after \"half.\"", "{script:?}");
        let failures: Vec<_> = cluster.proxies.access().into_iter().map(|a| (a.requests, a.failures)).collect();
        assert_eq!((failures, pod.counts()), (vec![(1, 1)], (1, 1)), "{script:?}");
        cluster.stop().await;
    }
}

//! What SIGTERM does to those who are being served.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::pod::{Connection, DEADLINE, Pod, connect};

/// Requests, one after the other, until the port refuses. Returns what was wrong with any that had a connection.
async fn client(address: SocketAddr, keep: bool, pause: Duration, answered: Arc<AtomicU64>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut kept: Option<Connection> = None;
    loop {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => match connect(address).await {
                Ok(connection) => connection,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return wrong,
                Err(error) => {
                    wrong.push(format!("connect: {error}"));
                    return wrong;
                }
            },
        };
        match connection.get("/api/todos/1").await {
            Ok(answer) if answer.status == StatusCode::OK => {
                answered.fetch_add(1, Ordering::Relaxed);
                if keep && answer.header("connection") != "close" {
                    kept = Some(connection);
                }
            }
            other => wrong.push(format!("{other:?}")),
        }
        sleep(pause).await;
    }
}

/// Five pods with eight clients each, all of whom go on asking until they are refused.
#[tokio::test]
async fn a_graceful_drain_fails_no_request_that_was_accepted() {
    for round in 0..5u64 {
        let pod = Pod::start(&[]).await;
        let answered = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for n in 0..8u64 {
            let pause = Duration::from_millis(1 + (n + round) % 5);
            clients.spawn(client(pod.address, n % 2 == 0, pause, Arc::clone(&answered)));
        }
        let enough = async {
            while answered.load(Ordering::Relaxed) < 250 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(timeout(DEADLINE, enough).await.is_ok(), "{answered:?} answers");
        pod.terminate();
        let address = pod.address;
        let exit = pod.exit().await;
        let wrong = timeout(DEADLINE, clients.join_all()).await.expect("every client is refused in the end").concat();
        assert_eq!((wrong, exit.status.code()), (Vec::<String>::new(), Some(0)), "round {round} at {address}: {:?}", exit.log);
        let last = format!("exit after {} answers", answered.load(Ordering::Relaxed));
        assert!(exit.log.last().is_some_and(|line| line.ends_with(&last)), "not {last}: {:?}", exit.log);
    }
}

#[tokio::test]
async fn what_is_running_is_finished_and_unready_is_said_at_once() {
    let pod = Pod::start(&[]).await;
    let (mut slow, mut stream, mut endless, mut probe) =
        (pod.connect().await.unwrap(), pod.connect().await.unwrap(), pod.connect().await.unwrap(), pod.connect().await.unwrap());
    let terminated = async {
        // The others are under way once this has been answered: they were sent before it.
        assert_eq!(probe.get("/api/slow?ms=100").await.unwrap().status, StatusCode::OK);
        pod.terminate();
        pod.until_status("/readyz", StatusCode::SERVICE_UNAVAILABLE).await;
        probe.get("/livez").await.unwrap()
    };
    let (slow, stream, endless, probe) = tokio::join!(
        slow.get("/api/slow?ms=1500"),
        stream.get("/api/stream?per_second=20&events=30"),
        endless.get("/api/stream?per_second=20"),
        terminated
    );
    let (slow, stream, endless) = (slow.unwrap(), stream.unwrap(), endless.unwrap());
    assert_eq!((slow.status, slow.header("connection")), (StatusCode::OK, "close"));
    assert_eq!((probe.status, probe.header("connection")), (StatusCode::OK, "close"));
    let events = |body: &[u8]| String::from_utf8_lossy(body).matches("id: ").count();
    assert_eq!(events(&stream.body), 30);
    assert!((1..30).contains(&events(&endless.body)), "{}", events(&endless.body));
    assert_eq!(pod.exit().await.status.code(), Some(0));
}

#[tokio::test]
async fn a_silent_connection_may_speak_once_more_and_is_then_closed() {
    let pod = Pod::start(&[("DRAIN_IDLE", "700ms")]).await;
    let (mut speaks, mut silent) = (pod.connect().await.unwrap(), pod.connect().await.unwrap());
    let mut fresh = TcpStream::connect(pod.address).await.unwrap();
    for connection in [&mut speaks, &mut silent] {
        assert_eq!(connection.get("/livez").await.unwrap().header("connection"), "");
    }
    pod.terminate();
    pod.until_status("/readyz", StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(speaks.get("/api/todos").await.unwrap().header("connection"), "close");
    speaks.closed().await;
    silent.closed().await;
    let end = timeout(DEADLINE, fresh.read(&mut [0])).await.expect("the server closes it");
    assert_eq!(end.unwrap(), 0, "a clean end, not a reset");
    assert_eq!(pod.exit().await.status.code(), Some(0));
}

#[tokio::test]
async fn close_first_refuses_newcomers_but_finishes_what_runs() {
    let pod = Pod::start(&[("DRAIN", "close-first")]).await;
    let (mut slow, mut idle) = (pod.connect().await.unwrap(), pod.connect().await.unwrap());
    idle.get("/livez").await.unwrap();
    let newcomer = async {
        assert_eq!(idle.get("/api/slow?ms=50").await.unwrap().status, StatusCode::OK);
        pod.terminate();
        idle.closed().await;
        connect(pod.address).await.err().map(|e| e.kind())
    };
    let (slow, newcomer) = tokio::join!(slow.get("/api/slow?ms=1000"), newcomer);
    assert_eq!((slow.unwrap().status, newcomer), (StatusCode::OK, Some(ErrorKind::ConnectionRefused)));
    assert_eq!(pod.exit().await.status.code(), Some(0));
}

#[tokio::test]
async fn an_abrupt_exit_breaks_what_runs() {
    let pod = Pod::start(&[("DRAIN", "abrupt")]).await;
    let (mut slow, mut other) = (pod.connect().await.unwrap(), pod.connect().await.unwrap());
    let kill = async {
        other.get("/api/slow?ms=50").await.unwrap();
        pod.terminate();
    };
    let (slow, ()) = tokio::join!(slow.get("/api/slow?ms=10000"), kill);
    assert!(slow.as_ref().is_err_and(|e| e.starts_with("head: ")), "{slow:?}");
    assert_eq!(pod.exit().await.status.code(), Some(143));
}

#[tokio::test]
async fn an_ignored_signal_changes_nothing() {
    let pod = Pod::start(&[("DRAIN", "ignore")]).await;
    pod.terminate();
    for _ in 0..10 {
        assert_eq!(pod.get("/readyz").await.unwrap().status, StatusCode::OK);
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_drain_timeout_cuts_what_does_not_end() {
    let pod = Pod::start(&[("DRAIN_TIMEOUT", "300ms"), ("HANG_RATIO", "1")]).await;
    let (mut hung, mut probe) = (pod.connect().await.unwrap(), pod.connect().await.unwrap());
    let kill = async {
        sleep(Duration::from_millis(50)).await;
        probe.get("/livez").await.unwrap();
        pod.terminate();
        pod.exit().await
    };
    let (hung, exit) = tokio::join!(hung.get("/api/todos"), kill);
    assert!(hung.is_err(), "{hung:?}");
    assert!(exit.log.iter().any(|line| line.contains("drain timeout: ")), "{:?}", exit.log);
}

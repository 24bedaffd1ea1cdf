//! The workload does what its environment says, seen from outside.

mod drain;
pub(crate) mod pod;

use std::time::Duration;

use http::{Method, StatusCode};
use pod::{DEADLINE, Pod, command};
use serde_json::json;
use tokio::time::timeout;
use verifier::clock::Clock;

const NO_ANSWER: Duration = Duration::from_millis(300);

#[tokio::test]
async fn every_answer_says_which_pod_and_version_gave_it() {
    let pod = Pod::start(&[("POD_NAME", "backend-7d-abcde"), ("IMAGE_TAG", "v2"), ("ERROR_RATIO", "1")]).await;
    for (path, status) in [("/livez", 200), ("/api/todos", 500), ("/nowhere", 404)] {
        let answer = pod.get(path).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-pod-name"), answer.header("x-app-version")),
            (status, "backend-7d-abcde", "v2"),
            "{path}"
        );
        assert!(answer.header("server-timing").starts_with("app;dur="), "{path}");
    }
}

#[tokio::test]
async fn a_todo_that_was_posted_can_be_read_back() {
    let pod = Pod::start(&[]).await;
    let mut connection = pod.connect().await.unwrap();
    let posted = connection.send(Method::POST, "/api/todos", r#"{"title": "Mow the lawn"}"#).await.unwrap();
    let expected = json!({"id": 4, "title": "Mow the lawn", "done": false});
    assert_eq!((posted.status, posted.header("location"), posted.json()), (StatusCode::CREATED, "/api/todos/4", expected.clone()));
    assert_eq!(connection.get("/api/todos/4").await.unwrap().json(), expected);
    assert_eq!(connection.get("/api/todos").await.unwrap().json().as_array().unwrap().len(), 4);
    assert_eq!(connection.get("/api/todos/5").await.unwrap().status, StatusCode::NOT_FOUND);
    assert_eq!(connection.send(Method::POST, "/api/todos", "title").await.unwrap().status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn delays_come_in_order_port_then_readiness_then_service() {
    let clock = Clock::start();
    let pod = Pod::start(&[("START_DELAY", "200ms"), ("READY_DELAY", "300ms"), ("SERVE_AFTER", "600ms")]).await;
    assert!(clock.now().0 >= 200_000);
    assert_eq!(pod.get("/livez").await.unwrap().status, StatusCode::OK);
    assert_eq!(pod.get("/readyz").await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(pod.get("/api/todos").await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);
    pod.until_status("/readyz", StatusCode::OK).await;
    assert!(clock.now().0 >= 800_000);
    assert_eq!(pod.get("/api/todos").await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_liar_is_ready_before_it_serves() {
    let pod = Pod::start(&[("READINESS_LIES", "error"), ("SERVE_AFTER", "1h")]).await;
    assert_eq!(pod.get("/readyz").await.unwrap().status, StatusCode::OK);
    assert_eq!(pod.get("/api/todos").await.unwrap().status, StatusCode::SERVICE_UNAVAILABLE);

    let pod = Pod::start(&[("READINESS_LIES", "hang"), ("SERVE_AFTER", "500ms")]).await;
    assert_eq!(pod.get("/readyz").await.unwrap().status, StatusCode::OK);
    let clock = Clock::start();
    assert_eq!(pod.get("/api/todos").await.unwrap().status, StatusCode::OK);
    assert!(clock.now().0 >= 300_000, "{:?}", clock.now());
}

#[tokio::test]
async fn a_hung_request_leaves_the_probes_alone() {
    let pod = Pod::start(&[("HANG_RATIO", "1")]).await;
    assert!(timeout(NO_ANSWER, pod.get("/api/todos")).await.is_err());
    assert_eq!(pod.get("/readyz").await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_truncated_answer_begins_with_200_and_breaks_off() {
    let pod = Pod::start(&[("TRUNCATE_RATIO", "1")]).await;
    let error = pod.get("/api/todos").await.unwrap_err();
    assert!(error.starts_with("body after 200 OK: "), "{error}");
    assert_eq!(pod.get("/livez").await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn the_same_seed_and_name_fail_the_same_requests() {
    let mut runs = Vec::new();
    for name in ["a", "a", "b"] {
        let pod = Pod::start(&[("ERROR_RATIO", "0.5"), ("SEED", "1"), ("POD_NAME", name)]).await;
        let mut connection = pod.connect().await.unwrap();
        let mut failed = Vec::new();
        for _ in 0..64 {
            failed.push(connection.get("/api/todos/1").await.unwrap().status == StatusCode::INTERNAL_SERVER_ERROR);
        }
        assert!((16..48).contains(&failed.iter().filter(|f| **f).count()), "{failed:?}");
        runs.push(failed);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn one_place_serves_one_request_at_a_time() {
    let pod = Pod::start(&[("MAX_CONCURRENCY", "1")]).await;
    let clock = Clock::start();
    let (first, second) = tokio::join!(pod.get("/api/slow?ms=200"), pod.get("/api/slow?ms=200"));
    assert_eq!((first.unwrap().status, second.unwrap().status), (StatusCode::OK, StatusCode::OK));
    assert!(clock.now().0 >= 400_000, "{:?}", clock.now());
}

#[tokio::test]
async fn latency_is_added_to_the_api() {
    let pod = Pod::start(&[("LATENCY", "uniform(150ms,160ms)")]).await;
    let clock = Clock::start();
    pod.get("/api/todos/1").await.unwrap();
    assert!(clock.now().0 >= 150_000, "{:?}", clock.now());
}

#[tokio::test]
async fn an_idle_connection_is_closed_by_the_server() {
    let pod = Pod::start(&[("KEEP_ALIVE_TIMEOUT", "200ms")]).await;
    let mut connection = pod.connect().await.unwrap();
    connection.get("/livez").await.unwrap();
    let clock = Clock::start();
    connection.closed().await;
    assert!(clock.now().0 >= 150_000, "{:?}", clock.now());
}

#[tokio::test]
async fn an_event_stream_gives_as_many_events_as_asked_for() {
    let pod = Pod::start(&[]).await;
    let answer = pod.get("/api/stream?per_second=200&events=5").await.unwrap();
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let ids: Vec<_> = std::str::from_utf8(&answer.body).unwrap().lines().filter_map(|l| l.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_leak_shows_in_the_memory() {
    let pod = Pod::start(&[("LEAK", "100")]).await;
    let rss = || memory(&pod, "VmRSS:");
    let start = rss();
    let grown = timeout(DEADLINE, async {
        while rss() < start + 20_000 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(grown.await.is_ok(), "from {start} to {} KiB", rss());
}

#[tokio::test]
async fn a_pod_has_less_than_four_megabytes_of_its_own() {
    let pod = Pod::start(&[]).await;
    for _ in 0..100 {
        pod.get("/api/todos").await.unwrap();
    }
    let own = memory(&pod, "RssAnon:");
    assert!(own < 4_000, "{own} KiB");
}

#[tokio::test]
async fn a_pod_that_warms_up_uses_the_processor_for_a_while_and_serves_meanwhile() {
    let pod = Pod::start(&[("WARM_UP", "2s"), ("WARM_UP_CPU", "0.5")]).await;
    let warm = timeout(DEADLINE, async {
        while cpu(&pod) < Duration::from_millis(300) {
            assert_eq!(pod.get("/api/todos").await.unwrap().status, StatusCode::OK);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(warm.await.is_ok(), "{:?} were used", cpu(&pod));
    let cold = timeout(DEADLINE, async {
        loop {
            let before = cpu(&pod);
            tokio::time::sleep(Duration::from_millis(300)).await;
            // One tick of the kernel's is nothing; half a processor would be fifteen.
            if cpu(&pod) <= before + Duration::from_millis(10) {
                return;
            }
        }
    });
    assert!(cold.await.is_ok(), "it goes on, with {:?} by now", cpu(&pod));
}

#[tokio::test]
async fn a_crash_exits_with_its_code() {
    let pod = Pod::start(&[("CRASH_AFTER", "100ms"), ("CRASH_CODE", "7")]).await;
    assert_eq!(pod.exit().await.status.code(), Some(7));
}

#[tokio::test]
async fn nonsense_in_the_environment_is_named_and_ends_with_78() {
    let output = timeout(DEADLINE, command(&[("ERROR_RATIO", "2")]).output()).await.expect("it exits").unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "workload: ERROR_RATIO=2: not between 0 and 1\n");
    assert_eq!(output.status.code(), Some(78));
}

#[tokio::test]
async fn a_port_in_use_is_named_and_ends_with_71() {
    let pod = Pod::start(&[]).await;
    let port = pod.address.port().to_string();
    let output = timeout(DEADLINE, command(&[("PORT", &port)]).output()).await.expect("it exits").unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("cannot listen on {}", pod.address)), "{said}");
    assert_eq!(output.status.code(), Some(71));
}

/// The processor time that the pod has used.
fn cpu(pod: &Pod) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pod.pid().as_raw_nonzero())).unwrap();
    let ticks: u64 =
        stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
}

/// A line of the pod's `/proc/PID/status`, in KiB.
fn memory(pod: &Pod, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pod.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix(what)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

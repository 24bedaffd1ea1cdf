//! `verifier load` as a process of its own: starved of processor, descriptors and ports before a healthy service, it blames nobody.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use hyper::{Response, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::cpu_group::CpuGroup;

const VERIFIER: &str = env!("CARGO_BIN_EXE_verifier");
/// What a target can do wrong, as outcomes of a report.
const TARGETS: [&str; 5] = ["refused", "connect_timeout", "reset_before_send", "reset_after_send", "response_timeout"];
const RUNNING: Duration = Duration::from_millis(12);
const STOPPED: Duration = Duration::from_millis(88);

/// With room for as many connections as a verifier that was away may open at once when it is back.
fn listener() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(4_096).unwrap();
    socket.into()
}

/// Answers every request at once, until the test's process ends.
fn healthy() -> SocketAddr {
    let listener = listener();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut buffer = [0; 4_096];
    while let Ok(1..) = stream.read(&mut buffer) {
        let close = buffer.windows(17).any(|w| w == b"connection: close");
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() || close {
            return;
        }
    }
}

fn report(output: &Output) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {error}"))
}

fn outcome(report: &Value, name: &str) -> u64 {
    report["outcomes"][name].as_u64().unwrap_or(0)
}

fn load(command: &mut Command, words: &str) -> Child {
    command.args(words.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_verifier_with_an_eighth_of_a_processor_blames_nobody() {
    let words = format!("load http://{}/ --rate 100 --lanes fresh,kept -c 4 --timeout 50ms -d 3s -o json", healthy());
    let mut child = load(&mut Command::new(VERIFIER), &words);
    let pid = Pid::from_child(&child);
    for _ in 0..200 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        kill_process(pid, Signal::STOP).unwrap();
        thread::sleep(STOPPED);
        kill_process(pid, Signal::CONT).unwrap();
        thread::sleep(RUNNING);
    }
    let _ = child.kill();
    let report = report(&child.wait_with_output().unwrap());
    let blamed: Vec<_> = TARGETS.iter().filter(|name| outcome(&report, name) > 0).collect();
    assert!(blamed.is_empty(), "{report:#}");
    assert!(outcome(&report, "unseen") + outcome(&report, "not_sent") > 50, "it was starved: {report:#}");
    let validity = &report["validity"];
    assert!(validity["valid"] == false && validity["away"].as_u64() > Some(500_000), "and knows it: {validity:#}");
}

/// Answers every request in HTTP/1.1 or HTTP/2 at once, until the test's process ends.
fn healthy_in_both() -> SocketAddr {
    let listener = listener();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(|_| async { Ok::<_, Infallible>(Response::new("ok".to_owned())) });
                let builder = auto::Builder::new(TokioExecutor::new());
                tokio::spawn(async move { builder.serve_connection(TokioIo::new(stream), service).await.is_ok() });
            }
        });
    });
    address
}

#[test]
#[cfg_attr(not(has_cpu_groups), ignore = "no control groups can be made here: it needs root, and a writable /sys/fs/cgroup")]
fn a_verifier_with_a_tenth_of_a_processor_blames_nobody_in_either_protocol() {
    for protocol in ["", " --http2"] {
        let group = CpuGroup::tenth();
        // More than a tenth of a processor can send, and so little that the server keeps up on a machine that is busy with something else.
        let words =
            format!("load http://{}/ --rate 600 --lanes fresh,kept -c 4 --timeout 1s -d 4s -o json{protocol}", healthy_in_both());
        let child = load(&mut group.command(VERIFIER), &words);
        let report = report(&child.wait_with_output().unwrap());
        let blamed: Vec<_> = TARGETS.iter().filter(|name| outcome(&report, name) > 0).collect();
        assert!(blamed.is_empty() && outcome(&report, "ok") > 0, "{protocol}: {report:#}");
        assert!(group.throttled() > 10, "it was starved: {report:#}");
        assert!(report["validity"]["throttled"].as_u64() > Some(100_000), "and knows it: {:#}", report["validity"]);
    }
}

#[test]
fn http2_without_descriptors_blames_nobody() {
    let words = format!("load http://{}/ --http2 --rate 400 --lanes fresh,kept -c 80 -d 1s -o json", healthy_in_both());
    let child = load(Command::new("sh").args(["-c", r#"ulimit -n 64 && exec "$0" "$@""#, VERIFIER]), &words);
    let report = report(&child.wait_with_output().unwrap());
    let blamed: Vec<_> = TARGETS.iter().filter(|name| outcome(&report, name) > 0).collect();
    assert!(blamed.is_empty() && outcome(&report, "no_descriptor") > 20, "{report:#}");
}

#[test]
fn without_descriptors_nothing_is_sent_and_nobody_blamed() {
    // It never accepts: the system completes the connections, and they stay open for as long as the timeout.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let words = format!("load http://{}/ --rate 200 --lanes fresh --timeout 500ms -d 1s -o json", server.local_addr().unwrap());
    let child = load(Command::new("sh").args(["-c", r#"ulimit -n 64 && exec "$0" "$@""#, VERIFIER]), &words);
    let report = report(&child.wait_with_output().unwrap());
    let odd: Vec<_> = TARGETS.iter().filter(|name| **name != "response_timeout" && outcome(&report, name) > 0).collect();
    assert!(odd.is_empty() && outcome(&report, "no_descriptor") > 20, "{report:#}");
    assert_eq!((&report["validity"]["valid"], &report["validity"]["descriptors"]["limit"]), (&false.into(), &64.into()));
}

#[test]
#[cfg_attr(
    not(has_namespaces),
    ignore = "no network namespaces can be made here: it needs unshare and ip, and a system that allows it"
)]
fn without_ports_nothing_is_sent_and_nobody_blamed() {
    let script = r#"
        ip link set lo up && echo 40000 40019 >/proc/sys/net/ipv4/ip_local_port_range || exit 1
        HANG_RATIO=1 PORT=50000 "$0" workload >&2 & server=$!
        for i in $(seq 100); do "$0" probe --once --timeout 50ms http://127.0.0.1:50000/api/todos >&2; [ $? = 4 ] || break; sleep 0.02; done
        "$0" load http://127.0.0.1:50000/api/todos --rate 200 --lanes fresh --timeout 500ms -d 1s -o json
        kill $server"#;
    let output = Command::new("unshare").args(["-rn", "sh", "-c", script, VERIFIER]).output().unwrap();
    let report = report(&output);
    let odd: Vec<_> = TARGETS.iter().filter(|name| **name != "response_timeout" && outcome(&report, name) > 0).collect();
    assert!(odd.is_empty() && outcome(&report, "no_port") > 30, "{report:#}");
    assert_eq!((&report["validity"]["valid"], &report["validity"]["ports"]["limit"]), (&false.into(), &20.into()));
}

#[test]
fn a_signal_ends_a_load_within_a_second_with_the_report_so_far() {
    let words = format!("load http://{}/ --rate 50 -d 1m -o json", healthy());
    let mut child = load(&mut Command::new(VERIFIER), &words);
    // The first second is told: it runs.
    let mut stderr = child.stderr.take().unwrap();
    assert!(stderr.read(&mut [0; 1]).unwrap() == 1);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    for _ in 0..100 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let ended = child.try_wait().unwrap();
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(ended.and_then(|status| status.code()), Some(130), "within a second");
    let report = report(&output);
    assert!(report["interrupted"] == true && outcome(&report, "ok") >= 40, "{report:#}");
}

#[test]
fn a_load_that_reaches_nobody_says_so_by_its_exit_code() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let code = |words: &str| load(&mut Command::new(VERIFIER), words).wait_with_output().unwrap().status.code();
    assert_eq!(code(&format!("load http://{gone}/ --rate 50 -d 300ms")), Some(4));
    assert_eq!(code(&format!("load http://{}/ --rate 50 -d 300ms", healthy())), Some(0));
    assert_eq!(code("load nonsense --rate 50"), Some(2));
    assert_eq!(code(&format!("probe --once http://{gone}/")), Some(4));
}

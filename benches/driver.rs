//! What the driver costs and how exact it is on this machine: `cargo bench --bench driver`. The server is a process of its own, so that its
//! memory and CPU time are not the driver's. For a comparison with other tools point it at their server: `cargo bench --bench driver -- URL`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench ends by failing, and its output is its purpose")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use verifier::domain::time::At;
use verifier::domain::traffic::{Arrivals, Expect, LanePlan, Mode, RequestPlan, Schedule, TrafficPlan};
use verifier::load::bench::{Bench, LoadReport, bench};

/// As the first argument: be the server.
const SERVE: &str = "serve-for-bench";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some(SERVE) => serve(),
        Some(url) => measure(url),
        None => {
            let server = Server::start();
            measure(&server.url);
        }
    }
}

struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let url = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
        Self { child, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Answers every request at once, on a thread for each connection.
fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || answer(stream));
        }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn answer(mut stream: TcpStream) {
    let mut buffer = [0; 2_048];
    while let Ok(1..) = stream.read(&mut buffer) {
        let close = buffer.windows(17).any(|w| w == b"connection: close");
        if stream.write_all(b"HTTP/1.1 200 OK\r\nX-Pod: plain\r\nContent-Length: 2\r\n\r\nok").is_err() || close {
            return;
        }
    }
}

/// Memory of this process in megabytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1_024
}

fn lane(url: &str, mode: Mode, rate: f64, arrivals: Arrivals) -> LanePlan {
    LanePlan {
        name: "lane".into(),
        mode,
        rate,
        schedule: Schedule { arrivals, stages: Vec::new() },
        start: At::ZERO,
        request: RequestPlan { url: url.into(), ..RequestPlan::default() },
        expect: Expect::default(),
        timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(1),
        max_in_flight: 100_000,
        thresholds: Vec::new(),
    }
}

fn run(lane: LanePlan) -> LoadReport {
    let plan = TrafficPlan { lanes: vec![lane], seed: 1, run_id: "bench".into() };
    let whole = Bench { plan: &plan, workers: 1, warm_up: Duration::from_secs(2), duration: Duration::from_secs(4) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(bench(whole, &CancellationToken::new(), |_| Ok(()))).unwrap()
}

fn measure(url: &str) {
    let kept = |connections| Mode::Kept { connections };
    let users = |users| Arrivals::Closed { users, think: Duration::ZERO };
    let lanes = [
        ("kept 20 at 200/s", lane(url, kept(20), 200.0, Arrivals::Even)),
        ("fresh at 200/s", lane(url, Mode::Fresh, 200.0, Arrivals::Even)),
        ("kept 100 at 5,000/s", lane(url, kept(100), 5_000.0, Arrivals::Even)),
        ("fresh at 2,000/s", lane(url, Mode::Fresh, 2_000.0, Arrivals::Even)),
        ("closed 100", lane(url, kept(100), 190_000.0, users(100))),
        ("kept 10,000 at 10,000/s", lane(url, kept(10_000), 10_000.0, Arrivals::Even)),
    ];
    println!(
        "{:<24} {:>9} {:>7} {:>8} {:>8} {:>8} {:>8} {:>10} {:>7}",
        "", "rate/s", "not ok", "p50 ms", "p99", "p99.9", "lag p99", "us CPU each", "MB"
    );
    for (name, lane) in lanes {
        let report = run(lane);
        let record = &report.validity.record;
        let ms = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.2}"));
        println!(
            "{name:<24} {:>9.0} {:>7} {:>8} {:>8} {:>8} {:>8.2} {:>10.1} {:>7}",
            report.achieved_rate,
            report.outcomes.total() - report.outcomes.good(),
            ms(report.latency_ms.p50),
            ms(report.latency_ms.p99),
            ms(report.latency_ms.p999),
            record.lag.p99 as f64 / 1_000.0,
            record.cpu as f64 / record.sent.max(1) as f64,
            resident(),
        );
    }
}

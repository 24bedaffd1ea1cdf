//! What the driver costs and how exact it is on this machine. Not a check of anything, so only run when asked for:
//! `cargo test --release figures -- --ignored --nocapture`

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// A server in a process of its own, so that its memory and CPU time are not the driver's.
struct OtherProcess(Child, String);

impl OtherProcess {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let inner = "load::tests::figures::inner_plain_server";
        let mut child = command
            .args(["--exact", "--ignored", "--nocapture", inner])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.map_while(Result::ok).find_map(|line| line.find("http://").map(|at| line[at..].to_owned()));
        Self(child, url.unwrap())
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "started by figures"]
#[expect(clippy::print_stdout, reason = "tells its address to the process that started it")]
fn inner_plain_server() {
    let input = std::thread::spawn(|| std::io::stdin().read_line(&mut String::new()));
    block_on(async {
        let listener = tokio::net::TcpSocket::new_v4().unwrap();
        listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listener.listen(4_096).unwrap();
        println!("http://{}/", listener.local_addr().unwrap());
        while !input.is_finished() {
            let Ok(Ok((mut stream, _))) = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await else {
                continue;
            };
            tokio::spawn(async move {
                let mut buffer = [0; 512];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    let close = buffer.windows(5).any(|w| w == b"close");
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Pod: plain\r\nContent-Length: 2\r\n\r\nok").await;
                    if close {
                        return;
                    }
                }
            });
        }
    });
}

/// Memory of this process in kilobytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
#[ignore = "measures, and takes half a minute"]
#[expect(clippy::print_stderr, reason = "its output is its purpose")]
fn figures() {
    let server = OtherProcess::start();
    let url = &server.1;
    eprintln!("lane          rate/s  planned  not ok    lag us: p50  p99    max   latency us: p50   p99  p99.9   us CPU each   MB");
    let lanes =
        [kept(url, 200.0, 20), fresh(url, 200.0), kept(url, 5_000.0, 100), fresh(url, 2_000.0), kept(url, 10_000.0, 10_000)];
    for lane in lanes {
        let connections = if let Mode::Kept { connections } = lane.mode { connections.to_string() } else { String::new() };
        let (name, rate) = (format!("{} {connections}", lane.name), lane.rate);
        let before = resident();
        block_on(async {
            let mut bench = Bench::start(&plan([lane]), 1);
            // The first full second is for opening connections.
            bench.until("the measurement", |told| told.validity.len() >= 4).await;
            let (used, lasting) = (resident(), bench.told.validity[1..].to_vec());
            let (_, summary) = bench.finish().await;
            let sum = |of: fn(&Validity) -> u64| lasting.iter().map(of).sum::<u64>();
            let worst = |of: fn(&Validity) -> u64| lasting.iter().map(of).max().unwrap_or(0);
            let lane = &summary.lanes[0];
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| lane.latency.value_at_quantile(q));
            eprintln!(
                "{name:<12} {rate:>7} {:>8} {:>7} {:>14} {:>5} {:>6} {p50:>17} {p99:>5} {p999:>6} {:>13} {:>4}",
                lane.planned,
                lane.planned - lane.counts.good(),
                worst(|v| v.lag.p50),
                worst(|v| v.lag.p99),
                worst(|v| v.lag.max),
                sum(|v| v.cpu) / sum(|v| v.planned),
                used.saturating_sub(before) / 1_000,
            );
        });
    }
}

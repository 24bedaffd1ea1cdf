//! A real Prometheus scrapes the service: what it knows is what the service's own API says of its verifications.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::serve::{self, Service};
use super::{DEADLINE, LOOK};

/// A scrape takes no longer, by and large.
const SCRAPE: f64 = 0.05;

/// A Prometheus that scrapes one service every second, ended when this is dropped.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn of(service: &Service) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A free port: it does not tell which one it has taken.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let job = json!({"job_name": "verifier", "honor_labels": true, "static_configs": [{"targets": [service.address]}]});
        let config = json!({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]});
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut command = Command::new("prometheus");
        command.args(["--log.level=error", &format!("--web.listen-address={address}")]);
        command.arg(format!("--config.file={}", file.display())).arg(format!("--storage.tsdb.path={}", folder.path().display()));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Self { child, address, _folder: folder }
    }

    /// The value of an instant query with one result; nothing before there is one.
    fn ask(&self, query: &str) -> Option<f64> {
        let query = query.bytes().fold(String::new(), |mut text, byte| {
            write!(text, "%{byte:02x}").unwrap();
            text
        });
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET /api/v1/query?query={query} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        let [one] = body["data"]["result"].as_array()?.as_slice() else { return None };
        one["value"][1].as_str()?.parse().ok()
    }

    /// Waits until a query has this value: what was counted is known after the next scrape.
    #[track_caller]
    fn says(&self, query: &str, value: u64) {
        let start = Instant::now();
        loop {
            let said = self.ask(query);
            if said == Some(value as f64) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{query} is {said:?} and not {value}");
            std::thread::sleep(LOOK * 10);
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It is gone already when it could not start.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[cfg_attr(not(has_prometheus), ignore = "prometheus is not installed")]
#[expect(clippy::print_stdout, reason = "how long scrapes take is for people to read")]
fn what_prometheus_knows_is_what_the_api_says() {
    let (cluster, service) = serve::annotated(&serve::policy("hold"));
    let prometheus = Prometheus::of(&service);
    prometheus.says("up", 1);
    cluster.roll("todo/backend:v2", &[]);
    assert_eq!(service.ended(0)["verdict"], "pass");
    service.until_probing();
    cluster.roll("todo/backend:v3", &[("ERROR_RATIO", "0.5")]);
    assert_eq!(service.ended(1)["action"], "hold");
    service.until_probing();

    let told = service.items("/api/v1/verifications");
    let sum = |field: &str| told.iter().map(|v| v[field].as_u64().unwrap()).sum::<u64>();
    let number = |field: &str, value: &str| told.iter().filter(|v| v[field] == value).count() as u64;
    let of_backend = "namespace=\"todo\",deployment=\"backend\"";
    let requests = |more: &str| format!("sum(verifier_rollout_requests_total{{{of_backend}{more}}})");
    let (all, errors, excluded) = (sum("requests"), sum("errors"), sum("excluded"));
    assert!(all > 1_000 && errors > 10, "{told:#?}");
    prometheus.says(&requests(""), all + excluded);
    prometheus.says(&requests(",outcome=\"ok\""), all - errors);
    // Every other outcome is the target's fault, or says nothing.
    prometheus.says(&requests(",outcome!=\"ok\""), errors + excluded);
    for verdict in ["pass", "breach", "inconclusive", "superseded"] {
        let query = format!("sum(verifier_verdicts_total{{{of_backend},verdict=\"{verdict}\"}}) or vector(0)");
        prometheus.says(&query, number("verdict", verdict));
    }
    for action in ["hold", "pause", "undo"] {
        let query = format!("sum(verifier_actions_total{{{of_backend},action=\"{action}\"}}) or vector(0)");
        prometheus.says(&query, number("action", action));
    }
    prometheus.says("min_over_time(up[10m])", 1);
    let took = |quantile: &str| prometheus.ask(&format!("quantile_over_time({quantile}, scrape_duration_seconds[10m])")).unwrap();
    let samples = prometheus.ask("scrape_samples_scraped").unwrap();
    println!("scrapes of {samples} samples took {} s by the median, {} s at most", took("0.5"), took("1"));
    assert!(took("0.5") < SCRAPE, "{} s", took("0.5"));
}

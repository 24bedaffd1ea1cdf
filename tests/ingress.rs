//! What the Ingress proxy costs. Not run by default: these need a release build and a quiet machine.
//!
//! `cargo test --release --test all ingress -- --ignored --nocapture --test-threads 1`

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use verifier::clock::Clock;
use verifier::sandbox::model::endpoints::SERVICE_NAME;
use verifier::sandbox::model::object::resource;
use verifier::sandbox::model::store::Store;
use verifier::sandbox::model::write::Write;
use verifier::sandbox::wire::proxies::{Config, Proxies};
use verifier::sandbox::wire::world::World;

use crate::workload::pod::Pod;

/// The proxies on one thread of their own, in front of one pod.
struct Bench {
    runtime: Runtime,
    proxies: Proxies,
    _pod: Pod,
}

impl Bench {
    fn start() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("proxy").enable_all().build().unwrap();
        let pod = runtime.block_on(Pod::start(&[]));
        let world = World::new(Store::default());
        let backend = json!({"service": {"name": "backend", "port": {"number": 80}}});
        for (resource, object) in [
            (resource::SERVICES, json!({"metadata": {"namespace": "todo", "name": "backend"}, "spec": {"ports": [{"port": 80}]}})),
            (
                resource::ENDPOINT_SLICES,
                json!({"metadata": {"namespace": "todo", "name": "backend", "labels": {SERVICE_NAME: "backend"}},
                    "ports": [{"port": pod.address.port()}], "endpoints": [{"addresses": [pod.address.ip().to_string()]}]}),
            ),
            (
                resource::INGRESSES,
                json!({"metadata": {"namespace": "todo", "name": "backend"}, "spec": {"defaultBackend": backend}}),
            ),
        ] {
            world.write(vec![Write::Create { resource, object }]);
        }
        let proxies = runtime.block_on(async { Proxies::start(&world, Config::default()) }).unwrap();
        Self { runtime, proxies, _pod: pod }
    }

    fn address(&self) -> SocketAddr {
        self.proxies.ingress_address()
    }

    fn stop(self) {
        self.runtime.block_on(self.proxies.stop());
    }
}

const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nhost: todo.example\r\n\r\n";

/// Sends one request and reads its answer, whose body is `ok\n`.
fn ask(stream: &mut TcpStream) {
    stream.write_all(REQUEST).unwrap();
    let mut answer = [0; 1024];
    let mut len = 0;
    while !answer[..len].ends_with(b"\r\n\r\nok\n") {
        len += match stream.read(&mut answer[len..]).unwrap() {
            0 => panic!("closed after {}", String::from_utf8_lossy(&answer[..len])),
            n => n,
        };
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}

/// Processor time that the proxy's thread has used so far, in milliseconds.
fn used() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.join("stat")).ok());
    let ticks = stats.filter(|stat| stat.contains("(proxy)")).map(|stat| {
        let (_, fields) = stat.rsplit_once(')').unwrap();
        // User and system time.
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>()
    });
    ticks.sum::<u64>() * 1000 / rustix::param::clock_ticks_per_second()
}

#[expect(clippy::print_stderr, reason = "the figures are what a measurement is for")]
fn say(figures: fmt::Arguments<'_>) {
    eprintln!("{figures}");
}

#[test]
#[ignore = "a measurement"]
fn ten_thousand_kept_connections_cost_less_than_15_kb_each() {
    // Both ends are in this process, and 20,000 descriptors are what it may open.
    const CONNECTIONS: usize = 9_900;
    let bench = Bench::start();
    for _ in 0..100 {
        ask(&mut TcpStream::connect(bench.address()).unwrap());
    }
    let before = resident();
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| TcpStream::connect(bench.address()).unwrap()).collect();
    let connected = resident();
    for _ in 0..2 {
        streams.iter_mut().for_each(ask);
    }
    let asked = resident();
    let each = |bytes: u64| (bytes - before) / CONNECTIONS as u64;
    say(format_args!("{CONNECTIONS} connections: {} bytes each when new, {} when used and idle", each(connected), each(asked)));
    assert!(each(asked) < 15_000);
    drop(streams);
    bench.stop();
}

#[test]
#[ignore = "a measurement"]
fn a_core_forwards_15000_requests_a_second() {
    const CLIENTS: usize = 32;
    let bench = Bench::start();
    let address = bench.address();
    let run = |requests: usize| {
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut stream = TcpStream::connect(address).unwrap();
                    stream.set_nodelay(true).unwrap();
                    (0..requests).for_each(|_| ask(&mut stream));
                });
            }
        });
    };
    run(200);
    let (clock, before) = (Clock::start(), used());
    run(3000);
    let (took, used) = (clock.now(), used().saturating_sub(before));
    let requests = CLIENTS as u64 * 3000;
    let a_second = requests * 1000 / used;
    say(format_args!("{requests} requests in {took:?}, {used} ms of processor time in the proxy: {a_second} a second and core"));
    assert!(a_second >= 15_000);
    bench.stop();
}

//! The API is away in the midst of a rollout: probing and measuring go on, nothing wrong is done, and what was missed is made up for.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::LOOK;
use super::gate::Cluster;
use super::serve::{self, Service};

/// A guard that waited for the API acts within this time of its return.
const MADE_UP: Duration = Duration::from_secs(10);

/// A road to the API that can be closed: then all connections end, and new ones come to nothing.
struct Road {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

#[derive(Default)]
struct State {
    closed: AtomicBool,
    ended: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Road {
    /// To the API of this cluster, whose certificate is for an address and any port.
    fn to(cluster: &Cluster) -> Self {
        let kubeconfig = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
        let server = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: https://")).unwrap();
        let api: SocketAddr = server.parse().unwrap();
        let listener = TcpListener::bind((api.ip(), 0)).unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<State>::default());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig.replace(server, &address.to_string())).unwrap();
        let shared = state.clone();
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                if let (Ok(stream), false) = (stream, shared.closed.load(Ordering::SeqCst)) {
                    shared.carry(stream, TcpStream::connect(api).unwrap());
                }
            }
        });
        Self { address, state, accepting: Some(accepting), folder }
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    fn close(&self) {
        self.state.closed.store(true, Ordering::SeqCst);
        for stream in self.state.streams.lock().unwrap().drain(..) {
            // It may have ended before.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn open(&self) {
        self.state.closed.store(false, Ordering::SeqCst);
    }
}

impl State {
    /// Carries what comes from either side to the other one.
    fn carry(&self, client: TcpStream, api: TcpStream) {
        let ends = [client.try_clone().unwrap(), api.try_clone().unwrap()];
        let ways = [(client.try_clone().unwrap(), api.try_clone().unwrap()), (api, client)];
        for (mut from, mut to) in ways {
            std::thread::spawn(move || {
                // However it ends: then the other one has nothing more to say either.
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        self.streams.lock().unwrap().extend(ends);
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.close();
        // Whoever waits for a connection gets one.
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(accepting)) = (woken, self.accepting.take()) {
            let _ = accepting.join();
        }
    }
}

/// A backend that is probed by a service whose road to the API can be closed.
fn set() -> (Cluster, Road, Service) {
    let cluster = Cluster::start();
    cluster.install_kinds();
    cluster.patch(&json!({"metadata": {"annotations": {"verifier.dev/policy": serve::policy("hold").to_string()}}}));
    let road = Road::to(&cluster);
    let service = Service::start(&["--kubeconfig", &road.kubeconfig().display().to_string()]);
    service.until_probing();
    (cluster, road, service)
}

/// Requests of the rollout that is judged, and probes.
fn counted(service: &Service) -> (u64, u64) {
    let requests = service.items("/api/v1/verifications").pop().map_or(0, |v| v["requests"].as_u64().unwrap());
    let probing = &service.policy().unwrap()["probing"];
    (requests, probing["good"].as_u64().unwrap() + probing["bad"].as_u64().unwrap())
}

/// Closes the road once a rollout is being judged, for so long; whoever measures goes on with it. Answers with the verdict at the end of it.
fn away(cluster: &Cluster, road: &Road, service: &Service, span: Duration) -> Value {
    service.until("rollout that is judged", |s| s.policy().filter(|p| p["run"]["judging"] == true));
    service.until("requests", |s| (counted(s).0 > 0).then_some(()));
    road.close();
    let (start, before) = (Instant::now(), counted(service));
    while start.elapsed() < span {
        assert_ne!(cluster.deployment().spec.unwrap().paused, Some(true), "nobody can have written that");
        std::thread::sleep(LOOK * 10);
    }
    let (after, age) = (counted(service), service.gauge("verifier_watch_age_seconds"));
    // How a run stands is told every five seconds, so some of it is not known yet.
    let least = (span.as_secs() * 120 / 4, span.as_secs() / 2);
    assert!(after.0 >= before.0 + least.0 && after.1 >= before.1 + least.1, "they go on: {before:?}, {after:?}");
    assert!(age + 2.0 >= span.as_secs_f64(), "for {age} s it knows that it sees nothing");
    let judged = service.items("/api/v1/verifications").pop().unwrap();
    road.open();
    judged["verdict"].clone()
}

/// Pods that are wanted of versions with errors.
fn bad_pods(cluster: &Cluster) -> i64 {
    let sets = cluster.get("/apis/apps/v1/namespaces/todo/replicasets");
    let bad = |set: &&Value| set["spec"]["template"].to_string().contains("ERROR_RATIO");
    sets["items"].as_array().unwrap().iter().filter(bad).map(|set| set["spec"]["replicas"].as_i64().unwrap()).sum()
}

/// The object of the only verification says how it ended, too.
fn written_down(cluster: &Cluster, service: &Service) {
    let verification = service.ended(0);
    service.until("verdict in the object", |_| {
        let status = &serve::object(cluster, &verification)["status"];
        (status["phase"] == "done" && status["verdict"] == verification["verdict"]).then_some(())
    });
}

#[expect(clippy::print_stdout, reason = "what came of it is for people to read")]
fn a_good_rollout(span: Duration) {
    let (cluster, road, service) = set();
    cluster.roll("todo/backend:v2", &[]);
    assert_eq!(away(&cluster, &road, &service, span), Value::Null, "nobody knows yet whether it is complete");
    let ended = service.ended(0);
    println!("away for {span:?}: {} ({})", ended["verdict"], ended["message"]);
    assert!(["pass", "inconclusive"].contains(&ended["verdict"].as_str().unwrap()), "{ended:#}");
    assert_eq!((&ended["action"], cluster.deployment().spec.unwrap().paused), (&Value::Null, None), "{ended:#}");
    written_down(&cluster, &service);
}

#[expect(clippy::print_stdout, reason = "what came of it is for people to read")]
fn a_bad_rollout(span: Duration) {
    let (cluster, road, service) = set();
    // Its first pod serves at once, and counts as available much later: the rollout outlasts the outage.
    cluster.patch(&json!({"spec": {"minReadySeconds": 100}}));
    cluster.roll("todo/backend:v2", &[("ERROR_RATIO", "1")]);
    assert_eq!(away(&cluster, &road, &service, span), "breach", "that is known without the API");
    let back = Instant::now();
    cluster.until("hold", |d| d.spec.as_ref().unwrap().paused == Some(true) && bad_pods(&cluster) == 0);
    let took = back.elapsed();
    let ended = service.ended(0);
    println!("away for {span:?}: held {took:?} after its return: {}", ended["message"]);
    assert!(took < MADE_UP, "{took:?}");
    assert_eq!((&ended["verdict"], &ended["action"]), (&json!("breach"), &json!("hold")), "{ended:#}");
    written_down(&cluster, &service);
}

#[test]
fn a_good_rollout_is_no_breach_because_the_api_is_away_for_a_while() {
    a_good_rollout(Duration::from_secs(8));
}

#[test]
fn a_bad_rollout_is_held_once_the_api_is_back() {
    a_bad_rollout(Duration::from_secs(8));
}

#[test]
#[ignore = "a minute without the API"]
fn a_good_rollout_is_no_breach_because_the_api_is_away_for_a_minute() {
    a_good_rollout(Duration::from_mins(1));
}

#[test]
#[ignore = "a minute without the API"]
fn a_bad_rollout_is_held_after_a_minute_without_the_api() {
    a_bad_rollout(Duration::from_mins(1));
}

#![expect(clippy::needless_pass_by_value, reason = "JSON is written where it is needed")]

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use verifier::sandbox::model::object::{Key, Object, resource};
use verifier::sandbox::model::store::Store;
use verifier::sandbox::model::write::{Read, Write};
use verifier::sandbox::wire::keeper::Program;
use verifier::sandbox::wire::node::{BackoffSettings, Images, Node, NodeConfig, NodeError, Range};
use verifier::sandbox::wire::world::World;

use super::{DEADLINE, command_line, eventually, processes_with, program};

/// Ends well when told to.
const GENTLE: &str = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done";

struct Lab {
    world: Arc<World>,
    range: Arc<Range>,
    node: Node,
}

impl Lab {
    fn start() -> Self {
        Self::with(program()).unwrap()
    }

    fn with(program: Program) -> Result<Self, NodeError> {
        let world = World::new(Store::default());
        let range = Arc::new(Range::claim().unwrap());
        let backoff = BackoffSettings { base: TimeDelta::milliseconds(100), ..BackoffSettings::default() };
        let images = Images::default().with("sh", ["sh", "-c"].map(str::to_owned).to_vec());
        let config = NodeConfig { name: "sandbox".into(), range: range.clone(), images, backoff, program };
        Ok(Self { node: Node::start(world.clone(), config)?, world, range })
    }

    fn create(&self, resource: verifier::sandbox::model::object::Resource, object: Value) {
        self.world.write(vec![Write::Create { resource, object }]);
    }

    /// Creates a pod of one container that runs a script; `more` completes the container.
    fn pod(&self, name: &str, script: &str, more: Value) {
        let mut container = json!({"name": "c", "image": "sh:v7", "args": [script]});
        json_patch::merge(&mut container, &more);
        let spec = json!({"nodeName": "sandbox", "terminationGracePeriodSeconds": 30, "containers": [container]});
        self.create(resource::PODS, json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec}));
    }

    fn delete(&self, name: &str) {
        self.world.write(vec![Write::Delete { key: key(name), uid: None, grace: None }]);
    }

    fn get(&self, name: &str) -> Option<Object> {
        self.world.read(|store| store.get(&key(name)))
    }

    /// Waits until the pod's status is as wanted.
    async fn until(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Object {
        eventually(async || match self.get(name) {
            Some(pod) if wanted(&pod["status"]) => Ok(pod),
            other => Err(format!("{:#}", other.map(|p| p["status"].clone()).unwrap_or_default())),
        })
        .await
    }

    async fn until_gone(&self, name: &str) {
        eventually(async || self.get(name).map_or(Ok(()), |p| Err(format!("{:#}", p["status"])))).await;
    }

    async fn log(&self, name: &str) -> String {
        self.node.handle().logs("shop", name, None, false, 0).await.map(|o| o.text).unwrap_or_default()
    }

    async fn until_logged(&self, name: &str, text: &str) {
        eventually(async || match self.log(name).await {
            log if log.contains(text) => Ok(()),
            log => Err(log),
        })
        .await;
    }
}

fn key(name: &str) -> Key {
    Key::new(resource::PODS, "shop", name)
}

fn is_running(status: &Value) -> bool {
    status["containerStatuses"][0]["state"]["running"].is_object()
}

fn waits(status: &Value) -> &str {
    status["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().unwrap_or_default()
}

fn ready(status: &Value) -> bool {
    status["conditions"].as_array().is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

fn ip(pod: &Object) -> Ipv4Addr {
    pod["status"]["podIP"].as_str().unwrap().parse().unwrap()
}

/// Answers every request with a status, as long as it lives.
async fn answer(address: SocketAddrV4, status: &'static str) -> JoinSet<()> {
    // The one before may live on for a moment in a child of another test that has been forked and has not executed its program yet.
    let listener = eventually(async || TcpListener::bind(address).await.map_err(|e| e.to_string())).await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
        }
    });
    server
}

/// What comes of a connect within a while.
async fn connect(address: SocketAddrV4, limit: Duration) -> &'static str {
    match tokio::time::timeout(limit, TcpStream::connect(SocketAddr::V4(address))).await {
        Ok(Ok(_)) => "connected",
        Ok(Err(_)) => "refused",
        Err(_) => "swallowed",
    }
}

#[tokio::test]
async fn a_pod_comes_up_gets_ready_is_terminated_and_its_address_swallows_connects() {
    let lab = Lab::start();
    let probe = json!({"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1});
    let more = json!({"ports": [{"name": "http", "containerPort": 8080}], "readinessProbe": probe});
    lab.pod("web", GENTLE, more);
    let pod = lab.until("web", is_running).await;
    let address = SocketAddrV4::new(ip(&pod), 8080);
    assert!(!ready(&pod["status"]));
    assert_eq!(connect(address, DEADLINE).await, "refused", "nothing listens yet, and that is no mystery");

    let mut server = answer(address, "200 OK").await;
    lab.until("web", ready).await;
    server.shutdown().await;
    let mut server = answer(address, "503 Service Unavailable").await;
    lab.until("web", |s| !ready(s)).await;
    server.shutdown().await;
    lab.until_logged("web", "up").await;

    lab.delete("web");
    lab.until_gone("web").await;
    assert_eq!(connect(address, Duration::from_millis(500)).await, "swallowed");
    lab.node.stop().await.unwrap();
    assert_eq!(connect(address, DEADLINE).await, "refused", "the node takes its holes with it");
}

#[tokio::test]
async fn a_container_gets_its_environment_from_the_cluster_and_its_version_from_its_image() {
    let lab = Lab::start();
    lab.create(resource::CONFIG_MAPS, json!({"metadata": {"name": "conf", "namespace": "shop"}, "data": {"COLOR": "red"}}));
    let more = json!({"ports": [{"containerPort": 8080}], "envFrom": [{"configMapRef": {"name": "conf"}}],
        "env": [{"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]});
    lab.pod("web", "echo $ME $COLOR $HOST:$PORT $IMAGE_TAG ${CARGO_MANIFEST_DIR-clean}; exec sleep 100", more);
    let pod = lab.until("web", is_running).await;
    lab.until_logged("web", &format!("web red {}:8080 v7 clean\n", ip(&pod))).await;

    let missing = json!({"envFrom": [{"configMapRef": {"name": "nope"}}]});
    lab.pod("poor", "exit 0", missing);
    let pod = lab.until("poor", |s| waits(s) == "CreateContainerConfigError").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"], "configmap \"nope\" not found");
    lab.pod("unknown", "exit 0", json!({"image": "registry.example/nope:1"}));
    lab.until("unknown", |s| waits(s) == "ImagePullBackOff").await;
    lab.node.stop().await.unwrap();
}

#[tokio::test]
async fn a_crashing_container_is_restarted_with_back_off_and_its_last_words_are_kept() {
    let lab = Lab::start();
    lab.pod("web", "echo run $HOSTNAME; exit 3", json!({}));
    let pod = lab.until("web", |s| waits(s) == "CrashLoopBackOff" && s["containerStatuses"][0]["restartCount"] == 2).await;
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(
        status["state"]["waiting"]["message"].as_str().unwrap().split(" pod=").next(),
        Some("back-off 200ms restarting failed container=c")
    );
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    let previous = lab.node.handle().logs("shop", "web", Some("c"), true, 0).await.unwrap();
    assert_eq!((lab.log("web").await.as_str(), previous.text.as_str()), ("run web\n", "run web\n"));

    lab.pod("nope", "", json!({"command": ["/nope"]}));
    let pod = lab.until("nope", |s| s["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "StartError").await;
    let message = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["message"].as_str().unwrap();
    assert!(message.ends_with("exec: \"/nope\": stat /nope: no such file or directory"), "{message}");
    lab.delete("web");
    lab.until_gone("web").await;
    assert_eq!(lab.log("web").await, "");
    lab.node.stop().await.unwrap();
}

#[tokio::test]
async fn a_container_over_its_memory_limit_is_killed_for_it() {
    let lab = Lab::start();
    let more = json!({"resources": {"limits": {"memory": "40Mi"}}});
    lab.pod("web", "a=$(head -c 120000000 /dev/zero | tr '\\0' x); echo survived; exec sleep 100", more);
    let oom = |s: &Value| s["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "OOMKilled";
    let pod = lab.until("web", oom).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137);
    lab.node.stop().await.unwrap();
}

#[tokio::test]
async fn commands_are_probes_and_hooks_too() {
    let lab = Lab::start();
    let directory = std::env::temp_dir().join(format!("verifier-node-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let file = |name: &str| directory.join(name).display().to_string();
    let exec = |script: String| json!({"exec": {"command": ["sh", "-c", script]}});
    let mut readiness = exec(format!("test -e {}", file("ready")));
    readiness["periodSeconds"] = 1.into();
    let more = json!({
        "readinessProbe": readiness,
        "lifecycle": {
            "postStart": exec(format!("echo $POD_IP > {}", file("post-start"))),
            "preStop": exec(format!("echo stop >> {}; exit 1", file("end"))),
        },
    });
    let script = format!("trap 'echo term >> {}; exit 0' TERM; while :; do sleep 0.02; done", file("end"));
    lab.pod("web", &script, more);
    let pod = lab.until("web", is_running).await;
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap_or_default();
    assert_eq!((read("post-start"), ready(&pod["status"])), (format!("{}\n", ip(&pod)), false));
    std::fs::write(file("ready"), "").unwrap();
    lab.until("web", ready).await;
    lab.delete("web");
    lab.until_gone("web").await;
    assert_eq!(read("end"), "stop\nterm\n");
    std::fs::remove_dir_all(&directory).unwrap();
    lab.node.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_pod_uses_is_measured_with_its_children() {
    let lab = Lab::start();
    lab.pod("busy", "(while :; do :; done) & while :; do sleep 1; done", json!({}));
    lab.pod("idle", "exec sleep 100", json!({}));
    lab.until("busy", is_running).await;
    lab.until("idle", is_running).await;
    let of = |name: &str| lab.node.handle().usage().into_iter().find(|u| u.pod == key(name));
    // How much it gets depends on what else this machine does.
    let busy = eventually(async || match of("busy") {
        Some(usage) if usage.millicores > 100 => Ok(usage),
        other => Err(format!("{other:?}")),
    })
    .await;
    let idle = of("idle").unwrap();
    assert!(busy.bytes > 0 && idle.millicores < 100, "{busy:?} {idle:?}");
    lab.node.stop().await.unwrap();
}

#[tokio::test]
async fn when_the_keeper_is_killed_the_containers_are_restarted_under_another_one() {
    let mark = format!("NODE_TEST=keeper-{}", std::process::id());
    let lab = Lab::start();
    let (name, value) = mark.split_once('=').unwrap();
    lab.pod("web", GENTLE, json!({"env": [{"name": name, "value": value}]}));
    lab.until("web", is_running).await;
    lab.until_logged("web", "up").await;
    let main = processes_with(&mark)[0].0;
    let stat = std::fs::read_to_string(format!("/proc/{main}/stat")).unwrap();
    let keeper: i32 = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert!(command_line(keeper).contains("sandbox-keeper"));
    kill_process(Pid::from_raw(keeper).unwrap(), Signal::KILL).unwrap();
    let pod = lab.until("web", |s| is_running(s) && s["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137);
    lab.until_logged("web", "up").await;
    lab.node.stop().await.unwrap();
    assert_eq!(processes_with(&mark), []);
}

#[tokio::test]
async fn a_node_whose_keeper_cannot_live_fails_loudly() {
    let broken = Program { path: "/bin/false".into(), args: vec![] };
    let mut lab = Lab::with(broken).unwrap();
    let error = tokio::time::timeout(DEADLINE, lab.node.failed()).await.unwrap();
    assert_eq!(error.to_string(), "the node's process keeper ended 4 times within a minute");
    let node = lab.world.read(|s| s.get(&Key::new(resource::NODES, "", "sandbox"))).unwrap();
    let ready = node["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap().clone();
    assert_eq!((&ready["status"], &ready["message"]), (&json!("False"), &json!(error.to_string())));

    let nothing = Program { path: "/nope".into(), args: vec![] };
    let error = Lab::with(nothing).err().unwrap();
    assert!(matches!(error, NodeError::Keeper(_)), "{error}");
}

#[tokio::test]
async fn a_stopped_node_leaves_no_process_and_a_dropped_one_neither() {
    for drop_it in [false, true] {
        let mark = format!("NODE_TEST=stop-{drop_it}-{}", std::process::id());
        let lab = Lab::start();
        let (name, value) = mark.split_once('=').unwrap();
        for pod in ["a", "b"] {
            lab.pod(pod, GENTLE, json!({"env": [{"name": name, "value": value}]}));
            lab.until(pod, is_running).await;
        }
        assert!(processes_with(&mark).len() >= 2);
        assert_eq!(lab.range.node().octets()[2..], [0, 1]);
        if drop_it {
            drop(lab.node);
        } else {
            lab.node.stop().await.unwrap();
            assert_eq!(processes_with(&mark), []);
        }
        eventually(async || match processes_with(&mark) {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        })
        .await;
    }
}

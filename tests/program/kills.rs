//! A service that is killed while it judges a bad version, and the one that is started after it: the rollout is held all the same, and by one
//! action.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use tokio::task::block_in_place;
use verifier::cluster::act;

use super::gate::is_complete;
use super::guards::{Cluster, Meddle};
use super::serve::Service;
use super::{DEADLINE, LOOK, verifier};

/// From the change of the template to about a second after the hold.
const SPAN: Duration = Duration::from_millis(3_500);
/// Makes the same kills again.
const SEED: &str = "VERIFIER_KILL_SEED";

/// How far the service had come when it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Died {
    BeforeTheDecision,
    BeforeTheWrites,
    BetweenTheWrites,
    AfterTheWrites,
}

/// Two pods that are judged, and how often a bad version was rolled out.
struct Stage {
    cluster: Cluster,
    service: Option<Service>,
    rounds: u32,
}

fn objects() -> Vec<Value> {
    let manifest = |name: &str| -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/todo/backend").join(name);
        serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let names = ["namespace", "serviceaccount", "configmap", "deployment", "service", "ingress"];
    let mut objects: Vec<Value> = names.iter().map(|name| manifest(&format!("{name}.yaml"))).collect();
    let policy = json!({"path": "/api/todos", "guard": "hold", "soak": "2s", "probing": {"every": "1s"},
        "lanes": {"fresh": {"rate": 40}, "kept": {"rate": 40}}});
    objects[3]["metadata"]["annotations"] = json!({"verifier.dev/policy": policy.to_string()});
    objects[3]["spec"]["replicas"] = 2.into();
    let kinds = block_in_place(|| verifier(&["manifests"])).stdout;
    objects.extend(kinds.split("\n---\n").map(|text| serde_saphyr::from_str::<Value>(text).unwrap()));
    objects
}

impl Stage {
    async fn set() -> Self {
        let cluster = Cluster::start().await;
        act::apply(&cluster.client, &objects(), "todo").await.unwrap();
        let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), "todo");
        let complete = await_condition(api, "backend", |d: Option<&Deployment>| d.is_some_and(|d| is_complete(d, 2)));
        tokio::time::timeout(DEADLINE, complete).await.expect("a complete backend").unwrap();
        let mut stage = Self { cluster, service: None, rounds: 0 };
        stage.serve();
        block_in_place(|| stage.service().until_probing());
        stage
    }

    fn serve(&mut self) {
        let service = block_in_place(|| Service::start(&["--kubeconfig", &self.cluster.kubeconfig, "--keep", "100"]));
        self.cluster.meet(service.program.pid());
        self.service = Some(service);
    }

    fn service(&self) -> &Service {
        self.service.as_ref().unwrap()
    }

    async fn generation(&self) -> i64 {
        self.cluster.deployment().await.metadata.generation.unwrap()
    }

    /// A version of which every answer is an error. Its first pod serves at once, and counts as available much later: the old ones stay.
    async fn roll(&self) {
        let env = json!([{"name": "ERROR_RATIO", "value": "1"}, {"name": "ROUND", "value": self.rounds.to_string()}]);
        let containers = json!([{"name": "backend", "image": "todo/backend:v2", "env": env}]);
        let spec = json!({"paused": false, "minReadySeconds": 60, "template": {"spec": {"containers": containers}}});
        let api: Api<Deployment> = Api::namespaced(self.cluster.client.clone(), "todo");
        api.patch("backend", &PatchParams::default(), &Patch::Strategic(json!({"spec": spec}))).await.unwrap();
    }

    /// Rolls a bad version out and has its judge killed, by what meddles with its writes or after a while; then another one is started.
    async fn round(&mut self, meddles: &[Meddle], after: Option<Duration>) -> Died {
        self.rounds += 1;
        let (before, generation) = (self.cluster.accepted().len(), self.generation().await);
        self.cluster.meddle(meddles.iter().copied());
        let service = self.service.take().unwrap();
        // It may have judged the one before.
        let decided = decisions(&service.program.said("stderr"));
        self.roll().await;
        if let Some(after) = after {
            tokio::time::sleep(after).await;
            kill_process(service.program.pid(), Signal::KILL).unwrap();
        }
        let killed = block_in_place(|| service.program.end());
        assert_eq!(killed.status.code(), None, "it was not killed: {}", killed.stderr);
        let died = match self.cluster.accepted()[before..].len() {
            0 if decisions(&killed.stderr) > decided => Died::BeforeTheWrites,
            0 => Died::BeforeTheDecision,
            1 => Died::BetweenTheWrites,
            _ => Died::AfterTheWrites,
        };
        self.serve();
        self.held(died).await;
        assert_eq!(self.cluster.accepted()[before..], ["deployments", "replicasets"], "round {}: {died:?}", self.rounds);
        assert_eq!(self.generation().await, generation + 2, "it was changed once by us, and once by the guard");
        died
    }

    /// Waits until the Deployment is held, everybody is done with it, and as many rollouts are known to be held as there were.
    async fn held(&self, died: Died) {
        let held = async {
            while self.cluster.deployment().await.spec.unwrap().paused != Some(true) || self.cluster.wanted().await != (2, 0) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let late = tokio::time::timeout(Duration::from_secs(30), held).await.is_err();
        let said = || self.service().program.said("stderr");
        assert!(!late, "round {}, {died:?}: {:?} are wanted\n{}", self.rounds, self.cluster.wanted().await, said());
        block_in_place(|| {
            self.service().until(&format!("end of round {} ({died:?})", self.rounds), |s| {
                let told = s.items("/api/v1/verifications");
                let is_held = |v: &&Value| v["verdict"] == "breach" && v["action"] == "hold" && v["ended"].is_string();
                let rests = s.policy().is_some_and(|p| p["run"].is_null());
                (rests && told.iter().filter(is_held).count() == self.rounds as usize).then_some(())
            });
        });
    }

    async fn end(self) {
        drop(self.service);
        self.cluster.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_is_done_once_wherever_between_decision_and_end_its_verifier_dies() {
    let mut stage = Stage::set().await;
    let cases: [(&[Meddle], Died); 4] = [
        (&[Meddle::KillTold], Died::BeforeTheWrites),
        (&[Meddle::KillAfter], Died::BetweenTheWrites),
        (&[Meddle::Pass, Meddle::KillBefore], Died::BetweenTheWrites),
        (&[Meddle::Pass, Meddle::KillAfter], Died::AfterTheWrites),
    ];
    for (meddles, died) in cases {
        assert_eq!(stage.round(meddles, None).await, died, "{meddles:?}");
    }
    // Two that were finished by the next one, and the first. Nobody was left to tell of the last.
    assert_eq!(stage.cluster.events("RolloutHeld").await, 3);
    stage.end().await;
}

/// Verdicts that a service has told of.
fn decisions(log: &str) -> usize {
    log.matches("the verdict has fallen").count()
}

/// Kills at random moments, and says how far the service had come.
#[expect(clippy::print_stdout, reason = "when it was killed is for people to read")]
async fn kills(times: u32) {
    let seed = std::env::var(SEED).map_or_else(|_| SysRng.try_next_u64().unwrap(), |seed| seed.parse().unwrap());
    println!("{SEED}={seed}");
    let (mut rng, mut stage) = (StdRng::seed_from_u64(seed), Stage::set().await);
    let mut seen: BTreeMap<Died, u32> = BTreeMap::new();
    for _ in 0..times {
        let after = SPAN.mul_f64(rng.random::<f64>());
        let died = stage.round(&[], Some(after)).await;
        println!("killed {after:?} after the change: {died:?}");
        *seen.entry(died).or_default() += 1;
    }
    println!("{times} kills: {seen:?}");
    assert!(stage.cluster.events("RolloutHeld").await <= times as usize);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_at_any_moment_leaves_one_action_to_its_successor() {
    kills(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "fifty kills take three minutes"]
async fn fifty_services_that_are_killed_leave_fifty_actions() {
    kills(50).await;
}

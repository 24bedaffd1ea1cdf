//! The program on a real cluster, the one that `VERIFIER_TEST_KUBECONFIG` names. These tests are reported as ignored unless they are asked for:
//! `tests/cluster/real` does so with a cluster of its own.
//!
//! Any cluster will do that has an ingress controller for its default class and can start `todo/backend:v1` to `v3`, the program itself with
//! the argument `workload`. The tests take turns, and need the namespace `todo` for themselves: each finds none and leaves none.

#![expect(clippy::disallowed_methods, reason = "these tests time the program from outside")]

mod admission;
mod behaviour;
mod gate;
mod guards;
mod policies;
mod scenarios;
mod table;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::Value;
use verifier::cluster::discover;

use crate::program::gate::Cluster;
use crate::program::{DEADLINE, Ended, LOOK, Program};

const NAMESPACE: &str = "todo";

/// The cluster, for one test at a time. What the test leaves behind, because it failed or wanted to look at it, is removed at its end.
struct Real {
    cluster: Cluster,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Real {
    type Target = Cluster;
    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Real {
    fn take() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = Cluster::at(kubeconfig());
        assert!(!is_there(&cluster), "namespace {NAMESPACE} is there already; these tests need it for themselves");
        Self { cluster, _turn: turn }
    }

    /// The same with the Todo backend deployed, complete, and reached through the ingress.
    fn with_backend() -> Self {
        let real = Self::take();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/todo/backend");
        let mut manifests: Vec<Value> = Vec::new();
        for name in ["namespace", "serviceaccount", "configmap", "service", "ingress", "pdb", "deployment"] {
            let text = std::fs::read_to_string(folder.join(name).with_extension("yaml")).unwrap();
            manifests.push(serde_saphyr::from_str(&text).unwrap());
        }
        real.apply(&manifests);
        let start = Instant::now();
        let client = &real.connection.reader;
        let address = loop {
            let entry = real.runtime.block_on(async {
                let subject = discover::subject(client, NAMESPACE, "backend").await.unwrap();
                discover::entry(client, &subject).await.unwrap()
            });
            if let Some(address) = entry.and_then(|entry| entry.connect_to) {
                break address;
            }
            assert!(start.elapsed() < DEADLINE, "no ingress controller has taken the Ingress on");
            std::thread::sleep(LOOK);
        };
        real.is_served_by(&address);
        real
    }

    /// `verifier run` on this cluster to its end, with these further arguments.
    fn run(&self, args: &[&str]) -> Ended {
        self.run_with(args, |_| {})
    }

    /// The same, after something was written to the folder that it runs in.
    fn run_with(&self, args: &[&str], prepare: impl FnOnce(&Path)) -> Ended {
        let kubeconfig = self.kubeconfig().display().to_string();
        let usual = ["run", "--kubeconfig", &kubeconfig, "--yes", "-o", "json"];
        Program::start_with(&[&usual, args].concat(), |folder, _: &mut Command| prepare(folder)).end()
    }

    /// The run has removed what it deployed.
    #[track_caller]
    fn is_clean(&self, ended: &Ended) {
        assert!(!is_there(&self.cluster), "namespace {NAMESPACE} is still there\n{}", ended.stderr);
    }
}

/// The file that names the cluster. The program runs in other folders.
fn kubeconfig() -> PathBuf {
    let file = std::env::var_os("VERIFIER_TEST_KUBECONFIG").expect("VERIFIER_TEST_KUBECONFIG names the cluster");
    std::fs::canonicalize(file).expect("VERIFIER_TEST_KUBECONFIG is a file")
}

fn is_there(cluster: &Cluster) -> bool {
    cluster.namespaces().iter().any(|name| name == NAMESPACE)
}

impl Drop for Real {
    fn drop(&mut self) {
        let namespaces: Api<Namespace> = Api::all(self.connection.writer.clone());
        let pods: Api<Pod> = Api::namespaced(self.connection.writer.clone(), NAMESPACE);
        let start = Instant::now();
        while is_there(&self.cluster) {
            // It may be going already; whether it is gone counts. Nobody needs its pods to end gently any more.
            self.runtime.block_on(async {
                let _ = namespaces.delete(NAMESPACE, &DeleteParams::background()).await;
                let _ = pods.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await;
            });
            if start.elapsed() > DEADLINE {
                assert!(std::thread::panicking(), "namespace {NAMESPACE} does not go");
                return;
            }
            std::thread::sleep(LOOK * 10);
        }
    }
}

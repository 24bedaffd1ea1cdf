//! What happens in the sandbox of `serve --sandbox`: good and bad versions of the Todo backend, one after another, without an end.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::cli::manifests;
use crate::cluster::connect::Connection;
use crate::cluster::{act, chain};
use crate::controller::Board;
use crate::domain::policy::ANNOTATION;

/// How long after a change of endpoints the sandbox's ingress learns of it.
pub(super) const INGRESS_LAG: Duration = Duration::from_millis(500);
/// Between two versions.
const PAUSE: Duration = Duration::from_secs(15);
/// Between two looks at how a rollout stands.
const LOOK: Duration = Duration::from_millis(250);
/// A rollout that has no verdict by then is left alone, and the next one comes.
const PATIENCE: Duration = Duration::from_mins(5);

const NAMESPACE: &str = "todo";
const DEPLOYMENT: &str = "backend";

/// What comes after what: each with the variables that are not as usual.
const VERSIONS: [&[(&str, &str)]; 4] = [&[], &[("ERROR_RATIO", "0.3")], &[], &[("CRASH_AFTER", "500ms"), ("CRASH_CODE", "3")]];

/// Deploys the backend, and the kinds that the service writes.
pub(super) async fn deploy(connection: &Connection) -> Result<(), String> {
    let mut objects = manifests::read(&["k8s/verifier/base/crds.yaml".into(), "k8s/todo/backend".into()], Path::new("."))
        .map_err(|e| chain(&e))?;
    let policy = json!({
        "path": "/api/todos", "guard": "hold", "soak": "5s", "probing": {"every": "1s"}, "lanes": {"fresh": {"rate": 25.0}, "kept": {"rate": 25.0}},
        "then": ["availability >= 99%", "p99 < 500ms"],
    });
    let overlay = json!({
        "kind": "Deployment", "metadata": {"name": DEPLOYMENT, "annotations": {ANNOTATION: policy.to_string()}},
    });
    manifests::overlay(&mut objects, &[overlay]).map_err(|e| chain(&e))?;
    act::apply(&connection.writer, &objects, NAMESPACE).await.map_err(|e| chain(&e))
}

/// Rolls out version after version until `stop`.
pub(super) async fn play(connection: &Connection, board: &Board, stop: &CancellationToken) -> Result<(), String> {
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = roll(connection, board) => ended,
    }
}

async fn roll(connection: &Connection, board: &Board) -> Result<(), String> {
    wait(|| board.policy_views().iter().any(|p| p.ready)).await;
    for (number, version) in (2_u64..).zip(VERSIONS.iter().cycle()) {
        tokio::time::sleep(PAUSE).await;
        let before = ended(board);
        let patch = patch(number, version);
        act::patch_deployment(&connection.writer, NAMESPACE, DEPLOYMENT, &patch).await.map_err(|e| chain(&e))?;
        wait(|| ended(board) > before).await;
    }
    Ok(())
}

/// The patch of a version: what earlier ones did wrong is taken back, and what a guard has paused goes on.
fn patch(number: u64, version: &[(&str, &str)]) -> Value {
    let usual = VERSIONS.iter().flat_map(|v| v.iter()).map(|(name, _)| json!({"name": name, "$patch": "delete"}));
    let taken_back = usual.filter(|gone| version.iter().all(|(name, _)| gone["name"] != *name));
    let set = version.iter().map(|(name, value)| json!({"name": name, "value": value}));
    let env: Vec<Value> = taken_back.chain(set).collect();
    let container = json!({"name": DEPLOYMENT, "image": format!("todo/backend:v{number}"), "env": env});
    json!({"spec": {"paused": false, "template": {"spec": {"containers": [container]}}}})
}

/// Verifications that have come to their end.
fn ended(board: &Board) -> usize {
    board.verification_views().iter().filter(|v| v.ended.is_some()).count()
}

async fn wait(is: impl Fn() -> bool) {
    let looking = async {
        while !is() {
            tokio::time::sleep(LOOK).await;
        }
    };
    // What never comes is passed over: there is more to show.
    drop(tokio::time::timeout(PATIENCE, looking).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_version_did_wrong_the_next_one_does_not() {
        let bad = patch(3, VERSIONS[1]);
        let env = &bad["spec"]["template"]["spec"]["containers"][0]["env"];
        assert!(env.as_array().unwrap().contains(&json!({"name": "ERROR_RATIO", "value": "0.3"})), "{env}");
        let good = patch(4, VERSIONS[2]);
        let env = good["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap().clone();
        assert_eq!(env.len(), 3);
        assert!(env.iter().all(|e| e["$patch"] == "delete"), "{env:?}");
        assert_eq!(good["spec"]["paused"], false);
    }
}

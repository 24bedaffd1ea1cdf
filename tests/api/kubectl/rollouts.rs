//! `kubectl rollout`, `set` and `scale` with real pods.

use super::{Kubectl, holds, words};

async fn image(kubectl: &Kubectl) -> String {
    kubectl.ok("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}").await
}

/// The revisions that are listed.
async fn revisions(kubectl: &Kubectl) -> Vec<String> {
    let history = kubectl.ok("rollout history deployment/web").await;
    words(&history).iter().filter(|w| w.len() == 2).map(|w| w[0].to_owned()).filter(|w| w != "REVISION").collect()
}

#[tokio::test]
#[cfg_attr(not(has_kubectl), ignore = "kubectl is not installed")]
async fn rollouts_go_forward_and_back() {
    let kubectl = Kubectl::with_web("rollouts").await;
    assert_eq!(kubectl.ok("set image deployment/web web=todo/backend:v2").await, "deployment.apps/web image updated\n");
    kubectl.rolled_out().await;
    assert_eq!(revisions(&kubectl).await, ["1", "2"]);
    let (old, new) = tokio::join!(
        kubectl.ok("rollout history deployment/web --revision=1"),
        kubectl.ok("rollout history deployment/web --revision=2")
    );
    holds(&old, &["deployment.apps/web with revision #1", "Image: todo/backend:v1"]);
    holds(&new, &["deployment.apps/web with revision #2", "Image: todo/backend:v2"]);
    assert_eq!(kubectl.ok("rollout undo deployment/web").await, "deployment.apps/web rolled back\n");
    kubectl.rolled_out().await;
    assert_eq!((image(&kubectl).await, revisions(&kubectl).await), ("todo/backend:v1".into(), vec!["2".to_owned(), "3".into()]));
    assert_eq!(kubectl.ok("rollout undo deployment/web --to-revision=2").await, "deployment.apps/web rolled back\n");
    kubectl.rolled_out().await;
    assert_eq!(image(&kubectl).await, "todo/backend:v2");
    holds(
        &kubectl.fails("rollout undo deployment/web --to-revision=9", "").await,
        &["unable to find specified revision 9 in history"],
    );
    kubectl.stop().await;
}

#[tokio::test]
#[cfg_attr(not(has_kubectl), ignore = "kubectl is not installed")]
async fn a_paused_rollout_waits_for_its_resumption_and_a_restart_changes_every_pod() {
    let kubectl = Kubectl::with_web("pausing").await;
    let before = kubectl.ok("get pods -l app=web -o name").await;
    assert_eq!(kubectl.ok("rollout pause deployment/web").await, "deployment.apps/web paused\n");
    assert_eq!(kubectl.ok("set env deployment/web LATENCY=1ms").await, "deployment.apps/web env updated\n");
    let waits = "Waiting for deployment \"web\" rollout to finish: 0 out of 2 new replicas have been updated...\n";
    assert_eq!(kubectl.ok("rollout status deployment/web --watch=false").await, waits);
    holds(
        &kubectl.fails("rollout restart deployment/web", "").await,
        &["can't restart paused deployment (run rollout resume first)"],
    );
    holds(&kubectl.ok("describe deployment web").await, &["Progressing Unknown DeploymentPaused"]);
    assert_eq!(kubectl.ok("get pods -l app=web -o name").await, before);
    assert_eq!(kubectl.ok("rollout resume deployment/web").await, "deployment.apps/web resumed\n");
    kubectl.rolled_out().await;
    holds(&kubectl.ok("set env deployment/web --list").await, &["# HOST from field path status.podIP", "LATENCY=1ms"]);
    assert_eq!(kubectl.ok("rollout restart deployment/web").await, "deployment.apps/web restarted\n");
    kubectl.rolled_out().await;
    assert_eq!(kubectl.ok("scale deployment/web --replicas=3").await, "deployment.apps/web scaled\n");
    let three = "wait deployment/web --for=jsonpath={.status.readyReplicas}=3 --timeout=25s";
    assert_eq!(kubectl.ok(three).await, "deployment.apps/web condition met\n");
    assert_eq!(revisions(&kubectl).await, ["1", "2", "3"]);
    kubectl.stop().await;
}

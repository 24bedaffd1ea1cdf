//! Patches, labels and annotations, deletion in its three ways, and waiting for it.

use serde_json::json;

use super::{Kubectl, WEB, holds};

#[tokio::test]
#[cfg_attr(not(has_kubectl), ignore = "kubectl is not installed")]
async fn objects_are_patched_labelled_and_annotated() {
    let kubectl = Kubectl::start("patching").await;
    kubectl.fed("apply -f -", &WEB.replace("replicas: 2", "replicas: 0")).await;
    let patched = "deployment.apps/web patched\n";
    let strategic = r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"b"}]}}}}"#;
    assert_eq!(kubectl.ok(&format!("patch deployment web -p {strategic}")).await, patched);
    let merge = r#"{"spec":{"minReadySeconds":3,"progressDeadlineSeconds":null}}"#;
    assert_eq!(kubectl.ok(&format!("patch deployment web --type=merge -p {merge}")).await, patched);
    let json = r#"[{"op":"test","path":"/spec/minReadySeconds","value":3},{"op":"replace","path":"/spec/revisionHistoryLimit","value":4}]"#;
    assert_eq!(kubectl.ok(&format!("patch deployment web --type=json -p {json}")).await, patched);
    assert_eq!(
        kubectl.ok(&format!("patch deployment web --type=merge -p {merge}")).await,
        "deployment.apps/web patched (no change)\n"
    );
    let status = r#"{"status":{"collisionCount":1}}"#;
    assert_eq!(kubectl.ok(&format!("patch deployment web --subresource=status --type=merge -p {status}")).await, patched);
    assert_eq!(kubectl.ok("label deployment web tier=front").await, "deployment.apps/web labeled\n");
    assert_eq!(kubectl.ok("annotate deployment web kubernetes.io/change-cause=test").await, "deployment.apps/web annotated\n");
    holds(
        &kubectl.fails("label deployment web tier=back", "").await,
        &["'tier' already has a value (front), and --overwrite is false"],
    );
    let web = kubectl.json("get deployment web").await;
    let spec = &web["spec"];
    assert_eq!(
        [
            &spec["template"]["spec"]["containers"][0]["image"],
            &spec["minReadySeconds"],
            &spec["progressDeadlineSeconds"],
            &spec["revisionHistoryLimit"]
        ],
        [&json!("b"), &json!(3), &json!(600), &json!(4)]
    );
    assert_eq!(spec["template"]["spec"]["containers"][0]["env"].as_array().map(Vec::len), Some(2));
    assert_eq!((&web["metadata"]["labels"], &web["status"]["collisionCount"]), (&json!({"tier": "front"}), &json!(1)));
    assert_eq!(kubectl.ok("get deployments -l tier=front -o name").await, "deployment.apps/web\n");
    assert_eq!(kubectl.ok("get deployments --field-selector metadata.name!=web -o name").await, "");
    kubectl.stop().await;
}

#[tokio::test]
#[cfg_attr(not(has_kubectl), ignore = "kubectl is not installed")]
async fn what_is_deleted_takes_what_it_owns_with_it_or_leaves_it() {
    let kubectl = Kubectl::with_web("deleting").await;
    kubectl.deletes("deployment web --cascade=orphan", "deployment.apps \"web\"").await;
    assert_eq!(kubectl.ok("get pods -l app=web -o name").await.lines().count(), 2);
    let adopted = kubectl.fed("apply -f -", WEB).await;
    holds(&adopted, &["deployment.apps/web created", "service/web unchanged"]);
    kubectl.rolled_out().await;
    assert_eq!(kubectl.ok("get pods -l app=web -o name").await.lines().count(), 2);
    kubectl.deletes("deployment web --cascade=foreground --timeout=25s", "deployment.apps \"web\"").await;
    assert_eq!(kubectl.ok("get rs,pods -l app=web -o name").await, "");

    assert_eq!(kubectl.ok("create namespace shop").await, "namespace/shop created\n");
    kubectl.fed("apply -n shop -f -", WEB).await;
    assert_eq!(kubectl.ok("wait -n shop pods -l app=web --for=create --timeout=25s").await.lines().count(), 2);
    assert_eq!(kubectl.ok("delete namespace shop --wait=false").await, "namespace \"shop\" deleted\n");
    assert_eq!(kubectl.ok("wait namespace/shop --for=delete --timeout=25s").await, "");
    assert_eq!(kubectl.ok("get pods,services -n shop -o name").await, "");
    kubectl.stop().await;
}

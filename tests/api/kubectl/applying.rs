//! `apply` on the client's side and on the server's, `create`, `diff` and dry runs. Nothing has to run for it: replicas are 0.

use super::{Kubectl, WEB, holds};

fn idle(image: &str) -> String {
    WEB.replace("replicas: 2", "replicas: 0").replace("todo/backend:v1", image)
}

#[tokio::test]
#[cfg_attr(not(has_kubectl), ignore = "kubectl is not installed")]
async fn apply_creates_changes_and_leaves_alone() {
    let kubectl = Kubectl::start("applying").await;
    assert_eq!(
        kubectl.fed("create --dry-run=server -f -", &idle("a")).await,
        "deployment.apps/web created (server dry run)\nservice/web created (server dry run)\ningress.networking.k8s.io/web created (server dry run)\n"
    );
    assert_eq!(kubectl.ok("get deployments -o name").await, "");
    kubectl.fed("apply -f -", &idle("a")).await;
    let unchanged = "deployment.apps/web unchanged\nservice/web unchanged\ningress.networking.k8s.io/web unchanged\n";
    assert_eq!(kubectl.fed("apply -f -", &idle("a")).await, unchanged);
    holds(
        &kubectl.fails("create -f -", &idle("a")).await,
        &["Error from server (AlreadyExists)", "deployments.apps \"web\" already exists"],
    );
    let differs = kubectl.run("diff -f -", &idle("b")).await;
    assert_eq!(differs.status.code(), Some(1));
    holds(&super::text(&differs.stdout), &["- image: a", "+ image: b", "- generation: 1", "+ generation: 2"]);
    holds(&kubectl.fed("apply -f -", &idle("b")).await, &["deployment.apps/web configured", "service/web unchanged"]);
    assert_eq!(kubectl.run("diff -f -", &idle("b")).await.status.code(), Some(0));
    // What is taken out of the configuration is taken out of the object.
    let fewer = idle("b").replace("            - name: DRAIN\n              value: close-first\n", "");
    kubectl.fed("apply -f -", &fewer).await;
    assert_eq!(kubectl.ok("get deployment web -o jsonpath={.spec.template.spec.containers[0].env[*].name}").await, "HOST");
    kubectl.stop().await;
}

#[tokio::test]
#[cfg_attr(not(has_kubectl), ignore = "kubectl is not installed")]
async fn server_side_apply_knows_who_owns_what() {
    let kubectl = Kubectl::start("server-side").await;
    let applied = "deployment.apps/web serverside-applied\nservice/web serverside-applied\ningress.networking.k8s.io/web serverside-applied\n";
    assert_eq!(kubectl.fed("apply --server-side -f -", &idle("a")).await, applied);
    kubectl.ok("set image deployment/web web=b").await;
    let conflict = kubectl.fails("apply --server-side -f -", &idle("c")).await;
    holds(
        &conflict,
        &[
            "error: Apply failed with 1 conflict: conflict with \"kubectl-set\" using apps/v1: .spec.template.spec.containers[name=\"web\"].image",
            "--force-conflicts",
        ],
    );
    assert_eq!(kubectl.fed("apply --server-side --force-conflicts -f -", &idle("c")).await, applied);
    let fields = kubectl.json("get deployment web --show-managed-fields").await["metadata"]["managedFields"].clone();
    let managers: Vec<_> = fields.as_array().unwrap().iter().map(|m| (m["manager"].clone(), m["operation"].clone())).collect();
    assert_eq!(managers[0], ("kubectl".into(), "Apply".into()));
    assert!(managers.iter().all(|(name, _)| name != "kubectl-set"), "{managers:?}");
    // An object of the client's side can be taken over, and given back.
    kubectl.ok("delete deployment web").await;
    kubectl.fed("apply -f -", &idle("a")).await;
    assert_eq!(kubectl.fed("apply --server-side -f -", &idle("d")).await, applied);
    holds(&kubectl.fed("apply -f -", &idle("e")).await, &["deployment.apps/web configured"]);
    assert_eq!(kubectl.ok("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}").await, "e");
    kubectl.stop().await;
}

#[tokio::test]
#[cfg_attr(not(has_kubectl), ignore = "kubectl is not installed")]
async fn what_is_wrong_is_told_in_the_real_words() {
    let kubectl = Kubectl::start("refusals").await;
    let unknown = idle("a").replace("  replicas: 0", "  replicaz: 0");
    let (unknown, wrong, nowhere, kind) = tokio::join!(
        async { kubectl.fails("apply -f -", &unknown).await },
        async {
            kubectl.fails("apply -f -", &idle("a").replace("      app: web\n  template", "      app: other\n  template")).await
        },
        async { kubectl.fails("create -n nowhere -f -", &idle("a")).await },
        async { kubectl.fails("get nothing", "").await }
    );
    holds(&unknown, &["strict decoding error: unknown field \"spec.replicaz\""]);
    holds(
        &wrong,
        &[
            "The Deployment \"web\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
        ],
    );
    holds(&nowhere, &["Error from server (NotFound)", "namespaces \"nowhere\" not found"]);
    assert_eq!(kind, "error: the server doesn't have a resource type \"nothing\"\n");
    kubectl.stop().await;
}

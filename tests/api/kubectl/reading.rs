//! `get`, `describe`, `logs`, `events`, `explain` and what else only looks.

use super::{Kubectl, holds, words};

#[tokio::test]
#[cfg_attr(not(has_kubectl), ignore = "kubectl is not installed")]
async fn what_runs_can_be_looked_at_in_every_way() {
    let kubectl = Kubectl::with_web("reading").await;
    tokio::join!(tables(&kubectl), descriptions(&kubectl), output(&kubectl));
    documents(&kubectl).await;
    kubectl.until("get deployment web -w --output-watch-events", |seen| seen.contains("ADDED")).await;
    let watching = kubectl.until("get pods -l app=web -w --no-headers", |seen| seen.contains("Terminating"));
    tokio::join!(watching, async {
        let pod = kubectl.a_pod().await;
        kubectl.deletes(&format!("pod {pod}"), &format!("pod \"{pod}\"")).await;
    });
    kubectl.stop().await;
}

async fn tables(kubectl: &Kubectl) {
    let (pods, deployments, all, missing) = tokio::join!(
        kubectl.ok("get pods -o wide"),
        kubectl.ok("get deployments.apps web -o wide"),
        kubectl.ok("get all,ingress,endpointslices,nodes"),
        kubectl.fails("get deployment nothing", "")
    );
    let header = "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES";
    holds(&pods, &[header, "1/1 Running 0"]);
    let rows = words(&pods);
    assert_eq!(rows.len(), 3, "{pods}");
    assert_eq!((rows[1][6], &rows[1][5][..4]), ("sandbox", "127."));
    holds(
        &deployments,
        &["NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR", "web 2/2 2 2", "web todo/backend:v1 app=web"],
    );
    let all_parts = [
        "pod/web-",
        "service/web ClusterIP 127.",
        "80/TCP",
        "deployment.apps/web 2/2",
        "replicaset.apps/web-",
        "node/sandbox Ready",
    ];
    holds(&all, &all_parts);
    holds(&all, &["ingress.networking.k8s.io/web", "web.example", "endpointslice.discovery.k8s.io/web-", "IPv4 8000"]);
    assert_eq!(missing, "Error from server (NotFound): deployments.apps \"nothing\" not found\n");
}

async fn descriptions(kubectl: &Kubectl) {
    let (deployment, sets, pods, service, ingress, node) = tokio::join!(
        kubectl.ok("describe deployment web"),
        kubectl.ok("describe rs -l app=web"),
        kubectl.ok("describe pods -l app=web"),
        kubectl.ok("describe service web"),
        kubectl.ok("describe ingress web"),
        kubectl.ok("describe node sandbox")
    );
    holds(
        &deployment,
        &[
            "Replicas: 2 desired | 2 updated | 2 total | 2 available | 0 unavailable",
            "RollingUpdateStrategy: 25% max unavailable, 25% max surge",
            "Available True MinimumReplicasAvailable",
            "Progressing True NewReplicaSetAvailable",
            "OldReplicaSets: <none>",
            "(2/2 replicas created)",
            "deployment-controller Scaled up replica set web-",
        ],
    );
    holds(
        &sets,
        &[
            "Controlled By: Deployment/web",
            "Replicas: 2 current / 2 desired",
            "Pods Status: 2 Running / 0 Waiting",
            "SuccessfulCreate",
        ],
    );
    holds(
        &pods,
        &[
            "Controlled By: ReplicaSet/web-",
            "State: Running",
            "Readiness: http-get http://:http/readyz delay=0s timeout=1s period=1s #success=1 #failure=3",
            "default-scheduler Successfully assigned default/web-",
            "kubelet Started container web",
        ],
    );
    holds(&service, &["Selector: app=web", "Port: http 80/TCP", "Endpoints: 127.", ":8000"]);
    holds(&ingress, &["web.example", "/ web:http (127."]);
    holds(&node, &["Ready True", "Non-terminated Pods: (2 in total)"]);
}

async fn output(kubectl: &Kubectl) {
    let pod = kubectl.a_pod().await;
    let of_pod = format!("logs {pod}");
    let (log, of_deployment, events, of_core) = tokio::join!(
        kubectl.ok(&of_pod),
        kubectl.ok("logs deployment/web --tail=1"),
        kubectl.ok("events --for deployment/web"),
        kubectl.ok("get events --field-selector reason=ScalingReplicaSet --no-headers")
    );
    let missing = kubectl.fails(&format!("logs {pod} -c nothing"), "").await;
    holds(&log, &[&format!("workload {pod} v1: listening on 127.")]);
    holds(&of_deployment, &["v1: listening on"]);
    holds(&events, &["Normal ScalingReplicaSet Deployment/web Scaled up replica set web-"]);
    assert_eq!(of_core.lines().count(), 1, "{of_core}");
    holds(&missing, &["container nothing is not valid for pod"]);
}

async fn documents(kubectl: &Kubectl) {
    let (yaml, version, resources, explained, may, ready) = tokio::join!(
        kubectl.ok("get deployment web -o yaml"),
        kubectl.ok("version"),
        kubectl.ok("api-resources --no-headers"),
        kubectl.ok("explain deployment.spec.strategy.rollingUpdate.maxSurge"),
        kubectl.ok("auth can-i delete pods"),
        kubectl.ok("get --raw /readyz")
    );
    for line in
        ["    type: RollingUpdate", "  progressDeadlineSeconds: 600", "  revisionHistoryLimit: 10", "      dnsPolicy: ClusterFirst"]
    {
        assert!(yaml.lines().any(|l| l == line), "no {line:?} in:\n{yaml}");
    }
    holds(&version, &["Server Version: v1."]);
    for row in ["deployments deploy apps/v1 true Deployment", "pods po v1 true Pod", "events ev events.k8s.io/v1 true Event"] {
        holds(&resources, &[row]);
    }
    holds(&explained, &["GROUP: apps", "KIND: Deployment", "FIELD: maxSurge <IntOrString>"]);
    assert_eq!((may.as_str(), ready.as_str()), ("yes\n", "ok"));
}

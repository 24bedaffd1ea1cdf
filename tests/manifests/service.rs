//! The installations of the service, their roles, and the Job that gates.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Value, json};

use super::{built, documents, k8s, manifest, name, one, text};

/// The installations of the service.
const OVERLAYS: [&str; 2] = ["verifier/overlays/cluster", "verifier/overlays/namespace"];

/// The objects of an installation with all its optional components.
fn with_components(overlay: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    // A kustomization names folders from where it stands.
    let place = folder.path().canonicalize().unwrap();
    let up =
        |path: &str| format!("{}{}", "../".repeat(place.components().count() - 1), k8s().join(path).display()).replace("//", "/");
    let kustomization = json!({"resources": [up(overlay)], "components": [up("verifier/components/servicemonitor")]});
    std::fs::write(folder.path().join("kustomization.yaml"), kustomization.to_string()).unwrap();
    built(folder.path())
}

/// Verb, group, resource and the name that it is restricted to.
type Grant = (String, String, String, Option<String>);

fn grants(role: &Value) -> BTreeSet<Grant> {
    let list = |rule: &Value, field: &str| rule[field].as_array().cloned().unwrap_or_default();
    let mut grants = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let names = list(rule, "resourceNames");
        let names: Vec<Option<String>> = if names.is_empty() { vec![None] } else { names.iter().map(|n| Some(text(n))).collect() };
        for (group, resource) in
            list(rule, "apiGroups").iter().flat_map(|g| list(rule, "resources").into_iter().map(move |r| (g, r)))
        {
            for (verb, name) in list(rule, "verbs").iter().flat_map(|v| names.iter().map(move |n| (v, n))) {
                grants.insert((text(verb), text(group), text(&resource), name.clone()));
            }
        }
    }
    grants
}

/// The bindings of the service's account with the roles that they give it.
fn given(objects: &[Value]) -> Vec<(&Value, &Value)> {
    let account = one(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"].clone();
    let account =
        json!([{"kind": "ServiceAccount", "name": account, "namespace": one(objects, "Deployment")["metadata"]["namespace"]}]);
    let bindings = objects.iter().filter(|object| text(&object["kind"]).ends_with("RoleBinding"));
    bindings
        .map(|binding| {
            assert_eq!(binding["subjects"], account, "{}", name(binding));
            let (kind, role) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
            let role = objects.iter().find(|o| o["kind"] == *kind && o["metadata"]["name"] == *role);
            (binding, role.unwrap_or_else(|| panic!("there is no {kind} for {}", name(binding))))
        })
        .collect()
}

#[test]
#[cfg_attr(not(has_kubectl), ignore = "kubectl is not installed")]
fn the_service_may_do_nothing_that_it_need_not() {
    for overlay in OVERLAYS {
        let objects = built(&k8s().join(overlay));
        for (binding, role) in given(&objects) {
            for (verb, group, resource, only) in grants(role) {
                let grant = format!("{overlay}: {} grants {verb} {resource}", name(binding));
                for word in [&verb, &group, &resource] {
                    assert!(
                        !["*", "secrets", "configmaps", "deletecollection", "escalate", "bind", "impersonate"].contains(&&**word),
                        "{grant}"
                    );
                }
                assert!(verb != "update" || (resource == "leases" && only.is_some()), "{grant}");
            }
        }
    }
}

#[test]
#[cfg_attr(not(has_kubectl), ignore = "kubectl is not installed")]
fn roles_reach_all_namespaces_or_one() {
    for overlay in OVERLAYS {
        let objects = built(&k8s().join(overlay));
        let args: Vec<String> = one(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        let watched = args.iter().find_map(|arg| arg.strip_prefix("--namespace="));
        let mut everywhere: BTreeSet<&str> = BTreeSet::new();
        let mut within: BTreeSet<(String, &str)> = BTreeSet::new();
        for (binding, role) in given(&objects) {
            if binding["kind"] == "ClusterRoleBinding" {
                everywhere.insert(name(role));
            } else {
                within.insert((text(&binding["metadata"]["namespace"]), name(role)));
            }
        }
        let roles = ["verifier-observer", "verifier-service", "verifier-actor"];
        let reviewer = "verifier-reviewer";
        let own = (text(&one(&objects, "Deployment")["metadata"]["namespace"]), "verifier-leadership");
        match watched {
            None => {
                assert_eq!(everywhere, roles.into_iter().chain([reviewer]).collect(), "{overlay}");
                assert_eq!(within, [own].into(), "{overlay}");
            }
            Some(namespace) => {
                assert_eq!(everywhere, [reviewer].into(), "{overlay}");
                let roles = roles.into_iter().map(|role| (namespace.to_owned(), role));
                assert_eq!(within, roles.chain([own]).collect(), "{overlay}");
            }
        }
    }
}

/// A pod that the standard `restricted` admits, and whose memory has a bound but whose processor time has none.
#[track_caller]
fn assert_restricted(pod: &Value) {
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for container in pod["containers"].as_array().unwrap() {
        let security = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        });
        assert_eq!(container["securityContext"], security);
        let limits = &container["resources"]["limits"];
        assert!(limits["memory"].is_string() && limits["cpu"].is_null(), "{limits}");
        assert!(["cpu", "memory"].iter().all(|what| container["resources"]["requests"][what].is_string()));
    }
}

#[test]
#[cfg_attr(not(has_kubectl), ignore = "kubectl is not installed")]
fn the_objects_of_an_installation_agree() {
    for overlay in OVERLAYS {
        let objects = with_components(overlay);
        let (deployment, service) = (one(&objects, "Deployment"), one(&objects, "Service"));
        let (pod, namespace) = (&deployment["spec"]["template"], &one(&objects, "Namespace")["metadata"]["name"]);
        let container = &pod["spec"]["containers"][0];
        assert_restricted(&pod["spec"]);
        for object in [
            deployment,
            service,
            one(&objects, "ServiceAccount"),
            one(&objects, "PodDisruptionBudget"),
            one(&objects, "NetworkPolicy"),
        ] {
            assert_eq!(&object["metadata"]["namespace"], namespace, "{}", name(object));
        }
        assert_eq!(&pod["spec"]["serviceAccountName"], name(one(&objects, "ServiceAccount")));

        let spread = pod["spec"]["topologySpreadConstraints"].as_array().unwrap();
        let selectors = spread.iter().map(|constraint| &constraint["labelSelector"]["matchLabels"]).chain([
            &deployment["spec"]["selector"]["matchLabels"],
            &service["spec"]["selector"],
            &one(&objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
            &one(&objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        ]);
        for (label, value) in selectors.flat_map(|selector| selector.as_object().unwrap()) {
            assert_eq!(&pod["metadata"]["labels"][label], value, "{label}");
        }

        let port = &container["ports"][0];
        let number = port["containerPort"].to_string();
        let listens = container["args"].as_array().unwrap().iter().find_map(|arg| arg.as_str()?.strip_prefix("--listen=0.0.0.0:"));
        assert_eq!(listens, Some(&*number));
        assert_eq!(pod["metadata"]["annotations"]["prometheus.io/port"], number);
        assert_eq!(service["spec"]["ports"][0]["targetPort"], port["name"]);
        assert_eq!(service["spec"]["ports"][0]["port"], port["containerPort"]);
        let let_in = json!([{"ports": [{"protocol": "TCP", "port": port["containerPort"]}]}]);
        assert_eq!(
            one(&objects, "NetworkPolicy")["spec"],
            json!({
                "podSelector": {"matchLabels": service["spec"]["selector"]}, "policyTypes": ["Ingress"], "ingress": let_in,
            })
        );
        for probe in ["readinessProbe", "livenessProbe"] {
            assert_eq!(container[probe]["httpGet"]["port"], port["name"], "{probe}");
        }

        let monitor = one(&objects, "ServiceMonitor");
        assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
        assert_eq!(monitor["spec"]["endpoints"][0]["honorLabels"], true, "or the Deployments' namespaces are lost");
        for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(&service["metadata"]["labels"][label], value, "{label}");
        }
    }
}

#[test]
fn one_replica_leads_and_one_is_left_whatever_happens() {
    let [deployment] = <[Value; 1]>::try_from(documents("verifier/base/deployment.yaml")).unwrap();
    let [budget] = <[Value; 1]>::try_from(documents("verifier/base/pdb.yaml")).unwrap();
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"], json!({"maxSurge": "100%", "maxUnavailable": 0}));
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let field = |name: &str| env.iter().find(|e| e["name"] == name).map(|e| e["valueFrom"]["fieldRef"]["fieldPath"].clone());
    for (name, path) in [("POD_NAME", "metadata.name"), ("POD_NAMESPACE", "metadata.namespace"), ("POD_IP", "status.podIP")] {
        assert_eq!(field(name), Some(path.into()));
    }
}

#[test]
fn who_may_look_may_get_every_route_that_needs_a_token() {
    let viewer = &documents("verifier/rbac/viewer.yaml")[0];
    let rules = viewer["rules"].as_array().unwrap();
    assert_eq!((rules.len(), &rules[0]["verbs"]), (1, &json!(["get"])));
    // The API is granted by another name: `/api/*` is everybody's (`system:discovery`).
    let granted: Vec<String> = rules[0]["nonResourceURLs"].as_array().unwrap().iter().map(text).collect();
    assert!(granted.iter().all(|url| !url.starts_with("/api")), "{granted:?}");
    let granted: Vec<String> = granted.iter().map(|url| url.replacen("/verifier.dev/", "/", 1)).collect();
    let grants = |url: &String, path: &str| url.strip_suffix('*').map_or(url == path, |start| path.starts_with(start));
    let source = std::fs::read_to_string(k8s().parent().unwrap().join("src/serve/mod.rs")).unwrap();
    let pattern = Regex::new(r#"\.route\(\s*"([^"]+)""#).unwrap();
    let routes: BTreeSet<&str> = pattern.captures_iter(&source).map(|found| found.get(1).unwrap().as_str()).collect();
    let open = BTreeSet::from(["/livez", "/readyz"]);
    assert!(routes.is_superset(&open) && routes.len() > 6, "{routes:?}");
    for path in routes.difference(&open) {
        assert!(granted.iter().any(|url| grants(url, path)), "{path} is granted to nobody");
    }
    for url in &granted {
        assert!(routes.difference(&open).any(|path| grants(url, path)), "{url} is no route");
    }
}

#[test]
fn people_read_what_the_service_writes_and_write_what_it_reads() {
    let crds: Vec<Value> = documents("verifier/base/crds.yaml");
    let kinds: BTreeSet<String> = crds.iter().map(|crd| text(&crd["spec"]["names"]["plural"])).collect();
    let [view, edit] = <[Value; 2]>::try_from(documents("verifier/rbac/aggregated.yaml")).unwrap();
    for (role, whose) in [(&view, "view"), (&edit, "edit")] {
        assert_eq!(role["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{whose}")], "true");
    }
    let grant = |verb: &str, resource: &str| (verb.to_owned(), "verifier.dev".to_owned(), resource.to_owned(), None);
    for kind in &kinds {
        for verb in ["get", "list", "watch"] {
            assert!(grants(&view).contains(&grant(verb, kind)), "{verb} {kind}");
        }
    }
    let edits = grants(&edit);
    assert!(["create", "update", "patch", "delete"].iter().all(|verb| edits.contains(&grant(verb, "rolloutpolicies"))));
    assert!(["create", "update", "patch"].iter().all(|verb| !edits.contains(&grant(verb, "rolloutverifications"))));
    assert!(edits.iter().all(|(_, _, resource, _)| !resource.ends_with("/status")), "a status is the service's");
}

#[test]
fn the_gate_as_a_job_and_as_a_hook_of_argo_cd_are_the_same() {
    let (job, hook) = (documents("integrations/job-gate.yaml"), documents("integrations/argocd/hook.yaml"));
    assert_eq!(job[..2], hook[..2], "account and binding");
    let (job, mut hook) = (job[2].clone(), hook[2].clone());
    let annotations = hook["metadata"].as_object_mut().unwrap().shift_remove("annotations").unwrap();
    assert_eq!(annotations["argocd.argoproj.io/hook"], "PostSync");
    let mut spec = job["spec"].clone();
    spec.as_object_mut().unwrap().shift_remove("ttlSecondsAfterFinished");
    assert_eq!((&hook["metadata"], &hook["spec"]), (&job["metadata"], &spec));
    let pod = &spec["template"]["spec"];
    assert_restricted(pod);
    assert_eq!((&spec["backoffLimit"], &pod["restartPolicy"]), (&json!(0), &json!("Never")));
    let args: Vec<String> = pod["containers"][0]["args"].as_array().unwrap().iter().map(text).collect();
    let timeout = args.iter().find_map(|arg| arg.strip_prefix("--timeout=")).unwrap();
    let timeout = humantime::parse_duration(timeout).unwrap().as_secs();
    assert!(spec["activeDeadlineSeconds"].as_u64().unwrap() > timeout, "the gate says by itself that it took too long");
    let backend = manifest("deployment.yaml");
    assert_eq!(args[1], format!("deploy/{}", name(&backend)));
    assert!(args.contains(&format!("--namespace={}", backend["metadata"]["namespace"].as_str().unwrap())));
}

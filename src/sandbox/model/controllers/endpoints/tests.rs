//! What stands behind a Service.
#![expect(clippy::needless_pass_by_value, reason = "calls of fixtures read better")]

use serde_json::{Value, json};

use super::step;
use crate::sandbox::model::controllers::queue::Queue;
use crate::sandbox::model::controllers::testing::*;
use crate::sandbox::model::object::{resource, time};
use crate::sandbox::model::store::Store;
use crate::sandbox::model::suffix::Suffixes;
use crate::sandbox::model::virtual_cluster::VirtualCluster;
use crate::sandbox::model::write::{Read, Write};

fn service(spec: Value) -> Value {
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": NAMESPACE, "uid": "svc",
            "labels": {"team": "a"}},
        "spec": {"clusterIP": "127.0.96.1", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80,
            "targetPort": "web"}]},
    });
    json_patch::merge(&mut service["spec"], &spec);
    service
}

fn pod(name: &str, number: u8, ready: bool, patch: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": format!("uid-{name}"), "labels": {"app": "web"}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}]},
        "status": {
            "phase": "Running", "podIPs": [{"ip": format!("10.0.0.{number}")}],
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
        },
    });
    json_patch::merge(&mut pod, &patch);
    pod
}

fn slice(name: &str, endpoints: Vec<Value>, ports: Value) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": NAMESPACE, "uid": name,
            "labels": {"team": "a", "kubernetes.io/service-name": "web",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "svc", "controller": true}],
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    })
}

fn endpoint(name: &str, number: u8, ready: bool, serving: bool, terminating: bool) -> Value {
    json!({
        "addresses": [format!("10.0.0.{number}")],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": name, "uid": format!("uid-{name}")},
        "nodeName": "node-1",
    })
}

fn ports(number: i64) -> Value {
    json!([{"name": "http", "protocol": "TCP", "port": number}])
}

fn run(service: Value, pods: Vec<Value>, slices: Vec<Value>) -> Vec<Write> {
    let objects = pods.into_iter().fold(Objects::default(), |o, pod| o.with(resource::PODS, pod));
    let objects = slices.into_iter().fold(objects, |o, slice| o.with(resource::ENDPOINT_SLICES, slice));
    let view = objects.with(resource::SERVICES, service).view();
    step(&view, &mut Queue::default(), &mut Suffixes::new(1), start()).writes
}

#[test]
fn a_new_service_gets_a_slice_with_its_pods() {
    let writes = run(service(json!({})), vec![pod("a", 1, true, json!({}))], vec![]);
    let [Write::Create { object, .. }] = &writes[..] else { panic!("{writes:#?}") };
    let mut object = object.clone();
    let name = object["metadata"]["name"].take();
    assert!(name.as_str().is_some_and(|n| n.starts_with("web-") && n.len() == 9), "{name}");
    let want = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": null, "generateName": "web-", "namespace": NAMESPACE,
            "labels": {"team": "a", "kubernetes.io/service-name": "web",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "svc", "controller": true,
                "blockOwnerDeletion": true}],
        },
        "addressType": "IPv4", "endpoints": [endpoint("a", 1, true, true, false)], "ports": ports(8080),
    });
    assert_eq!(object, want);
}

/// The conditions of a pod's only endpoint: ready, serving, terminating.
fn conditions(spec: Value, pod: Value) -> Option<[bool; 3]> {
    let writes = run(service(spec), vec![pod], vec![]);
    let [Write::Create { object, .. }] = &writes[..] else { panic!("{writes:#?}") };
    let endpoint = object["endpoints"].as_array().unwrap().first()?;
    Some(["ready", "serving", "terminating"].map(|c| endpoint["conditions"][c] == true))
}

#[test]
fn conditions_follow_a_pod_through_its_life() {
    let going = json!({"metadata": {"deletionTimestamp": time(start())}});
    let cases = [
        ("no address yet", conditions(json!({}), pod("a", 1, false, json!({"status": {"podIPs": null}}))), None),
        ("running", conditions(json!({}), pod("a", 1, false, json!({}))), Some([false, false, false])),
        ("ready", conditions(json!({}), pod("a", 1, true, json!({}))), Some([true, true, false])),
        ("ending, still serving", conditions(json!({}), pod("a", 1, true, going.clone())), Some([false, true, true])),
        ("ending, and no longer ready", conditions(json!({}), pod("a", 1, false, going.clone())), Some([false, false, true])),
        ("ended", conditions(json!({}), pod("a", 1, false, json!({"status": {"phase": "Succeeded"}}))), None),
        ("only IPv6", conditions(json!({}), pod("a", 1, true, json!({"status": {"podIPs": [{"ip": "fd00::1"}]}}))), None),
    ];
    for (what, got, want) in cases {
        assert_eq!(got, want, "{what}");
    }
    let everybody = json!({"publishNotReadyAddresses": true});
    assert_eq!(conditions(everybody.clone(), pod("a", 1, false, json!({}))), Some([true, false, false]));
    assert_eq!(conditions(everybody, pod("a", 1, true, going)), Some([true, true, true]));
}

#[test]
fn a_change_of_one_pod_changes_one_slice_and_keeps_the_order() {
    let old = vec![endpoint("b", 2, true, true, false), endpoint("a", 1, false, false, false)];
    let pods = vec![pod("a", 1, true, json!({})), pod("b", 2, true, json!({})), pod("c", 3, false, json!({}))];
    let writes = run(service(json!({})), pods, vec![slice("web-1", old, ports(8080))]);
    let [Write::Patch { key, patch, .. }] = &writes[..] else { panic!("{writes:#?}") };
    let want = [endpoint("b", 2, true, true, false), endpoint("a", 1, true, true, false), endpoint("c", 3, false, false, false)];
    assert_eq!((key.name.as_str(), patch), ("web-1", &json!({"endpoints": want, "ports": ports(8080)})));
}

#[test]
fn what_is_right_is_not_written_again() {
    let slices = vec![slice("web-1", vec![endpoint("a", 1, true, true, false)], ports(8080))];
    assert_eq!(run(service(json!({})), vec![pod("a", 1, true, json!({}))], slices), []);
    assert_eq!(run(service(json!({})), vec![], vec![slice("web-1", vec![], json!([]))]), []);
}

#[test]
fn pods_that_name_another_port_get_a_slice_of_their_own() {
    let other = json!({"spec": {"containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 9090}]}]}});
    let writes = run(service(json!({})), vec![pod("a", 1, true, json!({})), pod("b", 2, true, other)], vec![]);
    let created: Vec<_> = writes
        .iter()
        .filter_map(|w| if let Write::Create { object, .. } = w { Some((&object["ports"], &object["endpoints"])) } else { None })
        .collect();
    let want =
        [(ports(8080), json!([endpoint("a", 1, true, true, false)])), (ports(9090), json!([endpoint("b", 2, true, true, false)]))];
    assert_eq!(created, want.iter().map(|(p, e)| (p, e)).collect::<Vec<_>>());
}

#[test]
fn numbers_defaults_and_sidecars_resolve_to_ports() {
    let of = |ports: Value, patch: Value| {
        let writes = run(service(json!({"ports": ports})), vec![pod("a", 1, true, patch)], vec![]);
        let [Write::Create { object, .. }] = &writes[..] else { panic!("{writes:#?}") };
        object["ports"].clone()
    };
    let port = |number: i64| json!([{"name": "", "protocol": "TCP", "port": number}]);
    assert_eq!(of(json!([{"port": 80}]), json!({})), port(80));
    assert_eq!(of(json!([{"port": 80, "targetPort": 81}]), json!({})), port(81));
    assert_eq!(of(json!([{"port": 80, "targetPort": "absent"}]), json!({})), json!([]));
    let sidecar = |policy: Value| {
        json!({"spec": {"initContainers": [{"restartPolicy": policy, "ports": [{"name": "side",
        "containerPort": 7}]}]}})
    };
    assert_eq!(of(json!([{"port": 80, "targetPort": "side"}]), sidecar("Always".into())), port(7));
    assert_eq!(of(json!([{"port": 80, "targetPort": "side"}]), sidecar(Value::Null)), json!([]));
    let app = json!([{"name": "g", "port": 80, "appProtocol": "kubernetes.io/h2c"}]);
    assert_eq!(of(app, json!({})), json!([{"name": "g", "protocol": "TCP", "port": 80, "appProtocol": "kubernetes.io/h2c"}]));
}

#[test]
fn a_slice_holds_a_hundred_endpoints() {
    let many = |n: u8| (0..n).map(|i| pod(&format!("p{i:03}"), i, true, json!({}))).collect::<Vec<_>>();
    let sizes = |writes: &[Write]| -> Vec<usize> {
        writes
            .iter()
            .filter_map(|w| if let Write::Create { object, .. } = w { object["endpoints"].as_array().map(Vec::len) } else { None })
            .collect()
    };
    assert_eq!(sizes(&run(service(json!({})), many(230), vec![])), [100, 100, 30]);
    // One more than fits goes into a new one, and the full one is left alone.
    let full = slice("web-1", (0..100).map(|i| endpoint(&format!("p{i:03}"), i, true, true, false)).collect(), ports(8080));
    let writes = run(service(json!({})), many(101), vec![full]);
    assert_eq!((writes.len(), sizes(&writes)), (1, vec![1]));
}

#[test]
fn new_endpoints_go_into_the_fullest_slice_that_takes_them_all() {
    let endpoints =
        |range: std::ops::Range<u8>| range.map(|i| endpoint(&format!("p{i:03}"), i, true, true, false)).collect::<Vec<_>>();
    let slices = vec![slice("big", endpoints(0..90), ports(8080)), slice("small", endpoints(90..140), ports(8080))];
    let pods = (0..160).map(|i| pod(&format!("p{i:03}"), i, true, json!({}))).collect();
    let writes = run(service(json!({})), pods, slices);
    let [Write::Patch { key, patch, .. }] = &writes[..] else { panic!("{writes:#?}") };
    assert_eq!((key.name.as_str(), patch["endpoints"].as_array().map(Vec::len)), ("small", Some(70)));
}

#[test]
fn the_last_pod_leaves_the_slice_in_place_but_empty() {
    let slices = vec![slice("web-1", vec![endpoint("a", 1, true, true, false)], ports(8080))];
    let writes = run(service(json!({})), vec![], slices);
    let [Write::Patch { key, patch, .. }] = &writes[..] else { panic!("{writes:#?}") };
    assert_eq!((key.name.as_str(), patch), ("web-1", &json!({"endpoints": [], "ports": []})));
}

#[test]
fn labels_of_the_service_are_mirrored_and_headless_is_marked() {
    let mut service = service(json!({"clusterIP": "None"}));
    service["metadata"]["labels"] = json!({"tier": "front"});
    let writes = run(
        service,
        vec![pod("a", 1, true, json!({}))],
        vec![slice("web-1", vec![endpoint("a", 1, true, true, false)], ports(8080))],
    );
    let [Write::Patch { patch, .. }] = &writes[..] else { panic!("{writes:#?}") };
    assert_eq!(patch, &json!({"metadata": {"labels": {"team": null, "tier": "front", "service.kubernetes.io/headless": ""}}}));
}

#[test]
fn services_without_selector_and_slices_of_others_are_left_alone() {
    let pods = || vec![pod("a", 1, true, json!({}))];
    assert_eq!(run(service(json!({"selector": null})), pods(), vec![]), []);
    assert_eq!(run(service(json!({"type": "ExternalName"})), pods(), vec![]), []);
    let mut manual = slice("manual", vec![], json!([]));
    manual["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = "me".into();
    let writes = run(service(json!({})), pods(), vec![manual]);
    assert!(matches!(&writes[..], [Write::Create { .. }]), "{writes:?}");
}

#[test]
fn a_slice_left_from_an_earlier_service_of_the_name_is_replaced() {
    let mut left = slice("web-1", vec![], json!([]));
    left["metadata"]["ownerReferences"][0]["uid"] = "earlier".into();
    let writes = run(service(json!({})), vec![pod("a", 1, true, json!({}))], vec![left]);
    assert!(matches!(&writes[..], [Write::Create { .. }, Write::Delete { key, .. }] if key.name == "web-1"), "{writes:?}");
}

/// Ready and all addresses behind the Service.
fn behind(store: &Store) -> (usize, usize) {
    let slices = store.list(&resource::ENDPOINT_SLICES, Some(NAMESPACE));
    let endpoints: Vec<&Value> = slices.iter().filter_map(|s| s["endpoints"].as_array()).flatten().collect();
    (endpoints.iter().filter(|e| e["conditions"]["ready"] == true).count(), endpoints.len())
}

#[test]
fn a_rollout_never_leaves_the_service_without_ready_endpoints() {
    let mut cluster: VirtualCluster = running(|_| QUICK, deployment(3, "a", rolling(1, 0)));
    create(&mut cluster, resource::SERVICES, service(json!({"clusterIP": "None"})));
    cluster.settle();
    assert_eq!(behind(cluster.store()), (3, 3));
    set_image(&mut cluster, "b");
    let mut fewest = usize::MAX;
    let end = cluster.now() + seconds(30);
    cluster.settle();
    while cluster.now() < end && cluster.tick(&mut |_, _| {}) {
        fewest = fewest.min(behind(cluster.store()).0);
    }
    assert_eq!((fewest, behind(cluster.store())), (3, (3, 3)));
}

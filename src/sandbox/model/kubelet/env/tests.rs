use chrono::DateTime;
use serde_json::json;

use super::*;
use crate::sandbox::model::store::Store;
use crate::sandbox::model::write::Write;

fn store(objects: &[(Resource, Value)]) -> Store {
    let mut store = Store::default();
    for (resource, object) in objects {
        let create = Write::Create { resource: resource.clone(), object: object.clone() };
        store.apply(create, DateTime::UNIX_EPOCH).unwrap();
    }
    store
}

fn pod(container: &Value) -> Value {
    json!({
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u1", "labels": {"app": "web"}, "annotations": {"a/b": "c"}},
        "spec": {"nodeName": "sandbox", "serviceAccountName": "default", "containers": [container]},
    })
}

fn make(store: &Store, container: &Value, program: &Program) -> Result<Command, ConfigError> {
    let pod = pod(container);
    let plan = PodPlan::read(&pod).unwrap();
    let around = Surroundings {
        pod: &pod,
        plan: &plan,
        ip: Ipv4Addr::new(127, 16, 1, 2),
        host: Ipv4Addr::new(127, 16, 0, 1),
        node: NodeSize { milli_cpu: 2000, memory_bytes: 1 << 30 },
        base: &BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
    };
    command(store, &around, &plan.containers[0].spec, program)
}

fn program() -> Program {
    Program { argv: vec!["/bin/web".into(), "--serve".into()], command_may_override: true, tag: "v2".into() }
}

fn pairs(env: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

fn config(name: &str) -> (Resource, Value) {
    (resource::CONFIG_MAPS, json!({"metadata": {"name": name, "namespace": "shop"}, "data": {"level": "debug", "color": "red"}}))
}

fn secret() -> (Resource, Value) {
    (resource::SECRETS, json!({"metadata": {"name": "keys", "namespace": "shop"}, "data": {"token": "aHVudGVyMg=="}}))
}

#[test]
fn a_container_is_told_its_address_its_port_and_its_version() {
    let container = json!({"name": "c", "ports": [{"containerPort": 8080}], "env": [{"name": "HOST", "value": "0.0.0.0"}]});
    let command = make(&store(&[]), &container, &program()).unwrap();
    let expected = [
        ("HOST", "127.16.1.2"),
        ("HOSTNAME", "web-1"),
        ("IMAGE_TAG", "v2"),
        ("PATH", "/bin"),
        ("POD_IP", "127.16.1.2"),
        ("PORT", "8080"),
    ];
    assert_eq!(pairs(&command.env), expected);
}

#[test]
fn values_come_from_config_maps_secrets_the_pod_and_each_other() {
    let container = json!({"name": "c",
    "resources": {"limits": {"memory": "64Mi"}},
    "envFrom": [{"configMapRef": {"name": "conf"}, "prefix": "C_"}, {"secretRef": {"name": "absent", "optional": true}}],
    "env": [
        {"name": "C_color", "value": "blue"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
        {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "level"}}},
        {"name": "NOT_THERE", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "nope", "optional": true}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "NOTE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a/b']"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "URL", "value": "http://$(API_SERVICE_HOST):$(API_SERVICE_PORT)/$(C_color)/$(LATER)"},
        {"name": "LATER", "value": "x"},
    ]});
    let service = (
        resource::SERVICES,
        json!({"metadata": {"name": "api", "namespace": "shop"}, "spec": {"clusterIP": "127.16.96.1", "ports": [{"port": 80, "name": "http"}]}}),
    );
    let elsewhere = (
        resource::SERVICES,
        json!({"metadata": {"name": "far", "namespace": "other"}, "spec": {"clusterIP": "127.16.96.2", "ports": [{"port": 80}]}}),
    );
    let command = make(&store(&[config("conf"), secret(), service, elsewhere]), &container, &program()).unwrap();
    let expected = [
        ("API_PORT", "tcp://127.16.96.1:80"),
        ("API_PORT_80_TCP", "tcp://127.16.96.1:80"),
        ("API_PORT_80_TCP_ADDR", "127.16.96.1"),
        ("API_PORT_80_TCP_PORT", "80"),
        ("API_PORT_80_TCP_PROTO", "tcp"),
        ("API_SERVICE_HOST", "127.16.96.1"),
        ("API_SERVICE_PORT", "80"),
        ("API_SERVICE_PORT_HTTP", "80"),
        ("APP", "web"),
        ("C_color", "blue"),
        ("C_level", "debug"),
        ("HOST", "127.16.1.2"),
        ("HOSTNAME", "web-1"),
        ("IMAGE_TAG", "v2"),
        ("LATER", "x"),
        ("LEVEL", "debug"),
        ("MEM", "64"),
        ("NODE", "sandbox"),
        ("NOTE", "c"),
        ("PATH", "/bin"),
        ("POD_IP", "127.16.1.2"),
        ("TOKEN", "hunter2"),
        ("URL", "http://127.16.96.1:80/blue/$(LATER)"),
    ];
    assert_eq!(pairs(&command.env), expected);
}

#[test]
fn what_is_missing_is_named_as_the_kubelet_names_it() {
    let of = |env: Value| {
        let container = json!({"name": "c", "env": [env]});
        make(&store(&[config("conf")]), &container, &program()).map(|c| c.argv).map_err(|e| e.to_string())
    };
    let config_map = |name: &str| json!({"name": "A", "valueFrom": {"configMapKeyRef": {"name": name, "key": "nope"}}});
    assert_eq!(of(config_map("gone")), Err("configmap \"gone\" not found".into()));
    assert_eq!(of(config_map("conf")), Err("couldn't find key nope in ConfigMap shop/conf".into()));
    let secret = json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "gone", "key": "k"}}});
    assert_eq!(of(secret), Err("secret \"gone\" not found".into()));
    let field = json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.colour"}}});
    assert_eq!(of(field), Err("unsupported fieldPath: spec.colour".into()));
}

#[test]
fn command_replaces_the_program_of_an_image_of_the_users_and_args_are_appended() {
    let of = |spec: Value, may_override: bool| {
        let program = Program { command_may_override: may_override, ..program() };
        make(&store(&[]), &spec, &program).unwrap().argv.join(" ")
    };
    let both = json!({"name": "c", "command": ["/run", "$(HOST)"], "args": ["-v", "$$(X)"]});
    assert_eq!(of(both.clone(), true), "/run 127.16.1.2 -v $(X)");
    assert_eq!(of(both, false), "/bin/web --serve -v $(X)");
    assert_eq!(of(json!({"name": "c", "args": ["-v"]}), true), "/bin/web --serve -v");
}

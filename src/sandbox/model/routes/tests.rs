//! Tests of precedence and of what is read from which object.

use serde_json::json;

use super::*;
use crate::sandbox::model::endpoints::SERVICE_NAME;
use crate::sandbox::model::object::{Key, Resource, resource};
use crate::sandbox::model::store::Store;
use crate::sandbox::model::write::{Read, Write};

/// A store that is filled second by second, so that what is added later is younger.
struct Cluster(Store, i64);

impl Cluster {
    fn new() -> Self {
        let mut cluster = Self(Store::default(), 0);
        cluster.add(
            resource::INGRESS_CLASSES,
            json!({"metadata": {"name": CLASS, "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
                   "spec": {"controller": CONTROLLER}}),
        );
        cluster
    }

    fn add(&mut self, resource: Resource, object: serde_json::Value) {
        self.1 += 1;
        let now = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(self.1);
        self.0.apply(Write::Create { resource, object }, now).unwrap();
    }

    /// Rules of one Ingress: host, path type, path, Service.
    fn ingress(&mut self, name: &str, rules: &[(&str, &str, &str, &str)]) {
        let rules: Vec<_> = rules
            .iter()
            .map(|(host, kind, path, service)| {
                let backend = json!({"service": {"name": service, "port": {"number": 80}}});
                json!({"host": host, "http": {"paths": [{"pathType": kind, "path": path, "backend": backend}]}})
            })
            .collect();
        self.add(resource::INGRESSES, json!({"metadata": {"namespace": "todo", "name": name}, "spec": {"rules": rules}}));
    }

    fn routes(&self) -> Routes {
        build(&self.0)
    }
}

fn picked(routes: &Routes, host: &str, path: &str) -> Option<String> {
    routes.pick(host, path).map(|m| m.backend.service.clone())
}

#[track_caller]
fn assert_picks(routes: &Routes, cases: &[(&str, &str, Option<&str>)]) {
    for (host, path, expected) in cases {
        assert_eq!(picked(routes, host, path).as_deref(), *expected, "{host}{path}");
    }
}

#[test]
fn an_exact_host_beats_a_wildcard_beats_no_host() {
    let mut cluster = Cluster::new();
    cluster.ingress(
        "i",
        &[("", "Prefix", "/", "any"), ("*.example.com", "Prefix", "/", "wild"), ("a.example.com", "Prefix", "/only", "exact")],
    );
    assert_picks(
        &cluster.routes(),
        &[
            ("a.example.com", "/only", Some("exact")),
            ("A.Example.COM:8080", "/only/x", Some("exact")),
            ("a.example.com.", "/only", Some("exact")),
            ("a.example.com", "/other", Some("wild")),
            ("b.example.com", "/", Some("wild")),
            ("example.com", "/", Some("any")),
            ("x.b.example.com", "/", Some("any")),
            ("[::1]:80", "/", Some("any")),
            ("", "/", Some("any")),
        ],
    );
}

#[test]
fn the_longest_path_wins_and_exact_beats_prefix() {
    let mut cluster = Cluster::new();
    cluster.ingress(
        "i",
        &[
            ("h", "Prefix", "/", "root"),
            ("h", "Prefix", "/api", "api"),
            ("h", "Prefix", "/api/v2/", "v2"),
            ("h", "Exact", "/api", "exact"),
            ("h", "ImplementationSpecific", "/impl", "impl"),
            ("h", "Prefix", "/slash/", "slash"),
            ("h", "Exact", "/slash", "bare"),
            ("h", "Exact", "/", "exact root"),
        ],
    );
    assert_picks(
        &cluster.routes(),
        &[
            ("h", "/", Some("exact root")),
            ("h", "/slash", Some("bare")),
            ("h", "/slash/", Some("slash")),
            ("h", "/apis", Some("root")),
            ("h", "/api", Some("exact")),
            ("h", "/api/", Some("api")),
            ("h", "/api/v2", Some("v2")),
            ("h", "/api/v2/x", Some("v2")),
            ("h", "/api/v20", Some("api")),
            ("h", "/API", Some("root")),
            ("h", "/impl/x", Some("impl")),
        ],
    );
}

#[test]
fn no_rule_is_no_match_and_a_default_backend_takes_the_rest() {
    let mut cluster = Cluster::new();
    cluster.ingress("i", &[("h", "Exact", "/a", "a")]);
    assert_picks(&cluster.routes(), &[("h", "/a", Some("a")), ("h", "/a/", None), ("other", "/a", None)]);
    let backend = json!({"service": {"name": "fallback", "port": {"number": 80}}});
    cluster.add(resource::INGRESSES, json!({"metadata": {"namespace": "todo", "name": "d"}, "spec": {"defaultBackend": backend}}));
    assert_picks(&cluster.routes(), &[("h", "/a", Some("a")), ("h", "/b", Some("fallback")), ("other", "/", Some("fallback"))]);
}

#[test]
fn of_two_equal_rules_the_older_ingress_wins() {
    let mut cluster = Cluster::new();
    cluster.ingress("z-first", &[("h", "Prefix", "/", "older")]);
    cluster.ingress("a-second", &[("h", "Prefix", "/", "younger")]);
    assert_picks(&cluster.routes(), &[("h", "/", Some("older"))]);
}

#[test]
fn only_ingresses_of_our_class_are_served() {
    let rule = |service: &str| {
        let backend = json!({"service": {"name": service, "port": {"number": 80}}});
        json!([{"host": service, "http": {"paths": [{"pathType": "Prefix", "path": "/", "backend": backend}]}}])
    };
    let mut cluster = Cluster::new();
    cluster.add(resource::INGRESS_CLASSES, json!({"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}));
    for (name, class) in [("ours", Some(CLASS)), ("nobody", None), ("theirs", Some("nginx")), ("unknown", Some("traefik"))] {
        let mut object = json!({"metadata": {"namespace": "todo", "name": name}, "spec": {"rules": rule(name)}});
        if let Some(class) = class {
            object["spec"]["ingressClassName"] = class.into();
        }
        cluster.add(resource::INGRESSES, object);
    }
    let routes = cluster.routes();
    assert_picks(
        &routes,
        &[("ours", "/", Some("ours")), ("nobody", "/", Some("nobody")), ("theirs", "/", None), ("unknown", "/", None)],
    );

    let listening = "127.0.0.1:8080".parse().unwrap();
    let written: Vec<_> = publish(&cluster.0, listening)
        .into_iter()
        .map(|write| match write {
            Write::PatchStatus { key, patch, .. } => (key.name, patch),
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    let status =
        json!({"status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1", "ports": [{"port": 8080, "protocol": "TCP"}]}]}}});
    assert_eq!(written, [("ours".to_owned(), status.clone()), ("nobody".to_owned(), status)]);
}

#[test]
fn a_published_address_is_not_written_twice() {
    let mut cluster = Cluster::new();
    cluster.ingress("i", &[]);
    let listening = "127.0.0.1:8080".parse().unwrap();
    for write in publish(&cluster.0, listening) {
        cluster.0.apply(write, chrono::DateTime::UNIX_EPOCH).unwrap();
    }
    assert_eq!(publish(&cluster.0, listening), []);
    let key = Key::new(resource::INGRESSES, "todo", "i");
    assert_eq!(cluster.0.get(&key).unwrap()["status"]["loadBalancer"]["ingress"][0]["ip"], "127.0.0.1");
}

#[test]
fn ports_are_found_by_name_or_number_and_only_ready_endpoints_count() {
    let mut cluster = Cluster::new();
    cluster.add(
        resource::SERVICES,
        json!({"metadata": {"namespace": "todo", "name": "backend"}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8000}]}}),
    );
    cluster.add(
        resource::ENDPOINT_SLICES,
        json!({"metadata": {"namespace": "todo", "name": "s", "labels": {SERVICE_NAME: "backend"}}, "ports": [{"name": "http", "port": 8000}],
               "endpoints": [{"addresses": ["127.1.0.1"], "conditions": {"ready": true}, "targetRef": {"name": "a"}},
                             {"addresses": ["127.1.0.2"], "conditions": {"ready": false, "serving": true, "terminating": true}}]}),
    );
    let path = |path: &str, port: serde_json::Value| json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": "backend", "port": port}}});
    let paths =
        [path("/name", json!({"name": "http"})), path("/number", json!({"number": 80})), path("/wrong", json!({"number": 81}))];
    cluster.add(
        resource::INGRESSES,
        json!({"metadata": {"namespace": "todo", "name": "i"}, "spec": {"rules": [{"host": "h", "http": {"paths": paths}}]}}),
    );
    let ready = vec![Endpoint { address: "127.1.0.1:8000".parse().unwrap(), pod: "a".to_owned() }];
    let backend = |port: &str, endpoints| Backend {
        namespace: "todo".to_owned(),
        service: "backend".to_owned(),
        port: port.to_owned(),
        endpoints,
    };
    assert_eq!(cluster.routes().backends(), [backend("http", ready.clone()), backend("80", ready), backend("81", vec![])]);
}

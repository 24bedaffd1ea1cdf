//! What is confidential is in nothing that the service writes or answers, however much it is asked to tell.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::gate::Cluster;
use super::serve::{self, Service};
use super::{DEADLINE, Program};

/// In a Secret of the namespace, and from there in a variable of the pods.
const OF_SECRET: &str = "canary-of-secret-5c1d";
/// In a variable of the pods.
const OF_VARIABLE: &str = "canary-of-variable-83fe";
/// What somebody sends who looks at the service.
const OF_READER: &str = "canary-of-reader-e27a";
/// And in the query of what he asks for.
const OF_QUERY: &str = "canary-of-query-4b90";

/// What must not be found: a name, and the text.
type Canary = (&'static str, String);

/// A kubeconfig with the sandbox's token, and a client certificate beside it; and the canaries in it.
fn kubeconfig(cluster: &Cluster, folder: &Path) -> (String, Vec<Canary>) {
    let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let token = text.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap().trim_matches('"').to_owned();
    let made = rcgen::generate_simple_self_signed(["canary".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let (certificate, encoded) = (BASE64_STANDARD.encode(certificate), BASE64_STANDARD.encode(&key));
    // The sandbox's user is the last thing in it.
    let text = format!("{text}    client-certificate-data: {certificate}\n    client-key-data: {encoded}\n");
    let file = folder.join("kubeconfig").display().to_string();
    std::fs::write(&file, text).unwrap();
    let line = key.lines().nth(1).unwrap().to_owned();
    (file, vec![("token", token), ("key", line), ("encoded key", encoded)])
}

/// What the service answers, whole, to somebody who shows more than he must.
fn ask(service: &Service, path: &str) -> String {
    let address = &service.address;
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let password = BASE64_STANDARD.encode(format!("anybody:{OF_READER}"));
    write!(
        stream,
        "GET {path}?token={OF_QUERY} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {password}\r\n\
         cookie: session={OF_READER}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// A Secret, and a version that has it and another secret in its variables.
fn roll(cluster: &Cluster) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "canary", "namespace": "todo"},
        "data": {"password": BASE64_STANDARD.encode(OF_SECRET)}});
    cluster.apply(&[secret]);
    let of_secret = json!({"secretKeyRef": {"name": "canary", "key": "password"}});
    let env = json!([{"name": "PASSWORD", "value": OF_VARIABLE}, {"name": "API_KEY", "valueFrom": of_secret},
        {"name": "ERROR_RATIO", "value": "0.5"}]);
    let container = json!({"name": "backend", "image": "todo/backend:v2", "env": env});
    cluster.patch(&json!({"spec": {"template": {"spec": {"containers": [container]}}}}));
}

/// All that can be seen of a bad rollout: what it is, and the text.
fn told(cluster: &Cluster, service: &Service, recordings: &Path) -> Vec<(String, String)> {
    roll(cluster);
    let judging = service.until("rollout that is judged", |s| s.policy().filter(|p| p["run"]["judging"] == true));
    let run = judging["run"]["runId"].as_str().unwrap();
    let live = ask(service, &format!("/api/v1/runs/{run}/report"));
    // Until the run is over.
    let events = ask(service, &format!("/api/v1/runs/{run}/events"));
    let ended = service.ended(0);
    assert_eq!((&ended["verdict"], &ended["action"]), (&json!("breach"), &json!("hold")), "{ended:#}");
    service.until("recording", |s| ask(s, &format!("/api/v1/runs/{run}/recording")).starts_with("HTTP/1.1 200").then_some(()));
    let mut all = vec![("report as it goes on".to_owned(), live), ("stream of events".to_owned(), events)];
    let paths =
        ["/", "/page.js", "/page.css", "/metrics", "/livez", "/readyz", "/nowhere", "/api/v1/policies", "/api/v1/verifications"];
    let of_run = ["report", "recording", "events"].map(|what| format!("/api/v1/runs/{run}/{what}"));
    all.extend(paths.into_iter().map(str::to_owned).chain(of_run).map(|path| (path.clone(), ask(service, &path))));
    let object = serve::object(cluster, &ended);
    let annotations = json!(cluster.deployment().metadata.annotations);
    let left: Value = cluster.get("/api/v1/namespaces/todo/events");
    all.extend([("object", object), ("annotations", annotations), ("Events", left)].map(|(n, v)| (n.to_owned(), v.to_string())));
    for file in std::fs::read_dir(recordings).unwrap() {
        all.push(("recording in the folder".into(), std::fs::read_to_string(file.unwrap().path()).unwrap()));
    }
    let said = |program: &Program, stream: &str| (stream.to_owned(), program.said(stream));
    all.extend(["stdout", "stderr"].map(|stream| said(&service.program, stream)));
    all
}

#[test]
fn nothing_confidential_is_in_anything_that_the_service_tells() {
    let (cluster, folder) = (Cluster::start(), tempfile::tempdir().unwrap());
    cluster.install_kinds();
    cluster.patch(&json!({"metadata": {"annotations": {"verifier.dev/policy": serve::policy("hold").to_string()}}}));
    let (kubeconfig, mut canaries) = kubeconfig(&cluster, folder.path());
    let recordings = folder.path().join("recordings");
    std::fs::create_dir(&recordings).unwrap();
    let args = ["--kubeconfig", &kubeconfig, "--recordings", &recordings.display().to_string()];
    let service = Service::start_with(&args, |command| {
        command.env("RUST_LOG", "trace");
    });
    service.until_probing();
    let all = told(&cluster, &service, &recordings);

    for canary in [OF_SECRET, OF_VARIABLE, OF_READER, OF_QUERY] {
        canaries.push((canary, canary.to_owned()));
        canaries.push((canary, BASE64_STANDARD.encode(canary)));
    }
    canaries.push(("password", BASE64_STANDARD.encode(format!("anybody:{OF_READER}"))));
    let found_in = |text: &str| all.iter().filter(|(_, all)| all.contains(text)).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    for (name, canary) in &canaries {
        assert_eq!(found_in(canary), Vec::<&str>::new(), "{name} is told");
    }
    // Whoever searches finds what is there.
    let everywhere = found_in("backend");
    for place in ["stderr", "/metrics", "/api/v1/policies", "/api/v1/verifications", "stream of events", "object", "Events"] {
        assert!(everywhere.contains(&place), "{place} is not among {everywhere:?}");
    }
    let trace = all.iter().find(|(name, _)| name == "stderr").unwrap();
    assert!(trace.1.contains("\"TRACE\""), "it was asked to tell everything");
}

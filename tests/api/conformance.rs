//! Scripts of requests, and what a real API server (Kubernetes 1.34.4) answered: the sandbox has to answer the same.
//!
//! `*.yaml` are the scripts, `*.json` the recorded answers. To record them anew, point KUBECONFIG to an API server of which nothing else
//! is asked (no controllers) and run `cargo test --test all record_the_answers -- --ignored`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde_json::{Value, json};

const SCRIPTS: [&str; 5] = ["errors", "pods", "writing", "kinds", "custom"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Method and path.
    ask: Option<String>,
    /// Or a path to ask for until it is there.
    wait: Option<String>,
    #[serde(rename = "type")]
    content_type: Option<String>,
    accept: Option<String>,
    body: Option<Value>,
    /// Only the code is compared: the answer is worded after the insides of the real server, or shows what its controllers do later.
    #[serde(default)]
    code_only: bool,
}

fn file(name: &str, extension: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/api/conformance").join(format!("{name}.{extension}"))
}

fn script(name: &str) -> Vec<Step> {
    serde_saphyr::from_str(&std::fs::read_to_string(file(name, "yaml")).unwrap()).unwrap()
}

async fn send(client: &Client, method: &str, path: &str, step: &Step) -> (u16, Value) {
    let mut request = http::Request::builder().method(method).uri(path).header("user-agent", "conformance/1.0");
    request = request.header("accept", step.accept.as_deref().unwrap_or("application/json"));
    let body = match &step.body {
        Some(body) => {
            request = request.header("content-type", step.content_type.as_deref().unwrap_or("application/json"));
            body.as_str().map_or_else(|| serde_json::to_vec(body).unwrap(), |text| text.as_bytes().to_vec())
        }
        None => Vec::new(),
    };
    let response = client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let answer = serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
    (code, answer)
}

/// Runs a script; each answer with its code, without what no two servers have in common.
async fn run(client: &Client, steps: &[Step]) -> Vec<Value> {
    let mut answers = Vec::new();
    for step in steps {
        if let Some(path) = &step.wait {
            for _ in 0..100 {
                if send(client, "GET", path, step).await.0 == 200 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        if let Some(ask) = &step.ask {
            let (method, path) = ask.split_once(' ').unwrap();
            let (code, mut answer) = send(client, method, path, step).await;
            redact("", &mut answer);
            answers.push(if step.code_only {
                json!({"ask": ask, "code": code})
            } else {
                json!({"ask": ask, "code": code, "answer": answer})
            });
        }
    }
    answers
}

fn is_age(text: &str) -> bool {
    text.strip_suffix('s').is_some_and(|n| n.parse::<u32>().is_ok())
}

/// Takes out what differs from run to run, and what the sandbox knowingly leaves out.
fn redact(key: &str, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for gone in ["resourceVersion", "continue", "uid", "storageVersionHash"] {
                map.remove(gone);
            }
            // Pods of the sandbox carry no token of their service account.
            for (list, field, value) in [("volumes", "name", "kube-api-access-"), ("volumeMounts", "name", "kube-api-access-")] {
                let Some(Value::Array(items)) = map.get_mut(list) else { continue };
                items.retain(|item| !item[field].as_str().is_some_and(|name| name.starts_with(value)));
                if items.is_empty() {
                    map.remove(list);
                }
            }
            // Only what is in the columns counts, not what describes them. And a Scale's writer has no time.
            if key == "columnDefinitions" {
                map.remove("description");
            }
            if map.get("subresource").is_some_and(|s| s == "scale") {
                map.remove("time");
            }
            for (key, value) in map.iter_mut() {
                redact(key, value);
            }
            if map.get("reason").is_some_and(|r| r == "Invalid") {
                order_causes(map);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(key, item)),
        Value::String(text) => {
            if ["clusterIP", "clusterIPs"].contains(&key) && text.parse::<std::net::Ipv4Addr>().is_ok() {
                *text = "ADDRESS".into();
            } else if chrono::DateTime::parse_from_rfc3339(text).is_ok() {
                *text = "TIME".into();
            } else if key == "cells" && is_age(text) {
                *text = "AGE".into();
            } else if key == "message" {
                *text = general(text);
            }
        }
        _ => {}
    }
}

/// A message without the uids and addresses of this run, and without the objects that some messages quote at length.
fn general(text: &str) -> String {
    let uid = regex::Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap();
    let text = uid.replace_all(text, "UID").into_owned();
    // The real server draws the order of these from a map.
    if let Some((wrong, supported)) = text.split_once("supported values: ") {
        let mut supported: Vec<_> = supported.split(", ").collect();
        supported.sort_unstable();
        return format!("{wrong}supported values: {}", supported.join(", "));
    }
    let quoted = regex::Regex::new(r"(?s)(pod updates may not change fields other than).*").unwrap();
    quoted.replace_all(&text, "$1 ...").into_owned()
}

/// Causes are a set: two servers may find them in different orders.
fn order_causes(status: &mut serde_json::Map<String, Value>) {
    let Some(Value::Array(causes)) = status.get_mut("details").and_then(|d| d.get_mut("causes")) else { return };
    causes.sort_by_key(|c| (c["field"].to_string(), c["message"].to_string()));
    causes.dedup();
    status.insert("message".into(), "as the causes say".into());
}

async fn replay(name: &str) {
    let recorded: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file(name, "json")).unwrap()).unwrap();
    let (_, client) = super::in_process();
    let answers = run(&client, &script(name)).await;
    assert_eq!(answers.len(), recorded.len(), "{name}: record the answers anew");
    let mut differences = String::new();
    for (ours, real) in answers.iter().zip(&recorded) {
        if ours != real {
            let show = |v: &Value| serde_json::to_string(v).unwrap();
            let _ = writeln!(differences, "{}\n  real {}\n  ours {}", real["ask"], show(real), show(ours));
        }
    }
    assert!(differences.is_empty(), "{name} differs from a real API server:\n{differences}");
}

#[tokio::test]
async fn refusals_are_those_of_a_real_api_server() {
    replay("errors").await;
}

#[tokio::test]
async fn pods_are_judged_and_completed_as_by_a_real_api_server() {
    replay("pods").await;
}

#[tokio::test]
async fn writes_have_the_outcome_they_have_on_a_real_api_server() {
    replay("writing").await;
}

#[tokio::test]
async fn kinds_are_completed_and_printed_as_by_a_real_api_server() {
    replay("kinds").await;
}

#[tokio::test]
async fn custom_resources_are_those_of_a_real_api_server() {
    replay("custom").await;
}

#[tokio::test]
#[ignore = "needs a real API server, named by KUBECONFIG"]
async fn record_the_answers() {
    let client = Client::try_default().await.unwrap();
    for name in SCRIPTS {
        let answers = run(&client, &script(name)).await;
        std::fs::write(file(name, "json"), serde_json::to_string_pretty(&answers).unwrap() + "\n").unwrap();
    }
}

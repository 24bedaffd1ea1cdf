use axum::http::{Method, Request};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body as KubeBody;
use serde_json::Value;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::domain::policy::Key;
use crate::domain::policy::verification::VerificationStatus;

/// An API that knows one token, whose owner may get metrics only.
fn api() -> Client {
    let service = service_fn(|request: http::Request<KubeBody>| async move {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect_bytes().await.unwrap_or_default();
        let mut review: Value = serde_json::from_slice(&body).unwrap_or_default();
        review["status"] = match path.as_str() {
            "/apis/authentication.k8s.io/v1/tokenreviews" if review["spec"]["token"] == "down" => {
                return Ok::<_, std::convert::Infallible>(answer(500, &json!({"kind": "Status", "code": 500, "message": "down"})));
            }
            "/apis/authentication.k8s.io/v1/tokenreviews" if review["spec"]["token"] == "scraper" => {
                json!({"authenticated": true, "user": {"username": "prometheus", "groups": ["monitoring"]}})
            }
            "/apis/authentication.k8s.io/v1/tokenreviews" if review["spec"]["token"] == "anybody" => {
                json!({"authenticated": true, "user": {"username": "eve", "groups": ["system:authenticated"]}})
            }
            "/apis/authentication.k8s.io/v1/tokenreviews" if review["spec"]["token"] == "person" => {
                json!({"authenticated": true, "user": {"username": "ada", "groups": ["todo"]}})
            }
            "/apis/authentication.k8s.io/v1/tokenreviews" => json!({"authenticated": false}),
            "/apis/authorization.k8s.io/v1/subjectaccessreviews" => {
                let spec = &review["spec"];
                let (path, resource) = (&spec["nonResourceAttributes"], &spec["resourceAttributes"]);
                let allowed = match (spec["user"].as_str(), spec["groups"][0].as_str()) {
                    (Some("prometheus"), Some("monitoring")) => path == &json!({"path": "/metrics", "verb": "get"}),
                    // What every cluster grants to everybody that it knows.
                    (Some("eve"), _) => path["path"].as_str().is_some_and(|path| path.starts_with("/api/")),
                    (Some("ada"), Some("todo")) if resource.is_null() => path["verb"] == "get",
                    (Some("ada"), Some("todo")) => {
                        let (group, kind) = ("verifier.dev", "rolloutverifications");
                        resource == &json!({"namespace": "todo", "group": group, "resource": kind, "verb": "get"})
                    }
                    _ => false,
                };
                json!({"allowed": allowed})
            }
            other => panic!("{other} was asked"),
        };
        Ok(answer(201, &review))
    });
    Client::new(service, "default")
}

fn answer(status: u16, body: &Value) -> http::Response<KubeBody> {
    http::Response::builder().status(status).body(KubeBody::from(body.to_string().into_bytes())).unwrap()
}

struct Said {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: String,
}

/// Who shows a token that this API knows.
fn by_token() -> Access {
    Access::Token(Reviewer::new(api(), Clock::start()))
}

async fn ask(access: Access, path: &str, headers: &[(&str, &str)]) -> Said {
    ask_of(Board::default(), access, path, headers).await
}

async fn ask_of(board: Board, access: Access, path: &str, headers: &[(&str, &str)]) -> Said {
    let routes = routes(board, Metrics::default(), Clock::start(), Leadership::alone(), access);
    let mut request = Request::builder().method(Method::GET).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Said { status: head.status, headers: head.headers, body }
}

const GUARDED: [&str; 9] = [
    "/",
    "/page.js",
    "/page.css",
    "/metrics",
    "/api/v1/policies",
    "/api/v1/verifications",
    "/api/v1/runs/r-1/events",
    "/api/v1/runs/r-1/report",
    "/api/v1/runs/r-1/recording",
];

#[tokio::test]
async fn every_route_but_health_needs_a_token_that_may_get_it() {
    for path in GUARDED {
        let of = |token: &'static str| async move { ask(by_token(), path, &[("authorization", token)]).await };
        let nobody = ask(by_token(), path, &[]).await;
        assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(nobody.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer, Basic realm="));
        assert_eq!(of("Bearer stranger").await.status, StatusCode::UNAUTHORIZED, "{path}");
        // Not base64; `scraper` without a colon; and `name:stranger`.
        for basic in ["Basic scraper", "Basic c2NyYXBlcg==", "Basic bmFtZTpzdHJhbmdlcg=="] {
            assert_eq!(of(basic).await.status, StatusCode::UNAUTHORIZED, "{path} {basic}");
        }
        // `name:person`, as a browser sends it.
        let person = of("Basic bmFtZTpwZXJzb24=").await.status;
        let is_run = path.starts_with("/api/v1/runs/");
        assert_eq!(person, if is_run { StatusCode::NOT_FOUND } else { StatusCode::OK }, "{path}");
        assert_eq!(of("Bearer ").await.status, StatusCode::UNAUTHORIZED, "{path}");
        let scraper = of("Bearer scraper").await;
        assert_eq!(scraper.status, if path == "/metrics" { StatusCode::OK } else { StatusCode::FORBIDDEN }, "{path}");
        assert_eq!(of("Bearer anybody").await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(of("Bearer down").await.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    assert_eq!(ask(by_token(), "/livez", &[]).await.status, StatusCode::OK);
    assert_eq!(ask(by_token(), "/readyz", &[]).await.status, StatusCode::SERVICE_UNAVAILABLE, "nothing was listed yet");
}

#[tokio::test]
async fn who_can_send_no_probe_any_more_is_not_kept_alive() {
    let board = Board::default();
    assert_eq!(ask_of(board.clone(), by_token(), "/livez", &[]).await.status, StatusCode::OK);
    board.went_blind();
    assert_eq!(ask_of(board, by_token(), "/livez", &[]).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn on_loopback_it_is_open_to_loopback_names_only() {
    for host in ["localhost", "127.0.0.1:9090", "[::1]:9090", "LOCALHOST:1"] {
        assert_eq!(ask(Access::Loopback, "/metrics", &[("host", host)]).await.status, StatusCode::OK, "{host}");
    }
    for host in ["evil.example", "evil.example:9090", "10.0.0.1", "localhost.evil.example", ""] {
        assert_eq!(ask(Access::Loopback, "/metrics", &[("host", host)]).await.status, StatusCode::FORBIDDEN, "{host}");
    }
    assert_eq!(ask(Access::Loopback, "/metrics", &[]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn every_answer_tells_the_browser_what_it_may_not_do() {
    let host = [("host", "localhost")];
    for path in GUARDED {
        let said = ask(Access::Loopback, path, &host).await;
        assert_eq!(
            (&said.headers[header::X_CONTENT_TYPE_OPTIONS], &said.headers[header::CACHE_CONTROL]),
            (&"nosniff".parse().unwrap(), &"no-store".parse().unwrap()),
            "{path}"
        );
    }
    let page = ask(Access::Loopback, "/", &host).await;
    assert_eq!(page.headers[header::CONTENT_SECURITY_POLICY], PAGE_POLICY);
    // Neither the page nor what it loads names another place, and nothing of it is inline.
    for path in ["/", "/page.js", "/page.css"] {
        let text = ask(Access::Loopback, path, &host).await.body;
        for word in ["http:", "https:", "//cdn", "@import", "url(", "innerHTML", "<style", "style=", "onclick", "eval("] {
            assert!(!text.contains(word), "{path} has {word}");
        }
    }
    assert_eq!(page.body.matches("<script").count(), page.body.matches("<script src=\"page.js\" defer></script>").count());
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    for path in ["/api/v1/runs/r-1/events", "/api/v1/runs/r-1/report", "/api/v1/runs/r-1/recording"] {
        assert_eq!(ask(Access::Loopback, path, &[("host", "localhost")]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_viewer_is_told_of_the_namespaces_that_he_may_see_into() {
    let board = Board::default();
    for (namespace, run) in [("todo", "r-1"), ("secret", "r-2")] {
        let status = VerificationStatus { run_id: run.into(), ..VerificationStatus::default() };
        board.verification(&Key::new(namespace, "backend"), "v", &status, "then", None);
        board.report(run, format!("<p>{namespace}</p>"));
    }
    let person = [("authorization", "Bearer person")];
    let said = ask_of(board.clone(), by_token(), "/api/v1/verifications", &person).await;
    assert!(said.body.contains("\"todo\"") && !said.body.contains("secret"), "{}", said.body);
    let report = |run: &str| {
        let path = format!("/api/v1/runs/{run}/report");
        let board = board.clone();
        async move { ask_of(board, by_token(), &path, &person).await }
    };
    assert_eq!((report("r-1").await.status, report("r-2").await.status), (StatusCode::OK, StatusCode::NOT_FOUND));
    let all = ask_of(board, Access::Loopback, "/api/v1/verifications", &[("host", "localhost")]).await;
    assert!(all.body.contains("secret"), "{}", all.body);
}

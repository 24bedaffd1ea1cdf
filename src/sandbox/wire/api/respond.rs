//! Answers: JSON or YAML, with warnings, and errors as `Status`.

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WARNING};
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;

use crate::sandbox::model::error::ApiError;

/// As many warnings as are sent with one answer, and their longest text.
const MOST_WARNINGS: usize = 32;
const LONGEST_WARNING: usize = 256;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    pub(super) yaml: bool,
    pub(super) pretty: bool,
}

/// A body with its type.
pub(super) fn body(code: StatusCode, kind: &'static str, bytes: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Plain text.
pub(super) fn text(code: u16, text: &str) -> Response<Body> {
    body(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "text/plain; charset=utf-8", text.to_owned())
}

/// A value.
pub(super) fn value(code: u16, value: &Value, style: Style) -> Response<Body> {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if style.yaml {
        body(code, "application/yaml", serde_saphyr::to_string(value).unwrap_or_default())
    } else {
        let written = if style.pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
        let mut bytes = written.unwrap_or_default();
        bytes.push(b'\n');
        body(code, "application/json", bytes)
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A refusal.
pub(super) fn error(error: &ApiError, style: Style) -> Response<Body> {
    let mut response = value(error.code(), &error.to_status(), style);
    let wait = error.details().and_then(|d| d["retryAfterSeconds"].as_i64());
    if let Some(seconds) = wait.or((error.code() == 429).then_some(1)) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Adds warnings to an answer.
pub(super) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings.iter().take(MOST_WARNINGS) {
        let text: String = warning.chars().filter(|c| !c.is_control()).take(LONGEST_WARNING).collect();
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(header) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, header);
        }
    }
}

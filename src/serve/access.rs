//! Who may see it: one layer before every route.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kube::Client;

use crate::cluster::chain;
use crate::cluster::review::{self, Access as Granted};
use crate::domain::secret::Secret;

/// The longest token that is looked at.
const TOKEN_MAX: usize = 16 * 1024;

/// Who may see it.
#[derive(Clone)]
pub enum Access {
    /// Whoever is on this machine. A page from elsewhere that a browser was led to believe is here names another host.
    Loopback,
    /// Whoever has a token that the API grants the path to.
    Token(Client),
}

pub(super) async fn check(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match &*access {
        Access::Loopback if names_loopback(request.headers()) => next.run(request).await,
        Access::Loopback => refuse(StatusCode::FORBIDDEN, "this is open to names of the loopback only\n"),
        Access::Token(client) => {
            let Some(token) = bearer(request.headers()) else {
                return unauthorized("a bearer token is needed\n");
            };
            match review::may_get(client, &token, request.uri().path()).await {
                Ok(Granted::Allowed) => next.run(request).await,
                Ok(Granted::Forbidden) => refuse(StatusCode::FORBIDDEN, "the token's owner may not get this path\n"),
                Ok(Granted::Unknown) => unauthorized("the token is not valid\n"),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "a token could not be reviewed");
                    refuse(StatusCode::SERVICE_UNAVAILABLE, "the token cannot be reviewed now\n")
                }
            }
        }
    }
}

fn refuse(status: StatusCode, why: &'static str) -> Response {
    (status, why).into_response()
}

fn unauthorized(why: &'static str) -> Response {
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], why).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= TOKEN_MAX).then(|| Secret::new(token))
}

/// Whether the request is for a name of the loopback.
fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

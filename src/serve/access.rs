//! Who may see it, and of which namespaces: one layer before every route.
//!
//! A token comes as `Authorization: Bearer`, or as the password of `Basic`, which is how a browser asks for one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::Client;

use crate::clock::Clock;
use crate::cluster::review::{self, Sight};
use crate::cluster::{ClusterError, chain};
use crate::domain::secret::Secret;
use crate::domain::time::At;

/// The longest token that is looked at.
const TOKEN_MAX: usize = 16 * 1024;
/// What the API has answered is believed for so long: a page asks every two seconds.
const BELIEVED: Duration = Duration::from_secs(15);
/// Answers that are remembered.
const ANSWERS: usize = 1_000;
/// What a client is told that shows no valid token.
const CHALLENGE: &str = "Bearer, Basic realm=\"verifier: any name, and a token of the cluster as password\"";

/// Who may see it.
#[derive(Clone)]
pub enum Access {
    /// Whoever is on this machine. A page from elsewhere that a browser was led to believe is here names another host.
    Loopback,
    /// Whoever has a token that the API grants the path to.
    Token(Reviewer),
}

/// Asks the API about tokens, and remembers its answers for a while.
#[derive(Clone)]
pub struct Reviewer {
    client: Client,
    clock: Clock,
    owners: Arc<Memory<String, Option<UserInfo>>>,
    rights: Arc<Memory<(String, Sight), bool>>,
}

impl Reviewer {
    /// Nothing is known yet.
    pub fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock, owners: Arc::default(), rights: Arc::default() }
    }

    async fn owner(&self, token: &Secret) -> Result<Option<UserInfo>, ClusterError> {
        if let Some(known) = recall(&self.owners, &token.expose().to_owned(), self.clock.now()) {
            return Ok(known);
        }
        let owner = review::owner(&self.client, token).await?;
        keep(&self.owners, token.expose().to_owned(), owner.clone(), self.clock.now());
        Ok(owner)
    }

    async fn may(&self, user: &UserInfo, sight: Sight) -> Result<bool, ClusterError> {
        let question = (format!("{:?}", (&user.username, &user.uid, &user.groups)), sight);
        if let Some(known) = recall(&self.rights, &question, self.clock.now()) {
            return Ok(known);
        }
        let may = review::may(&self.client, user, &question.1).await?;
        keep(&self.rights, question, may, self.clock.now());
        Ok(may)
    }
}

type Memory<K, V> = Mutex<BTreeMap<K, (At, V)>>;

fn recall<K: Ord, V: Clone>(memory: &Memory<K, V>, key: &K, now: At) -> Option<V> {
    let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    memory.get(key).filter(|(at, _)| now < *at + BELIEVED).map(|(_, value)| value.clone())
}

fn keep<K: Ord, V>(memory: &Memory<K, V>, key: K, value: V, now: At) {
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    memory.retain(|_, (at, _)| now < *at + BELIEVED);
    if memory.len() < ANSWERS {
        memory.insert(key, (now, value));
    }
}

/// Whoever asks, once let in.
#[derive(Clone)]
pub(super) enum Viewer {
    /// Somebody on this machine, who sees everything.
    Local,
    /// The owner of a token.
    Owner(Reviewer, Box<UserInfo>),
}

impl Viewer {
    /// Whether the verifications of this namespace are for him.
    pub(super) async fn may_see(&self, namespace: &str) -> bool {
        match self {
            Self::Local => true,
            Self::Owner(reviewer, user) => match reviewer.may(user, Sight::Namespace(namespace.into())).await {
                Ok(may) => may,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "what somebody may see could not be reviewed");
                    false
                }
            },
        }
    }
}

pub(super) async fn check(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    match &*access {
        Access::Loopback if names_loopback(request.headers()) => {
            request.extensions_mut().insert(Viewer::Local);
            next.run(request).await
        }
        Access::Loopback => refuse(StatusCode::FORBIDDEN, "this is open to names of the loopback only\n"),
        Access::Token(reviewer) => {
            let Some(token) = token(request.headers()) else {
                return unauthorized("a token of the cluster is needed\n");
            };
            match admitted(reviewer, &token, request.uri().path()).await {
                Ok(Some((user, true))) => {
                    request.extensions_mut().insert(Viewer::Owner(reviewer.clone(), Box::new(user)));
                    next.run(request).await
                }
                Ok(Some((_, false))) => refuse(StatusCode::FORBIDDEN, "the token's owner may not get this path\n"),
                Ok(None) => unauthorized("the token is not valid\n"),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "a token could not be reviewed");
                    refuse(StatusCode::SERVICE_UNAVAILABLE, "the token cannot be reviewed now\n")
                }
            }
        }
    }
}

/// The owner of the token, and whether the path is for him.
async fn admitted(reviewer: &Reviewer, token: &Secret, path: &str) -> Result<Option<(UserInfo, bool)>, ClusterError> {
    let Some(user) = reviewer.owner(token).await? else { return Ok(None) };
    let may = reviewer.may(&user, Sight::Path(granted_as(path))).await?;
    Ok(Some((user, may)))
}

/// The path that a role names for a path of ours. Kubernetes grants `/api/*` to everybody that it knows (`system:discovery`), and means its own.
fn granted_as(path: &str) -> String {
    if path.starts_with("/api/") { format!("/verifier.dev{path}") } else { path.to_owned() }
}

fn refuse(status: StatusCode, why: &'static str) -> Response {
    (status, why).into_response()
}

fn unauthorized(why: &'static str) -> Response {
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, CHALLENGE)], why).into_response()
}

/// The token that a request shows.
fn token(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        rest.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
        decoded.split_once(':')?.1.to_owned()
    } else {
        return None;
    };
    (!token.is_empty() && token.len() <= TOKEN_MAX).then(|| Secret::new(token))
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

//! Whether a bearer token may see something of ours: asked of the API, which knows its users and their roles.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

use super::ClusterError;
use crate::domain::secret::Secret;

/// What the API says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It belongs to somebody who may.
    Allowed,
    /// It belongs to somebody who may not.
    Forbidden,
    /// It belongs to nobody.
    Unknown,
}

/// Asks whether the owner of `token` may `get` the path.
pub async fn may_get(client: &Client, token: &Secret, path: &str) -> Result<Access, ClusterError> {
    let review = TokenReview {
        spec: TokenReviewSpec { token: Some(token.expose().into()), ..TokenReviewSpec::default() },
        ..TokenReview::default()
    };
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let reviewed = reviews.create(&PostParams::default(), &review).await.map_err(ClusterError::new("review a token"))?;
    let status = reviewed.status.unwrap_or_default();
    let (true, Some(user)) = (status.authenticated.unwrap_or(false), status.user) else { return Ok(Access::Unknown) };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
            non_resource_attributes: Some(NonResourceAttributes { path: Some(path.into()), verb: Some("get".into()) }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let reviewed = reviews.create(&PostParams::default(), &review).await.map_err(ClusterError::new("review an access"))?;
    let allowed = reviewed.status.is_some_and(|s| s.allowed && s.denied != Some(true));
    Ok(if allowed { Access::Allowed } else { Access::Forbidden })
}

//! Who the owner of a bearer token is and what he may see of ours: asked of the API, which knows its users and their roles.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::ClusterError;
use crate::domain::secret::Secret;

/// Something of ours that somebody wants to see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// To `get` a path of the service.
    Path(String),
    /// To `get` the verifications of a namespace.
    Namespace(String),
}

/// The owner of a token, as the API knows him; nobody when it does not.
pub async fn owner(client: &Client, token: &Secret) -> Result<Option<UserInfo>, ClusterError> {
    let review = TokenReview {
        spec: TokenReviewSpec { token: Some(token.expose().into()), ..TokenReviewSpec::default() },
        ..TokenReview::default()
    };
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let reviewed = reviews.create(&PostParams::default(), &review).await.map_err(ClusterError::new("review a token"))?;
    let status = reviewed.status.unwrap_or_default();
    Ok(status.user.filter(|_| status.authenticated.unwrap_or(false)))
}

/// Whether somebody may see it.
pub async fn may(client: &Client, user: &UserInfo, sight: &Sight) -> Result<bool, ClusterError> {
    let get = || Some("get".to_owned());
    let (path, resource) = match sight {
        Sight::Path(path) => (Some(NonResourceAttributes { path: Some(path.clone()), verb: get() }), None),
        Sight::Namespace(namespace) => {
            let resource = ResourceAttributes {
                namespace: Some(namespace.clone()),
                group: Some("verifier.dev".into()),
                resource: Some("rolloutverifications".into()),
                verb: get(),
                ..ResourceAttributes::default()
            };
            (None, Some(resource))
        }
    };
    let user = user.clone();
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
            non_resource_attributes: path,
            resource_attributes: resource,
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let reviewed = reviews.create(&PostParams::default(), &review).await.map_err(ClusterError::new("review an access"))?;
    Ok(reviewed.status.is_some_and(|s| s.allowed && s.denied != Some(true)))
}

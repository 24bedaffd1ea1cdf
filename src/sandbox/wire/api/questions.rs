//! Kinds that are answered and not stored: who am I, may I, whose token is this. Whoever has the token may do everything.

use axum::body::Body;
use http::Response;
use serde_json::{Value, json};

use super::path::Verb;
use super::{Call, respond};
use crate::sandbox::model::discovery::Question;
use crate::sandbox::model::error::ApiError;

/// The one user there is.
pub(super) const USER: &str = "kubernetes-admin";

fn user() -> Value {
    json!({"username": USER, "groups": ["system:masters", "system:authenticated"]})
}

impl Call {
    /// Answers a question.
    pub(super) fn question(self, question: &Question) -> Result<Response<Body>, ApiError> {
        if self.verb != Verb::Create {
            return Err(ApiError::method_not_allowed());
        }
        if question.plural == "bindings" {
            let pods =
                self.world.read(|store| store.registry().find("", "v1", "pods").cloned()).ok_or_else(ApiError::no_such_resource)?;
            return self.bind(pods);
        }
        let mut answer = self.json()?;
        if !answer.is_object() {
            return Err(ApiError::bad_request(format!("a {} is expected", question.kind)));
        }
        answer["kind"] = question.kind.into();
        answer["apiVersion"] = format!("{}/v1", question.group).into();
        answer["status"] = match question.kind {
            "SelfSubjectReview" => json!({"userInfo": user()}),
            "TokenReview" => {
                let known = answer["spec"]["token"].as_str().is_some_and(|token| self.knows_token(token));
                if known { json!({"authenticated": true, "user": user()}) } else { json!({"error": "invalid bearer token"}) }
            }
            "SelfSubjectRulesReview" => json!({
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}], "incomplete": false
            }),
            "SubjectAccessReview" if answer["spec"]["user"] != USER && !is_master(&answer["spec"]["groups"]) => {
                json!({"allowed": false, "reason": "the sandbox knows one user only"})
            }
            _ => json!({"allowed": true}),
        };
        Ok(respond::value(201, &answer, self.style()))
    }
}

fn is_master(groups: &Value) -> bool {
    groups.as_array().is_some_and(|g| g.iter().any(|g| g == "system:masters"))
}

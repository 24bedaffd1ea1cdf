//! The API's errors: `metav1.Status` as the real server words them.

use serde_json::{Map, Value, json};

use super::field::Causes;

/// A refusal. Boxed inside, for results are passed around a lot.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct ApiError(Box<Refusal>);

#[derive(Clone, Debug, PartialEq)]
struct Refusal {
    code: u16,
    reason: &'static str,
    message: String,
    details: Option<Value>,
    resume: Option<String>,
}

/// What an error is about: the group and its plural or its kind.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// API group, empty for the core group.
    pub group: &'a str,
    /// Plural, or kind for a 422.
    pub kind: &'a str,
}

impl About<'_> {
    fn qualified(self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }

    fn details(self, name: &str) -> Value {
        let mut details = Map::new();
        for (key, value) in [("name", name), ("group", self.group), ("kind", self.kind)] {
            if !value.is_empty() {
                details.insert(key.into(), value.into());
            }
        }
        Value::Object(details)
    }
}

impl ApiError {
    /// Any refusal.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>, details: Option<Value>) -> Self {
        Self(Box::new(Refusal { code, reason, message: message.into(), details, resume: None }))
    }

    /// 404 of an object.
    pub fn not_found(about: About<'_>, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", about.qualified()), Some(about.details(name)))
    }

    /// 404 of a path.
    pub fn no_such_resource() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource", Some(json!({})))
    }

    /// 405
    pub fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", Some(json!({})))
    }

    /// 409 on create; it says so if the one that is there is on its way out.
    pub fn already_exists(about: About<'_>, name: &str, deleting: bool) -> Self {
        let note = if deleting { "object is being deleted: " } else { "" };
        Self::new(409, "AlreadyExists", format!("{note}{} {name:?} already exists", about.qualified()), Some(about.details(name)))
    }

    /// 409 of a precondition.
    pub fn conflict(about: About<'_>, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", about.qualified());
        Self::new(409, "Conflict", message, Some(about.details(name)))
    }

    /// 409 of a stale resourceVersion.
    pub fn modified(about: About<'_>, name: &str) -> Self {
        Self::conflict(about, name, "the object has been modified; please apply your changes to the latest version and try again")
    }

    /// 409 of a server-side apply; `causes` are complete.
    pub fn apply_conflict(message: String, causes: Vec<Value>) -> Self {
        let details = Value::Object(Map::from_iter([("causes".to_owned(), Value::Array(causes))]));
        Self::new(409, "Conflict", message, Some(details))
    }

    /// 403
    pub fn forbidden(about: About<'_>, name: &str, why: &str) -> Self {
        let subject = if name.is_empty() { about.qualified() } else { format!("{} {name:?}", about.qualified()) };
        Self::new(403, "Forbidden", format!("{subject} is forbidden: {why}"), Some(about.details(name)))
    }

    /// 422; `about` names the kind, not the plural.
    pub fn invalid(about: About<'_>, name: &str, causes: &Causes) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for cause in &causes.0 {
            let text = cause.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let all = if let [one] = texts.as_slice() { one.clone() } else { format!("[{}]", texts.join(", ")) };
        let mut details = about.details(name);
        details["causes"] = causes.0.iter().map(super::field::Cause::to_json).collect();
        Self::new(422, "Invalid", format!("{} {name:?} is invalid: {all}", about.qualified()), Some(details))
    }

    /// 400
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message, None)
    }

    /// 410 of a version that is no longer kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message, None)
    }

    /// With a token to continue a list with all the same.
    pub fn with_continue(mut self, token: String) -> Self {
        self.0.resume = Some(token);
        self
    }

    /// 429 with a time to wait.
    pub fn too_many_requests(message: impl Into<String>, details: Value) -> Self {
        Self::new(429, "TooManyRequests", message, Some(details))
    }

    /// 500
    pub fn internal(message: &str) -> Self {
        let details = json!({"causes": [{"message": message}]});
        Self::new(500, "InternalError", format!("Internal error occurred: {message}"), Some(details))
    }

    /// The HTTP status.
    pub fn code(&self) -> u16 {
        self.0.code
    }

    /// The machine-readable reason.
    pub fn reason(&self) -> &'static str {
        self.0.reason
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The details, where there are any.
    pub fn details(&self) -> Option<&Value> {
        self.0.details.as_ref()
    }

    /// The body of the answer.
    pub fn to_status(&self) -> Value {
        let mut status =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.0.message});
        if let Some(token) = &self.0.resume {
            status["metadata"]["continue"] = token.clone().into();
        }
        if !self.0.reason.is_empty() {
            status["reason"] = self.0.reason.into();
        }
        if let Some(details) = &self.0.details {
            status["details"] = details.clone();
        }
        status["code"] = self.0.code.into();
        status
    }
}

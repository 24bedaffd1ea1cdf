//! The query of a request, read into what the store understands.

use axum::extract::Query;
use http::Uri;
use serde_json::Value;

use crate::sandbox::model::error::{About, ApiError};
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::object::parse_time;
use crate::sandbox::model::selector::{FieldSelector, LabelSelector, selectable_fields};
use crate::sandbox::model::store::{DeleteOptions, FieldValidation, ListQuery, Options, Propagation, Selection, Version};

/// The parameters of a query.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn read(uri: &Uri) -> Result<Self, ApiError> {
        Query::try_from_uri(uri).map(|Query(pairs)| Self(pairs)).map_err(|e| ApiError::bad_request(e.to_string()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// An empty value is that of a bare `?watch`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| !["false", "0"].contains(&v))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.get(name).filter(|t| !t.is_empty()) else { return Ok(None) };
        let wrong = |_| ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
        text.parse().map(Some).map_err(wrong)
    }

    fn dry_run(&self, of: &str) -> Result<bool, ApiError> {
        dry_run(&self.0.iter().filter(|(k, _)| k == "dryRun").map(|(_, v)| v.as_str()).collect::<Vec<_>>(), of)
    }

    /// How to write. Without a `fieldManager` the first word of the client's name stands in, except for an apply.
    pub(super) fn options(&self, of: &str, agent: &str, applies: bool) -> Result<Options, ApiError> {
        let named = self.get("fieldManager").unwrap_or_default();
        let fallback = if applies { "" } else { agent };
        Ok(Options {
            dry_run: self.dry_run(of)?,
            manager: if named.is_empty() { fallback } else { named }.to_owned(),
            fields: match self.get("fieldValidation").unwrap_or_default() {
                "" | "Warn" => FieldValidation::Warn,
                "Strict" => FieldValidation::Strict,
                "Ignore" => FieldValidation::Ignore,
                other => {
                    return Err(wrong_option(of, |c| {
                        c.not_supported(&Path::Root.field("fieldValidation"), other, &["Ignore", "Strict", "Warn"]);
                    }));
                }
            },
            force: self.flag("force"),
        })
    }

    /// Which objects.
    pub(super) fn selection(&self, resource: &str) -> Result<Selection, ApiError> {
        let labels = LabelSelector::parse(self.get("labelSelector").unwrap_or_default()).map_err(ApiError::bad_request)?;
        let fields = FieldSelector::parse(self.get("fieldSelector").unwrap_or_default(), selectable_fields(resource))
            .map_err(ApiError::bad_request)?;
        Ok(Selection { labels, fields })
    }

    /// What to list.
    pub(super) fn list(&self, resource: &str, namespace: Option<&str>) -> Result<ListQuery, ApiError> {
        let version = self.version()?;
        Ok(ListQuery {
            namespace: namespace.map(str::to_owned),
            selection: self.selection(resource)?,
            limit: self.number("limit")?.and_then(|n| usize::try_from(n).ok()),
            resume: self.get("continue").filter(|t| !t.is_empty()).map(str::to_owned),
            version: match (version, self.get("resourceVersionMatch").unwrap_or_default()) {
                (None, _) => Version::Latest,
                (Some(version), "Exact") => Version::Exact(version),
                (Some(version), _) => Version::NotOlderThan(version),
            },
        })
    }

    /// The resourceVersion.
    pub(super) fn version(&self) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get("resourceVersion").filter(|t| !t.is_empty()) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            ApiError::bad_request(format!(
                "invalid resource version: resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })
    }

    /// How to delete: what the body says, and where it is silent the query.
    pub(super) fn delete_options(&self, body: &Value) -> Result<DeleteOptions, ApiError> {
        const OF: &str = "DeleteOptions";
        let listed: Vec<&str> = body["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let policy = body["propagationPolicy"].as_str().or_else(|| self.get("propagationPolicy")).unwrap_or_default();
        let orphans = body["orphanDependents"].as_bool().or_else(|| self.get("orphanDependents").map(|v| v == "true"));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Ok(DeleteOptions {
            dry_run: dry_run(&listed, OF)? || self.dry_run(OF)?,
            grace: match body["gracePeriodSeconds"].as_i64() {
                Some(seconds) => Some(seconds),
                None => self.number("gracePeriodSeconds")?,
            },
            propagation: match (policy, orphans) {
                ("Orphan", _) | ("", Some(true)) => Some(Propagation::Orphan),
                ("Background", _) | ("", Some(false)) => Some(Propagation::Background),
                ("Foreground", _) => Some(Propagation::Foreground),
                ("", None) => None,
                (other, _) => {
                    let known = ["Foreground", "Background", "Orphan", "nil"];
                    return Err(wrong_option(OF, |c| c.not_supported(&Path::Root.field("propagationPolicy"), other, &known)));
                }
            },
            uid: text(&body["preconditions"]["uid"]),
            version: text(&body["preconditions"]["resourceVersion"]),
        })
    }

    /// Since when, as a log query says it.
    pub(super) fn since_time(&self) -> Option<crate::sandbox::model::object::Now> {
        self.get("sinceTime").and_then(|t| parse_time(&t.into()))
    }
}

fn dry_run(given: &[&str], of: &str) -> Result<bool, ApiError> {
    if given.iter().any(|g| *g != "All") {
        let given: Vec<Value> = given.iter().map(|g| (*g).into()).collect();
        return Err(wrong_option(of, |c| c.not_supported(&Path::Root.field("dryRun"), given, &["All"])));
    }
    Ok(!given.is_empty())
}

fn wrong_option(of: &str, wrong: impl FnOnce(&mut Causes)) -> ApiError {
    let mut causes = Causes::default();
    wrong(&mut causes);
    ApiError::invalid(About { group: "meta.k8s.io", kind: of }, "", &causes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(query: &str) -> Params {
        Params::read(&format!("/x?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn queries_are_read() {
        let p =
            params("watch&limit=5&labelSelector=a%3Db%2Cc&resourceVersion=7&resourceVersionMatch=Exact&dryRun=All&fieldManager=m");
        assert!(p.flag("watch"));
        let list = p.list("pods", Some("n")).unwrap();
        assert_eq!((list.limit, list.version, list.selection.labels.to_string()), (Some(5), Version::Exact(7), "a=b,c".into()));
        let options = p.options("CreateOptions", "kubectl", false).unwrap();
        assert_eq!((options.dry_run, options.manager.as_str(), options.fields), (true, "m", FieldValidation::Warn));
        assert_eq!(params("").options("PatchOptions", "kubectl", false).unwrap().manager, "kubectl");
        assert_eq!(params("").options("PatchOptions", "kubectl", true).unwrap().manager, "");
        let error = params("dryRun=foo").options("CreateOptions", "", false).unwrap_err();
        assert_eq!(
            error.message(),
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"foo\"]: supported values: \"All\""
        );
    }

    #[test]
    fn the_body_of_a_deletion_has_the_first_word() {
        let body = json!({"propagationPolicy": "Foreground", "gracePeriodSeconds": 3, "preconditions": {"uid": "u"}});
        let options = params("propagationPolicy=Orphan&gracePeriodSeconds=9").delete_options(&body).unwrap();
        assert_eq!(
            (options.propagation, options.grace, options.uid.as_deref()),
            (Some(Propagation::Foreground), Some(3), Some("u"))
        );
        let options = params("gracePeriodSeconds=9&orphanDependents=true").delete_options(&Value::Null).unwrap();
        assert_eq!((options.propagation, options.grace), (Some(Propagation::Orphan), Some(9)));
        assert_eq!(params("propagationPolicy=Foo").delete_options(&Value::Null).unwrap_err().code(), 422);
    }
}

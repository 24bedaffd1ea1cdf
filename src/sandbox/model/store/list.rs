//! Lists, page by page and as of a version, and what a change means to a watcher.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::shelf::Change;
use super::{Store, Stored};
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::object::{Resource, name, namespace};
use crate::sandbox::model::selector::{FieldSelector, LabelSelector};

const TOO_OLD: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// Which objects one wants to see.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// By labels.
    pub labels: LabelSelector,
    /// By fields.
    pub fields: FieldSelector,
}

impl Selection {
    /// Is an object among them?
    pub fn holds(&self, object: &Value) -> bool {
        self.labels.matches(&object["metadata"]["labels"]) && self.fields.matches(object)
    }
}

/// As of which version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Now.
    #[default]
    Latest,
    /// Now, if that is not before this version.
    NotOlderThan(u64),
    /// Then.
    Exact(u64),
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// In which namespace; all if none.
    pub namespace: Option<String>,
    /// Which objects.
    pub selection: Selection,
    /// At most so many.
    pub limit: Option<usize>,
    /// Where the page before this one ended.
    pub resume: Option<String>,
    /// As of when.
    pub version: Version,
}

/// One page.
#[derive(Debug)]
pub struct Page {
    /// The objects, by namespace and name.
    pub items: Vec<Stored>,
    /// The version they are as of.
    pub version: u64,
    /// How to get the next page, if there is one.
    pub resume: Option<String>,
    /// How many are left; unknown when the list is selected.
    pub remaining: Option<usize>,
}

impl Store {
    /// Lists objects of a resource.
    pub fn page(&self, resource: &Resource, query: &ListQuery) -> Result<Page, ApiError> {
        let (start, version) = match (&query.resume, query.version) {
            (Some(token), Version::Latest | Version::NotOlderThan(0)) => {
                let (key, version) = read_token(token)?;
                (Some(key), version)
            }
            (Some(_), _) => return Err(ApiError::bad_request("specifying resource version is not allowed when using continue")),
            (None, Version::Exact(version)) => (None, Some(version)),
            (None, Version::NotOlderThan(version)) => {
                self.not_before(version)?;
                (None, None)
            }
            (None, Version::Latest) => (None, None),
        };
        let mut all = self.as_of(resource, version, start.as_ref(), query.resume.is_some())?;
        if let Some(namespace) = &query.namespace {
            all.retain(|s| super::object::namespace(&s.object) == namespace);
        }
        let key = |s: &Stored| (namespace(&s.object).to_owned(), name(&s.object).to_owned());
        if let Some(start) = &start {
            all.retain(|s| key(s) > *start);
        }
        let selective = !query.selection.labels.is_empty() || !query.selection.fields.is_empty();
        all.retain(|s| query.selection.holds(&s.object));
        let version = version.unwrap_or(self.version);
        let limit = query.limit.filter(|l| *l > 0 && *l < all.len());
        let left = limit.map(|l| all.len() - l);
        all.truncate(limit.unwrap_or(all.len()));
        let resume = left.and_then(|_| all.last()).map(|last| token(&key(last), Some(version)));
        Ok(Page { items: all, version, resume, remaining: left.filter(|_| !selective) })
    }

    fn as_of(
        &self,
        resource: &Resource,
        version: Option<u64>,
        start: Option<&(String, String)>,
        paging: bool,
    ) -> Result<Vec<Stored>, ApiError> {
        let Some(shelf) = self.shelves.get(resource) else { return Ok(Vec::new()) };
        match version {
            None => Ok(shelf.iter(None).cloned().collect()),
            Some(version) => {
                self.not_before(version)?;
                match shelf.at(version) {
                    Some(objects) => Ok(objects.into_values().collect()),
                    None if paging => {
                        let again = start.map(|key| token(key, None)).unwrap_or_default();
                        Err(ApiError::expired(TOO_OLD).with_continue(again))
                    }
                    None => Err(ApiError::expired("The resourceVersion for the provided list is too old.")),
                }
            }
        }
    }

    /// Has this version been reached?
    pub fn not_before(&self, version: u64) -> Result<(), ApiError> {
        if version <= self.version {
            return Ok(());
        }
        let message = format!("Timeout: Too large resource version: {version}, current: {}", self.version);
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        Err(ApiError::new(504, "Timeout", message, Some(json!({"causes": [cause], "retryAfterSeconds": 1}))))
    }
}

fn token((namespace, name): &(String, String), version: Option<u64>) -> String {
    let version = version.map_or_else(|| json!(-1), |v| json!(v));
    URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": version, "start": format!("{namespace}/{name}\u{0}")}).to_string())
}

type Start = ((String, String), Option<u64>);

fn read_token(token: &str) -> Result<Start, ApiError> {
    let wrong = |why: &str| ApiError::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|e| wrong(&e.to_string()))?;
    let read: Value = serde_json::from_slice(&bytes).map_err(|e| wrong(&e.to_string()))?;
    if read["v"] != "meta.k8s.io/v1" {
        return Err(wrong("server does not recognize this encoded version"));
    }
    let key = read["start"]
        .as_str()
        .and_then(|s| s.trim_end_matches('\u{0}').split_once('/'))
        .ok_or_else(|| wrong("encoded start key empty"))?;
    Ok(((key.0.to_owned(), key.1.to_owned()), read["rv"].as_u64()))
}

/// What a watcher is told.
#[derive(Debug, PartialEq)]
pub struct Event {
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub kind: &'static str,
    /// The object. One that is gone is shown as it last was, with the version at which it went.
    pub stored: Stored,
}

/// What a change means to a watcher of a selection: an object that enters it is added, one that leaves it is deleted.
pub fn event_of(change: &Change, namespace: Option<&str>, selection: &Selection) -> Option<Event> {
    let sees = |stored: &&Stored| {
        namespace.is_none_or(|n| super::object::namespace(&stored.object) == n) && selection.holds(&stored.object)
    };
    match (change.old.as_ref().filter(sees), change.new.as_ref().filter(sees)) {
        (None, None) => None,
        (None, Some(new)) => Some(Event { kind: "ADDED", stored: new.clone() }),
        (Some(_), Some(new)) => Some(Event { kind: "MODIFIED", stored: new.clone() }),
        (Some(old), None) => {
            let mut object = Value::clone(&old.object);
            object["metadata"]["resourceVersion"] = change.version.to_string().into();
            Some(Event { kind: "DELETED", stored: Stored { object: object.into(), managed: old.managed.clone() } })
        }
    }
}

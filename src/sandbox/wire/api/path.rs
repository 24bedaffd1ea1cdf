//! What a request's path asks for.

use http::Method;

/// A path below `/api` or `/apis` that names a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: String,
    pub(super) plural: String,
    pub(super) name: String,
    pub(super) sub: String,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `/api` or `/apis`
    Root { core: bool },
    /// `/apis/GROUP`
    Group(String),
    /// `/api/v1` or `/apis/GROUP/VERSION`
    GroupVersion(String, String),
    /// Objects.
    Resource(Resource),
    /// `/openapi/v3`, and below it.
    OpenApi(Option<(String, String)>),
    /// `/version`
    Version,
    /// `/healthz`, `/livez`, `/readyz`, and below them.
    Health,
    /// `/`
    Index,
    /// Nothing that is known.
    Nowhere,
}

/// Reads a path. Its segments are taken as they are: names of objects need no escapes.
pub(super) fn place(path: &str) -> Place {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
    match parts.as_slice() {
        [] => Place::Index,
        ["api"] => Place::Root { core: true },
        ["apis"] => Place::Root { core: false },
        ["api", version] => Place::GroupVersion(String::new(), (*version).to_owned()),
        ["apis", group] => Place::Group((*group).to_owned()),
        ["apis", group, version] => Place::GroupVersion((*group).to_owned(), (*version).to_owned()),
        ["api", version, rest @ ..] => resource("", version, rest),
        ["apis", group, version, rest @ ..] => resource(group, version, rest),
        ["openapi", "v3"] => Place::OpenApi(None),
        ["openapi", "v3", "api", version] => Place::OpenApi(Some((String::new(), (*version).to_owned()))),
        ["openapi", "v3", "apis", group, version] => Place::OpenApi(Some(((*group).to_owned(), (*version).to_owned()))),
        ["version"] => Place::Version,
        ["healthz" | "livez" | "readyz", ..] => Place::Health,
        _ => Place::Nowhere,
    }
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Place {
    // A namespace is both a place for objects and an object with subresources of its own.
    let (namespace, rest) = match rest {
        ["namespaces", namespace, plural, tail @ ..] if !["status", "finalize"].contains(plural) => {
            (*namespace, [&[*plural], tail].concat())
        }
        rest => ("", rest.to_vec()),
    };
    let of = |plural: &str, name: &str, sub: &str| {
        Place::Resource(Resource {
            group: group.into(),
            version: version.into(),
            namespace: namespace.into(),
            plural: plural.into(),
            name: name.into(),
            sub: sub.into(),
        })
    };
    match rest.as_slice() {
        [plural] => of(plural, "", ""),
        [plural, name] => of(plural, name, ""),
        [plural, name, sub] => of(plural, name, sub),
        _ => Place::Nowhere,
    }
}

/// What is done there, in the words of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read many.
    List,
    /// Be told of changes.
    Watch,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Change one.
    Patch,
    /// Delete one.
    Delete,
    /// Delete many.
    DeleteCollection,
}

impl Verb {
    /// As RBAC writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// The verb of a method; none when the method has no meaning there.
pub(super) fn verb(method: &Method, resource: &Resource, watch: bool) -> Option<Verb> {
    let one = !resource.name.is_empty();
    match *method {
        Method::GET if watch && resource.sub.is_empty() => Some(Verb::Watch),
        Method::GET | Method::HEAD if one => Some(Verb::Get),
        Method::GET | Method::HEAD => Some(Verb::List),
        Method::POST if !one || !resource.sub.is_empty() => Some(Verb::Create),
        Method::PUT if one => Some(Verb::Update),
        Method::PATCH if one => Some(Verb::Patch),
        Method::DELETE if one && resource.sub.is_empty() => Some(Verb::Delete),
        Method::DELETE if !one => Some(Verb::DeleteCollection),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> [String; 6] {
        match place(path) {
            Place::Resource(r) => [r.group, r.version, r.namespace, r.plural, r.name, r.sub],
            other => panic!("{path} is {other:?}"),
        }
    }

    #[test]
    fn paths_name_resources() {
        assert_eq!(of("/api/v1/pods"), ["", "v1", "", "pods", "", ""]);
        assert_eq!(of("/api/v1/namespaces"), ["", "v1", "", "namespaces", "", ""]);
        assert_eq!(of("/api/v1/namespaces/shop"), ["", "v1", "", "namespaces", "shop", ""]);
        assert_eq!(of("/api/v1/namespaces/shop/finalize"), ["", "v1", "", "namespaces", "shop", "finalize"]);
        assert_eq!(of("/api/v1/namespaces/shop/pods"), ["", "v1", "shop", "pods", "", ""]);
        assert_eq!(of("/apis/apps/v1/namespaces/shop/deployments/x/scale"), ["apps", "v1", "shop", "deployments", "x", "scale"]);
        assert_eq!(of("/api/v1/nodes/n/status"), ["", "v1", "", "nodes", "n", "status"]);
        assert_eq!(place("/apis/apps"), Place::Group("apps".into()));
        assert_eq!(place("/openapi/v3/apis/apps/v1"), Place::OpenApi(Some(("apps".into(), "v1".into()))));
        assert_eq!(place("/readyz/ping"), Place::Health);
        assert_eq!(place("/metrics"), Place::Nowhere);
    }

    #[test]
    fn methods_mean_verbs() {
        let Place::Resource(one) = place("/api/v1/namespaces/a/pods/p") else { panic!() };
        let Place::Resource(many) = place("/api/v1/namespaces/a/pods") else { panic!() };
        assert_eq!(verb(&Method::GET, &one, false), Some(Verb::Get));
        assert_eq!(verb(&Method::GET, &many, true), Some(Verb::Watch));
        assert_eq!(verb(&Method::DELETE, &many, false), Some(Verb::DeleteCollection));
        assert_eq!(verb(&Method::PUT, &many, false), None);
        assert_eq!(verb(&Method::POST, &one, false), None);
    }
}

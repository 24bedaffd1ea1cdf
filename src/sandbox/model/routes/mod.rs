//! The routing table of the Ingress proxy: which Service a host and path belong to. Pure; rebuilt whole from the objects.
//!
//! Precedence is that of the Ingress API: an exact host before a wildcard before no host; then the longest path; then `Exact` before
//! `Prefix`; then the older Ingress. `ImplementationSpecific` is treated as `Prefix`, as Traefik does. Where a host's rules do not
//! match the path, the less specific hosts are asked, and last the default backend.

mod build;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use build::{CLASS, CONTROLLER, build, publish};

use super::endpoints::Endpoint;

/// A Service port that some rule points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Namespace of the Ingress and the Service.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// The port as the Ingress gives it, by name or number.
    pub port: String,
    /// Its ready endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathKind {
    Exact,
    Prefix,
}

/// One path of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    kind: PathKind,
    /// Prefixes are kept without their trailing slash, which means nothing.
    path: String,
    backend: usize,
}

impl Rule {
    /// Prefixes are compared by path element: `/a/` covers `/a` and `/a/b` but not `/ab`.
    fn matches(&self, path: &str) -> bool {
        match self.kind {
            PathKind::Exact => self.path == path,
            PathKind::Prefix => path.strip_prefix(self.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}

/// The rules of one host, the most specific first.
type Rules = Vec<Rule>;

/// The whole table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    backends: Vec<Backend>,
    hosts: BTreeMap<String, Rules>,
    /// By what follows the star: `*.example.com` is `example.com`.
    wildcards: BTreeMap<String, Rules>,
    any_host: Rules,
    default: Option<usize>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<'a> {
    /// The backend's place in [`Routes::backends`].
    pub index: usize,
    /// The backend.
    pub backend: &'a Backend,
}

impl Routes {
    /// All backends, each once.
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// The backend for a request, if any rule or a default backend wants it. `host` may carry a port; case does not matter.
    pub fn pick(&self, host: &str, path: &str) -> Option<Match<'_>> {
        let host = bare_host(host);
        // A wildcard stands for exactly one label.
        let parent = host.split_once('.').map_or("", |(_, parent)| parent);
        let index = [self.hosts.get(host.as_str()), self.wildcards.get(parent), Some(&self.any_host)]
            .into_iter()
            .flatten()
            .find_map(|rules| rules.iter().find(|rule| rule.matches(path)))
            .map(|rule| rule.backend)
            .or(self.default)?;
        Some(Match { index, backend: self.backends.get(index)? })
    }
}

/// The host without port and trailing dot, in lower case.
fn bare_host(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && (name.ends_with(']') || !name.contains(':')) => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

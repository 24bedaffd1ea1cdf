//! What can be typed about the service.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::ClusterArgs;

/// A Lease by its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct LeaseName {
    pub(in crate::cli) namespace: String,
    pub(in crate::cli) name: String,
}

impl fmt::Display for LeaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct ServeArgs {
    #[command(flatten)]
    pub(in crate::cli) cluster: ClusterArgs,
    /// Only Deployments of this namespace; all namespaces when it is left out
    #[arg(short, long, value_name = "NS")]
    pub(in crate::cli) namespace: Option<String>,
    /// Answer here; anywhere but on loopback a bearer token is needed that the cluster grants the path to
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9090")]
    pub(in crate::cli) listen: SocketAddr,
    /// Start a sandbox and roll out good and bad versions in it, one after another, to look at
    #[arg(long, conflicts_with_all = ["kubeconfig", "context", "namespace"])]
    pub(in crate::cli) sandbox: bool,
    /// Record each run that judges a rollout in this folder; the latest 50 are kept
    #[arg(long, value_name = "FOLDER")]
    pub(in crate::cli) recordings: Option<PathBuf>,
    /// Lead only while holding this Lease, so that several may run and one is at work; in a cluster `verifier` of the own namespace is meant
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = lease, conflicts_with_all = ["no_lease", "sandbox"])]
    pub(in crate::cli) lease: Option<LeaseName>,
    /// Lead without asking whether another does: only one may run
    #[arg(long)]
    pub(in crate::cli) no_lease: bool,
    /// Requests a second that are sent to judge rollouts, all Deployments together, at most
    #[arg(long, value_name = "N", default_value_t = 2_000.0)]
    pub(in crate::cli) max_rate: f64,
    /// Times that guards may act within an hour, all Deployments together
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(in crate::cli) max_actions: usize,
    /// Verifications that are kept of each Deployment
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = keep)]
    pub(in crate::cli) keep: usize,
    /// Verifications are kept for so long
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = humantime::parse_duration)]
    pub(in crate::cli) keep_for: Duration,
}

/// Between 1 and 100: no more are known of.
fn keep(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=100).contains(n)).ok_or_else(|| "expected a number from 1 to 100".into())
}

/// Two names with a slash between them, as Kubernetes has names.
fn lease(text: &str) -> Result<LeaseName, String> {
    let is_label = |label: &str| {
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && label.chars().all(inside) && !label.starts_with('-') && !label.ends_with('-')
    };
    match text.split_once('/') {
        Some((namespace, name)) if is_label(namespace) && name.split('.').all(is_label) => {
            Ok(LeaseName { namespace: namespace.into(), name: name.into() })
        }
        _ => Err("expected the Lease's namespace and name: verifier/verifier".into()),
    }
}
